"""The header with the prediction's id: what it is set to, and that what was there goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from model_sidecar_instrumentation import response_header
from opentelemetry import trace
from opentelemetry.instrumentation.propagators import (
    TraceResponsePropagator,
    get_global_response_propagator,
    set_global_response_propagator,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = get_global_response_propagator()
    set_global_response_propagator(None)
    yield
    set_global_response_propagator(before)


def headers(trace_id: int) -> dict[str, str]:
    """What the propagator of the process sets for a span that is not sampled."""
    span = NonRecordingSpan(SpanContext(trace_id, 7, is_remote=False, trace_flags=TraceFlags(0)))
    carrier: dict[str, str] = {}
    get_global_response_propagator().inject(carrier, trace.set_span_in_context(span))
    return carrier


def test_it_is_the_trace_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(response_header.VARIABLE, " X-Prediction-Id ")
    response_header.prepare()
    assert headers(TRACE) == {"X-Prediction-Id": "0af7651916cd43dd8448eb211c80319c"}
    assert headers(0) == {}


def test_a_propagator_that_is_there_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    set_global_response_propagator(TraceResponsePropagator())
    monkeypatch.setenv(response_header.VARIABLE, "X-Prediction-Id")
    response_header.prepare()
    assert headers(TRACE).keys() == {"traceresponse", "Access-Control-Expose-Headers", "X-Prediction-Id"}


@pytest.mark.parametrize("value", ["", "  ", "two words", "a:b", "ä", "x\r\nSet-Cookie: a", "x" * 101])
def test_without_a_name_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv(response_header.VARIABLE, value)
    with caplog.at_level(logging.WARNING):
        response_header.prepare()
    assert get_global_response_propagator() is None
    assert ("invalid SIDECAR_RESPONSE_HEADER" in caplog.text) == bool(value.strip())
