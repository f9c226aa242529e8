"""The reference is protobuf's own JSON mapping, with ids in hex, as OTLP/JSON wants them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from support.otlp_cases import logs_request, metrics_request, trace_request

from sidecar.decode.otlp import json as otlp_json
from sidecar.decode.otlp.wire import put_bytes
from sidecar.deliver.common.otlp_json import json_line
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal

IDS = {"traceId", "spanId", "parentSpanId"}


def oracle(request: Message) -> Any:
    def hexed(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: hexed(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [hexed(v) for v in value]
        return base64.b64decode(value).hex() if key in IDS else value

    return hexed(MessageToDict(request, use_integers_for_enums=True))


@pytest.mark.parametrize(
    ("signal", "request_"), [("spans", trace_request()), ("logs", logs_request()), ("metrics", metrics_request())]
)
def test_a_line_is_what_protobuf_says(signal: Signal, request_: Message) -> None:
    line = json_line(signal, request_.SerializeToString())
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == oracle(request_)


@pytest.mark.parametrize(
    ("signal", "request_"), [("spans", trace_request(1)), ("logs", logs_request()), ("metrics", metrics_request())]
)
def test_a_line_read_back_is_the_request(signal: Signal, request_: Message) -> None:
    line = json_line(signal, request_.SerializeToString())
    back = type(request_).FromString(otlp_json.TRANSCODERS[signal](line).payload)
    assert json.loads(json_line(signal, back.SerializeToString())) == json.loads(line)


def test_what_nests_too_deep_is_left_out() -> None:
    value = b""
    for _ in range(5000):
        value = put_bytes(5, put_bytes(1, value))
    record = put_bytes(5, value)
    payload = put_bytes(1, put_bytes(2, put_bytes(2, record)))
    assert json_line("logs", payload).startswith(b'{"resourceLogs"')


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_line_or_a_decode_error(data: bytes) -> None:
    for signal in ("spans", "logs", "metrics"):
        try:
            line = json_line(signal, data)  # type: ignore[arg-type]
        except DecodeError:
            continue
        assert isinstance(json.loads(line), dict)
