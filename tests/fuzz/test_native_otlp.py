"""The native core says what the reference says, of every OTLP payload: well-formed, odd, mutated or random."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value as encode_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from support.odd_requests import Rng, a_log, a_request, a_span, mutated
from support.payloads import span, trace_payload

from sidecar.decode.api import Decoder
from sidecar.decode.otlp import wire
from sidecar.decode.otlp.limits import MAX_FEATURE_VALUES, MAX_FEATURES, MAX_LABEL_CHARS
from sidecar.decode.otlp.repair import Repair
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal

NATIVE = native_decoder()
REFERENCE = ReferenceDecoder()

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
fuzzed = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
randoms = st.integers(0, 2**48).map(random.Random)

Call: TypeAlias = Callable[[Decoder], object]

DIMENSIONS = [
    "http.route", "http.response.status_code", "k", "", "größe", "\ufffd", "k", "-\ufffd@-", "model.name",
]  # fmt: skip


@dataclasses.dataclass
class Terms:
    """An array as a result with fields."""

    terms: Any


@dataclasses.dataclass
class Both:
    """What is read of the same payloads."""

    logs: Any
    predictions: Any


def plain(result: Any) -> Any:
    """A result with its arrays as (dtype, bytes), so that equality means equality, of what is no number too."""
    values = (getattr(result, field.name) for field in dataclasses.fields(result) if field.compare)
    return tuple(tuple(map(_plain, value)) if isinstance(value, tuple) else _plain(value) for value in values)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    return (value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else value


def outcome(decoder: Decoder, call: Call) -> Any:
    try:
        return plain(call(decoder))
    except DecodeError as error:
        return str(error), error.offset


def assert_same(call: Call) -> None:
    assert NATIVE is not None
    assert outcome(NATIVE, call) == outcome(REFERENCE, call)


def assert_nothing_to_repair(signal: Signal, payload: bytes) -> None:
    """Where the native core says so."""
    assert NATIVE is not None
    try:
        check = NATIVE.check_spans(payload) if signal == "spans" else NATIVE.check_logs(payload)
    except DecodeError:
        return
    repair = Repair(signal, 1_795_255_200 * 10**9)
    assert check.suspect or repair.request(payload) is payload, repair.counts


def assert_all_same(traces: Sequence[bytes], logs: Sequence[bytes], dimensions: Sequence[str]) -> None:
    for payload in traces:
        assert_same(lambda decoder, payload=payload: decoder.check_spans(payload))
        assert_same(lambda decoder, payload=payload: Terms(decoder.span_terms(payload)))
        assert_nothing_to_repair("spans", payload)
    for payload in logs:
        assert_same(lambda decoder, payload=payload: decoder.check_logs(payload))
        assert_nothing_to_repair("logs", payload)
    numbers = [*dimensions[1:], "n"]
    assert_same(lambda decoder: decoder.spans(traces, dimensions, numbers, dimensions[:3]))
    assert_same(lambda decoder: decoder.span_lines(traces))
    some = some_ids(traces, "spans")
    assert_same(lambda decoder: decoder.span_lines(traces, some))
    assert_same(lambda decoder: decoder.logs(logs, dimensions, numbers, dimensions[:3]))
    assert_same(lambda decoder: decoder.predictions(logs))
    assert_same(lambda decoder: decoder.predictions(logs, True))
    prefixes = [f'id "{index}"' for index in range(len(logs))]
    assert_same(lambda decoder: decoder.log_lines(logs, prefixes))
    of_logs = some_ids(logs, "logs") or some
    assert_same(lambda decoder: decoder.log_lines(logs, prefixes, (), of_logs))


def some_ids(payloads: Sequence[bytes], signal: Signal) -> bytes:
    """Ids of the first and the last trace that the payloads can be read up to."""
    ids: list[bytes] = []
    for payload in payloads:
        with suppress(DecodeError):
            batch = REFERENCE.spans([payload], ()) if signal == "spans" else REFERENCE.logs([payload], ())
            ids += [batch.trace_ids[n : n + 16] for n in range(0, len(batch.trace_ids), 16)]
    return b"".join(dict.fromkeys((*ids[:1], *ids[-1:])))


def some_dimensions(rng: Rng) -> list[str]:
    return rng.sample(DIMENSIONS, rng.choice([0, 2, 4, len(DIMENSIONS)]))


@fuzzed
@given(randoms)
def test_well_formed_requests(rng: Rng) -> None:
    traces = [a_request(rng, a_span, odd=False) for _ in range(rng.choice([1, 1, 3]))]
    logs = [a_request(rng, a_log, odd=False) for _ in range(rng.choice([1, 1, 3]))]
    assert_all_same(traces, logs, some_dimensions(rng))


@fuzzed
@given(randoms)
def test_resources_in_turns(rng: Rng) -> None:
    """The core keeps what it has made of a few resources and scopes for when they come again."""
    put = wire.put_bytes
    names = [rng.choice([name, f"{name}é", f"{name}-\udcff"]) for name in "abcdefghijkl"]
    some = names[: rng.choice([1, 2, 8, 9, len(names)])]
    urls = [b"", b"", put(3, b"http://s/1"), put(3, b"http://s/2")]
    traces, logs = [], []
    for _ in range(rng.choice([1, 3])):
        parts: list[list[bytes]] = [[], []]
        for _ in range(rng.choice([2, 20])):
            key = rng.choice(["service.name", "service.name", "k", "data_stream.dataset"])
            value = rng.choice(some).encode("utf-8", "surrogateescape")
            pair = put(1, key.encode()) + put(2, put(1, value))
            head = rng.choice([b"", *[put(1, put(1, pair))] * 5])
            scope = rng.choice([b"", put(1, put(1, b"library"))])
            for part, record in zip(parts, (a_span(rng), a_log(rng)), strict=True):
                children = scope + put(2, record.SerializeToString()) + rng.choice(urls)
                part.append(put(1, head + put(2, children) + rng.choice(urls)))
        traces.append(b"".join(parts[0]))
        logs.append(b"".join(parts[1]))
    assert_all_same(traces, logs, ["service.name", *some_dimensions(rng)])


@fuzzed
@given(randoms)
def test_fields_out_of_order_repeated_and_unknown(rng: Rng) -> None:
    assert_all_same([a_request(rng, a_span, odd=True)], [a_request(rng, a_log, odd=True)], some_dimensions(rng))


@fuzzed
@given(randoms)
def test_mutated_requests(rng: Rng) -> None:
    traces = mutated(rng, a_request(rng, a_span, odd=bool(rng.randrange(2))))
    logs = mutated(rng, a_request(rng, a_log, odd=bool(rng.randrange(2))))
    assert_all_same([traces], [logs], some_dimensions(rng))


@fuzzed
@given(st.binary(max_size=200))
@example(b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
def test_random_bytes(payload: bytes) -> None:
    wrapped = wire.put_bytes(1, wire.put_bytes(2, wire.put_bytes(2, payload)))
    assert_all_same([payload], [payload], DIMENSIONS)
    assert_all_same([wrapped], [wrapped], DIMENSIONS)


@fuzzed
@given(randoms)
def test_every_truncation(rng: Rng) -> None:
    payload = a_request(rng, a_span, odd=False)[:3000]
    place = rng.randrange(len(payload) + 1)
    assert_same(lambda decoder: decoder.check_spans(payload[:place]))
    assert_same(lambda decoder: decoder.check_logs(payload[:place]))


@settings(max_examples=500, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_doubles_as_text_and_in_documents(value: float) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.double_value = value
    record.attributes.append(KeyValue(key="k", value=AnyValue(double_value=value)))
    record.attributes.append(
        KeyValue(key="m", value=AnyValue(array_value={"values": [AnyValue(double_value=value)]}))  # type: ignore[arg-type]
    )
    payload = request.SerializeToString()
    assert_same(lambda decoder: decoder.logs([payload], ["k", "m"]))
    assert_same(lambda decoder: decoder.log_lines([payload], ["p"]))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=40))
def test_bytes_as_text(value: bytes) -> None:
    scope = wire.put_bytes(1, wire.put_bytes(1, value))
    pair = wire.put_bytes(6, wire.put_bytes(1, value) + wire.put_bytes(2, wire.put_bytes(1, value)))
    record = pair + pair + wire.put_bytes(3, value) + wire.put_bytes(5, wire.put_bytes(1, value))
    payload = wire.put_bytes(1, wire.put_bytes(2, scope + wire.put_bytes(2, record)))
    name = value.decode("utf-8", "replace")
    assert_same(lambda decoder: decoder.logs([payload], [name]))
    assert_same(lambda decoder: decoder.log_lines([payload], [name]))


@given(st.binary(max_size=1000), st.integers(0, 2**64 - 1))
def test_digest(payload: bytes, seed: int) -> None:
    assert NATIVE is not None
    assert NATIVE.digest(payload, seed) == REFERENCE.digest(payload, seed)


@fuzzed
@given(st.text("0123456789+-.eE_ infa٣", max_size=8) | st.from_regex(r"\A[+-]?[0-9]*\.?[0-9]*(e[+-]?[0-9]{1,3})?\Z"))
@example("1" * 64)
@example("1" * 65)
@example("1e400")
def test_text_as_a_number(text: str) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.attributes.append(KeyValue(key="n", value=AnyValue(string_value=text)))
    assert_same(lambda decoder: decoder.logs([request.SerializeToString()], [], ["n", "n"]))


COLUMN = [0.5, math.nan, math.inf, 3, True, "a", None, [1.0], 2**53 + 1]


VALUES = [*COLUMN, False, "", "größe", "t" * 70, "t" * 71, b"raw", {"a": 1}, -0.0, -math.inf]


def features_of(rng: Rng) -> dict[str, Any]:
    """Columns of numbers, and of anything."""
    names = rng.sample(["age", "größe", "", "f" * 64, "f" * 65, "f" * 66], rng.randrange(5))
    doubles = [rng.choice([rng.random(), math.nan, math.inf]) for _ in range(rng.randrange(4))]
    mixed = [rng.choice(VALUES) for _ in range(rng.randrange(5))]
    return {name: rng.choice([doubles, mixed, mixed, rng.choice(VALUES)]) for name in names}


def an_event(rng: Rng) -> LogRecord:
    """An event of the instrumentation, or something like one."""
    record = LogRecord(
        time_unix_nano=rng.choice([0, 5]),
        observed_time_unix_nano=rng.choice([0, 7]),
        event_name=rng.choice([*["ml.prediction"] * 8, "ml.model.loaded", "ml.predictions", ""]),
        trace_id=b"short" if rng.randrange(12) == 0 else b"",
    )
    names = ["churn", "größe", 7, "x" * 5000, b"\xff"]
    texts = {name: rng.choice(names) for name in ("ml.model.name", "ml.model.version", "error.type", "ml.stage")}
    counts = [0, 1, 3, -1, 2**41, True, "3", 2.0]
    given = {
        **texts,
        "ml.prediction.count": rng.choice([3, 5, 7, 9, 14, 20, 99, *counts]),
        "ml.prediction.duration": rng.choice([0.5, -1.0, math.nan, 1]),
    }
    for key, value in rng.sample(sorted(given.items()), len(given) - rng.choice([0, 0, 1, 4])) * rng.choice([1, 1, 2]):
        record.attributes.append(KeyValue(key=key, value=encode_value(value)))
    long = "c" * (MAX_LABEL_CHARS + 5)
    classes = {
        name: rng.choice(counts) for name in rng.sample(["a", "b", "", long, long + "d", "größe"], rng.randrange(7))
    }
    column = [rng.choice(COLUMN) for _ in range(rng.randrange(6))]
    body = {
        "rows": rng.choice(counts),
        "one_in": rng.choice(counts),
        "counted": rng.choice([True, False, 0, None]),
        "class_counts": rng.choice([*[classes] * 8, "a", None]),
        "score": rng.choice([*[column] * 6, 0.5, {}]),
        "value": rng.choice([column, column, None]),
        "features": rng.choice([*[features_of(rng)] * 8, column, None]),
        "features_left_out": rng.choice([*[0] * 8, *counts]),
    }
    members = dict(rng.sample(sorted(body.items(), key=lambda member: member[0]), len(body) - rng.choice([0, 0, 1, 4])))
    record.body.CopyFrom(encode_value(rng.choice([*[members] * 8, "text", None])))
    if rng.randrange(8) == 0 and record.body.HasField("kvlist_value"):
        record.body.kvlist_value.values.extend(encode_value(body).kvlist_value.values)
    return record


@fuzzed
@given(randoms)
def test_prediction_events(rng: Rng) -> None:
    payloads = []
    for _ in range(rng.choice([1, 1, 3])):
        request = ExportLogsServiceRequest()
        for _ in range(rng.randrange(3)):
            records = [an_event(rng) for _ in range(rng.randrange(5))]
            request.resource_logs.add().scope_logs.add().log_records.extend(records)
        payload = request.SerializeToString()
        payloads.append(mutated(rng, payload) if rng.randrange(5) == 0 else payload)
    assert_same(lambda decoder: decoder.predictions(payloads))
    assert_same(lambda decoder: decoder.predictions(payloads, True))
    assert_same(lambda decoder: Both(*decoder.logs_and_predictions(payloads, True)))


def a_request_of_features(features: dict[str, Any]) -> bytes:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(event_name="ml.prediction")
    record.body.CopyFrom(encode_value({"features": features}))
    return request.SerializeToString()


def test_features_beyond_the_bounds_are_left_out_and_named() -> None:
    assert NATIVE is not None
    many = a_request_of_features({f"f{n}": [1.0] for n in range(MAX_FEATURES + 20)})
    half = [None] * (MAX_FEATURE_VALUES // 2)
    long = a_request_of_features({"a": half, "b": [*half, 1], "c": half, "d": [2.0] * 3})
    for payload, left, names in ((many, 20, [f"f{MAX_FEATURES + n}" for n in range(10)]), (long, 2, ["b", "d"])):
        assert_same(lambda decoder, payload=payload: decoder.predictions([payload], True))
        found = NATIVE.predictions([payload], True).features
        assert found is not None
        assert (found.left_out.tolist(), found.left_out_names) == ([left], names)


def test_events_with_the_same_features_one_after_the_other() -> None:
    """The native core has a shorter way for them."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    long = "f" * 70
    many = {f"f{n}": [1.0] for n in range(MAX_FEATURES + 1)}
    large = {"a": ["x"], "b": [None] * (MAX_FEATURE_VALUES - 1), "c": ["y"]}
    small = {"a": ["z"], "b": [1.5], "c": [True]}
    for features in (
        *({"a": [1.0], long: [2, None], "\x7f": ["t"]},) * 2, {"a": [2.0], long: ["u"]}, {}, {}, {"a": 1.0},
        *(many,) * 2, small, large, small, *(large,) * 2, {"c": [1], "b": [2], "a": [3]},
    ):  # fmt: skip
        records.add(event_name="ml.prediction").body.CopyFrom(encode_value({"features": features}))
    records[1].body.kvlist_value.values[0].value.kvlist_value.values.extend(
        encode_value({"a": [7.0]}).kvlist_value.values
    )
    assert_same(lambda decoder: decoder.predictions([request.SerializeToString()], True))


def test_a_value_of_a_repeated_key_is_not_known_in_the_next_record() -> None:
    """Only the first value of a key is looked up; where the next record has the second one in its place, it counts."""
    twice, once = span(attributes=[("x", "aaa"), ("x", "yyy")]), span(attributes=[("z", "b"), ("x", "yyy")])
    assert_all_same([trace_payload(twice, once)], [], ["http.route"])
