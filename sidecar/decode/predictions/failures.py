"""Which responses are errors, whatever status they came with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from sidecar.decode.otlp.message import Value

_ERRORS = frozenset(
    {"error", "errors", "err", "errorcode", "errormessage", "errormsg", "errortype", "errmsg", "errordescription"}
    | {"exception", "exctype", "traceback", "stacktrace", "grpcmessage"}
)
"""Members of an error, in lower case and without what stands between words: KServe, Triton, MLServer, TensorFlow
Serving, Vertex AI and Azure (`error`), MLflow (`error_code`), SageMaker (`ErrorCode`), Lambda (`errorMessage`)."""
_NO_ERRORS = frozenset({"none", "null", "false", "no", "ok", "success", "0", "nan"})
_FAULTS = ("fault", "Fault")
_STATES = ("status", "status_code", "statusCode", "code")
_BAD = frozenset({"error", "failed", "failure", "fail", "exception"})
_FLAGS = ("success", "Success", "ok")
_TELLING = frozenset({"detail", "details", "message", "Message", "msg", "title", "reason", "info"})
_ABOUT = frozenset(
    {"type", "path", "instance", "timestamp", "object", "param", "id", "request_id", "requestId", "trace_id", "help"}
    | {"model_name", "model_version", "stack", *_STATES}
)
"""What stands beside the text of an error (FastAPI, problem+json, TorchServe, gRPC's gateway, API gateways)."""
_ANSWERS = frozenset(
    {"predictions", "outputs", "prediction", "output", "label", "labels", "class", "classes", "score", "scores"}
    | {"probability", "probabilities", "confidence", "value", "choices"}
)
"""Beside one of these a state or a fault is a part of the answer: the code of a product, the fault of a machine."""
_PAGE = re.compile(
    r"<(?:!doctype|!--|\?xml|html|head|body|title|center|h[1-6]|p|pre|div|error|fault|soap(?:env)?:)(?![a-z0-9])|<soap",
    re.IGNORECASE,
)
_PHRASES = "|".join(status.phrase for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST and " " in status.phrase)
_FAILED = re.compile(
    rf"(?:[45]\d\d[ :-]+)?(?:{_PHRASES})\W*$|(?:[45]\d\d )?page not found\W*$|default backend - 404"
    r"|(?:upstream (?:connect error|request timeout)|no healthy upstream|stream timeout|rbac: access denied)"
    r"|(?:[\w.]*(?:error|exception)|rpc error|unexpected error\b[^:]*|fatal)\s*:|traceback \(most recent call last\)"
    r"|(?:an )?(?:internal |unexpected )?error (?:has )?occurred\b|(?:event: error\s+)?data:\s*\{\s*\"error\"",
    re.IGNORECASE,
)
"""What servers, proxies and meshes answer in words: status phrases, Envoy, Go, nginx's backend, Ray, gRPC, BentoML."""
_EMPTY: tuple[Value, ...] = (None, "", [], {})


def is_error(answered: Value) -> bool:
    """Whether a response's body says that the call failed: an error's members, or nothing that could be an answer."""
    if isinstance(answered, str):
        return text_error(answered) != ""
    return isinstance(answered, dict) and (_says_so(answered) or _only_text(answered))


def is_empty(answered: Value) -> bool:
    """Whether there is nothing in a response: null, an empty body, or members that all are."""
    if isinstance(answered, dict):
        about = {"model_name", "model_version", "id", "deployedModelId", "model"}
        return all(value in _EMPTY for key, value in answered.items() if key not in about)
    return answered in _EMPTY


def all_errors(rows: Value) -> bool:
    """Whether an array has no answer for any row: an error or null for each. Whether an object in its place is one
    error, and no arrays by output."""
    if isinstance(rows, dict):
        return is_error(rows) and not any(isinstance(value, list) for value in rows.values())
    if not isinstance(rows, list) or not rows:
        return False
    return all(row is None or (isinstance(row, dict) and is_error(row)) for row in rows)


def text_error(text: str) -> str:
    """Which error a text is: `html_page` (any page for a browser, as a proxy in front of a model answers) or
    `error_text`; empty for one that may be an answer."""
    begin = text[:300].lstrip("\ufeff \t\r\n\"'")
    if _PAGE.match(begin):
        return "html_page"
    return "error_text" if _FAILED.match(begin) else ""


def _says_so(answered: Mapping[str, Value]) -> bool:
    if any(_is_error(value) for name, value in answered.items() if _plain(name) in _ERRORS):
        return True
    if any(answered.get(name) not in _EMPTY for name in _ANSWERS):
        return False
    if any(answered.get(name) for name in _FAULTS) or any(_is_no(answered.get(name)) for name in _FLAGS):
        return True
    return any(_is_bad(answered.get(name)) for name in _STATES)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


def _is_error(error: Value) -> bool:
    """Whether a member of an error has one; a number with a fraction is how far off an answer may be."""
    if isinstance(error, str):
        return error.strip().lower() not in _NO_ERRORS and bool(error.strip())
    return bool(error) and not isinstance(error, float)


def _is_no(flag: Value) -> bool:
    return flag is False or (isinstance(flag, str) and flag.lower() == "false")


def _is_bad(state: Value) -> bool:
    """A status by name or number, or Seldon's and gRPC's object with one."""
    if isinstance(state, dict):
        code = state.get("code")
        return _is_bad(state.get("status")) or _is_bad(code) or (isinstance(code, int) and code not in (0, 200))
    if isinstance(state, str):
        return state.lower() in _BAD or (len(state) == 3 and state.isdecimal() and state >= "400")
    return isinstance(state, int) and not isinstance(state, bool) and 400 <= state < 600


def _only_text(answered: Mapping[str, Value]) -> bool:
    """An explanation, and nothing that could be an answer."""
    return bool(answered.keys() & _TELLING) and answered.keys() <= _TELLING | _ABOUT
