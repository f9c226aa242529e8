"""Several sinks with filters of their own and a kill in the middle: each gets what it is to get, once, and counted."""

from __future__ import annotations

import collections
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import samples, scrape, status, total, waiting
from support.taps import http_tap

BATCHES = 120
KILL_AT = 60
SEVERITIES = (5, 9, 13, 17, 21, 0)
SERVICES = ("shop", "noise", "cart-eu")
SECOND = 1_000_000_000
PER_BATCH = len(SERVICES) * len(SEVERITIES)
"""Log records in a batch, and spans."""


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def batch_of_logs(number: int) -> bytes:
    """For each service a record of each severity, numbered by `n`."""
    request = ExportLogsServiceRequest()
    for s, service in enumerate(SERVICES):
        records = request.resource_logs.add(resource=Resource(attributes=[text("service.name", service)]))
        scope = records.scope_logs.add()
        for k, severity in enumerate(SEVERITIES):
            n = number * PER_BATCH + s * len(SEVERITIES) + k
            scope.log_records.add(
                time_unix_nano=time.time_ns(),
                severity_number=severity,  # type: ignore[arg-type]
                body=AnyValue(string_value=f"record {n}"),
                attributes=[KeyValue(key="n", value=AnyValue(int_value=n))],
            )
    return request.SerializeToString()


def batch_of_spans(number: int) -> bytes:
    """For each service a trace for each severity: number 3 has an error, number 4 is slow, each with one event."""
    request = ExportTraceServiceRequest()
    for s, service in enumerate(SERVICES):
        spans = request.resource_spans.add(resource=Resource(attributes=[text("service.name", service)]))
        scope = spans.scope_spans.add()
        for k in range(len(SEVERITIES)):
            n = number * PER_BATCH + s * len(SEVERITIES) + k + 1
            now = time.time_ns()
            span = scope.spans.add(
                trace_id=n.to_bytes(16, "big"),
                span_id=n.to_bytes(8, "big"),
                name=f"step {k}",
                start_time_unix_nano=now,
                end_time_unix_nano=now + (3 * SECOND if k == 4 else 1000),
            )
            span.status.code = 2 if k == 3 else 0  # type: ignore[assignment]
            span.events.add(name="seen", time_unix_nano=now)
    return request.SerializeToString()


def post(sidecar: SidecarProcess, path: str, payload: bytes) -> None:
    """Until it is acknowledged, whatever happens meanwhile."""
    request = urllib.request.Request(sidecar.otlp_url + path, payload, {"content-type": "application/x-protobuf"})
    deadline = time.monotonic() + 300
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "nobody takes it"
            time.sleep(0.05)


def numbers(documents: list[Any]) -> collections.Counter[int]:
    return collections.Counter(d["attributes"]["n"] for d in documents if "n" in d.get("attributes", {}))


def span_names(documents: list[Any]) -> collections.Counter[tuple[str, str]]:
    """(service, span name) -> spans."""
    return collections.Counter(
        (d["resource"]["attributes"]["service.name"], d["name"]) for d in documents if "duration" in d
    )


def sources(kept: dict[str, bytes]) -> list[Any]:
    return [json.loads(source) for source in kept.values()]


def test_each_sink_gets_what_its_filter_takes_through_a_kill(tmp_path: Path) -> None:
    with ExitStack() as stack:
        everything, errors = (stack.enter_context(http_tap()) for _ in range(2))
        sinks = {
            "ELASTICSEARCH__URL": everything.url,
            "ELASTICSEARCH__BOOTSTRAP": "false",
            "MORE__ERRORS__KIND": "elasticsearch",
            "MORE__ERRORS__URL": errors.url,
            "MORE__ERRORS__BOOTSTRAP": "false",
            "MORE__ERRORS__FILTER__MIN_SEVERITY": "error",
            "MORE__ERRORS__FILTER__EXCLUDE_SERVICES": "noise",
            "MORE__ERRORS__FILTER__ONE_IN": "1000000",
            "MORE__ERRORS__FILTER__SLOWER_THAN": "2",
            "FILE__PATH": str(tmp_path / "logs"),
            "FILE__SIGNALS": "logs",
            "FILE__FILTER__SERVICES": "cart-*",
            "STORE__FILTER__SERVICES": "nobody",
        }
        environ = {f"SIDECAR_DELIVER__{name}": value for name, value in sinks.items()}
        sidecar = stack.enter_context(sidecar_process(environ))
        sent = threading.Event()

        def send() -> None:
            for number in range(BATCHES):
                post(sidecar, "/v1/logs", batch_of_logs(number))
                post(sidecar, "/v1/traces", batch_of_spans(number))
                if number == KILL_AT:
                    sent.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert sent.wait(300)
        sidecar.kill9()
        sidecar.start()
        sender.join(300)
        assert not sender.is_alive()
        wait_for(lambda: not waiting(sidecar.serve_url), 60, "everything to be delivered")
        ledger = status(sidecar.serve_url)["ledger"]
        scrape(sidecar.serve_url)
        values = samples(scrape(sidecar.serve_url) or "")

    of_all, of_errors = everything.documents(), errors.documents()
    every = BATCHES * PER_BATCH
    assert numbers(sources(of_all)) == collections.Counter(range(every))
    assert sum(span_names(sources(of_all)).values()) == every

    wanted = [n for n in range(every) if n % 6 in (3, 4, 5) and n // 6 % 3 != 1]
    assert numbers(sources(of_errors)) == collections.Counter(wanted)
    kept = span_names(sources(of_errors))
    for service in ("shop", "cart-eu"):
        for name in ("step 3", "step 4"):
            assert kept.pop((service, name)) == BATCHES
    assert sum(kept.values()) <= 5, "one in a million of the rest"
    assert {i: of_all.get(i) for i in of_errors} == of_errors, "the same documents under the same ids"

    lines = [json.loads(line) for line in (tmp_path / "logs").read_bytes().splitlines()]
    once = {line["_id"]: line for line in lines}
    assert numbers(list(once.values())) == collections.Counter(n for n in range(every) if n // 6 % 3 == 2)
    assert set(once) <= set(of_all)

    assert ledger["problems"] == []
    received = ledger["received"]
    assert received["logs"] == received["spans"] == received["span_events"] == every
    spans_kept = len([d for d in sources(of_errors) if "duration" in d])
    assert outcomes(ledger, "errors", "filtered") == {
        "logs": every - len(wanted),
        "spans": every - spans_kept,
        "span_events": every - spans_kept,
    }
    assert outcomes(ledger, "store", "filtered") == {"logs": every, "spans": every, "span_events": every}
    assert outcomes(ledger, "file", "filtered") == {"logs": every * 2 // 3}
    assert outcomes(ledger, "elasticsearch", "filtered") == {}
    assert "spans" not in ledger["consumers"]["file"]["waiting"]
    # Since the kill; the ledger has it all.
    assert 0 < total(values, "sidecar_filtered_items_total", 'sink="errors"', 'signal="logs"') <= every - len(wanted)
    assert total(values, "sidecar_finished_items_total", 'consumer="errors"', 'outcome="filtered"') == sum(
        outcomes(ledger, "errors", "filtered").values()
    )


def outcomes(ledger: Any, consumer: str, outcome: str) -> dict[str, int]:
    """Signal -> items of a consumer with that outcome."""
    found: collections.Counter[str] = collections.Counter()
    for part in ledger["consumers"][consumer]["finished"]:
        if part["outcome"] == outcome:
            found[part["signal"]] += part["items"]
    return {signal: items for signal, items in found.items() if items}
