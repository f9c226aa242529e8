"""Forwarding from a real journal over real sockets: to receivers that do everything wrong that one can do, and to a
real Collector and a second sidecar that are away for a while."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from support.certificates import Pair, authority
from support.delivery import NO_TIMEOUT, QUICK, TIMEOUT, logs_payload, sink_context, spans_payload
from support.engines import free_port, run_collector, sidecar_process, wait_for
from support.journals import journal
from support.load import Sender, make_logs, make_spans, sending, status, waiting
from support.otlp_cases import metrics_request
from support.otlp_destination import Destination, Fault, Script, grpc_destination, http_destination

from sidecar import watched_files
from sidecar.decode.otlp.metrics import check_metrics
from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.otlp.grpc_exporter import OtlpGrpcClient
from sidecar.deliver.otlp.http_exporter import OtlpHttpClient
from sidecar.deliver.otlp.options import OtlpOptions
from sidecar.deliver.otlp.sink import Client, OtlpSink, build, health_check
from sidecar.deliver.worker import Worker
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission
from sidecar.options import ClientTls
from sidecar.telemetry import Telemetry

DECODER = chosen_decoder()
DESTINATIONS: dict[str, Callable[[Script], AbstractContextManager[Destination]]] = {
    "grpc": grpc_destination,
    "http/protobuf": http_destination,
}
SPANS, LOGS, EVENTS, POINTS = 160, 120, 160, 5


@pytest.fixture(params=DESTINATIONS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fill(log: Journal) -> None:
    for number in range(12):
        if number % 3 == 2:
            payload = logs_payload(*[f"line {number}-{n}" for n in range(30)])
            log.append(Submission("logs", payload, 30)).result(120)
        else:
            payload = spans_payload(20, first=1 + number * 100, events=1)
            log.append(Submission("spans", payload, 20, events=20)).result(120)
    payload = metrics_request().SerializeToString()
    log.append(Submission("metrics", payload, check_metrics(payload).items)).result(120)


def forward(directory: Path, side: Destination, protocol: str, **options: Any) -> Counter[tuple[str, str, str]]:
    """Fill a journal, forward it, drain; gives the consumer's side of the ledger, which balances."""
    log = journal(directory, time.time_ns)
    chosen = OtlpOptions.model_validate(
        QUICK | {"endpoint": side.url, "protocol": protocol, "max_entries": 3} | options
    )
    consumer = log.consumer("far", OtlpSink.signals)
    sink = build("far", chosen, sink_context(DECODER, log.id))
    worker: Worker[Any] = Worker(sink, consumer, chosen, Telemetry(), time.time_ns)
    fill(log)
    worker.start()
    drained = worker.stop(300)
    log.close()
    assert drained, "something was not delivered"
    ledger = log.ledger()
    assert ledger.balance() == []
    (mine,) = ledger.consumers
    assert not any(mine.waiting.values())
    counts = Counter(dict(mine.counts))
    sums = Counter[str]()
    for (signal, _, _), count in counts.items():
        sums[signal] += count
    assert sums == {"spans": SPANS, "logs": LOGS, "span_events": EVENTS, "metrics": POINTS}
    return counts


def first(requests: int, fault: Fault) -> Script:
    return lambda number, body: fault if number <= requests else None


def arrived(side: Destination, once: bool = False) -> None:
    """Every record, and none twice."""
    spans, logs = side.spans(once), side.logs(once)
    assert (len(spans), len(logs)) == (SPANS, LOGS)
    assert set(spans.values()) | set(logs.values()) == {1}
    assert metrics_request().SerializeToString() in {body for _, body in side.kept}


ALL_DELIVERED = {
    ("spans", "delivered", ""): SPANS,
    ("logs", "delivered", ""): LOGS,
    ("span_events", "delivered", ""): EVENTS,
    ("metrics", "delivered", ""): POINTS,
}

