"""One prediction call: a span around it, an event after it, and nothing of the app's that is changed, kept or raised.

Prediction calls nest (a search around a pipeline around a forest around trees): only the outermost one of a thread is
seen. Calls inside of a `fit` are training, those inside of an evaluation are no predictions: neither is seen at all.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import Status, StatusCode

from model_sidecar_instrumentation import __version__, columns, event
from model_sidecar_instrumentation.fingerprint import fingerprint
from model_sidecar_instrumentation.identity import ByObject, Identity, Known, Names, framework_of, identify
from model_sidecar_instrumentation.importance import Importance
from model_sidecar_instrumentation.repeats import Prediction, Repeats
from model_sidecar_instrumentation.sample import Sample, choose
from model_sidecar_instrumentation.settings import CaptureSettings, read

_log = logging.getLogger(__name__)
_inside: ContextVar[bool] = ContextVar("model_sidecar_inside", default=False)
_AGAIN_SECONDS = 900.0
_FRAMES = 32
"""Of a traceback, the deepest so many."""


_ONCE = ("features", "features_left_out", "score", "scores", "value", "decision")
"""Columns that a prediction has once, however many methods answer for it."""


def _nothing(*_: Any) -> Any:
    return None


def _itself(model: Any) -> Any:
    return model


@dataclass(frozen=True)
class Operation:
    """How one method of a framework is read. Functions that fail cost their part of the event, never the call."""

    name: str
    """`ml.operation`, such as predict."""
    rows: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any]
    """(model, args, kwargs) -> the object that the rows are in."""
    result: Callable[[Any, Any, Sample, CaptureSettings], Mapping[str, Any]]
    """(model, result, sample, settings) -> columns of the event."""
    names: Callable[[Any], Sequence[Any] | None] = _nothing
    """model -> names of its features."""
    known: Callable[[Any], Known | None] = _nothing
    """model -> what its own metadata says; asked once."""
    skip: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], bool] = _nothing
    """Whether this call is no prediction."""
    count: Callable[[Any], int | None] = _nothing
    """result -> rows, where the arguments do not tell."""
    framework: str = ""
    """Empty: by the class of the model."""
    alone: bool = False
    """No other method of such models answers for the same rows, so that every call is a prediction of its own."""
    inner: Callable[[Any], Any] = _itself
    """model -> the one that a wrapper holds, and that the wrapper's predictions are of."""


@dataclass
class _Call:
    """A call under way. `data` is let go of when the call ends."""

    identity: Identity
    operation: Operation
    span: trace.Span
    context: context.Context
    data: Any
    prediction: Prediction
    again: bool
    """Another method of the model gave an answer for these rows, which was counted."""
    began: float


