"""Records that no exporter can encode as they are: repaired, counted, and never at the cost of those beside them."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from model_sidecar_instrumentation.exporting import Guard, below, is_loopback
from model_sidecar_instrumentation.repair import TEXT, Repair, text, value
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Status, StatusCode
from support.frameworks import plain_map, plain_value


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("says nothing")


class Colour(enum.StrEnum):
    RED = "red"


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("é中😀", "é中😀"),
        ("caf\udce9.csv", "caf\ufffd.csv"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("x" * (TEXT + 1), "x" * (TEXT - 1) + "…"),
        (Silent(), "<Silent>"),
        (None, "None"),
    ],
)
def test_texts_become_utf_8(given: Any, expected: str) -> None:
    assert text(given) == expected
    assert text(expected) is expected, "what is right already is left alone"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1 << 63, str(1 << 63)),
        (-(1 << 63), -(1 << 63)),
        (float("inf"), float("inf")),
        (b"\xff", b"\xff"),
        ([1.0, None, True], [1.0, None, True]),
        ([1, "a\udc80", [b"x"]], [1, "a\ufffd", [b"x"]]),
        ({"a\udcff": {1: Silent()}}, {"a\ufffd": {"1": "<Silent>"}}),
        ({1, 2} - {2}, "{1}"),
        (3 + 4j, "(3+4j)"),
    ],
)
def test_values_become_what_can_be_encoded(given: Any, expected: Any) -> None:
    assert value(given) == expected


@pytest.mark.parametrize("given", [{"a": [1, 2.5, "x", None, b"y"]}, ["x"], 7, Colour.RED, (1.5, 2.5), {}])
def test_what_can_be_encoded_stays_the_same_object(given: Any) -> None:
    assert value(given) is given


def test_values_without_an_end_and_of_many_digits_end() -> None:
    assert value(1 << 20_000).startswith("0x1")
    assert "[...]" in str(value(RECURSIVE))


def _logs(*bodies: Any, **about: Any) -> list[Any]:
    from opentelemetry._logs import LogRecord

    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(Resource({"service.name": "s"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    for body in bodies:
        provider.get_logger("l").emit(LogRecord(**{"timestamp": 1, "body": body, **about}))
    return list(exporter.get_finished_logs())


@pytest.mark.parametrize(
    "about",
    [
        {"body": "caf\udce9.csv"},
        {"body": {"n": 1 << 64, "o": "\udc80"}},
        {"body": 1 << 64},
        {"timestamp": -5},
        {"timestamp": 1.5},
        {"event_name": "e\udc80"},
        {"severity_text": "W\udc80"},
    ],
    ids=str,
)
def test_a_log_record_that_costs_a_batch_is_repaired_and_the_others_are_untouched(about: dict[str, Any]) -> None:
    batch = [*_logs("first"), *_logs(about.pop("body", "odd"), **about), *_logs("last")]
    with pytest.raises((UnicodeEncodeError, ValueError, TypeError)):
        encode_logs(batch)
    repair = Repair()
    repaired = repair.logs(batch)
    [scope] = encode_logs(repaired).resource_logs[0].scope_logs
    assert [plain_value(r.body) for r in scope.log_records][::2] == ["first", "last"]
    assert (repair.repaired, repaired[0], repaired[2]) == (1, batch[0], batch[2])


def test_attributes_that_upstream_leaves_out_are_kept() -> None:
    [record] = Repair().logs(_logs("x", attributes={"f\udce9": "v\udce9", "n": 1 << 70, "b": b"\xff", "none": None}))
    [encoded] = encode_logs([record]).resource_logs[0].scope_logs[0].log_records
    assert plain_map(encoded.attributes) == {"f\ufffd": "v\ufffd", "n": str(1 << 70), "b": b"\xff", "none": None}


def _spans() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "s\udce9"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_spans_are_repaired_in_every_part() -> None:
    provider, exporter = _spans()
    tracer = provider.get_tracer("t\udce9", "1\udce9")
    with tracer.start_as_current_span("first") as first:
        pass
    odd = tracer.start_span("caf\udce9", links=[Link(first.get_span_context(), {"l": "\udce9"})], start_time=1.5)  # type: ignore[arg-type]
    odd.set_attribute("a", "\udce9")
    odd.add_event("e\udce9", {"x": "\udce9"})
    odd.set_status(Status(StatusCode.ERROR, "d\udce9"))
    odd.end()
    with pytest.raises(UnicodeEncodeError):
        encode_spans(exporter.get_finished_spans())
    request = encode_spans(Repair().spans(exporter.get_finished_spans()))
    [resource] = request.resource_spans
    [scope] = resource.scope_spans
    assert plain_map(resource.resource.attributes) == {"service.name": "s\ufffd"}
    assert (scope.scope.name, scope.scope.version, scope.spans[0].name) == ("t\ufffd", "1\ufffd", "first")
    span = scope.spans[1]
    assert (span.name, span.start_time_unix_nano, span.status.message) == ("caf\ufffd", 1, "d\ufffd")
    assert plain_map(span.attributes) == {"a": "\ufffd"}
    assert (span.events[0].name, plain_map(span.links[0].attributes)) == ("e\ufffd", {"l": "\ufffd"})


def test_metrics_are_repaired() -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    meter.create_counter("c", description="d\udce9").add(1 << 70, {"file": "caf\udce9"})
    meter.create_histogram("h").record(3, {"ok": "yes"})
    data = reader.get_metrics_data()
    with pytest.raises((UnicodeEncodeError, ValueError)):
        encode_metrics(data)
    repair = Repair()
    counter, histogram = encode_metrics(repair.metrics(data)).resource_metrics[0].scope_metrics[0].metrics
    [point] = counter.sum.data_points
    assert (counter.description, point.as_double) == ("d\ufffd", float(1 << 70))
    assert plain_map(point.attributes) == {"file": "caf\ufffd"}
    assert histogram.histogram.data_points[0].count == 1
    assert repair.repaired == 1


def test_ids_of_exemplars_are_no_numbers_to_repair() -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    provider, _ = _spans()
    with provider.get_tracer("t").start_as_current_span("s") as span:
        meter.create_counter("c").add(1)
    data = Repair().metrics(reader.get_metrics_data())
    [metric] = encode_metrics(data).resource_metrics[0].scope_metrics[0].metrics
    [exemplar] = metric.sum.data_points[0].exemplars
    assert int.from_bytes(exemplar.trace_id, "big") == span.get_span_context().trace_id
    assert int.from_bytes(exemplar.span_id, "big") == span.get_span_context().span_id


def test_a_guard_repairs_counts_and_closes() -> None:
    provider, exporter = _spans()
    guard = Guard(exporter, "spans")
    with provider.get_tracer("t").start_as_current_span("caf\udce9"):
        pass
    assert (guard.taken, guard.repair.repaired) == (1, 1)
    guard.closed = True
    with provider.get_tracer("t").start_as_current_span("late"):
        pass
    assert [span.name for span in exporter.get_finished_spans()] == ["caf\ufffd"]
    assert (guard.taken, guard.refused) == (1, 1)
    assert list(below([provider], lambda item: item is exporter)) == [exporter]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("sidecar", False),
        ("", False),
        (None, False),
    ],
)
def test_which_hosts_are_this_one(host: str | None, own: bool) -> None:
    assert is_loopback(host) is own
