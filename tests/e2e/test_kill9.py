"""kill -9 at any moment: nothing acknowledged is lost or there twice; counters stay exact and never go back."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from support.engines import SearchEngine, SidecarProcess, opensearch, sidecar_process, wait_for
from support.load import CounterWatch, Sender, make_logs, make_spans, samples, scrape, sending, status, total, waiting
from support.search_client import LOGS, SPANS, documents

KILLS = int(os.environ.get("SOAK_KILLS", "20"))
"""`make soak` asks for more."""
pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[SearchEngine]:
    with opensearch() as node:
        yield node


@pytest.mark.slow
@pytest.mark.timeout(600 + 10 * KILLS)
def test_nothing_is_lost_doubled_or_counted_back(engine: SearchEngine) -> None:
    environ = {
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url,
        "SIDECAR_DELIVER__STORE__ENABLED": "true",
    }
    moments = random.Random(20)
    with sidecar_process(environ) as sidecar, contextlib.ExitStack() as stack:
        grpc = GrpcSpans(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=5)
        http = HttpSpans(endpoint=f"{sidecar.otlp_url}/v1/traces", timeout=5)
        logs = GrpcLogs(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=5)
        senders = [
            Sender(grpc.export, lambda n: make_spans("by-grpc", 20), 0.005),
            Sender(http.export, lambda n: make_spans("by-http", 20), 0.005),
            Sender(logs.export, lambda n: make_logs("by-grpc", n * 20, 20), 0.005),
        ]
        watch = CounterWatch(sidecar.serve_url)
        stack.enter_context(sending(*senders))
        watch.start()
        hit = 0
        for _ in range(KILLS):
            seen = watch.scrapes
            time.sleep(moments.uniform(0.1, 1.2))
            wait_for(lambda seen=seen: watch.scrapes > seen, 30, "a scrape")
            hit += _kill_amid_an_export(sidecar, senders)
            sidecar.start()
        time.sleep(1)
        for sender in senders:
            sender.stop()
        spans = [s for sender in senders[:2] for s in sender.acknowledged]
        wait_for(lambda: not waiting(sidecar.serve_url), 120, "everything to be delivered")
        watch.look()
        watch.stop()
        scrape(sidecar.serve_url)
        values = samples(scrape(sidecar.serve_url) or "")
        ledger = status(sidecar.serve_url)["ledger"]

    assert hit >= KILLS / 2, "few kills hit an export: the test proved nothing"
    assert watch.scrapes >= KILLS
    assert watch.backward == []
    assert ledger["problems"] == []
    assert total(values, "traces_span_metrics_calls_total") == len(spans)
    assert total(values, "traces_span_metrics_duration_seconds_count") == len(spans)
    assert total(values, "log_records_total") == len(senders[2].acknowledged)
    stored = documents(engine.url, SPANS, ["span_id"])
    assert collections.Counter(d["span_id"] for d in stored) == collections.Counter(
        format(s.context.span_id, "016x") for s in spans
    )
    records = documents(engine.url, LOGS, ["attributes", "event_name"])
    numbers = collections.Counter(d["attributes"]["n"] for d in records if "n" in d.get("attributes", {}))
    assert numbers == collections.Counter(range(len(senders[2].acknowledged)))
    assert sum(d.get("event_name") == "scored" for d in records) == len(spans)


def _kill_amid_an_export(sidecar: SidecarProcess, senders: Sequence[Sender]) -> bool:
    """Kills as soon as a batch is in the air; true if one that was is still unanswered with the process gone."""
    wait_for(lambda: any(s.exporting is not None for s in senders), 30, "an export to begin", interval=0.0005)
    before = [s.exporting for s in senders]
    sidecar.kill9()
    return any(number is not None and s.exporting == number for number, s in zip(before, senders, strict=True))
