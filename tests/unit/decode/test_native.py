"""The adapter of the native core: when it is used, what it hands out, how it fails."""

from __future__ import annotations

import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sidecar.decode import select
from sidecar.decode.api import Check
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Rules
from sidecar.decode.select import native_decoder
from sidecar.errors import DecodeError

if TYPE_CHECKING:
    from sidecar.decode.native import NativeDecoder

START = 1_795_256_301_122_834_607
TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))


@pytest.fixture
def decoder() -> NativeDecoder:
    found = native_decoder()
    if found is None:
        pytest.skip("the native core is not installed")
    return found


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def trace_request() -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.append(text("service.name", "scorer"))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    for name in ("predict", "predict", "load"):
        span = of_scope.spans.add(trace_id=TRACE_ID, span_id=SPAN_ID, name=name, kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = START, START + 5
        span.attributes.append(KeyValue(key="code", value=AnyValue(int_value=200)))
    of_scope.spans[2].events.add(name="exception", time_unix_nano=START)
    of_scope.spans.add(trace_id=b"short", span_id=SPAN_ID)
    return request.SerializeToString()


def log_request() -> bytes:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(time_unix_nano=START, severity_text="warn", trace_id=TRACE_ID, span_id=SPAN_ID)
    records.add(severity_number=17)
    return request.SerializeToString()


def test_without_the_module_there_is_no_native_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sidecar_native", None)
    assert native_decoder() is None


@pytest.mark.parametrize("version", [None, 0, select.ABI_VERSION + 1, str(select.ABI_VERSION)])
def test_a_core_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch, version: object) -> None:
    core = types.ModuleType("sidecar_native")
    if version is not None:
        core.ABI_VERSION = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sidecar_native", core)
    assert native_decoder() is None


def test_results(decoder: NativeDecoder) -> None:
    assert decoder.name == "native"
    path = "resource_spans[0].scope_spans[0].spans[3].trace_id"
    assert decoder.check_spans(trace_request()) == Check(3, 1, 1, (f"{path}: 5 bytes, must be 16",), True)
    assert decoder.check_logs(log_request()) == Check(2, timed=False)
    assert decoder.check_spans(b"") == decoder.check_logs(b"") == Check(0)


def test_span_columns(decoder: NativeDecoder) -> None:
    batch = decoder.spans([trace_request(), trace_request()], ["code", "absent"])
    assert len(batch) == 6
    assert batch.start.dtype == batch.duration.dtype == np.uint64
    assert batch.adjusted_count.dtype == np.float64
    assert batch.group.dtype == batch.resource.dtype == np.uint32
    assert batch.start.tolist() == [START] * 6
    assert batch.duration.tolist() == [5] * 6
    assert batch.adjusted_count.tolist() == [1.0] * 6
    assert batch.trace_ids == TRACE_ID * 6
    assert batch.span_ids == SPAN_ID * 6
    assert batch.groups == [
        ("scorer", name, "SPAN_KIND_SERVER", "STATUS_CODE_UNSET", "200", "") for name in ("predict", "load")
    ]
    assert batch.group.tolist() == [0, 0, 1] * 2
    assert batch.resources == [(("service.name", "scorer"),)]
    assert batch.resource.tolist() == [0] * 6
    assert batch.repaired == 0


def test_log_columns(decoder: NativeDecoder) -> None:
    batch = decoder.logs([log_request()], [])
    assert batch.time.tolist() == [START, 0]
    assert batch.trace_ids == TRACE_ID + bytes(16)
    assert batch.span_ids == SPAN_ID + bytes(8)
    assert batch.groups == [("unknown_service", "WARN", ""), ("unknown_service", "ERROR", "")]
    assert batch.group.tolist() == [0, 1]
    assert batch.resources == [()]


def test_lines(decoder: NativeDecoder) -> None:
    lines = decoder.span_lines([b"", trace_request()])
    assert lines.docs == [0, 4]
    assert lines.event.tolist() == [0, 0, 0, 1]
    assert lines.ends.dtype == np.uint32
    assert lines.ends[-1] == len(lines.body)
    pairs = [lines.body[a:b].splitlines() for a, b in zip([0, *lines.ends], lines.ends, strict=False)]
    assert [len(pair) for pair in pairs] == [2] * 4
    expected = f'{{"create":{{"_index":"traces-generic.otel-default","_id":"{TRACE_ID.hex()}{SPAN_ID.hex()}2"}}}}'
    assert pairs[0][0].decode() == expected
    assert b'"_id":"7-1"' in decoder.log_lines([log_request()], ["7"]).body


