from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.delivery import entry, logs_payload, spans_payload

from sidecar.decode.otlp.metrics import check_metrics
from sidecar.decode.otlp.records import check_logs, check_spans
from sidecar.deliver.otlp.requests import Request, join, purge, rejected_on_receipt, split_in_half


def spans_of(*bodies: bytes) -> list[Span]:
    found = []
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                found += list(scope.spans)
    return found


def test_joined_payloads_are_the_request_of_all_of_them() -> None:
    payloads = [spans_payload(3, first=1 + 10 * n, trace=n) for n in range(1, 4)]
    entries = [entry(n, payload, 3) for n, payload in enumerate(payloads, 1)]
    (request,) = join(entries, 1 << 20, check_spans)
    assert request.body == b"".join(payloads)
    assert [request.payload(row) for row in range(3)] == payloads
    merged = ExportTraceServiceRequest()
    for payload in payloads:
        merged.MergeFromString(payload)
    assert ExportTraceServiceRequest.FromString(request.body) == merged


def test_a_lone_payload_is_sent_without_being_copied() -> None:
    payload = spans_payload(3)
    (request,) = join([entry(1, payload, 3)], 1 << 20, check_spans)
    assert request.body is payload
    assert request.payload(0) is payload


def test_requests_keep_to_their_size_and_to_the_order() -> None:
    entries = [entry(n, spans_payload(3, first=10 * n), 3) for n in range(1, 8)]
    size = len(entries[0].payload)
    requests = join(entries, 3 * size + 5, check_spans)
    assert [[p.seq for p in r.parts] for r in requests] == [[1, 2, 3], [4, 5, 6], [7]]
    assert b"".join(r.body for r in requests) == b"".join(e.payload for e in entries)


def test_the_same_entries_make_the_same_requests() -> None:
    entries = [entry(n, spans_payload(3, first=10 * n), 3) for n in range(1, 8)]
    assert join(entries, 700, check_spans) == join(entries, 700, check_spans)


def test_a_payload_over_the_size_is_cut_between_records() -> None:
    payload = spans_payload(100, events=1) + spans_payload(7, first=500)
    requests = join([entry(4, payload, 107, 100), entry(5, spans_payload(1), 1)], 3000, check_spans)
    large = [r for r in requests if r.parts[0].seq == 4]
    assert len(large) > 3
    assert all(len(r.body) <= 3000 for r in requests)
    assert spans_of(*[r.body for r in large]) == spans_of(payload)
    assert sum(r.items for r in large) == 107
    assert sum(r.parts[0].events for r in large) == 100
    assert len({r.parts[0].piece for r in large}) == len(large)
    scopes = [s.scope.name for r in large for x in ExportTraceServiceRequest.FromString(r.body).resource_spans
              for s in x.scope_spans]  # fmt: skip
    assert set(scopes) == {"test"}
    assert requests[-1].parts[0].seq == 5


def test_what_stands_around_records_stays_with_each_piece_known_or_not() -> None:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="https://a")
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_logs.add(schema_url="https://b")
    scope.scope.version = "9"
    for number in range(4):
        scope.log_records.add(time_unix_nano=1 + number, severity_text="x" * 50)
    unknown = b"\x9a\x06\x03abc\xa0\x06\x07"  # fields 99 and 100
    inner = resource.SerializeToString() + unknown
    payload = b"\x0a" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7]) + inner
    first, second = split_in_half(
        Request("logs", payload, join([entry(1, payload, 4, signal="logs")], 1 << 20, check_logs)[0].parts), check_logs
    )
    for piece in (first, second):
        (found,) = ExportLogsServiceRequest.FromString(piece.body).resource_logs
        assert found.schema_url == "https://a"
        assert found.resource == resource.resource
        assert found.scope_logs[0].scope.version == "9"
        assert found.scope_logs[0].schema_url == "https://b"
        assert len(found.scope_logs[0].log_records) == 2
        assert unknown in piece.body


def test_metrics_are_cut_between_metrics() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    for number in range(4):
        metric = scope.metrics.add(name=f"m{number}")
        for point in range(number + 1):
            metric.gauge.data_points.add(time_unix_nano=1 + point, as_int=point)
    payload = request.SerializeToString()
    (whole,) = join([entry(1, payload, 10, signal="metrics")], 1 << 20, check_metrics)
    pieces = split_in_half(whole, check_metrics)
    assert [p.items for p in pieces] == [check_metrics(p.body).items for p in pieces]
    assert sum(p.items for p in pieces) == 10


def test_one_record_cannot_be_cut() -> None:
    (request,) = join([entry(1, spans_payload(1), 1)], 10, check_spans)
    assert split_in_half(request, check_spans) == []


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x0a\x7fabc", b"\x0b\x0c", b"", b"\x12\x00"])
def test_what_cannot_be_read_cannot_be_cut(payload: bytes) -> None:
    (request,) = join([entry(1, payload, 2)], 1 << 20, check_spans)
    assert split_in_half(request, check_spans) == []


def test_halves_of_a_joined_request_are_its_payloads() -> None:
    entries = [entry(n, spans_payload(2, first=10 * n), 2, events=n) for n in range(1, 4)]
    (request,) = join(entries, 1 << 20, check_spans)
    first, second = split_in_half(request, check_spans)
    assert (first.body, second.body) == (entries[0].payload, entries[1].payload + entries[2].payload)
    assert [(p.seq, p.items, p.events, p.end) for p in second.parts] == [
        (2, 2, 2, len(entries[1].payload)),
        (3, 2, 3, len(second.body)),
    ]


def test_records_refused_at_ingest_are_taken_out_once() -> None:
    bad = ExportTraceServiceRequest.FromString(spans_payload(3))
    bad.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    payload = bad.SerializeToString()
    assert check_spans(payload).rejected == 1
    (request,) = join([entry(1, payload, 2)], 1 << 20, check_spans)
    assert rejected_on_receipt(request, check_spans) == 1
    purged = purge(request, check_spans)
    assert purged is not None
    assert check_spans(purged.body).rejected == 0
    assert [s.name for s in spans_of(purged.body)] == ["step 1", "step 3"]
    assert purged.items == 2
    assert purge(purged, check_spans) is None


def test_there_is_nothing_to_take_out_of_a_clean_payload() -> None:
    (request,) = join([entry(1, logs_payload("a", "b"), 2, signal="logs")], 1 << 20, check_logs)
    assert purge(request, check_logs) is None
