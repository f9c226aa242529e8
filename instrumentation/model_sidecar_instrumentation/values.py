"""The app's values as plain ones that OTLP can carry: None, bool, int of 64 bits, float, and text that is valid UTF-8
and not too long. One value that cannot be encoded would lose the whole batch that it is sent in."""

from __future__ import annotations

import datetime
import decimal
import math
import sys
from collections.abc import Iterable
from typing import Any

_MISSING = ("NAType", "NaTType")
_SPELLED = (datetime.date, datetime.time, datetime.timedelta)


def text(value: str, limit: int) -> str:
    """At most `limit` characters, lone surrogates replaced."""
    cut = value[:limit]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")


def plain(value: Any, limit: int) -> Any:
    """One value. Of objects that are no value only the name of the class is taken: their `str` may be anything."""
    kind = type(value)
    if kind is float or kind is bool or value is None:
        return value
    if kind is str:
        return text(value, limit)
    if isinstance(value, int) and kind.__module__ == "builtins":
        return value if -(2**63) <= value < 2**63 else _as_float(value)
    if kind.__name__ in _MISSING:
        return None
    if kind.__module__ == "numpy" and hasattr(value, "item"):
        item = value.item()
        return plain(item, limit) if type(item) is not kind else float(item)
    return _unusual(value, limit)


def _unusual(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return text(str.__str__(value), limit)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return text(value[:limit].decode("utf-8", "replace"), limit)
    if isinstance(value, _SPELLED):
        return text(str(value), limit)
    return f"<{text(type(value).__name__, limit)}>"


def _as_float(value: int) -> float:
    return float(value) if value.bit_length() < 1024 else (math.inf if value > 0 else -math.inf)


def plain_list(array: Any, limit: int) -> list[Any]:
    """A numpy array of one or more dimensions as lists of plain values; a copy."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "bi" or (kind == "f" and size <= 8) or (kind == "u" and size < 8):
        return list(array.tolist())
    if kind in "fu":
        return list(array.astype("float64").tolist())
    if array.ndim > 1:
        return [plain_list(part, limit) for part in array]
    if kind in "Mm":
        return [text(str(value), limit) for value in array]
    return [plain(value, limit) for value in array.tolist()]


def labels(values: Iterable[Any], limit: int) -> list[str]:
    """Class labels as text: 1 is "1", True is "True"."""
    return [value if type(value) is str else str(value) for value in (plain(v, limit) for v in values)]


def to_numpy(data: Any) -> Any | None:
    """A numpy array of what has one (tensors of any framework and device, Series), None of anything else. Where the
    data is numpy's, or shares memory with it, this is a view: take what is needed and let go of it."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(data, numpy.ndarray):
        return data
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        data = data.detach().cpu()
        if str(data.dtype) == "torch.bfloat16":
            data = data.float()
        return data.numpy()
    if hasattr(data, "__array__"):
        return numpy.asarray(data)
    return None