def test_a_malformed_payload_raises_with_its_offset(decoder: NativeDecoder) -> None:
    good = log_request()
    bad = good + b"\x0a\x05\x00"
    for call in (decoder.check_logs, lambda payload: decoder.logs([good, payload], [])):
        with pytest.raises(DecodeError) as caught:
            call(bad)
        assert caught.value.offset == len(good)
        assert str(caught.value) == f"field needs 5 bytes, 1 are left (at byte {len(good)})"
        assert caught.value.__cause__ is None


def test_a_bug_of_the_caller_is_not_a_decode_error(decoder: NativeDecoder) -> None:
    with pytest.raises(TypeError):
        decoder.check_spans("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        decoder.spans(["text"], [])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="prefix"):
        decoder.log_lines([log_request()], [])


def test_rules_that_the_core_cannot_use_are_refused(decoder: NativeDecoder) -> None:
    import sidecar_native as core

    def redactor(**odd: object) -> object:
        rule = {"keys": ("a",), "action": "drop", "events": (), "nested": False, "beside": (), "json_texts": False}
        rule |= odd
        more = {"hash_key": b"", "add": (), "max_field_bytes": 0, "filter": Rules().filter, "sampling_seed": 0}
        return core.Redactor([types.SimpleNamespace(**rule)], [], **more)  # type: ignore[arg-type]

    redactor()
    with pytest.raises(ValueError, match='invalid action: "keep"; expected drop, hash or mask'):
        redactor(action="keep")
    with pytest.raises(TypeError, match="nested"):
        redactor(nested="yes")


def test_arrays_cannot_be_written(decoder: NativeDecoder) -> None:
    with pytest.raises(ValueError, match="read-only"):
        decoder.spans([trace_request()], []).start[0] = 1


def test_nothing_nests_deep_enough_to_exhaust_the_stack(decoder: NativeDecoder) -> None:
    assert decoder.json_lines(b'{"a":' + b"[" * 1_000_000, 1).check == Check(1)
    assert decoder.json_lines(b'{"a":' * 200_000, 1).check == Check(1)
    request = ExportLogsServiceRequest()
    body = request.resource_logs.add().scope_logs.add().log_records.add().body
    for _ in range(90):
        body = body.array_value.values.add()
    check = decoder.check_logs(request.SerializeToString())
    assert check.errors == ("resource_logs[0].scope_logs[0].log_records[0].body: nested deeper than 32",)


def test_threads_share_a_decoder(decoder: NativeDecoder) -> None:
    payloads = [trace_request()] * 50
    expected = decoder.span_lines(payloads).body
    json_lines = b'{"message":"m","service":"a"}\n{"message":"n","service":"b"}\n' * 200
    transcoded = decoder.json_lines(json_lines, 1)
    with ThreadPoolExecutor(4) as pool:
        lines = list(pool.map(lambda _: decoder.span_lines(payloads).body, range(20)))
        requests = list(pool.map(lambda _: decoder.json_lines(json_lines, 1), range(20)))
    assert set(lines) == {expected}
    assert all(request == transcoded for request in requests)


@pytest.mark.parametrize("literals", [(), (b"a",), (b"ab", b"ca"), (b"\x00", b"abcd", b"bcx")])
def test_finding_is_that_of_the_reference(decoder: NativeDecoder, literals: tuple[bytes, ...]) -> None:
    for payload in (b"", b"a", b"xxabc", b"bcbcbc\x00", b"bbbbcx" * 50, bytes(range(256)) * 3):
        for fold in (False, True):
            for case in (payload, payload.upper()):
                expected = ReferenceDecoder().contains_any(case, literals, fold)
                assert decoder.contains_any(case, literals, fold) == expected


@pytest.mark.parametrize("literals", [(b"features",), (b"\x02ml", b"Features", b"inputs", b"longer-than-others")])
def test_letters_of_either_case_are_found_wherever_a_large_payload_is_divided(
    decoder: NativeDecoder, literals: tuple[bytes, ...]
) -> None:
    for begin in (0, *range(32_755, 32_775), 65_530, 90_000):
        payload = b"feature_" * (begin // 8) + b"." * (begin % 8) + b"FeatureS" + b"feature_" * 5_000
        assert decoder.contains_any(payload, literals, fold=True)
    assert not decoder.contains_any(b"feature_" * 15_000, literals, fold=True)
