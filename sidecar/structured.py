"""Structured logs from the model's own program, in the shape that the sidecar reads without configuration.

A drop-in for structlog and for the standard library. It needs nothing besides (structlog only where its processors are
used, OpenTelemetry only where the program has it loaded already), and never raises into the program:

    logging.getLogger().handlers[0].setFormatter(structured.JsonFormatter())      # standard library
    structlog.configure(processors=structured.processors())                       # structlog
    with structured.prediction("order-17"):                                       # every line within carries the id
        log.info("scored", rows=3)

One line of JSON a record: `timestamp` (RFC 3339, UTC, microseconds), `level`, `message` (`event` from structlog),
`logger`, `trace_id` and `span_id` (hex, as in OpenTelemetry's "Trace Context in non-OTLP Log Formats"),
`ml.model.name`, `ml.model.version`, `ml.prediction.id`, `exception.type`, `exception.message`,
`exception.stacktrace`, and what the program said besides, under its own names.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

EventDict = MutableMapping[str, Any]

MAX_DEPTH = 16
"""Nesting of a value; what is deeper is written as text."""
MODEL_NAME, MODEL_VERSION = "SIDECAR_MODEL_NAME", "SIDECAR_MODEL_VERSION"
"""Variables with the model's name and version, where the caller gives none."""

_prediction: ContextVar[str | None] = ContextVar("model_sidecar_prediction", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextlib.contextmanager
def prediction(prediction_id: str) -> Iterator[None]:
    """Every line written within, in this thread or task, carries `ml.prediction.id`."""
    token = _prediction.set(prediction_id)
    try:
        yield
    finally:
        _prediction.reset(token)


class Context:
    """What every line carries: model, version, prediction and trace. A structlog processor; names that a line has
    already are left as they are."""

    def __init__(self, model: str | None = None, version: str | None = None) -> None:
        """`model`, `version`: from the environment where not given."""
        model, version = model or os.environ.get(MODEL_NAME), version or os.environ.get(MODEL_VERSION)
        pairs = (("ml.model.name", model), ("ml.model.version", version))
        self._constant = {key: value for key, value in pairs if value}

    def __call__(self, logger: Any, method: str, event_dict: EventDict) -> EventDict:
        for key, value in (*self._constant.items(), *self._current()):
            event_dict.setdefault(key, value)
        return event_dict

    def _current(self) -> Iterator[tuple[str, str]]:
        prediction_id = _prediction.get()
        if prediction_id is not None:
            yield "ml.prediction.id", prediction_id
        yield from _trace()


def _trace() -> Iterator[tuple[str, str]]:
    """Ids of the current span. OpenTelemetry is not imported for it: without it in the program there is no span."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return
    with contextlib.suppress(Exception):  # half-way through its import in another thread, or another's tracer
        context = api.get_current_span().get_span_context()
        if context.is_valid:
            yield "trace_id", format(context.trace_id, "032x")
            yield "span_id", format(context.span_id, "016x")


def add_exception(logger: Any, method: str, event_dict: EventDict) -> EventDict:
    """structlog processor: `exc_info` (True, an exception, or the triple) as `exception.*`."""
    info = event_dict.pop("exc_info", None)
    error = _error(info)
    if error is not None:
        event_dict.update(_exception(error))
    return event_dict


def _error(info: Any) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if len(info) == 3 and isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


def _exception(error: BaseException) -> dict[str, str]:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "exception.type": name,
        "exception.message": _text(error),
        "exception.stacktrace": "".join(traceback.format_exception(kind, error, error.__traceback__)),
    }


def add_timestamp(logger: Any, method: str, event_dict: EventDict) -> EventDict:
    """structlog processor: now, in UTC."""
    event_dict.setdefault("timestamp", _rfc3339(datetime.now(UTC)))
    return event_dict


def add_level(logger: Any, method: str, event_dict: EventDict) -> EventDict:
    """structlog processor: the method's name as `level`."""
    event_dict.setdefault("level", {"exception": "error", "warn": "warning"}.get(method, method))
    return event_dict


def render(logger: Any, method: str, event_dict: EventDict) -> str:
    """structlog processor, the last one: one line of JSON."""
    return line(event_dict)


def processors(model: str | None = None, version: str | None = None) -> list[Any]:
    """The whole chain for `structlog.configure(processors=…)`, context variables of structlog included."""
    from structlog.contextvars import merge_contextvars

    return [merge_contextvars, add_level, add_timestamp, Context(model, version), add_exception, render]


class JsonFormatter(logging.Formatter):
    """A formatter for any handler of the standard library. `extra` becomes members of the line."""

    def __init__(self, model: str | None = None, version: str | None = None) -> None:
        super().__init__()
        self._context = Context(model, version)

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "timestamp": _rfc3339(_created(record)),
            "level": _text(record.levelname).lower(),
            "message": _message(record),
            "logger": record.name,
        }
        members.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        error = _error(record.exc_info)
        if error is not None:
            members.update(_exception(error))
        elif record.exc_text:  # a handler in another process or an earlier formatter made text of it
            members["exception.stacktrace"] = record.exc_text
        return line(self._context(None, "", members))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  (arguments that do not fit the format: the line counts, not the slip)
        return f"{_text(record.msg)} {_text(record.args)}"


def _created(record: logging.LogRecord) -> datetime:
    try:
        return datetime.fromtimestamp(record.created, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def line(members: Mapping[str, Any]) -> str:
    """One line of strict JSON, whatever the values are: numpy scalars and arrays as numbers and lists, dates in ISO
    8601, bytes and unknown objects as text, NaN and infinities as text (JSON has no such numbers)."""
    try:
        made = json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except Exception:  # noqa: BLE001  (the program's own classes may raise anything)
        plain = {_text(key): _plain(value, MAX_DEPTH) for key, value in members.items()}
        made = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return _utf_8(made.translate(_LINE_ENDS))


def _utf_8(made: str) -> str:
    """With U+FFFD for lone surrogates (names of files that are no UTF-8), for which a handler would drop the line."""
    try:
        made.encode()
    except UnicodeEncodeError:
        return made.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return made


_DIGITS = 10**4000
"""Integers from here on are hexadecimal: Python refuses to write them otherwise."""
_LINE_ENDS = {0x2028: "\\u2028", 0x2029: "\\u2029", 0x85: "\\u0085"}
"""Line ends to some readers of files; `json` leaves them as they are."""


def _plain(value: Any, depth: int) -> Any:
    try:
        return _plainly(value, depth)
    except Exception:  # noqa: BLE001  (a mapping that cannot be walked, a `tolist` that raises)
        return _text(value)


def _plainly(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) < _DIGITS else f"{value:#x}"
        case float():
            return value if math.isfinite(value) else str(value)
        case _ if depth == 0:
            return _text(value)
        case Mapping():
            return {_text(key): _plain(element, depth - 1) for key, element in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(element, depth - 1) for element in value]
        case bytes():
            return value.decode("utf-8", "replace")
        case _ if hasattr(value, "isoformat"):
            return _text(value.isoformat())
        case _ if hasattr(value, "tolist"):  # numpy, pandas, torch
            return _plain(value.tolist(), depth - 1)
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (somebody's __str__; a log line must not raise into the program)
        return f"<{type(value).__name__}>"
