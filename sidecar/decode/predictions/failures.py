"""Which responses are errors, whatever status they came with."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.decode.otlp.message import Value

_ERRORS = (
    "error", "errors", "error_code", "errorCode", "ErrorCode", "error_message", "exception", "traceback", "fault",
)  # fmt: skip
"""Members of an error of KServe, Triton, MLServer, TensorFlow Serving, Vertex AI and Azure (`error`), MLflow
(`error_code`), SageMaker (`ErrorCode`), and of what stands in front of them."""
_STATES = ("status", "status_code", "statusCode", "code")
_BAD = frozenset({"error", "failed", "failure", "fail", "exception"})
_TELLING = frozenset({"detail", "details", "message", "Message", "msg", "title", "reason"})
_ABOUT = frozenset(
    {"type", "path", "instance", "timestamp", "object", "param", "id", "request_id", "requestId", "trace_id", "help"}
    | {"model_name", "model_version", *_STATES}
)
"""What stands beside the text of an error (FastAPI, problem+json, TorchServe, gRPC's gateway, API gateways)."""
_PAGES = ("<!doctype", "<html", "<?xml", "<head", "<body")
_EMPTY: tuple[Value, ...] = (None, "", [], {})


def is_error(answered: Value) -> bool:
    """Whether a response's body says that the call failed: an error's members, or nothing that could be an answer."""
    if isinstance(answered, str):
        return is_page(answered)
    return isinstance(answered, dict) and (_says_so(answered) or _only_text(answered))


def is_empty(answered: Value) -> bool:
    """Whether there is nothing in a response: null, an empty body, or members that all are."""
    if isinstance(answered, dict):
        about = {"model_name", "model_version", "id", "deployedModelId", "model"}
        return all(value in _EMPTY for key, value in answered.items() if key not in about)
    return answered in _EMPTY


def all_errors(rows: Value) -> bool:
    """Whether an array has an error for each row."""
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) and is_error(row) for row in rows)


def is_page(text: str) -> bool:
    """Whether a text is a page for a browser, as a proxy in front of a model answers."""
    return text[:200].lstrip("\ufeff \t\r\n").lower().startswith(_PAGES)


def _says_so(answered: Mapping[str, Value]) -> bool:
    if any(answered.get(name) for name in _ERRORS) or answered.get("success") is False:
        return True
    return any(_is_bad(answered.get(name)) for name in _STATES)


def _is_bad(state: Value) -> bool:
    if isinstance(state, str):
        return state.lower() in _BAD or (len(state) == 3 and state.isdecimal() and state >= "400")
    return isinstance(state, int) and not isinstance(state, bool) and 400 <= state < 600


def _only_text(answered: Mapping[str, Value]) -> bool:
    """An explanation, and nothing that could be an answer."""
    return bool(answered.keys() & _TELLING) and answered.keys() <= _TELLING | _ABOUT
