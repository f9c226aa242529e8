"""Families of gauges, gathered series by series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from sidecar.derive.families import FamilySnapshot, Number, Points


class Estimate(Protocol):
    """A figure and the ends of its interval."""

    @property
    def value(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...


class Gauges:
    """Series of all families, as they are gathered."""

    def __init__(self, about: Mapping[str, str]) -> None:
        """`about`: family -> what it says, in the order in which they are shown."""
        self._about = about
        self._series: dict[str, tuple[list[str], list[Number]]] = {name: ([], []) for name in about}

    def add(self, name: str, labels: str, value: Number | None) -> None:
        """One series; none where there is no value."""
        if value is not None:
            self._series[name][0].append(labels)
            self._series[name][1].append(value)

    def add_interval(self, name: str, labels: str, found: Estimate | None) -> None:
        """An estimate, with its ends in `_lower` and `_upper`; no series where there is none."""
        if found is not None:
            for end, value in (("", found.value), ("_lower", found.lower), ("_upper", found.upper)):
                self.add(name + end, labels, value)

    def families(self) -> Iterator[FamilySnapshot]:
        """All of them, those without series too."""
        for name, (labels, values) in self._series.items():
            yield FamilySnapshot(name, "gauge", self._about[name], "", (Points(labels, values),))
