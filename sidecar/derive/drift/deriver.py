"""Drift and data quality of models, beside a reference of their training data or of their first rows.

Each value is counted into a bin of its column. The counters of the bins add up over a fleet; windows of them are
compared with the reference at each check (`methods`), and `decision` says what is worth a page. State is committed with
the place in the log: a crash neither loses nor repeats a value.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.feature_counter import FeatureCounter
from sidecar.derive.deriver import Annotator, Deriver, DeriverContext, table_bytes
from sidecar.derive.drift.added_values import add_features, add_sample
from sidecar.derive.drift.column_samples import Sample, answers, features
from sidecar.derive.drift.drift_families import families
from sidecar.derive.drift.expectation_values import hold
from sidecar.derive.drift.learning import MAX_VALUES, Learning
from sidecar.derive.drift.library import CompiledReference, ReferenceLibrary
from sidecar.derive.drift.model_drift import UNEXPECTED, Failure, ModelDrift, slot_of
from sidecar.derive.drift.observations import Model, ObservationReader, Observations, between, of_spans
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.outlier_marks import OutlierMarker
from sidecar.derive.drift.outliers import RowLimits, outliers, records_of_rows
from sidecar.derive.drift.span_deriver import SpanDeriver
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.mounted_files import InvalidFile
from sidecar.derive.owned_state import OwnedState
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.quality.checks import QualityChecks
from sidecar.derive.quality.model_quality import ModelQuality
from sidecar.derive.quality.quality_families import families as quality_families
from sidecar.derive.scrapes import View
from sidecar.derive.series import OTHER, Arrival, Budget, Labels, pack_labels, unpack_labels
from sidecar.derive.tables import CounterTable
from sidecar.pipeline import Signal
from sidecar.telemetry import Telemetry

log = structlog.get_logger("sidecar.derive")

MAX_MODELS = 64
MAX_UNEXPECTED = 50
"""Features that no reference has, of all models, whose failures are counted by name."""
MAX_LEARNING = 4
"""Models that are learnt at once."""
FEATURE_BYTES = 18_000
"""What the state of one column takes at most, about; with few rows it is a third of it."""
EXPECTATION_BYTES = 250_000
"""What the state of one expectation takes at most, about: that of distinct values. Others take some kB."""
SUB_WINDOW_BYTES = 400
"""What one column of one sub-window before the window takes, about."""
_PREFIX = b"drift/"
_LEARNED, _CHUNK = _PREFIX + b"r/", _PREFIX + b"l/"
_NAMED = 10
"""Names of one kind that are logged."""


class DriftDeriver:
    """Logs in, and spans where `SpanDeriver` is given them. The caller guards it with a lock; only what decodes is
    called outside of it."""

    signal: Signal = "logs"

    def __init__(
        self,
        options: DriftOptions,
        budget: Budget,
        telemetry: Telemetry | None = None,
        events: PredictionEvents | None = None,
    ) -> None:
        self._options = options
        self._decoder: Decoder | None = None
        """That of the payloads which are added next."""
        self._reader = ObservationReader(options.payloads, options.attributes, events)
        self.library = ReferenceLibrary(options.reference)
        self.library.read()
        self.models: dict[Model, ModelDrift] = {}
        self._learning: dict[Model, Learning] = {}
        self.failures = CounterTable("data_quality_failures_total", ("model", "version", "feature", "rule"), budget)
        self.left_out = CounterTable("model_features_left_out_total", ("model", "version"), budget)
        self.outliers = CounterTable("model_outliers_total", ("model", "version"), budget)
        self.checks = QualityChecks(options.suites, options.sub_windows, options.max_expectations)
        self.kept = (self.failures, self.left_out, self.outliers, self, self.checks)
        self._owned = OwnedState(_PREFIX + b"m/", 3, "little")
        self._deleted: set[bytes] = set()
        """Chunks of what was being learnt."""
        self._new: dict[bytes, bytes] = {}
        self._tick = 0
        self._named: set[tuple[str, str]] = set()
        self._full = False
        if telemetry is not None:
            telemetry.watch("sidecar_references", self._read_references)
            telemetry.watch("sidecar_suites", self.checks.library.states)
            telemetry.watch("sidecar_expectations", self.checks.library.expectations)

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]:
        """What the payloads say. Raises DecodeError."""
        if self._is_idle():
            self._reader.skip()
            return []
        self._decoder = decoder
        return self._reader.read(decoder, payloads)

    def decode_spans(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]:
        """What payloads of spans say. Raises DecodeError."""
        if self._is_idle():
            return []
        self._decoder = decoder
        return of_spans(decoder, payloads)

    def _is_idle(self) -> bool:
        """There is nothing to compare with."""
        return not len(self.library) and not self._options.learn and not len(self.checks)

    def apply(self, batch: Sequence[Observations], arrival: Arrival) -> None:
        """Add what payloads say."""
        times = arrival.times.tolist()
        for found in batch:
            for first, last in self._runs(found, times):
                part = between(found, first, last)
                if len(part):
                    self._add(part, arrival)

    def _runs(self, found: Observations, times: list[int]) -> Iterator[tuple[int, int]]:
        """Runs of payloads of one sub-window. Where the end of learning may be among them each one alone, so that the
        same rows become the reference however they come."""
        alone = self._options.learn and any(model not in self.models for model in found.models)
        if not alone and self._slot(min(times)) == self._slot(max(times)):
            yield 0, len(times)
            return
        first = 0
        for last in range(1, len(times) + 1):
            if last == len(times) or alone or self._slot(times[last]) != self._slot(times[first]):
                yield first, last
                first = last

    def reload(self) -> None:
        """Read the references again, whether or not the files look changed."""
        self._refresh(again=True)

    def annotator(self) -> Annotator | None:
        """Marks outliers; None where there is and will be no reference."""
        options = self._options
        if not options.reference and not options.learn:
            return None
        return OutlierMarker(self._limits, options.payloads, options.attributes)

    def _limits(self, model: Model) -> RowLimits | None:
        """Called from any thread."""
        found = self.library.find(model)
        return None if found is None else found.limits

    def status(self) -> Mapping[str, Any]:
        """What the last checks of models found, and suites with what came of their expectations."""
        models = [
            {"model": state.model[0], "version": state.model[1], "reference": state.reference.label, **state.status()}
            for state in self.models.values()
        ]
        found: dict[str, Any] = {"models": models} if models else {}
        return found if self._options.suites is None else found | {"suites": self.checks.status()}

    def advance(self, now: int) -> None:
        """Checks that are due of models that are given nothing: what a batch brought is not looked at with the next
        one only, and a model that rests is not left at what was once found."""
        held = {model: checks.quality.advance(*self._slot(now)) for model, checks in self.checks.models.items()}
        compared = {model: state.advance(now) for model, state in self.models.items()}
        found = [*held.items(), *compared.items()]
        self._count_failures([(model, failure) for model, failures in found for failure in failures], now, now)

    def expire(self, now: int, ttl: int) -> None:
        """Read references that have changed; take away models idle for longer than the window and `ttl` ns."""
        self._refresh(again=False)
        self.failures.expire(now, ttl)
        self.left_out.expire(now, ttl)
        self.outliers.expire(now, ttl)
        longest = max(ttl, int(self._options.window * 1e9))
        for model in [model for model, state in self.models.items() if state.progress.seen < now - longest]:
            self._drop(model)
        self.checks.expire(now - longest)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, all of one moment."""
        if view is not None:
            self._tick = max(self._tick, view.tick)
        yield from families(list(self.models.values()), view, self._options.window, self._options.window_rows)
        yield from quality_families(self.checks.models.values())
        yield self.failures.snapshot(view, "Values and checks that failed a rule of data quality.")
        yield self.left_out.snapshot(view, "Columns of features that were beyond a bound, and not compared.")
        yield self.outliers.snapshot(view, "Rows with a feature far outside of the reference.")

    def mark_exported(self) -> None:
        """What there is now is not shown at 0 first."""
        for state in self.models.values():
            state.born = -1

    def _slot(self, time: int) -> tuple[int, int]:
        return slot_of(self._options, time)

    def _add(self, found: Observations, arrival: Arrival) -> None:
        failures: list[tuple[Model, Failure]] = []
        wanted: dict[int, ModelDrift | Learning] = {}
        held: dict[int, ModelQuality] = {}
        for code, model in enumerate(found.models):
            own = np.flatnonzero(found.model == code)
            if not len(own):
                continue
            first, last = arrival.times[found.payload[own[[0, -1]]]].tolist()
            quality = self.checks.of(model, self._slot(first))
            if quality is not None:
                held[code] = quality
                failures += [(model, failure) for failure in quality.advance(*self._slot(first))]
                quality.see(last, 0)
            state = self._state(model, first)
            if state is None:
                continue
            wanted[code] = state
            if isinstance(state, ModelDrift):
                failures += [(model, failure) for failure in state.advance(first)]
                state.see(last, 0)
        time = int(arrival.times[found.payload[-1]])
        counters = self._counters(wanted)
        gathered = [code for code in wanted.keys() | held.keys() if code in held or code not in counters]
        samples = [*features(found, gathered), *answers(found)] if wanted or held else []
        if held:
            failures += hold(found, samples, held)
        if wanted:
            self._count_outliers(found, wanted, time, arrival.now)
            rows, counted = add_features(found, wanted, counters, arrival)
            failures += counted
            left = [(code, one) for code, one in samples if one.role != "feature" or code not in counters]
            failures += self._add_samples(found, left, wanted, rows, arrival)
        if wanted or held:
            self._note_left_out(found, time, arrival.now)
        self._count_failures(failures, time, arrival.now)

    def _count_failures(self, failures: list[tuple[Model, Failure]], time: int, now: int) -> None:
        if not failures:
            return
        # In one order, whatever counted them; names that are new in that in which they came.
        known = sorted(failure for failure in failures if failure[1][1] != UNEXPECTED)
        failures = known + [failure for failure in failures if failure[1][1] == UNEXPECTED]
        keys = self._keys_of([(*model, feature, rule) for model, (feature, rule, _) in failures])
        weights = np.array([n for _, (_, _, n) in failures], np.float64)
        self.failures.count(keys, np.arange(len(keys)), _at(len(keys), time, now), weights)

    def _keys_of(self, found: list[Labels]) -> list[Labels]:
        """Labels of failures. Names that no reference has are anybody's: beyond some they are counted without, so that
        they do not take the room of others."""
        new = {key for key in found if key[-1] == UNEXPECTED and self.failures.find(key) < 0}
        if not new:
            return found
        known = sum(key[-1] == UNEXPECTED for key in self.failures.known_labels() if key)
        named = set(list(dict.fromkeys(key for key in found if key in new))[: max(0, MAX_UNEXPECTED - known)])
        return [key if key not in new or key in named else (*key[:2], OTHER, UNEXPECTED) for key in found]

    def _counters(self, wanted: Mapping[int, ModelDrift | Learning]) -> dict[int, FeatureCounter]:
        """What counts the values of features of these models, where the decoder does."""
        assert self._decoder is not None, "payloads are decoded before they are added"
        known = {code: state.reference for code, state in wanted.items() if isinstance(state, ModelDrift)}
        found = {code: reference.counter(self._decoder) for code, reference in known.items()}
        return {code: counter for code, counter in found.items() if counter is not None}

    def _add_samples(
        self,
        found: Observations,
        samples: Sequence[tuple[int, Sample]],
        wanted: Mapping[int, ModelDrift | Learning],
        rows: Mapping[int, int],
        arrival: Arrival,
    ) -> list[tuple[Model, Failure]]:
        """`rows`: those that were counted already."""
        failures: list[tuple[Model, Failure]] = []
        rows = {code: rows.get(code, 0) for code in wanted}
        for code, sample in samples:
            state = wanted.get(code)
            if isinstance(state, ModelDrift):
                time = int(arrival.times[found.payload[sample.last]]) if sample.last >= 0 else 0
                failures += [(found.models[code], failure) for failure in add_sample(state, sample, time)]
                rows[code] = max(rows[code], len(sample.kind))
            elif state is not None and not state.add(sample):
                self._not_learned(found.models[code], sample.name)
        for code, state in wanted.items():
            if isinstance(state, ModelDrift):
                state.see(0, rows[code])
            elif state.done:
                self._learned(found.models[code], state)
        return failures

    def _count_outliers(
        self, found: Observations, wanted: Mapping[int, ModelDrift | Learning], time: int, now: int
    ) -> None:
        limits = {code: state.reference.limits for code, state in wanted.items() if isinstance(state, ModelDrift)}
        if not limits:
            return
        rows = records_of_rows(outliers(found, limits))
        if len(found.repeated):
            rows = rows[~np.isin(rows, found.repeated)]
        models = found.model[rows]
        weights = np.bincount(models, minlength=len(found.models)).astype(np.float64)[list(limits)]
        keys, at = [found.models[code] for code in limits], _at(len(limits), time, now)
        self.outliers.count(keys, np.arange(len(keys)), at, weights)

    def _note_left_out(self, found: Observations, time: int, now: int) -> None:
        left = found.features.left_out.astype(np.float64)
        if left.any():
            self.left_out.count(found.models, found.model, _at(len(found), time, now), left)
            for name in found.features.left_out_names:
                if self._is_new("left out", name):
                    log.warning("features_left_out", model=found.models[0][0], feature=name)

    def _not_learned(self, model: Model, feature: str) -> None:
        if self._is_new("not learned", feature):
            log.warning("features_not_learned", model=model[0], version=model[1], feature=feature)

    def _is_new(self, what: str, feature: str) -> bool:
        """Whether a name is to be logged: once, and not too many."""
        if len(self._named) >= MAX_MODELS * _NAMED or (what, feature) in self._named:
            return False
        self._named.add((what, feature))
        return True

    def _state(self, model: Model, time: int) -> ModelDrift | Learning | None:
        known = self.models.get(model) or self._learning.get(model)
        if known is not None:
            return known
        reference = self.library.find(model)
        if reference is not None:
            return self._begin(model, reference, time)
        if self._options.learn and len(self._learning) < MAX_LEARNING and self._has_room(model):
            self._learning[model] = Learning(model, self._options.learn, self._room())
            return self._learning[model]
        return None

    def _room(self) -> int:
        """Columns that there is room for."""
        used = sum(len(state.windows) for state in self.models.values())
        return max(0, self._options.max_features - used)

    def _has_room(self, model: Model) -> bool:
        if len(self.models) < MAX_MODELS and self._room():
            return True
        if not self._full:
            self._full = True
            log.warning("drift_models_left_out", model=model[0], version=model[1])
        return False

    def _begin(self, model: Model, reference: CompiledReference, time: int) -> ModelDrift | None:
        if not self._has_room(model):
            return None
        room = self._room()
        state = ModelDrift(model, reference, self._options, room, time)
        state.born = self._tick
        for role, name in list(reference.columns)[room:]:
            if self._is_new("not compared", name):
                log.warning("features_not_compared", model=model[0], version=model[1], feature=name, role=role)
        self.models[model] = state
        self._owned.begin(_owner(state), state)
        return state

    def _drop(self, model: Model) -> None:
        state = self.models.pop(model)
        self._owned.drop(_owner(state), state)

    def _refresh(self, again: bool) -> None:
        if self.checks.refresh(again):
            log.info("suites_loaded", suites=len(self.checks), invalid=len(self.checks.library.invalid))
        if not self.library.read(again):
            return
        log.info("references_loaded", references=len(self.library), invalid=len(self.library.invalid))
        for model, state in list(self.models.items()):
            found = self.library.find(model)
            if found is None or found.label != state.reference.label:
                self._drop(model)
        for model in [model for model in self._learning if self.library.find(model) is not None]:
            self._stop_learning(model)

    def _learned(self, model: Model, learning: Learning) -> None:
        """The first rows are a reference from now on."""
        data = learning.reference().dump().encode()
        self._stop_learning(model)
        # Of its text: what is made beside all columns as objects lies in pieces between them, and keeps their memory.
        reference = self.library.learned[model] = CompiledReference.read(data, learned=True)
        self._new[_LEARNED + pack_labels(model)] = zlib.compress(data)
        log.info("reference_learned", model=model[0], version=model[1], rows=reference.rows)

    def _stop_learning(self, model: Model) -> None:
        learning = self._learning.pop(model)
        base = _CHUNK + pack_labels(model)
        self._deleted |= {base + b"%08d" % n for n in range(learning.chunks())}

    def _read_references(self) -> list[tuple[float, Mapping[str, str]]]:
        library = self.library
        valid = len(library) - len(library.learned)
        states = {"loaded": valid, "learned": len(library.learned), "invalid": len(library.invalid)}
        return [(float(n), {"state": state}) for state, n in states.items()]

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((key, None) for key in self._deleted)
        self._deleted.clear()
        yield from self._new.items()
        self._new.clear()
        yield from self._owned.checkpoint((_owner(state), state) for state in self.models.values())
        for model, learning in self._learning.items():
            base = _CHUNK + pack_labels(model)
            yield from ((base + b"%08d" % number, value) for number, value in learning.checkpoint())

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept of references that are still in force; the keys that were of use."""
        used: set[bytes] = set()
        for key, value in state.items():
            if key.startswith(_LEARNED) and self._take_learned(key, value):
                used.add(key)
        for (label, model, version), base, own in self._owned.owners(state):
            if self._take_model(label, (model, version), own):
                used |= {base + key for key in own}
        chunks: dict[bytes, dict[bytes, bytes]] = {}
        for key, value in state.items():
            if key.startswith(_CHUNK):
                chunks.setdefault(key[:-8], {})[key] = value
        for base, parts in chunks.items():
            if self._take_chunks(base, parts):
                used |= set(parts)
        return used

    def _take_learned(self, key: bytes, value: bytes) -> bool:
        model = _model_of(key[len(_LEARNED) :])
        try:
            reference = CompiledReference.read(zlib.decompress(value), learned=True)
        except (zlib.error, InvalidFile):
            return False
        if model is None or not self._options.learn:
            return False
        self.library.learned[model] = reference
        return True

    def _take_model(self, label: str, model: Model, own: Mapping[bytes, bytes]) -> bool:
        reference = self.library.find(model)
        if reference is None or reference.label != label or not self._has_room(model):
            return False
        state = ModelDrift(model, reference, self._options, self._room(), 0)
        if not state.restore(own):
            return False
        self.models[model] = state
        return True

    def _take_chunks(self, base: bytes, parts: Mapping[bytes, bytes]) -> bool:
        model = _model_of(base[len(_CHUNK) :])
        if model is None or not self._options.learn or self.library.find(model) is not None:
            return False
        learning = Learning(model, self._options.learn, self._room())
        try:
            learning.restore([parts[key] for key in sorted(parts)])
        except ValueError:
            return False
        self._learning[model] = learning
        return True


def build(options: DriftOptions, context: DeriverContext) -> Sequence[Deriver[Sequence[Observations]]]:
    """The derivers, where there is something to compare with: of logs, and of spans where attributes are read."""
    if not options.active:
        return []
    deriver = DriftDeriver(options, context.budget, context.telemetry, context.events)
    return [deriver, SpanDeriver(deriver)] if options.attributes else [deriver]


def memory(options: DriftOptions, budget: Budget) -> int:
    """Bytes of windows, tables and of what is being learnt, at most, about."""
    if not options.active:
        return 0
    learnt = min(MAX_VALUES, options.learn * options.max_features) * 9 * MAX_LEARNING
    suites = options.max_expectations * EXPECTATION_BYTES if options.suites is not None else 0
    column = FEATURE_BYTES + options.lag * SUB_WINDOW_BYTES
    return options.max_features * column + learnt + suites + table_bytes(budget, 3)


def _owner(state: ModelDrift) -> Labels:
    return state.reference.label, *state.model


def _model_of(packed: bytes) -> Model | None:
    found = unpack_labels(packed)
    return (found[0], found[1]) if found is not None and len(found) == 2 else None


def _at(records: int, time: int, now: int) -> Arrival:
    return Arrival(np.array([records], np.int64), np.array([time], np.int64), now)
