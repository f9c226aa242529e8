"""Experiments (A/B tests): exposures, conversions and labels by variant, and what may be concluded from them.

State is committed with the place in the journal: a crash neither loses nor repeats a unit, and leaves every comparison
as it is without one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.experiment_records import Conversion, ExperimentReader, Exposure
from sidecar.decode.predictions.label_event import label_events
from sidecar.decode.predictions.label_names import MARK
from sidecar.decode.predictions.label_record import Label
from sidecar.derive.deriver import Checkpointed, Deriver, DeriverContext, table_bytes
from sidecar.derive.experiments.assignments import EXPOSED, JOINED, Assignments
from sidecar.derive.experiments.early_events import EVENT_BYTES
from sidecar.derive.experiments.experiment import Tests
from sidecar.derive.experiments.experiment_families import families
from sidecar.derive.experiments.inference import mixture_units
from sidecar.derive.experiments.options import ExperimentOptions
from sidecar.derive.experiments.units import UNIT_BYTES
from sidecar.derive.families import FamilySnapshot, Points
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, Labels
from sidecar.derive.tables import CounterTable, HistogramTable
from sidecar.pipeline import Signal

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_VARIANT = ("experiment", "variant")
_VARIANT_BYTES = 2_000
_TABLES = 7


@dataclass(frozen=True, slots=True)
class Read:
    """What one payload says."""

    records: list[Exposure | Conversion]
    labels: list[Label]


class ExperimentDeriver:
    """Logs in. The caller guards it with a lock; only `decode` is called outside of it."""

    signal: Signal = "logs"

    def __init__(self, options: ExperimentOptions, budget: Budget) -> None:
        self._options = options
        self._reader = ExperimentReader(options.id_attributes, options.user_attributes, options.conversion_events)
        mixture = mixture_units(options.planned_units, options.alpha)
        self._tests = Tests(mixture, options.alpha, options.min_units, options.unit == "user")
        self.assignments = Assignments(options, self._tests)
        self._counters = {
            "exposures": CounterTable("ab_test_exposures_total", _VARIANT, budget),
            "conversions": CounterTable("ab_test_conversions_total", _VARIANT, budget),
            "labels": CounterTable("ab_test_labels_total", (*_VARIANT, "result"), budget),
            "requests": CounterTable("ab_test_requests_total", (*_VARIANT, "status"), budget),
            "exposed": CounterTable("ab_test_exposure_events_total", ("experiment", "result"), budget),
            "joined": CounterTable("ab_test_conversion_events_total", ("experiment", "result"), budget),
        }
        self._latency = HistogramTable("ab_test_latency_seconds", _VARIANT, _BUCKETS, budget)
        self.kept: tuple[Checkpointed, ...] = (*self._counters.values(), self._latency, self.assignments)

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Read]:
        """What each payload says. Raises DecodeError."""
        return [self._read(decoder, payload) for payload in payloads]

    def _read(self, decoder: Decoder, payload: bytes) -> Read:
        concerned, labelled = self._reader.may_read(decoder, payload), decoder.contains_any(payload, MARK)
        if not concerned and not labelled:
            return Read([], [])
        accepted = decoder.check_logs(payload).items
        events = label_events(payload, accepted) if labelled else ()
        return Read(
            list(self._reader.read(payload, accepted)) if concerned else [],
            [event.label for event in events if event.label is not None],
        )

    def apply(self, batch: Sequence[Read], arrival: Arrival) -> None:
        """Add what payloads say: exposures and conversions in their order, then labels."""
        times = _Times(arrival.now)
        for read, time in zip(batch, arrival.times.tolist(), strict=True):
            self.assignments.advance(time)
            requests: Counter[Labels] = Counter()
            for record in read.records:
                if isinstance(record, Conversion):
                    self.assignments.converted(record)
                elif self.assignments.exposed(record) and record.is_call:
                    requests[record.experiment, record.variant, "error" if record.failed else "ok"] += 1
                    if not math.isnan(record.seconds):
                        times.add((record.experiment, record.variant), record.seconds, time)
            for label in read.labels:
                self.assignments.labelled(label)
            self.assignments.look()
            for name, counted in {**self.assignments.taken(), "requests": requests}.items():
                _count(self._counters[name], counted, time, arrival.now)
        times.observe(self._latency)

    def expire(self, now: int, ttl: int) -> None:
        """Take away counters of experiments that are forgotten: those of rare conversions outlast `ttl`, for a rate
        needs all."""
        own = round(self._options.experiment_ttl * 1e9)
        for table in (*self._counters.values(), self._latency):
            table.expire(now, own)
        self.assignments.forget(now)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        about = {
            "exposures": "Units that were shown a variant: predicted rows, or users.",
            "conversions": "Units that converted, by their variant.",
            "labels": "Labelled rows by the variant that predicted them: correct, wrong.",
            "requests": "Calls of models by variant and status (ok, error).",
            "exposed": f"Exposures by what became of them: {', '.join(EXPOSED)}.",
            "joined": f"Conversions and labels by what became of them: {', '.join(JOINED)}.",
        }
        for name, text in about.items():
            yield self._counters[name].snapshot(view, text)
        yield self._latency.snapshot(view, "Seconds that calls of models took, by variant.", "seconds")
        yield from families(self.assignments.experiments.values(), self._options.designs, self._tests)
        waiting = len(self.assignments.waiting)
        held = len(self.assignments.rows) + len(self.assignments.users)
        for name, text, n in (
            ("ab_test_remembered_units", "Predicted rows and users that are remembered for their conversions.", held),
            ("ab_test_waiting_events", "Conversions and labels that wait for exposures.", waiting),
        ):
            yield FamilySnapshot(name, "gauge", text, "", (Points([""], [n]),))


class _Times:
    """Seconds of calls that go to the histogram."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._keys: dict[Labels, int] = {}
        self._codes: list[int] = []
        self._seconds: list[float] = []
        self._times: list[int] = []

    def add(self, key: Labels, seconds: float, time: int) -> None:
        self._codes.append(self._keys.setdefault(key, len(self._keys)))
        self._seconds.append(seconds)
        self._times.append(time)

    def observe(self, table: HistogramTable) -> None:
        if n := len(self._codes):
            arrival = Arrival(np.arange(1, n + 1), np.array(self._times, np.int64), self._now)
            table.observe(
                list(self._keys), np.array(self._codes), arrival, np.array(self._seconds, np.float64), np.ones(n)
            )


def _count(table: CounterTable, counted: Mapping[Labels, int], time: int, now: int) -> None:
    """Add to a table. `time`: when the payload was received."""
    if counted:
        n = len(counted)
        arrival = Arrival(np.array([n]), np.array([time], np.int64), now)
        table.count(list(counted), np.arange(n), arrival, np.array(list(counted.values()), np.float64))


def build(options: ExperimentOptions, context: DeriverContext) -> Sequence[Deriver[Sequence[Read]]]:
    """The deriver, where it is on."""
    return [ExperimentDeriver(options, context.budget)] if options.enabled else []


def memory(options: ExperimentOptions, budget: Budget) -> int:
    """Bytes of what is remembered, of what waits, and of tables, at most, about."""
    if not options.enabled:
        return 0
    units = options.max_units * UNIT_BYTES * (2 if options.unit == "user" else 1)
    variants = options.max_experiments * options.max_variants * _VARIANT_BYTES
    return units + options.max_waiting * EVENT_BYTES + variants + table_bytes(budget, _TABLES)
