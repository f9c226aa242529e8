"""PromQL of the report.

`increase()` extrapolates to the ends of its range, so that counts of it are not whole. A counter that was not reset has
increased by its last value less that at the start of the range, which is exact, and adds up over adjacent ranges. Where
it was reset, `increase()` is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LOOKBACK_MS = 300_000
"""How old a sample may be that stands for the value of a moment: Prometheus' default."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series are read. Empty: all."""

    models: tuple[str, ...] = ()
    namespace: str = ""

    def of_models(self, *more: str) -> str:
        """Matchers of series that have a model. `more`: further ones, as `name="value"`."""
        chosen = [f"model=~{one_of(self.models)}"] if self.models else []
        return ",".join([*more, *chosen, *self._in_namespace()])

    def of_all(self, *more: str) -> str:
        """Matchers of series that may have none."""
        return ",".join([*more, *self._in_namespace()])

    def _in_namespace(self) -> list[str]:
        return [f"namespace={quoted(self.namespace)}"] if self.namespace else []


def quoted(text: str) -> str:
    """A string literal of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def one_of(texts: Sequence[str]) -> str:
    """A regular expression of exactly these, as a string literal."""
    return quoted("|".join(map(_literal, texts)))


def _literal(text: str) -> str:
    """A regular expression (RE2) of one text."""
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)


def increased(series: str, seconds: float, by: Sequence[str]) -> str:
    """By how much counters increased in the last `seconds`, added up `by` labels. `series`: a selector."""
    ms = round(seconds * 1000)
    exact = f"max_over_time({series}[{ms}ms]) - ({series} offset {ms}ms or min_over_time({series}[{ms}ms])) >= 0"
    reset = f"resets({series}[{ms + _LOOKBACK_MS}ms]) > 0"
    return f"sum by ({', '.join(by)}) (({exact} unless {reset}) or increase({series}[{ms}ms]))"


def highest(series: str, by: Sequence[str], seconds: float = 0.0) -> str:
    """The highest of the values of all pods; with `seconds`, where no pod has one any more, the last that one had so
    long ago at most."""
    labels = ", ".join(by)
    now = f"max by ({labels}) ({series})"
    return f"{now} or max by ({labels}) (last_over_time({series}[{round(seconds * 1000)}ms]))" if seconds else now


def weighted(series: str, weights: str, by: Sequence[str]) -> str:
    """The mean over pods, weighted by another gauge with the same labels."""
    labels = ", ".join(by)
    return f"sum by ({labels}) ({series} * {weights}) / (sum by ({labels}) ({weights} and {series}) > 0)"
