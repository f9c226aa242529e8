"""Metrics that the user asks for: count, sum, histogram or last value of a field of matching spans or log records.

A rule reads its labels and what it matches as text, its field as a number, the way that RED reads dimensions (record
beats resource, first of a duplicate key wins), so it costs one more decode of the payloads, only where there are rules.
Sums are exact, whatever the order in which records come and however small they are, so that a replay after a crash
gives the same figure. A sampled span stands for as many as its tracestate says.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from sidecar.decode.api import F64, U32, Decoder, LogBatch, SpanBatch
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot, Points, label_name
from sidecar.derive.fixed_point import MAX_VALUE, NOT_NUMBER
from sidecar.derive.scrapes import View
from sidecar.derive.series import I64, LIMIT, MAX_WEIGHT, Arrival, Budget, Labels, SeriesTable
from sidecar.derive.tables import CounterTable, HistogramTable
from sidecar.options import Section
from sidecar.pipeline import Signal

MAX_RULES = 64
OWN_NAMES = ("sidecar_", "target_info")
"""Beginnings of names that are not of a deriver and that a rule's metric may not have."""
DURATION = "span.duration"
"""Stands for a span's duration in seconds where a field is named."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,127}")
_SPAN_FIELDS = ("service", "span.name", "span.kind", "span.status")
_LOG_FIELDS = ("service", "severity", "exception.type")

Kind = Literal["count", "sum", "histogram", "last"]


class Rule(Section):
    """One metric of the user's own."""

    name: str = Field(description="Name of the metric; a counter's `_total` is put behind it.")
    signal: Literal["spans", "logs"] = Field("logs", description="What it is made from.")
    kind: Kind = Field("count", description="What is made: count, sum, histogram, or last value.")
    field: str = Field(
        "", description=f"Attribute with the number; `{DURATION}` for a span's seconds. Not for `kind: count`."
    )
    match: Mapping[str, str] = Field(
        default_factory=dict, description="Attribute to glob; every one has to match. Empty: every record."
    )
    labels: tuple[str, ...] = Field((), max_length=16, description="Attributes that become labels.")
    buckets: tuple[float, ...] = Field(
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        min_length=1,
        max_length=64,
        description="Upper bounds of a histogram's buckets, ascending.",
    )
    monotonic: bool = Field(True, description="A sum that never falls (a counter). False: it may fall (a gauge).")
    help: str = Field("", max_length=500, description="One line for whoever reads the metrics.")

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a Prometheus metric")
        if self.name.startswith(OWN_NAMES):
            raise ValueError(f"{self.name}: names that begin so are the program's own; choose another")
        if (self.kind == "count") == bool(self.field):
            raise ValueError(f"{self.name}: `field` belongs to sum, histogram and last, and they need it")
        if self.field == DURATION and self.signal != "spans":
            raise ValueError(f"{self.name}: {DURATION} is known of spans only")
        if list(self.buckets) != sorted(set(self.buckets)) or not all(map(math.isfinite, self.buckets)):
            raise ValueError(f"{self.name}: buckets must ascend and be finite")
        if self.kind == "histogram" and "le" in map(label_name, self.labels):
            raise ValueError(f"{self.name}: `le` is the label of a histogram's buckets; choose another attribute")
        if len({label_name(label) for label in self.labels}) != len(self.labels):
            raise ValueError(f"{self.name}: two labels would have the same name")
        return self

    @property
    def family(self) -> str:
        """Name without `_total`."""
        return self.name.removesuffix("_total") if self._counts else self.name

    @property
    def shown_as(self) -> tuple[str, ...]:
        """Every name that the metric takes in Prometheus."""
        if self.kind == "histogram":
            return self.name, *(f"{self.name}_{part}" for part in ("bucket", "sum", "count", "created"))
        return (self.family, f"{self.family}_total", f"{self.family}_created") if self._counts else (self.name,)

    @property
    def _counts(self) -> bool:
        return self.kind == "count" or (self.kind == "sum" and self.monotonic)


def check_rules(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """These rules. Raises ValueError where two rules would make the same metric, or one of a
    name that another's parts have."""
    twice = [name for name, n in Counter(name for rule in rules for name in rule.shown_as).items() if n > 1]
    if twice:
        raise ValueError(f"two rules make the same metric: {', '.join(twice)}")
    return rules


Rules = Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES), AfterValidator(check_rules)]
"""The user's rules."""


