"""The sampler `sidecar_ratio`: what it keeps, what its spans say, and what it makes of parents from elsewhere."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_sidecar_instrumentation.advice import advise
from model_sidecar_instrumentation.sampling import SPACE, from_argument
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from support.engines import EngineUnavailable
from support.frameworks import environment, recording

from sidecar.decode.otlp.tracestate import adjusted_count

HIGH, LOW = (7 << 64) | 0xFFFFFFFFFFFFFF, (7 << 64) | 1
"""Trace ids of which one is kept at every ratio, the other at none below 1."""


def asked(sampler: Sampler, trace_id: int, parent: SpanContext | None = None) -> SamplingResult:
    context = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
    return sampler.should_sample(context, trace_id, "call", attributes={"k": "v"})


def remote(trace_id: int, sampled: bool, state: str) -> SpanContext:
    return SpanContext(
        trace_id, 5, True, TraceFlags(TraceFlags.SAMPLED if sampled else 0), TraceState.from_header([state])
    )


def header(result: SamplingResult) -> str:
    return result.trace_state.to_header() if result.trace_state else ""


@pytest.mark.parametrize(
    ("argument", "says"),
    [("1", "ot=th:0"), ("", "ot=th:0"), ("0.5", "ot=th:8"), ("0.25", "ot=th:c"), (" 0.1 ", "ot=th:e6666666666666")],
)
def test_a_root_says_its_threshold_and_the_sidecar_reads_the_ratio_back(argument: str, says: str) -> None:
    result = asked(from_argument(argument), HIGH)
    assert (result.decision.is_sampled(), header(result), dict(result.attributes)) == (True, says, {"k": "v"})
    assert adjusted_count(says) == pytest.approx(1 / float(argument or 1), rel=1e-12)


@given(st.floats(1e-7, 1))
def test_any_ratio_is_read_back(ratio: float) -> None:
    assert adjusted_count(header(asked(from_argument(repr(ratio)), HIGH))) == pytest.approx(1 / ratio, rel=1e-9)


def test_without_an_argument_everything_is_kept() -> None:
    assert header(asked(from_argument(None), LOW)) == "ot=th:0"


@pytest.mark.parametrize("argument", ["10%", "-0.1", "1.5", "nan", "inf"])
def test_a_ratio_that_is_none_is_an_error(argument: str) -> None:
    with pytest.raises(ValueError, match="is no ratio from 0 to 1"):
        from_argument(argument)


@pytest.mark.parametrize("ratio", ["0", "1e-30"])
def test_nothing_is_kept_at_zero_and_next_to_it(ratio: str) -> None:
    result = asked(from_argument(ratio), HIGH)
    assert (result.decision.is_sampled(), result.trace_state, dict(result.attributes)) == (False, None, {})


def test_the_edge_is_the_threshold_itself() -> None:
    sampler = from_argument("0.5")
    assert asked(sampler, (1 << 100) | SPACE // 2).decision.is_sampled()
    assert not asked(sampler, (1 << 100) | (SPACE // 2 - 1)).decision.is_sampled()


@pytest.mark.parametrize(
    ("trace_id", "sampled", "came", "goes"),
    [
        (HIGH, True, "ot=th:c", "ot=th:c"),
        (HIGH, True, "other=1,ot=th:c;rv:ffffffffffffff;x:y", "other=1,ot=th:c;rv:ffffffffffffff;x:y"),
        (LOW, True, "ot=rv:e0000000000000;th:c", "ot=rv:e0000000000000;th:c"),
        (LOW, False, "ot=th:c", "ot=th:c"),
        (HIGH, True, "", ""),
        (HIGH, True, "other=1", "other=1"),
        (HIGH, True, "ot=rv:ffffffffffffff", "ot=rv:ffffffffffffff"),
        # What cannot be true goes: the trace would not have been kept, or would have been; it is not a threshold.
        (LOW, True, "ot=th:c", ""),
        (HIGH, True, "other=1,ot=th:c;rv:00000000000001", "ot=rv:00000000000001,other=1"),
        (HIGH, False, "ot=th:c;x:y", "ot=x:y"),
        (HIGH, True, "ot=th:C0", ""),
        (HIGH, True, "ot=th:", ""),
    ],
)
def test_a_parent_from_elsewhere_decides_and_its_threshold_stays_if_it_can_be_true(
    trace_id: int, sampled: bool, came: str, goes: str
) -> None:
    result = asked(from_argument("0.5"), trace_id, remote(trace_id, sampled, came))
    assert (result.decision.is_sampled(), header(result)) == (sampled, goes)


def test_children_in_the_process_and_behind_it_say_the_same() -> None:
    """Through the SDK's tracer and the W3C propagator, which is where the SDK's own composite sampler loses it."""
    one, two = (TracerProvider(sampler=from_argument("0.5"), shutdown_on_exit=False) for _ in range(2))
    states = set()
    for _ in range(200):
        with one.get_tracer("one").start_as_current_span("root") as root:
            with one.get_tracer("one").start_as_current_span("child", attributes={"k": "v"}) as child:
                carrier: dict[str, str] = {}
                TraceContextTextMapPropagator().inject(carrier)
            context = TraceContextTextMapPropagator().extract(carrier)
            behind = two.get_tracer("two").start_span("behind", context)
        contexts = [span.get_span_context() for span in (root, child, behind)]
        states.add(tuple((c.trace_state.to_header(), bool(c.trace_flags.sampled)) for c in contexts))
        if child.is_recording():
            assert dict(child.attributes) == {"k": "v"}
    assert states == {(("ot=th:8", True),) * 3, (("", False),) * 3}


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        (TraceIdRatioBased(0.1), "sampled at 0.1"),
        (ParentBasedTraceIdRatio(0.25), "sampled at 0.25"),
        (TraceIdRatioBased(1), ""),
        (ALWAYS_ON, ""),
        (from_argument("0.1"), ""),
        (None, ""),
    ],
)
def test_a_sampler_that_does_not_tell_is_warned_of(
    sampler: Sampler | None, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider = trace.ProxyTracerProvider() if sampler is None else TracerProvider(sampler=sampler)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with caplog.at_level(logging.WARNING):
        advise()
    assert len(caplog.messages) == bool(said)
    assert said in caplog.text


APP = """
from opentelemetry import trace
tracer = trace.get_tracer("app")
for _ in range(400):
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("work"):
        pass
