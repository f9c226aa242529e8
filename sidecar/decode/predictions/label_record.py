"""One label: from a record's members, to an OTLP log record, and to the JSON that `POST /v1/labels` takes."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.decode.documents.text import label as as_label
from sidecar.decode.logs.timestamps import parse_date, parse_time
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import put_bytes, put_fixed64, put_uint
from sidecar.decode.predictions.label_names import ALIASES, EVENT, Concept

MAX_ID_CHARS = 256
MAX_ROW = (1 << 31) - 1
MAX_SET = 100
"""Classes of a set."""
_INFO = 9
"""Severity number of INFO, so that a sink that takes warnings only has no labels."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""A number as JSON writes it: `007` and `+1` are texts."""
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_HEX = frozenset("0123456789abcdefABCDEF")

Names = Mapping[Concept, tuple[str, ...]]
Truth = str | int | float | tuple[str, ...]
"""A class, a number, or a set of classes: in order, each once."""


class InvalidLabel(Exception):
    """Why a record is no label. Never leaves the readers of labels."""


@dataclass(frozen=True, slots=True)
class Label:
    """The truth of one prediction. Texts are empty where the record has none."""

    prediction: str
    """Id of the prediction."""
    value: Truth
    """A class as text, a number, or a set of classes."""
    model: str = ""
    version: str = ""
    row: int | None = None
    """Which row of a batch it is about, from 0; None for all of them (or the only one)."""
    source: str = ""
    """Where the truth comes from."""
    time: int = 0
    """Unix ns at which it was known; 0 where the record does not say."""
    trace_id: bytes = b""
    span_id: bytes = b""


def read_label(record: Mapping[str, Any], written: bool, names: Names = ALIASES) -> Label:
    """The label that a record's members tell of; other members are not kept. `written`: every value is text, as in CSV,
    blanks around it do not count, and a truth that is written as a number is one. Raises InvalidLabel."""
    return Label(
        _prediction(record, names, written),
        _truth(record, names, written),
        _text(record, names, "model", written),
        _text(record, names, "version", written),
        _row(record, names, written),
        _text(record, names, "source", written),
        _time(record, names, written),
        _hex(record, names, "trace_id", 16, written),
        _hex(record, names, "span_id", 8, written),
    )


def find(record: Mapping[str, Any], names: tuple[str, ...], written: bool = False) -> tuple[str, Any]:
    """(name, value) of the first name that holds something: null, blank text and objects are nothing. ("", None)
    without one."""
    for name in names:
        value = _member(record, name)
        if isinstance(value, str) and (written or not value.strip()):
            value = value.strip()
        if value is not None and value != "" and not isinstance(value, Mapping):
            return name, value
    return "", None


def _member(record: Mapping[str, Any], name: str) -> Any:
    """The member of that name; with dots in it, that of an object in an object as well."""
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    while dot:
        inner = record.get(head)
        if isinstance(inner, Mapping):
            return _member(inner, rest)
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _prediction(record: Mapping[str, Any], names: Names, written: bool) -> str:
    name, value = find(record, names["id"], written)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(name, value)
    if not name:
        raise InvalidLabel(f"no prediction id (any of {', '.join(names['id'])})")
    if not isinstance(value, str):
        raise InvalidLabel(f"{name}: a prediction id must be text or a whole number")
    return _bounded(name, value, MAX_ID_CHARS)


