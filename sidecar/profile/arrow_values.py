"""Values of Arrow arrays as Python's own."""

from __future__ import annotations

import importlib
from typing import Any


def listed(array: Any) -> list[Any]:
    """The values of an array, None for those that are missing. Nanoseconds, which Python's times do not have, are cut
    off. Raises ValueError or OverflowError for times that Python has not at all."""
    try:
        return list(array.to_pylist())
    except ValueError:
        return list(array.cast(_in_microseconds(array.type), safe=False).to_pylist())


def _in_microseconds(type_: Any) -> Any:
    arrow = importlib.import_module("pyarrow")
    if arrow.types.is_timestamp(type_):
        return arrow.timestamp("us", type_.tz)
    if arrow.types.is_duration(type_):
        return arrow.duration("us")
    return arrow.time64("us") if arrow.types.is_time64(type_) else type_