def names(rules: Sequence[Rule]) -> list[str]:
    """Names of the metrics that rules make."""
    return [rule.name for rule in rules]


@dataclass(frozen=True, slots=True)
class Read:
    """A decoded batch with what the rules need of it."""

    group: U32
    groups: Sequence[tuple[str, ...]]
    weight: F64 | None
    """How many records each stands for; None where each stands for itself."""
    time: npt.NDArray[np.uint64]
    numbers: Mapping[str, F64]
    """Field -> its value in each record, NaN where it has none."""

    def __len__(self) -> int:
        return len(self.group)


class RuleDeriver:
    """All rules for one signal. The caller guards it with a lock."""

    def __init__(self, rules: Sequence[Rule], signal: Signal, budget: Budget) -> None:
        self.signal: Signal = signal
        own = _SPAN_FIELDS if signal == "spans" else _LOG_FIELDS
        self._dimensions = tuple(sorted({key for rule in rules for key in (*rule.match, *rule.labels)} - {*own}))
        self._numbers = tuple(sorted({rule.field for rule in rules} - {DURATION, ""}))
        place = {key: n for n, key in enumerate((*own, *self._dimensions))}
        self._metrics = tuple(_Metric(rule, place, budget) for rule in rules)
        self.kept = tuple(metric.table for metric in self._metrics)
        self.ignored: Counter[tuple[str, str]] = Counter()
        """(metric, reason) -> matching records whose field was no number that could be added."""

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> Read:
        """The columns that `apply` needs. Raises DecodeError."""
        if self.signal == "spans":
            return self._of_spans(decoder.spans(payloads, self._dimensions, self._numbers))
        batch = decoder.logs(payloads, self._dimensions, self._numbers)
        return Read(batch.group, batch.groups, None, batch.time, self._named(batch))

    def apply(self, batch: Read, arrival: Arrival) -> None:
        """Add a batch of records."""
        if len(batch):
            for metric in self._metrics:
                self.ignored.update({(metric.rule.name, why): n for why, n in metric.add(batch, arrival).items() if n})

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        for metric in self._metrics:
            metric.table.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        return [metric.snapshot(view) for metric in self._metrics]

    def _of_spans(self, batch: SpanBatch) -> Read:
        weight = np.clip(batch.adjusted_count, 0, MAX_WEIGHT)
        sampled = weight if (weight != 1).any() else None
        seconds = np.where(batch.start > 0, batch.duration / 1e9, NOT_NUMBER)
        return Read(batch.group, batch.groups, sampled, batch.start, {**self._named(batch), DURATION: seconds})

    def _named(self, batch: SpanBatch | LogBatch) -> dict[str, F64]:
        return dict(zip(self._numbers, batch.numbers, strict=True))


def build(rules: Sequence[Rule], context: DeriverContext) -> Sequence[Deriver[Read]]:
    """A deriver for each signal that there are rules for."""
    signals: tuple[Signal, ...] = ("spans", "logs")
    own = [(signal, [rule for rule in rules if rule.signal == signal]) for signal in signals]
    derivers = [RuleDeriver(some, signal, context.budget) for signal, some in own if some]
    context.telemetry.watch(
        "sidecar_rule_values_ignored_total",
        lambda: [
            (n, {"rule": rule, "reason": reason})
            for deriver in derivers
            for (rule, reason), n in dict(deriver.ignored).items()
        ],
    )
    return derivers


def memory(rules: Sequence[Rule], budget: Budget) -> int:
    """Bytes of their tables, at most, about."""
    return table_bytes(budget, len(rules))