class Capture:
    """What is captured in this process."""

    def __init__(self, settings: CaptureSettings) -> None:
        self.settings = settings
        self.operations: dict[str, Operation] = {}
        self._tracer = trace.get_tracer("model_sidecar_instrumentation", __version__)
        self._logger = get_logger("model_sidecar_instrumentation", __version__)
        self._known = ByObject()
        self._identities, self._names = ByObject(), Names(settings)
        self._announced: dict[tuple[str, str, str], float] = {}
        """When each model was last announced, by `time.monotonic()`."""
        self.complained: set[str] = set()
        self._repeats, self._tags, self._next_tag = Repeats(), ByObject(), itertools.count(1)
        self._taken, self._ask_at = True, 0.0
        metrics.get_meter("model_sidecar_instrumentation", __version__).create_observable_gauge(
            "ml.model.loaded", [self._loaded], "{model}", "Models that are in memory and were loaded or used."
        )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_turns)
            os.register_at_fork(after_in_child=self._repeats.reset)

    def observe(
        self, key: str, original: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call `original(model, ...)` and tell of it. What it raises is raised, and nothing else is."""
        operation = self.operations.get(key)
        if operation is None:
            return original(model, *args, **kwargs)
        token = _inside.set(True)
        try:
            call = self._begin(operation, model, args, kwargs)
            if call is None:
                return original(model, *args, **kwargs)
            attached = context.attach(call.context)
            try:
                result = original(model, *args, **kwargs)
            except BaseException as error:
                self._end(call, model, None, error)
                raise
            finally:
                context.detach(attached)
            self._end(call, model, result, None)
            return result
        finally:
            _inside.reset(token)

    def remember(self, model: Any, known: Known) -> None:
        """What the loader of `model` knows of it. Called again, what is newly known is added."""
        try:
            before = self._known.get(model) or Known()
            merged = Known(
                known.name or before.name,
                known.version or before.version,
                known.seconds if known.seconds is not None else before.seconds,
            )
            self._known.put(model, merged)
            if self._identities.get(model) is not None and merged != before:
                self._identities.drop(model)  # the same object with another file's content
        except Exception:
            self.complain("remember")

    def known(self, thing: Any) -> Known | None:
        """What `remember` was given for it, such as of a tensor that a file held."""
        found: Known | None = self._known.get(thing)
        return found

    def announce(self, model: Any, operation_key: str) -> None:
        """Tell that `model` was loaded, as soon as it was."""
        operation = self.operations.get(operation_key)
        if operation is None or _inside.get():
            return
        try:
            self._identity(operation, model)
        except Exception:
            self.complain("announce")

    def extra(self, model: Any) -> Mapping[str, Any]:
        """What `Operation.known` found out about `model` once."""
        found = self._identities.get(model)
        return {} if found is None else found.known.extra

    def _begin(
        self, operation: Operation, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> _Call | None:
        try:
            if operation.skip(model, args, kwargs):
                return None
            identity = self._identity(operation, model)
            data = operation.rows(model, args, kwargs)
            prediction, again = self._prediction(operation, model, data)
            span = self._tracer.start_span(f"{operation.name} {identity.name}")
            within = trace.set_span_in_context(span)
            return _Call(identity, operation, span, within, data, prediction, again, time.perf_counter())
        except Exception:
            self.complain(f"{operation.name} begin")
            return None

    def _end(self, call: _Call, model: Any, result: Any, error: BaseException | None) -> None:
        seconds = time.perf_counter() - call.began
        try:
            rows, width = self._size(call, result)
            counted = 0 if call.again or error is not None else (1 if rows is None else rows)
            if error is not None:
                self._repeats.take_back(call.prediction, call.operation.name)
            call.prediction.at = time.monotonic()
            attributes = {**call.identity.attributes, "ml.stage": "inference", "ml.prediction.count": counted}
            if error is not None:
                attributes["error.type"] = type(error).__qualname__
            if call.span.is_recording():
                self._finish_span(call.span, attributes, error)
            attributes["ml.operation"] = call.operation.name
            attributes["ml.prediction.duration"] = seconds
            if self._wanted():
                made = self._columns(call, model, result, rows, width) if error is None and rows else {}
                self._emit(event.PREDICTION, attributes, event.body(rows, not call.again, made), call.context, error)
        except Exception:
            self.complain(f"{call.operation.name} end")
        finally:
            call.data = None
            call.span.end()

    def _size(self, call: _Call, result: Any) -> tuple[int | None, int]:
        try:
            rows, width = columns.size(call.data)
            counted = None if result is None else call.operation.count(result)
        except Exception:
            self.complain(f"{call.operation.name} size")
            return None, 0
        return (rows if counted is None else counted), width

    def _finish_span(self, span: trace.Span, attributes: dict[str, Any], error: BaseException | None) -> None:
        span.set_attributes(attributes)
        if isinstance(error, Exception):
            # Its message may quote a feature ("could not convert string to float: 'Jane'"), and spans are delivered.
            reported = {"exception.type": type(error).__qualname__, "exception.stacktrace": _where(error)}
            span.add_event("exception", reported)
            span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))

    def _columns(self, call: _Call, model: Any, result: Any, rows: int, width: int) -> dict[str, Any]:
        """Each part by itself: features that cannot be read do not cost the predictions."""
        settings = self.settings
        if not settings.predictions:
            return {}
        reported = call.prediction.reported
        sample = call.prediction.sample if call.again else None
        if sample is None or sample.rows != rows:
            sample = choose(rows, width if settings.features else 0, settings)
        call.prediction.sample = sample
        made: dict[str, Any] = {"kept": sample.kept, "first": sample.first, "one_in": sample.one_in}
        if settings.features and width and sample.kept and "features" not in reported:
            try:
                found = columns.features(call.data, call.operation.names(model), sample, settings)
                if found:
                    made["features"] = found
                    if width > len(found):
                        made["features_left_out"] = width - len(found)
            except Exception:
                self.complain(f"{call.operation.name} features")
        try:
            answered = call.operation.result(model, result, sample, settings)
            made.update((name, column) for name, column in answered.items() if name not in reported)
        except Exception:
            self.complain(f"{call.operation.name} result")
        reported.update(name for name in made if name in _ONCE)
        return made

    def _prediction(self, operation: Operation, model: Any, data: Any) -> tuple[Prediction, bool]:
        """The prediction that a call belongs to, and whether that was counted already."""
        now = time.monotonic()
        rows = None if operation.alone else fingerprint(data, self._tag)
        if rows is None:
            return Prediction(now, set()), False
        number = self._tag(operation.inner(model)) or id(model)
        parent = trace.get_current_span().get_span_context()
        return self._repeats.ask((number, rows), parent.trace_id if parent.is_valid else 0, operation.name, now)

    def _tag(self, thing: Any) -> int | None:
        """A number of a living object that no other gets after it; None where there can be none."""
        found: int | None = self._tags.get(thing)
        if found is None:
            found = next(self._next_tag)
            self._tags.put(thing, found)
            return found if self._tags.get(thing) == found else None
        return found

    def _identity(self, operation: Operation, model: Any) -> Identity:
        found: Identity | None = self._identities.get(model)
        if found is None:
            inner = operation.inner(model)
            reported = self._known.get(model) or self._known.get(inner) or Known()
            own = operation.known(model) or Known()
            known = Known(reported.name or own.name, reported.version or own.version, reported.seconds, own.extra)
            framework = operation.framework or framework_of(model)
            found = identify(inner, known, framework, self.settings, self._names)
            self._identities.put(model, found)
        if time.monotonic() >= found.turn.at:
            self._announce(found, operation, model)
        return found

    def _announce(self, identity: Identity, operation: Operation, model: Any) -> None:
        """Announced again while it is used: what took the first event may have restarted since."""
        given, now = identity.attributes, time.monotonic()
        identity.turn.at = now + _AGAIN_SECONDS
        key = (given["ml.model.name"], given.get("ml.model.version", ""), given["ml.framework"])
        last = self._announced.get(key)
        if (last is None and len(self._announced) >= 1000) or (last is not None and now < last + _AGAIN_SECONDS):
            return
        if not self._wanted():
            identity.turn.at = now + 1
            return
        self._announced[key] = now
        attributes = dict(given)
        if last is None and identity.known.seconds is not None:
            attributes["ml.model.load.duration"] = identity.known.seconds
        self._emit(event.LOADED, attributes, self._facts(operation, model), context.get_current(), None)

    def _forget_turns(self) -> None:
        self._announced.clear()
        for identity in self._identities.living():
            identity.turn.at = 0.0

    def _facts(self, operation: Operation, model: Any) -> dict[str, Any]:
        if not self.settings.features:
            return event.facts({})
        try:
            return event.facts(Importance(operation.inner(model), operation.names, self.settings.text))
        except TypeError:
            return event.facts({})

    def _wanted(self) -> bool:
        """Whether anybody takes events: not with OTEL_LOGS_EXPORTER=none. Asked again every second."""
        now = time.monotonic()
        if now >= self._ask_at:
            enabled = getattr(self._logger, "enabled", None)
            self._taken = True if enabled is None else bool(enabled(event_name=event.PREDICTION))
            self._ask_at = now + 1
        return self._taken

    def _emit(
        self,
        name: str,
        attributes: dict[str, Any],
        body: Any,
        current: context.Context,
        error: BaseException | None,
    ) -> None:
        now = time.time_ns()
        severity = SeverityNumber.INFO if error is None else SeverityNumber.ERROR
        self._logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                context=current,
                severity_number=severity,
                severity_text=severity.name,
                body=body,
                attributes=attributes,
                event_name=name,
            )
        )

    def _loaded(self, _: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        counts: dict[tuple[tuple[str, Any], ...], int] = {}
        for identity in self._identities.living():
            key = tuple(sorted(identity.attributes.items()))
            counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            yield metrics.Observation(count, dict(key))

    def complain(self, what: str) -> None:
        """Inside of an `except`: once for each place, so that a broken place cannot fill the app's log."""
        if what not in self.complained and len(self.complained) < 1000:
            self.complained.add(what)
            error = sys.exc_info()[1]
            _log.warning("prediction not captured in full: %s\n%s", what, _where(error) if error else "")


def _where(error: BaseException) -> str:
    """The traceback without any message: lines of code and the exception's class."""
    return "".join([*traceback.format_tb(error.__traceback__, -_FRAMES), type(error).__qualname__])


_capture: list[Capture] = []
"""The one of this process; made when the first instrumentor starts."""


def capture() -> Capture:
    if not _capture:
        _capture.append(Capture(read()))
    return _capture[0]


def observe(key: str, original: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As `Capture.observe`, of the capture of this process, if there is one."""
    if not _capture:
        return original(model, *args, **kwargs)
    return _capture[0].observe(key, original, model, args, kwargs)


is_inside = _inside.get
"""Whether this thread is inside of a prediction or of training."""


def run_quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `function`; predictions in it belong to something larger, and are not seen. For training, and for work that
    a prediction hands to other threads and processes."""
    if _inside.get():
        return function(*args, **kwargs)
    token = _inside.set(True)
    try:
        return function(*args, **kwargs)
    finally:
        _inside.reset(token)