PASSING = {
    "unavailable": Fault(code=14),
    "exhausted, to be tried again": Fault(code=8, retry_after=0.05),
    "bad gateway": Fault(code=14, http=502),
    "gateway time-out": Fault(code=4, http=504),
    "credentials": Fault(code=16),
    "aborted": Fault(code=10, http=503),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_loses_nothing_and_doubles_nothing(name: str, protocol: str, tmp_path: Path) -> None:
    with DESTINATIONS[protocol](first(3, PASSING[name])) as side:
        assert forward(tmp_path, side, protocol) == ALL_DELIVERED
        arrived(side)
        assert len(side.requests) > 3


@pytest.mark.parametrize(
    "fault", [Fault(commit=True, hang=2 * TIMEOUT), Fault(code=14, commit=True)], ids=["hang", "14"]
)
def test_what_was_carried_out_without_an_answer_comes_again_as_the_same_bytes(
    fault: Fault, protocol: str, tmp_path: Path
) -> None:
    with DESTINATIONS[protocol](first(2, fault)) as side:
        assert forward(tmp_path, side, protocol, timeout=TIMEOUT if fault.hang else NO_TIMEOUT) == ALL_DELIVERED
        assert max(Counter(side.kept).values()) > 1, "nothing was carried out twice: the test proves nothing"
        arrived(side, once=True)


def test_exhausted_without_a_delay_is_final_and_kept_as_dead_letters(tmp_path: Path) -> None:
    with grpc_destination(lambda number, body: Fault(code=8) if b"line" in body else None) as side:
        counts = forward(tmp_path, side, "grpc")
        assert len(side.spans()) == SPANS
    assert counts["logs", "dead_lettered", "resource_exhausted"] == LOGS
    letters = DeadLetters(tmp_path).page()
    assert len(letters) == 4
    assert {stored.dead_letter.reason for stored in letters} == {"RESOURCE_EXHAUSTED: as the test says"}


def test_one_poisonous_payload_is_the_only_one_refused(protocol: str, tmp_path: Path) -> None:
    with DESTINATIONS[protocol](lambda number, body: Fault(code=3) if b"step 305" in body else None) as side:
        counts = forward(tmp_path, side, protocol)
        assert len(side.spans()) == SPANS - 20
        assert len(side.logs()) == LOGS
    reason = "invalid_argument" if protocol == "grpc" else "http_400"
    assert counts["spans", "dead_lettered", reason] == 20
    assert counts["span_events", "dead_lettered", reason] == 20
    (stored,) = DeadLetters(tmp_path).page()
    assert stored.dead_letter.document == spans_payload(20, first=301, events=1)


def test_dead_letters_over_their_bound_are_counted_by_the_record(tmp_path: Path) -> None:
    with grpc_destination(lambda number, body: Fault(code=3)) as side:
        log = journal(tmp_path, time.time_ns, dead_letters={"max_bytes": 3000})
        chosen = OtlpOptions.model_validate(QUICK | {"endpoint": side.url})
        consumer = log.consumer("far", OtlpSink.signals)
        sink = build("far", chosen, sink_context(DECODER, log.id))
        worker: Worker[Any] = Worker(sink, consumer, chosen, Telemetry(), time.time_ns)
        fill(log)
        worker.start()
        assert worker.stop(300)
        log.close()
        ledger = log.ledger()
        assert ledger.balance() == []
        (mine,) = ledger.consumers
        kept = sum(1 for stored in DeadLetters(tmp_path).page() if stored.dead_letter.signal == "spans")
        assert kept < 8
        assert mine.counts["spans", "dropped", "dead_letters_full"] == SPANS - 20 * kept
        assert mine.counts["span_events", "dropped", "dead_letters_full"] == EVENTS - 20 * kept


def test_a_signal_that_is_not_served_holds_up_no_other(protocol: str, tmp_path: Path) -> None:
    with DESTINATIONS[protocol](lambda number, body: Fault(code=12) if b"line" in body else None) as side:
        counts = forward(tmp_path, side, protocol)
        assert len(side.spans()) == SPANS
    assert counts["logs", "dead_lettered", "unimplemented" if protocol == "grpc" else "http_404"] == LOGS


def test_partial_success_is_counted_as_dropped(protocol: str, tmp_path: Path) -> None:
    with DESTINATIONS[protocol](lambda number, body: Fault(rejected=7) if b"step 17" in body else None) as side:
        counts = forward(tmp_path, side, protocol, max_concurrency=1)
    assert counts["spans", "dropped", "rejected_by_receiver"] == 7
    assert counts["spans", "delivered", ""] == SPANS - 7


@pytest.mark.parametrize("name", ["grpc", "http/protobuf"])
def test_the_destinations_limit_on_requests_is_met_by_cutting(name: str, tmp_path: Path) -> None:
    limited = {"grpc": grpc_destination, "http/protobuf": http_destination}[name]
    with limited(lambda number, body: None, 2_000) as side:
        assert forward(tmp_path, side, name) == ALL_DELIVERED
        arrived(side)
        assert max(map(len, side.requests)) <= 2_000


def test_headers_and_compression(protocol: str, tmp_path: Path) -> None:
    with DESTINATIONS[protocol](lambda number, body: None) as side:
        options = {"headers": {"X-Tenant": "shop"}, "compression": "gzip"}
        assert forward(tmp_path, side, protocol, **options) == ALL_DELIVERED
        arrived(side)
    assert {h["x-tenant"] for h in side.headers} == {"shop"}
    assert all("model-sidecar/" in h["user-agent"] for h in side.headers)


def test_a_look_before_the_start(protocol: str) -> None:
    with DESTINATIONS[protocol](lambda number, body: None) as side:
        options = OtlpOptions.model_validate({"endpoint": side.url, "protocol": protocol})
        assert health_check(options).state == "ok"
        assert side.requests == [b"", b"", b""]
    assert health_check(options).state == "failed"
    with DESTINATIONS[protocol](lambda number, body: Fault(code=16)) as side:
        assert health_check(OtlpOptions.model_validate({"endpoint": side.url, "protocol": protocol})).state == "failed"


COLLECTOR = """
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:{grpc}}}
      http: {{endpoint: 127.0.0.1:{http}}}
exporters:
  file: {{path: {file}, append: true, flush_interval: 100ms}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
    logs: {{receivers: [otlp], exporters: [file]}}
"""


def written(file: Path) -> tuple[Counter[str], Counter[str]]:
    """Span ids and log bodies in what the Collector wrote."""
    spans, logs = Counter[str](), Counter[str]()
    for line in file.read_text().splitlines() if file.exists() else ():
        request = json.loads(line)
        for resource in request.get("resourceSpans", ()):
            spans.update(s["spanId"] for scope in resource["scopeSpans"] for s in scope["spans"])
        for resource in request.get("resourceLogs", ()):
            logs.update(r["body"]["stringValue"] for scope in resource["scopeLogs"] for r in scope["logRecords"])
    return spans, logs


@contextmanager
def load(target: str) -> Iterator[tuple[Sender, Sender]]:
    """SDK exporters that send spans and logs until the end of the block, and until all of it is acknowledged."""
    span_exporter = OTLPSpanExporter(endpoint=f"http://{target}", insecure=True, timeout=60)
    log_exporter = OTLPLogExporter(endpoint=f"http://{target}", insecure=True, timeout=60)
    senders = (
        Sender(span_exporter.export, lambda n: make_spans("forward", 20), 0.05),
        Sender(log_exporter.export, lambda n: make_logs("forward", 20 * n, 20), 0.05),
    )
    with sending(*senders):
        yield senders
        for sender in senders:
            sender.stop()


def test_a_collector_that_was_away_gets_everything_once_acknowledged(protocol: str, tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("health", "grpc", "http")}
    config = COLLECTOR.format(**ports, file=tmp_path / "received.jsonl")
    port = ports["grpc"] if protocol == "grpc" else ports["http"]
    environ = {
        "SIDECAR_DELIVER__OTLP__ENDPOINT": f"http://127.0.0.1:{port}",
        "SIDECAR_DELIVER__OTLP__PROTOCOL": protocol,
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
    }
    with sidecar_process(environ) as sidecar:
        with load(sidecar.grpc_target) as (spans, logs):
            health = f"http://127.0.0.1:{ports['health']}/"
            with run_collector(config, health):
                wait_for(lambda: len(spans.acknowledged) > 200, 30, "load to flow")
                wait_for(lambda: written(tmp_path / "received.jsonl")[0], 30, "spans at the Collector")
            before = len(spans.acknowledged)
            wait_for(lambda: len(spans.acknowledged) > before + 300, 30, "load to flow while the Collector is away")
            assert waiting(sidecar.serve_url) > 200
            with run_collector(config, health):
                spans.stop()
                logs.stop()
                wait_for(lambda: waiting(sidecar.serve_url) == 0, 60, "everything to be delivered")
        ledger = status(sidecar.serve_url)["ledger"]
    assert ledger["problems"] == []
    got_spans, got_logs = written(tmp_path / "received.jsonl")
    assert set(got_spans) == {format(s.context.span_id, "016x") for s in spans.acknowledged}
    assert set(got_logs) == {str(r.log_record.body) for r in logs.acknowledged}


def test_a_second_sidecar_that_was_killed_has_everything_once(protocol: str) -> None:
    quiet = {"SIDECAR_DELIVER__STORE__ENABLED": "false"}
    with sidecar_process(quiet) as far:
        endpoint = f"http://{far.grpc_target}" if protocol == "grpc" else far.otlp_url
        environ = {
            "SIDECAR_DELIVER__OTLP__ENDPOINT": endpoint,
            "SIDECAR_DELIVER__OTLP__PROTOCOL": protocol,
            "SIDECAR_DELIVER__OTLP__RETRY__MAX_INTERVAL": "1",
            **quiet,
        }
        with sidecar_process(environ) as near:
            with load(near.grpc_target) as (spans, logs):
                wait_for(lambda: received(far.serve_url)["spans"] > 100, 30, "spans at the second sidecar")
                far.kill9()
                before = len(spans.acknowledged)
                wait_for(lambda: len(spans.acknowledged) > before + 300, 30, "load to flow meanwhile")
                far.start()
            wait_for(lambda: waiting(near.serve_url) == 0, 60, "everything to be delivered")
            ledger = status(near.serve_url)["ledger"]
        figures = received(far.serve_url)
    assert ledger["problems"] == []
    assert figures["spans"] == len(spans.acknowledged)
    assert figures["logs"] == len(logs.acknowledged)


def received(serve_url: str) -> Counter[str]:
    """signal -> items kept."""
    return Counter(status(serve_url)["ledger"]["received"])


def test_tls_with_client_certificates(protocol: str, tmp_path: Path) -> None:
    ca = authority(tmp_path)
    server, client = ca.issue("server"), ca.issue("client")
    secure = {
        "SIDECAR_RECEIVE__TLS__CERT_FILE": str(server.cert),
        "SIDECAR_RECEIVE__TLS__KEY_FILE": str(server.key),
        "SIDECAR_RECEIVE__TLS__CA_FILE": str(ca.cert),
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
    }
    with sidecar_process(secure) as far:
        port = far.grpc_port if protocol == "grpc" else far.http_port
        given: dict[str, Any] = {
            "endpoint": f"https://127.0.0.1:{port}",
            "protocol": protocol,
            "tls": {"ca_file": ca.cert},
            "timeout": 5,
        }
        without = health_check(OtlpOptions.model_validate(given))
        assert without.state == "failed", without
        tls = {"ca_file": ca.cert, "cert_file": client.cert, "key_file": client.key}
        given["tls"] = tls
        found = health_check(OtlpOptions.model_validate(given))
        assert found.state == "ok", found
        assert (
            health_check(OtlpOptions.model_validate(given | {"tls": tls | {"server_name": "localhost"}})).state == "ok"
        )
        assert (
            health_check(OtlpOptions.model_validate(given | {"tls": tls | {"server_name": "elsewhere"}})).state
            == "failed"
        )


def test_client_certificates_are_exchanged_without_a_restart(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "POLL_SECONDS", 0)
    ca, other = authority(tmp_path), authority(tmp_path, "other")
    server, client, stranger = ca.issue("server"), ca.issue("client"), other.issue("stranger")
    secure = {
        "SIDECAR_RECEIVE__TLS__CERT_FILE": str(server.cert),
        "SIDECAR_RECEIVE__TLS__KEY_FILE": str(server.key),
        "SIDECAR_RECEIVE__TLS__CA_FILE": str(ca.cert),
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
    }
    tls = ClientTls(ca_file=ca.cert, cert_file=tmp_path / "tls.crt", key_file=tmp_path / "tls.key")

    def mount(pair: Pair) -> None:
        (tmp_path / "tls.crt").write_bytes(pair.cert.read_bytes())
        (tmp_path / "tls.key").write_bytes(pair.key.read_bytes())

    with sidecar_process(secure) as far:
        mount(stranger)
        if protocol == "grpc":
            sender: Client = OtlpGrpcClient(
                {"spans": f"https://127.0.0.1:{far.grpc_port}"}, gzip=False, timeout=5, tls=tls, user_agent="test"
            )
        else:
            url = f"https://127.0.0.1:{far.http_port}/v1/traces"
            sender = OtlpHttpClient({"spans": url}, gzip=False, timeout=5, tls=tls, user_agent="test", connections=1)
        with closing(sender):
            assert sender.export("spans", b"", {}).status == "retry"
            mount(client)
            assert sender.export("spans", b"", {}).status == "accepted"