class _Metric:
    """A rule with its series."""

    def __init__(self, rule: Rule, place: Mapping[str, int], budget: Budget) -> None:
        self.rule = rule
        self._match = [(place[key], re.compile(fnmatch.translate(glob))) for key, glob in sorted(rule.match.items())]
        self._labels = [place[label] for label in rule.labels]
        # The key without any label is that of the overflow series; an empty value is not shown.
        names = [label_name(label) for label in rule.labels] or ["_"]
        self.table = _table(rule, names, budget)

    def add(self, batch: Read, arrival: Arrival) -> dict[str, int]:
        """Add what matches; reason -> records that match and could not be added."""
        takes = np.fromiter((self._takes(group) for group in batch.groups), np.bool_, len(batch.groups))
        picked = np.flatnonzero(takes[batch.group])
        values, ignored = self._values(batch, picked)
        usable = np.flatnonzero(np.isfinite(values))
        picked, values = picked[usable], values[usable]
        if len(picked):
            self._add(batch, picked, values, arrival)
        return ignored

    def _takes(self, group: tuple[str, ...]) -> bool:
        return all(pattern.fullmatch(group[at]) for at, pattern in self._match)

    def _values(self, batch: Read, picked: npt.NDArray[np.intp]) -> tuple[F64, dict[str, int]]:
        """The field of each picked record, NaN where it cannot be added."""
        if self.rule.kind == "count":
            return np.ones(len(picked)), {}
        if self.rule.field == DURATION:
            return batch.numbers[DURATION][picked], {}
        values = batch.numbers[self.rule.field][picked]
        large = np.abs(values) > MAX_VALUE
        ignored = {"not_a_number": int(np.isnan(values).sum()), "too_large": int(large.sum())}
        values[large] = NOT_NUMBER
        if self.rule.kind == "sum" and self.rule.monotonic:
            ignored["negative"] = int((values < 0).sum())
            values[values < 0] = NOT_NUMBER
        return values, ignored

    def _add(self, batch: Read, picked: npt.NDArray[np.intp], values: F64, arrival: Arrival) -> None:
        """Add these values, of these records."""
        distinct: dict[Labels, int] = {}
        codes = np.fromiter(
            (distinct.setdefault(tuple(g[at] for at in self._labels) or ("",), len(distinct)) for g in batch.groups),
            np.uint32,
            len(batch.groups),
        )[batch.group[picked]]
        keys, came, table = list(distinct), arrival.of(picked), self.table
        weight = np.ones(len(picked)) if batch.weight is None else batch.weight[picked]
        if isinstance(table, CounterTable):
            table.count(keys, codes, came, None if batch.weight is None else weight)
        elif isinstance(table, HistogramTable):
            table.observe(keys, codes, came, values, weight)
        elif self.rule.kind == "sum":
            table.add_up(table.assign(keys, codes, came), values * weight)
        else:
            received = arrival.times[np.minimum(np.searchsorted(arrival.ends, picked, "right"), len(arrival.times) - 1)]
            time = np.minimum(batch.time[picked], received.astype(np.uint64))
            rows = table.assign(keys, codes, came)  # May grow the values.
            _latest(table.values, rows, values, time)

    def snapshot(self, view: View | None) -> FamilySnapshot:
        about = self.rule.help or f"Rule {self.rule.name}."
        if isinstance(self.table, CounterTable | HistogramTable):
            return replace(self.table.snapshot(view, about), name=self.rule.family)
        counter = self.rule.kind == "sum" and self.rule.monotonic
        if not counter:
            self.table.mark_exported()  # A gauge does not begin at 0.
        keys, _, values, created, sums = self.table.show_sums(view)
        if self.rule.kind == "last":
            sums = np.ascontiguousarray(values[:, 1]).view(np.float64).tolist()
        points = Points(self.table.label_texts(keys), sums, created if counter else ())
        return FamilySnapshot(self.rule.family, "counter" if counter else "gauge", about, "", (points,))


def _table(rule: Rule, labels: Sequence[str], budget: Budget) -> SeriesTable:
    """sum: no columns, a table has a sum. last: time, bits of the double."""
    shape = rule.model_dump_json(exclude={"help"})
    match rule.kind:
        case "count":
            return CounterTable(rule.name, labels, budget, shape)
        case "histogram":
            return HistogramTable(rule.name, labels, rule.buckets, budget, shape)
    return SeriesTable(rule.name, labels, 2 if rule.kind == "last" else 0, budget, shape)


def _latest(table: I64, rows: npt.NDArray[np.intp], values: F64, time: npt.NDArray[np.uint64]) -> None:
    """The value of the latest record, by its own time (not later than when it was received); of records of one time the
    one that came last."""
    order = np.lexsort((np.arange(len(rows)), time, rows))
    last = order[np.append(rows[order][1:] != rows[order][:-1], True)]
    times = np.minimum(time[last], np.uint64(LIMIT)).astype(np.int64)
    newer = times >= table[rows[last], 0]
    chosen = last[newer]
    table[rows[chosen], 0] = times[newer]
    table[rows[chosen], 1] = np.ascontiguousarray(values[chosen]).view(np.int64)
