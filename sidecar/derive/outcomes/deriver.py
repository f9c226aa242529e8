"""Outcomes: predictions joined with the labels that come later.

Predictions that have an id are kept until their label comes, within bounds of time and memory. Joined rows are counted
by predicted and actual class, and added up by the time of the prediction. State is committed with the place in the
journal: a crash neither loses nor repeats a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.label_event import label_events
from sidecar.decode.predictions.label_names import MARK
from sidecar.decode.predictions.label_record import Label
from sidecar.decode.predictions.prediction_rows import PredictedRows, PredictionRowReader
from sidecar.decode.predictions.serving import protocols
from sidecar.decode.predictions.serving.call_rows import read_calls
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot, Points
from sidecar.derive.outcomes.early_labels import LABEL_BYTES
from sidecar.derive.outcomes.joiner import RESULTS, TAKEN, Joiner, Outcome
from sidecar.derive.outcomes.kinds import MAX_KINDS
from sidecar.derive.outcomes.model_outcomes import Model, ModelOutcomes
from sidecar.derive.outcomes.options import OutcomeOptions, steps
from sidecar.derive.outcomes.outcome_families import families
from sidecar.derive.outcomes.tally import TALLY_BYTES
from sidecar.derive.owned_state import OwnedState
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, Labels
from sidecar.derive.tables import CounterTable
from sidecar.pipeline import Signal

log = structlog.get_logger("sidecar.derive")

_KIND_BYTES = 2_000
"""Of a set of classes at most; of one class 400."""
_NOW = b"outcomes/now"
_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Read:
    """What one payload says."""

    predictions: list[PredictedRows]
    labels: list[Label]


class OutcomeDeriver:
    """Logs in. The caller guards it with a lock; only `decode` is called outside of it."""

    signal: Signal = "logs"

    def __init__(self, options: OutcomeOptions, budget: Budget) -> None:
        self._options = options
        self._reader = PredictionRowReader(options.id_attributes)
        self.joiner = Joiner(options.max_bytes, options.label_ttl, options.prediction_ttl, options.max_waiting_labels)
        self.models: dict[Model, ModelOutcomes] = {}
        self.outcomes = CounterTable("model_outcomes_total", ("model", "version", "predicted", "actual"), budget)
        self.labels = CounterTable("model_labels_total", ("model", "version", "result"), budget)
        self.predictions = CounterTable("model_outcome_predictions_total", ("model", "version", "result"), budget)
        self.sets = CounterTable("model_outcome_sets_total", ("model", "version", "result"), budget)
        self.classes = CounterTable("model_outcome_classes_total", ("model", "version", "class", "result"), budget)
        self._tables = self.outcomes, self.labels, self.predictions, self.sets, self.classes
        self.kept = (*self._tables, self)
        self._owned = OwnedState(b"outcomes/m/", 2, "big")
        self._saved = 0
        self._clock = 0
        self._full = False

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Read]:
        """What each payload says. Raises DecodeError."""
        return [self._read(decoder, payload) for payload in payloads]

    def _read(self, decoder: Decoder, payload: bytes) -> Read:
        predicted = self._reader.may_read(decoder, payload)
        served = self._options.payloads and decoder.contains_any(payload, protocols.GATE)
        labelled = decoder.contains_any(payload, MARK)
        if not predicted and not served and not labelled:
            return Read([], [])
        accepted = decoder.check_logs(payload).items
        predictions = list(self._reader.read(payload, accepted)) if predicted else []
        if served:
            predictions += read_calls(decoder, payload, accepted, self._reader)
        events = label_events(payload, accepted) if labelled else ()
        return Read(predictions, [event.label for event in events if event.label is not None])

    def apply(self, batch: Sequence[Read], arrival: Arrival) -> None:
        """Add what payloads say. Of one payload predictions come first."""
        counted = _Counted()
        for read, time in zip(batch, arrival.times.tolist(), strict=True):
            self.joiner.advance(time)
            for prediction in read.predictions:
                self.joiner.predicted(prediction)
            for label in read.labels:
                self.joiner.labelled(label)
            counted.note(*self.joiner.taken(), time)
            for outcome in counted.fresh:
                self._add(outcome)
        for table, found in zip(self._tables, counted.all, strict=True):
            found.count(table, arrival.now)

    def _add(self, outcome: Outcome) -> None:
        model = outcome.kind.model, outcome.kind.version
        now = self.joiner.now // _SECOND
        state = self.models.get(model)
        if state is None:
            if len(self.models) >= self._options.max_models:
                self._left_out(model)
                return
            state = self.models[model] = ModelOutcomes(self._options.windows, now)
            self._owned.begin(model, state)
        state.add(outcome, now)

    def _left_out(self, model: Model) -> None:
        if not self._full:
            self._full = True
            log.warning("outcome_models_left_out", model=model[0], version=model[1])

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns), and what is in no window any more."""
        self._clock = max(self._clock, now // _SECOND)
        for table in self._tables:
            table.expire(now, ttl)
        seconds = self.joiner.now // _SECOND
        for model, state in list(self.models.items()):
            state.advance(seconds)
            if state.idle and state.seen < now // _SECOND - ttl // _SECOND:
                self._owned.drop(model, self.models.pop(model))

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        yield self.outcomes.snapshot(view, "Rows joined with their label, by predicted and actual class.")
        yield self.labels.snapshot(view, f"Labels by what became of them: {', '.join(RESULTS)}.")
        yield self.predictions.snapshot(
            view, f"Predicted rows with an id, by whether they wait for a label: {', '.join(TAKEN)}."
        )
        yield self.sets.snapshot(view, "Rows of predicted sets of classes joined with theirs: exact, other.")
        yield self.classes.snapshot(
            view, "Classes of joined sets: hit (predicted and actual), wrong (predicted only), missed (actual only)."
        )
        yield from families(self.models, self._options, max(self._clock, self.joiner.now // _SECOND))
        waiting = (
            ("model_outcome_open_predictions", "Predicted rows that are kept for their labels.", len(self.joiner.open)),
            ("model_outcome_waiting_labels", "Labels that wait for their prediction.", len(self.joiner.waiting)),
        )
        for name, about, n in waiting:
            yield FamilySnapshot(name, "gauge", about, "", (Points([""], [n]),))

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from self._owned.checkpoint(self.models.items())
        yield from self.joiner.checkpoint()
        if self.joiner.now != self._saved:
            self._saved = self.joiner.now
            yield _NOW, self._saved.to_bytes(8, "big")

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        used = self.joiner.restore(state)
        if _NOW in state:
            self.joiner.now = self._saved = int.from_bytes(state[_NOW], "big")
            used.add(_NOW)
        for (model, version), base, own in self._owned.owners(state):
            used |= {base + key for key in self._take_over((model, version), own)}
        return used

    def _take_over(self, model: Model, own: Mapping[bytes, bytes]) -> set[bytes]:
        if len(self.models) >= self._options.max_models:
            return set()
        state = ModelOutcomes(self._options.windows, 0)
        try:
            used = state.restore(own)
        except (TypeError, ValueError):
            log.warning("outcomes_restarted", model=model[0], version=model[1])
            return set()
        self.models[model] = state
        return used & own.keys()


class _Series:
    """Records that go to a table: label values, how many, and when their payload came."""

    def __init__(self) -> None:
        self._keys: dict[Labels, int] = {}
        self._codes: list[int] = []
        self._numbers: list[int] = []
        self._times: list[int] = []

    def add(self, key: Labels, n: int, time: int) -> None:
        self._codes.append(self._keys.setdefault(key, len(self._keys)))
        self._numbers.append(n)
        self._times.append(time)

    def count(self, table: CounterTable, now: int) -> None:
        if self._codes:
            arrival = Arrival(np.arange(1, len(self._codes) + 1), np.array(self._times, np.int64), now)
            table.count(list(self._keys), np.array(self._codes), arrival, np.array(self._numbers, np.float64))


class _Counted:
    """What some payloads add to the tables."""

    def __init__(self) -> None:
        self.all = tuple(_Series() for _ in range(5))
        self.outcomes, self.labels, self.predictions, self.sets, self.classes = self.all
        self.fresh: list[Outcome] = []
        """Of the last payload."""

    def note(
        self,
        outcomes: list[Outcome],
        labels: Counter[tuple[str, str, str]],
        predictions: Counter[tuple[str, str, str]],
        time: int,
    ) -> None:
        """What one payload, received at `time`, came to."""
        self.fresh = outcomes
        pairs = Counter((*one.kind[:3], str(one.truth)) for one in outcomes if one.kind.name is not None)
        sets = [one for one in outcomes if one.kind.classes is not None]
        exact = Counter((*one.kind[:2], "exact" if one.truth == one.kind.classes else "other") for one in sets)
        classes = Counter(found for one in sets for found in _by_class(one))
        for series, new in ((self.sets, exact), (self.classes, classes)):
            for key, n in new.items():
                series.add(key, n, time)
        for (model, version, predicted, actual), n in pairs.items():
            self.outcomes.add((model, version, str(predicted), actual), n, time)
        for series, found in ((self.labels, labels), (self.predictions, predictions)):
            for key, n in found.items():
                series.add(key, n, time)


def _by_class(outcome: Outcome) -> Iterator[Labels]:
    """What became of each class of a set."""
    predicted, actual = set(outcome.kind.classes or ()), set(outcome.truth if isinstance(outcome.truth, tuple) else ())
    for name in sorted(predicted | actual):
        result = "hit" if name in predicted & actual else "wrong" if name in predicted else "missed"
        yield (*outcome.kind[:2], name, result)


def build(options: OutcomeOptions, context: DeriverContext) -> Sequence[Deriver[Sequence[Read]]]:
    """The deriver, where it is on."""
    return [OutcomeDeriver(options, context.budget)] if options.enabled else []


def memory(options: OutcomeOptions, budget: Budget) -> int:
    """Bytes of what waits, of windows and of tables, at most, about."""
    if not options.enabled:
        return 0
    windows = options.max_models * steps(options.windows) * TALLY_BYTES
    waiting = options.max_bytes + options.max_waiting_labels * LABEL_BYTES + MAX_KINDS * _KIND_BYTES
    return waiting + windows + table_bytes(budget, 5)
