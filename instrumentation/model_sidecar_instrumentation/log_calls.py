"""The app's log calls: what OpenTelemetry's handler does with them is no concern of the app's.

On the root logger, the handler changes what the app sees: `logging.warning` makes no handler for stderr any more, what
has no handler is not printed any more, and a call whose arguments do not fit its format raises into the app. So the
handler is taken from there; it is given the records behind all handlers of the app, with a message that is made
already, and whatever it raises stays here.
"""

from __future__ import annotations

import functools
import logging
import time
import types
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from model_sidecar_instrumentation.exporting import is_exporting
from model_sidecar_instrumentation.repair import said, value

EXPORTING = ("opentelemetry.exporter.", "opentelemetry.sdk.metrics._internal.export")
APART = ("celery.task",)
"""Loggers that a worker keeps from the root, though what they are given is the app's: those of `get_task_logger`."""
LAST_SECOND = 2**63 // 10**9
"""The last that has a time in OTLP, in Unix seconds."""
ABSENT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
"""Statuses of gRPC where nobody answers."""
_handling: ContextVar[bool] = ContextVar("model_sidecar_handling", default=False)
"""Whether this thread is in OpenTelemetry's handler: what is logged there is OpenTelemetry's own."""


def keep_off_the_app() -> None:
    """Take OpenTelemetry's handlers from the root logger; see above. What is said at length of an export is not for the
    app's log either, but that the sidecar answered and refused."""
    root = logging.getLogger()
    taken = [handler for handler in root.handlers if type(handler).__module__.startswith("opentelemetry.")]
    for handler in taken:
        root.removeHandler(handler)
        # At the end of the process logging flushes all handlers; this one would start a thread for it.
        handler.flush = _nothing  # type: ignore[method-assign]
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if is_exporting.get() or self.name.startswith(EXPORTING):
            if _is_refusal(record):
                original(self, record)
            return
        original(self, record)
        if taken and not _handling.get() and _reaches_root(self):
            for handler in taken:
                _give(handler, record)

    logging.Logger.callHandlers = _of_logging(call_handlers)  # type: ignore[method-assign]


def _is_refusal(record: logging.LogRecord) -> bool:
    """Whether it is an error with the answer of a sidecar. That none is there, or a slow one, is in the one line at the
    process's end if anything was lost."""
    if record.levelno < logging.ERROR or not isinstance(record.args, tuple):
        return False
    names = [getattr(word, "name", "") for word in record.args if type(word).__name__ == "StatusCode"]
    return any(isinstance(word, int) for word in record.args) or bool(names and not ABSENT & set(names))


def _of_logging(function: Any) -> Any:
    """`function` with the file and module of `logging`. Handlers look for the caller (loguru's recipe, structlog, the
    "Call stack" of `logging` itself) behind all frames of these."""
    code = function.__code__.replace(co_filename=logging.Logger.handle.__code__.co_filename)
    scope = {**globals(), "__name__": "logging", "__file__": logging.__file__}
    made = types.FunctionType(code, scope, function.__name__, function.__defaults__, function.__closure__)
    return functools.update_wrapper(made, function)


def _nothing() -> None:
    return None


def _reaches_root(logger: Any) -> bool:
    while logger.parent is not None:
        if not logger.propagate and logger.name not in APART:
            return False
        logger = logger.parent
    return True


def _give(handler: logging.Handler, record: logging.LogRecord) -> None:
    """The exceptions of an app's own objects are of any kind, RecursionError included."""
    with suppress(Exception):
        plain = readable(record)
        if plain.levelno < handler.level:
            return
        token = _handling.set(True)
        try:
            handler.handle(plain)
        finally:
            _handling.reset(token)


def readable(record: logging.LogRecord) -> logging.LogRecord:
    """A copy whose message, arguments, exception and members can be read without the app's code: what does not fit is
    written beside the message, as text."""
    made = logging.makeLogRecord({})
    for key, found in vars(record).items():
        if isinstance(key, str) and key not in _MADE:
            made.__dict__[key] = value(found)
    made.name = record.name if isinstance(record.name, str) else said(record.name)
    made.levelno = record.levelno if isinstance(record.levelno, int) else logging.NOTSET
    made.levelname = said(record.levelname)
    made.created = record.created if _is_time(record.created) else time.time()
    made.msg, made.args = _message(record), None
    info = record.exc_info
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        _describe(made, info)
    return made


def _is_time(found: Any) -> bool:
    """Whether it is a time of which there are nanoseconds in 64 bits."""
    return isinstance(found, (int, float)) and 0 <= found < LAST_SECOND


_MADE = frozenset(("msg", "args", "exc_info", "name", "levelno", "levelname", "created", "message"))


def _message(record: logging.LogRecord) -> Any:
    if not record.args and isinstance(record.msg, (dict, list)):
        return value(record.msg)
    made = vars(record).get("message")  # By a formatter of the app's: its arguments may do things when they are asked.
    if isinstance(made, str):
        return made
    try:
        return record.getMessage()
    except Exception:
        return f"{said(record.msg)} {_listed(record.args)}"


def _listed(args: Any) -> str:
    try:
        return repr(args)
    except Exception:
        return f"({', '.join(map(said, args))})" if isinstance(args, tuple) else said(args)


def _describe(made: logging.LogRecord, info: Any) -> None:
    """The handler asks an exception for its first argument."""
    try:
        str(info[1].args[0] if info[1].args else "")
        made.exc_info = info
    except Exception:
        made.__dict__["exception.type"] = type(info[1]).__name__