"""


def run_app(python: str, agent: Path, folder: Path, url: str, more: Mapping[str, str]) -> str:
    (folder / "app.py").write_text(textwrap.dedent(APP))
    env = environment(agent, url, more)
    done = subprocess.run(
        [python, str(folder / "app.py")], env=env, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stderr


@pytest.mark.engine
@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_environment_variables_are_enough_on_every_supported_sdk(agent: Path, tmp_path: Path, version: str) -> None:
    base = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(base.glob(f"{version}.*/bin/python"))
    if not found:
        raise EngineUnavailable(f"Python {version} is not here")
    more = {"OTEL_TRACES_SAMPLER": "sidecar_ratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    with recording() as recorded:
        assert run_app(str(found[0]), agent, tmp_path, recorded.url, more) == ""
    roots = [span for span, _ in recorded.spans if span.name == "request"]
    assert 50 < len(roots) < 150, "of 400, a quarter; twice as many have a chance of 1e-8"
    assert {(span.trace_state, adjusted_count(span.trace_state)) for span, _ in recorded.spans} == {("ot=th:c", 4.0)}
    assert len(recorded.spans) == 2 * len(roots)


@pytest.mark.engine
def test_a_wrong_ratio_and_a_sampler_that_does_not_tell_are_said(agent: Path, tmp_path: Path) -> None:
    with recording() as recorded:
        more = {"OTEL_TRACES_SAMPLER": "sidecar_ratio", "OTEL_TRACES_SAMPLER_ARG": "ten percent"}
        said = run_app(sys.executable, agent, tmp_path, recorded.url, more)
        assert "OTEL_TRACES_SAMPLER_ARG=ten percent is no ratio from 0 to 1" in said
        assert len(recorded.spans) == 800, "the SDK falls back to keeping everything"
        more = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
        run_app(sys.executable, agent, tmp_path, recorded.url, more)
        assert any("OTEL_TRACES_SAMPLER=sidecar_ratio" in str(event.body) for event in recorded.events), "a log record"
