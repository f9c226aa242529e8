"""What derivers give to the exposition: metric families as plain values, label text already escaped.

One block holds series of one kind. Label text is the inside of the braces (`a="b",c="d"`), the same for the Prometheus
text format 0.0.4 and OpenMetrics 1.0.0; an empty label value is left out, because Prometheus takes `{a=""}` and `{}`
for the same series.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "summary", "info", "unknown"]
Number = int | float

OVERFLOW_TEXT = 'otel_metric_overflow="true"'


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A trace that fell into a bucket. `time` is Unix seconds; `value` is in the unit of the family."""

    trace_id: str
    span_id: str
    value: float
    time: float


@dataclass(frozen=True, slots=True)
class Points:
    """Series with one value each (counter, gauge, info, unknown)."""

    labels: Sequence[str]
    values: Sequence[Number]
    created: Sequence[float] = ()
    """Unix seconds per series, 0 where not known; empty where not known of any."""


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """The buckets of one native histogram of a standard schema; see `native_buckets`."""

    schema: int
    """-4 to 8."""
    zero_count: int
    indexes: Sequence[int]
    """Of the buckets that are not empty, ascending."""
    counts: Sequence[int]
    zero_threshold: float = 2.0**-128
    negative_indexes: Sequence[int] = ()
    negative_counts: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Histograms:
    """Series that share their bucket bounds."""

    labels: Sequence[str]
    bounds: tuple[float, ...]
    """Upper bounds, ascending, without the infinite one."""
    counts: Sequence[Sequence[Number]]
    """Per series: cumulative counts, one more than there are bounds; the last is the count of the series."""
    sums: Sequence[Number | None]
    """None where the sum is not known (no `_sum` line)."""
    created: Sequence[float] = ()
    exemplars: Mapping[tuple[int, int], Exemplar] = field(default_factory=dict)
    """(index of the series, index of the bucket) -> exemplar."""
    natives: Sequence[NativeHistogram | None] = ()
    """The same as native histograms, per series; empty where there are none."""


@dataclass(frozen=True, slots=True)
class Summaries:
    """Series with quantiles."""

    labels: Sequence[str]
    quantiles: Sequence[Sequence[tuple[float, float]]]
    """Per series: (quantile 0-1, value)."""
    counts: Sequence[Number]
    sums: Sequence[Number]
    created: Sequence[float] = ()


Block = Points | Histograms | Summaries


@dataclass(frozen=True, slots=True)
class FamilySnapshot:
    """A family at one moment. `name` is without `_total` and `_info`; with a unit it ends in `_<unit>`."""

    name: str
    kind: Kind
    help: str
    unit: str
    blocks: tuple[Block, ...]


_NEEDS_ESCAPE = re.compile(r'[\\"\n]')
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def escape(value: str) -> str:
    """A label value as both exposition formats write it."""
    if _NEEDS_ESCAPE.search(value) is None:
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """`a="b",c="d"` without the labels whose value is empty."""
    return ",".join([f'{n}="{escape(v)}"' for n, v in zip(names, values, strict=True) if v])


def read_labels(text: str) -> dict[str, str]:
    """Names and values of a label text."""
    return {name: _ESCAPED.sub(_unescaped, value) if "\\" in value else value for name, value in _PAIR.findall(text)}


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def label_name(attribute: str) -> str:
    """An attribute's name as a Prometheus label (`http.route` -> `http_route`).

    OpenTelemetry's Prometheus compatibility rules: every character that a label may not have becomes an underscore,
    several underscores in a row become one, and a name that begins with a digit gets `key_` in front.
    """
    name = re.sub(r"_+", "_", _NOT_LABEL.sub("_", attribute)) or "_"
    return f"key_{name}" if name[0].isdigit() else name


def labels_of(
    attributes: Sequence[tuple[str, str]], taken: Collection[str] = (), prefix: str = "exported_"
) -> dict[str, str]:
    """Attributes as labels, sorted by label name; values of attributes whose names become the same label are joined
    with `;` in the order of their own names (OpenTelemetry's rule). Empty values are left out. A label that is `taken`
    gets the prefix."""
    out: dict[str, str] = {}
    for key, value in sorted(attributes):
        if value:
            name = label_name(key)
            name = prefix + name if name in taken else name
            out[name] = f"{out[name]};{value}" if name in out else value
    return dict(sorted(out.items()))


def window_text(seconds: float) -> str:
    """A window as a label: `30m`, `24h`, `7d`."""
    whole = int(seconds)
    if whole % 86_400 == 0 and whole > 86_400:
        return f"{whole // 86_400}d"
    return f"{whole // 3600}h" if whole % 3600 == 0 else f"{whole // 60}m"
