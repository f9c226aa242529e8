"""The feature columns of events: numbers, and texts by their place in a table. The native core has the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sidecar.decode.api import FeatureColumns, FeatureKind
from sidecar.decode.otlp.limits import (
    MAX_FEATURE_CHARS,
    MAX_FEATURE_VALUES,
    MAX_FEATURES,
    MAX_LEFT_OUT_NAMES,
)


class FeatureCollector:
    """Takes the columns of one event (or call) after the other."""

    def __init__(self) -> None:
        self._event: list[int] = []
        self._name: list[int] = []
        self._ends: list[int] = []
        self._kind: list[int] = []
        self._number: list[float] = []
        self._names: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._left_out: list[int] = []
        self._left_out_names: list[str] = []
        self._begin = 0
        """Where the values of the event at hand begin."""

    def add(self, features: Any, before: int = 0, names: Sequence[str] = ()) -> None:
        """The columns of the next event: a map of name to array (or one value). `before`: columns that are left out
        already, the sender's doing or a reader's; `names`: of those whose names are known."""
        for name in names[:MAX_LEFT_OUT_NAMES]:
            self._leave_out(name[:MAX_FEATURE_CHARS])
        self._begin = len(self._kind)
        event, left, columns = len(self._left_out), min(before, 0xFFFFFFFF), 0
        for name, value in features.items() if isinstance(features, dict) else ():
            name = name[:MAX_FEATURE_CHARS]
            if columns == MAX_FEATURES or not self._column(event, name, value):
                left = min(left + 1, 0xFFFFFFFF)
                self._leave_out(name)
                continue
            columns += 1
        self._left_out.append(left)

    def columns(self) -> FeatureColumns:
        """What was taken."""
        return FeatureColumns(
            event=np.array(self._event, np.uint32),
            name=np.array(self._name, np.uint32),
            names=list(self._names),
            ends=np.array(self._ends, np.uint32),
            kind=np.array(self._kind, np.uint8),
            number=np.array(self._number, np.float64),
            texts=list(self._texts),
            left_out=np.array(self._left_out, np.uint32),
            left_out_names=list(self._left_out_names),
        )

    def _leave_out(self, name: str) -> None:
        if len(self._left_out_names) < MAX_LEFT_OUT_NAMES and name not in self._left_out_names:
            self._left_out_names.append(name)

    def _column(self, event: int, name: str, value: Any) -> bool:
        """False where there is no room for the column."""
        begin, number_of_name = len(self._kind), self._names.setdefault(name, len(self._names))
        for element in value if isinstance(value, list) else [value]:
            kind, number = self._read(element)
            self._kind.append(kind)
            self._number.append(number)
            if len(self._kind) - self._begin > MAX_FEATURE_VALUES:
                del self._kind[begin:], self._number[begin:]
                return False
        self._event.append(event)
        self._name.append(number_of_name)
        self._ends.append(len(self._kind))
        return True

    def _read(self, value: Any) -> tuple[FeatureKind, float]:
        match value:
            case None:
                return FeatureKind.MISSING, 0.0
            case bool():
                return FeatureKind.BOOL, float(value)
            case int() | float():
                missing = math.isnan(value)
                return (FeatureKind.MISSING, 0.0) if missing else (FeatureKind.NUMBER, float(value))
            case str():
                text = value[:MAX_FEATURE_CHARS]
                return FeatureKind.TEXT, float(self._texts.setdefault(text, len(self._texts)))
            case _:
                return FeatureKind.OTHER, 0.0
