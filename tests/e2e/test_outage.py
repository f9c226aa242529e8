"""OpenSearch away for a minute under load, then back: nothing is lost and the backlog goes quickly."""

from __future__ import annotations

import collections
import contextlib
import time

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from support.engines import opensearch, sidecar_process, wait_for
from support.load import Sender, make_spans, samples, scrape, sending, status, total, waiting
from support.search_client import SPANS, documents

OUTAGE_SECONDS = 60


@pytest.mark.engine
@pytest.mark.slow
def test_an_outage_of_a_minute_loses_nothing() -> None:
    with opensearch() as engine:
        environ = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url, "SIDECAR_DELIVER__STORE__ENABLED": "false"}
        with sidecar_process(environ) as sidecar, contextlib.ExitStack() as stack:
            exporter = OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=60)
            sender = Sender(exporter.export, lambda n: make_spans("outage", 50), 0.05)
            stack.enter_context(sending(sender))
            wait_for(lambda: len(sender.acknowledged) > 500, 30, "load to flow")
            engine.stop()
            stopped = time.monotonic()
            before = len(sender.acknowledged)
            while time.monotonic() - stopped < OUTAGE_SECONDS:
                time.sleep(1)
            missed = len(sender.acknowledged) - before
            behind = waiting(sidecar.serve_url)
            assert missed > 1000, "ingest must go on while the engine is away"
            assert behind >= missed * 0.9
            engine.start()
            # Each consumer gathers for a second and works for part of one: under load some thousands always wait.
            wait_for(lambda: waiting(sidecar.serve_url) < behind / 10, 120, "the backlog to be delivered")
            sender.stop()
            wait_for(lambda: waiting(sidecar.serve_url) == 0, 60, "the rest to be delivered")
            scrape(sidecar.serve_url)
            values = samples(scrape(sidecar.serve_url) or "")
            ledger = status(sidecar.serve_url)["ledger"]
        assert sender.resent == 0
        assert ledger["problems"] == []
        assert total(values, "traces_span_metrics_calls_total") == len(sender.acknowledged)
        stored = collections.Counter(d["span_id"] for d in documents(engine.url, SPANS, ["span_id"]))
        assert stored == collections.Counter(format(s.context.span_id, "016x") for s in sender.acknowledged)