def _truth(record: Mapping[str, Any], names: Names, written: bool) -> Truth:
    name, value = find(record, names["truth"], written)
    if not name:
        raise InvalidLabel(f"no truth (any of {', '.join(names['truth'])})")
    if name == "groundTruthData.data":
        written = _as_csv(record)
    if written and isinstance(value, str) and value.startswith("["):
        value = _array(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _set(name, value)
    if isinstance(value, str):
        text = value.strip() if written else value
        if not text or _NOT_FINITE.fullmatch(text):
            raise InvalidLabel(f"{name}: {text!a} is no truth")
        return _number(name, text) if written and _NUMBER.fullmatch(text) else _bounded(name, text, MAX_LABEL_CHARS)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer(name, _digits(name, value))
    if isinstance(value, float):
        return _finite(name, value)
    raise InvalidLabel(f"{name}: must be a text, a number, a boolean or an array of classes")


def _array(text: str) -> Any:
    """A cell that holds an array, as JSON writes it; the text where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) else text


def _set(name: str, classes: Collection[Any]) -> tuple[str, ...]:
    if not all(isinstance(one, str | int | float) for one in classes):
        raise InvalidLabel(f"{name}: an array of classes must hold texts, numbers and booleans only")
    if len(classes) > MAX_SET:
        raise InvalidLabel(f"{name}: {len(classes)} classes, at most {MAX_SET}")
    found = tuple(sorted({as_label(one) for one in classes}))
    if any(not one.strip() or _NOT_FINITE.fullmatch(one) for one in found):
        raise InvalidLabel(f"{name}: an array of classes holds one that is no class")
    _bounded(name, ",".join(found), MAX_LABEL_CHARS)
    return found


def _as_csv(record: Mapping[str, Any]) -> bool:
    """Whether SageMaker's truth is written as in CSV. Raises InvalidLabel where it is written in another way."""
    encoding = _member(record, "groundTruthData.encoding")
    if encoding not in (None, "CSV"):
        raise InvalidLabel(f"groundTruthData.encoding: {str(encoding)[:40]!a} is not understood, only CSV")
    return True


def _number(name: str, text: str) -> Truth:
    return _finite(name, float(text)) if set(text) & set(".eE") else _integer(name, text)


def _integer(name: str, text: str) -> Truth:
    """A whole number; as text where 64 bits do not hold it: a long class number must stay what it is."""
    value = int(text) if len(text) <= 20 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 63 else _bounded(name, text, MAX_LABEL_CHARS)


def _digits(name: str, value: int) -> str:
    """A whole number as text. Python refuses to write one of thousands of digits."""
    if value.bit_length() > 4 * MAX_ID_CHARS:
        raise InvalidLabel(f"{name}: more than {MAX_ID_CHARS} digits")
    return str(value)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InvalidLabel(f"{name}: {value} is no truth")
    return value


def _text(record: Mapping[str, Any], names: Names, concept: Concept, written: bool) -> str:
    name, value = find(record, names[concept], written)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(name, value)
    if isinstance(value, float):
        value = as_label(value)
    if not isinstance(value, str | None):
        raise InvalidLabel(f"{name}: must be text")
    return _bounded(name, value, MAX_LABEL_CHARS) if value else ""


def _bounded(name: str, text: str, most: int) -> str:
    if len(text) > most:
        raise InvalidLabel(f"{name}: {len(text)} characters, at most {most}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidLabel(f"{name}: not valid Unicode") from None
    return text


def _row(record: Mapping[str, Any], names: Names, written: bool) -> int | None:
    name, value = find(record, names["row"], written)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        value = int(value)
    if not name:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ROW:
        raise InvalidLabel(f"{name}: must be a whole number from 0 to {MAX_ROW}")
    return value


def _time(record: Mapping[str, Any], names: Names, written: bool) -> int:
    name, value = find(record, names["time"], written)
    if not name:
        return 0
    endless = isinstance(value, float) and not math.isfinite(value)
    time = None if endless else parse_time(value) or parse_date(value)
    if time is None:
        raise InvalidLabel(f"{name}: {str(value)[:40]!a} is no time (ISO 8601, or epoch in s, ms, us or ns)")
    return time


def _hex(record: Mapping[str, Any], names: Names, concept: Concept, length: int, written: bool) -> bytes:
    name, value = find(record, names[concept], written)
    if not name:
        return b""
    if not isinstance(value, str) or len(value) != 2 * length or not _HEX.issuperset(value):
        raise InvalidLabel(f"{name}: must be {2 * length} hexadecimal digits")
    return bytes.fromhex(value)


def log_record(label: Label, observed: int) -> bytes:
    """The content of an OTLP LogRecord. `observed`: Unix ns."""
    truth: Value = list(label.value) if isinstance(label.value, tuple) else label.value
    attributes: dict[str, Value] = {"ml.prediction.id": label.prediction, "ml.label.value": truth}
    if label.model:
        attributes["ml.model.name"] = label.model
    if label.version:
        attributes["ml.model.version"] = label.version
    if label.row is not None:
        attributes["ml.label.row"] = label.row
    if label.source:
        attributes["ml.label.source"] = label.source
    parts = [
        put_fixed64(1, label.time) if label.time else b"",
        put_uint(2, _INFO),
        put_bytes(3, b"INFO"),
        *(key_value(6, key, value) for key, value in attributes.items()),
        put_bytes(9, label.trace_id) if any(label.trace_id) else b"",
        put_bytes(10, label.span_id) if any(label.span_id) else b"",
        put_fixed64(11, observed),
        put_bytes(12, EVENT.encode()),
    ]
    return b"".join(parts)


def members(label: Label) -> dict[str, Any]:
    """The label as members of a JSON object, from which `read_label` gives the same label again."""
    found: dict[str, Any] = {
        "ml.prediction.id": label.prediction,
        "ml.label.value": list(label.value) if isinstance(label.value, tuple) else label.value,
        "ml.model.name": label.model or None,
        "ml.model.version": label.version or None,
        "ml.label.row": label.row,
        "ml.label.source": label.source or None,
        "ml.label.time": _iso(label.time) if label.time else None,
        "trace_id": label.trace_id.hex() or None,
        "span_id": label.span_id.hex() or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _iso(time: int) -> str:
    """As text: a number of nanoseconds before 1973 would be taken for another unit."""
    seconds, nanoseconds = divmod(time, 10**9)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
