"""Which variant each unit was given, and which of them converted, in whatever order this comes.

A unit is a predicted row or a user. It has the first variant that it was shown, and converts once; what further
conversions are worth is added to its value. A conversion names its unit by the id of the prediction or the user. One
that names an experiment and a variant but no id is counted as it is, as an exposure without an id is.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping

import structlog

from sidecar.decode.predictions.experiment_records import Conversion, Exposure
from sidecar.decode.predictions.label_record import Label
from sidecar.decode.predictions.prediction_rows import Answer, class_set, class_text, id_text
from sidecar.derive.experiments.early_events import STORED_EVENTS, Event
from sidecar.derive.experiments.experiment import Experiment, Tests, Variant, design_of, unpack
from sidecar.derive.experiments.options import ExperimentOptions
from sidecar.derive.experiments.units import CONVERTED, LABELLED, Unit, Units
from sidecar.derive.series import OTHER
from sidecar.derive.waiting import Waiting

log = structlog.get_logger("sidecar.derive")

EXPOSED = ("kept", "anonymous", "repeated", "switched", "no_user", "refused", "evicted")
"""What becomes of exposures: `anonymous` has no id, and is counted; `switched` is of a user who has another variant
already; `refused` is beyond `max_experiments`, `max_variants` or `max_units`; `evicted` are units that had to be
forgotten before they converted."""
JOINED = ("joined", "anonymous", "repeated", "expired", "unanswered", "invalid_value", "no_unit", "orphan")
"""What becomes of conversions and labels: `unanswered` is a label of what no class was predicted for; `no_unit` names
nothing by which it could be joined; of an `orphan` no exposure came in time."""
_EXPERIMENT = b"experiments/e/"
_NOW = b"experiments/now"
_SECOND = 10**9
_NUMBERS = 1 << 24
_LARGEST = 1e100
"""Values beyond are no amounts; their squares would not be numbers."""
_ROWS = (1 << 32) - 1

Result = tuple[str, str]
"""(experiment, result)."""


class Assignments:
    """Times are Unix ns at which payloads were received. Not thread-safe."""

    def __init__(self, options: ExperimentOptions, tests: Tests) -> None:
        self._options = options
        self._tests = tests
        self._by_user = options.unit == "user"
        self._window = round(options.conversion_window)
        self.rows = Units(b"experiments/p/", options.max_units, self._window)
        self.users = Units(b"experiments/u/", options.max_units, round(options.experiment_ttl))
        self.waiting = Waiting(STORED_EVENTS, options.max_waiting, options.exposure_ttl)
        self.experiments: dict[str, Experiment] = {}
        self._salts: dict[str, int] = {}
        self._next = 0
        self.now = 0
        """The latest time so far."""
        self.counts: dict[str, Counter[tuple[str, ...]]] = {}
        self._clear_counts()
        self._touched: set[str] = set()
        """Experiments that something was added to since they were last looked at."""
        self._dirty: set[str] = set()
        self._deleted: set[bytes] = set()
        self._saved = 0
        self._full = False

    def _clear_counts(self) -> None:
        self.counts = {name: Counter() for name in ("exposures", "conversions", "labels", "exposed", "joined")}

    def taken(self) -> dict[str, Counter[tuple[str, ...]]]:
        """What was counted since the last call: table -> label values -> number."""
        found = self.counts
        self._clear_counts()
        return found

    @property
    def _seconds(self) -> int:
        return min(self.now // _SECOND, _ROWS)

    def advance(self, time: int) -> None:
        """Go on to the time of a payload that comes next."""
        self.now = max(self.now, time)
        self.rows.advance(self._seconds)
        self.users.advance(self._seconds)
        for event in self.waiting.expired(self.now):
            self.counts["joined"][event.experiment, "orphan"] += 1
        self.forget(self.now)

    def forget(self, now: int) -> None:
        """Experiments without an exposure for too long at `now`."""
        limit = now / _SECOND - self._options.experiment_ttl
        for name, experiment in list(self.experiments.items()):
            if experiment.seen < limit:
                del self.experiments[name], self._salts[name]
                self._dirty.discard(name)
                self._touched.discard(name)
                self._deleted.add(_key(experiment))

    def look(self) -> None:
        """Compare the variants of the experiments that something was added to."""
        for name in sorted(self._touched):
            self.experiments[name].look(design_of(self._options.designs, name), self._tests)
        self._dirty |= self._touched
        self._touched.clear()

    def exposed(self, found: Exposure) -> bool:
        """A variant was shown; whether it is one of those that are counted."""
        experiment = self._experiment(found.experiment)
        at = -1 if experiment is None else self._variant(experiment, found.variant)
        if experiment is None or at < 0:
            self.counts["exposed"][found.experiment if experiment else OTHER, "refused"] += 1
            return False
        experiment.seen = self._seconds
        self._touched.add(experiment.name)
        if self._by_user:
            self._shown_to_user(experiment, at, found)
        else:
            self._shown(experiment, at, found)
        return True

    def _experiment(self, name: str) -> Experiment | None:
        found = self.experiments.get(name)
        if found is None and len(self.experiments) < self._options.max_experiments:
            found = Experiment(self._next % _NUMBERS, name)
            self._next += 1
            self._enter(found)
        if found is None:
            self._left_out(name, "")
        return found

    def _enter(self, experiment: Experiment) -> None:
        self.experiments[experiment.name] = experiment
        self._salts[experiment.name] = _hash(f"{experiment.number}\0{experiment.name}")

    def _variant(self, experiment: Experiment, name: str) -> int:
        at = experiment.find(name)
        if at < 0 and len(experiment.variants) < self._options.max_variants:
            at = len(experiment.variants)
            experiment.variants.append(Variant(name))
        if at < 0:
            self._left_out(experiment.name, name)
        return at

    def _left_out(self, experiment: str, variant: str) -> None:
        if not self._full:
            self._full = True
            log.warning("experiment_left_out", experiment=experiment, variant=variant)

    def _shown(self, experiment: Experiment, at: int, found: Exposure) -> None:
        """A predicted row is the unit."""
        if found.predicted.repeats or not found.prediction:
            if found.prediction:
                self._complete(self.rows.find(self._of(experiment, _prediction(found.prediction))), found)
            else:
                self._count_exposures(experiment, at, found.rows)
            result = "repeated" if found.predicted.repeats else "anonymous"
            self.counts["exposed"][experiment.name, result] += max(found.rows, 1)
            return
        base = _prediction(found.prediction)
        known = self.rows.find(self._of(experiment, base))
        if known:
            self._complete(known, found)
            self.counts["exposed"][experiment.name, "repeated"] += found.rows
            return
        units = list(self._units(experiment, at, found, 0)) if found.rows or found.answers else []
        self._keep(units)
        self._count_exposures(experiment, at, max(found.rows, len(units)))
        self.counts["exposed"][experiment.name, "kept"] += max(found.rows, len(units))
        self._join_waiting(experiment, base)

    def _shown_to_user(self, experiment: Experiment, at: int, found: Exposure) -> None:
        if not found.user:
            self.counts["exposed"][experiment.name, "no_user"] += 1
            return
        base = _user(found.user)
        key = self._of(experiment, base)
        known = self.users.find(key)
        if known:
            same = self.users.cell(known[0]) & 0xFF == at
            self.counts["exposed"][experiment.name, "repeated" if same else "switched"] += 1
        elif self.users.full:
            self.counts["exposed"][experiment.name, "refused"] += 1
            return
        else:
            self.users.add([Unit(key, experiment.number << 8 | at)], self._seconds)
            self._count_exposures(experiment, at, 1)
            self.counts["exposed"][experiment.name, "kept"] += 1
            self._join_waiting(experiment, base)
        if found.prediction:
            of = _prediction(found.prediction)
            own = self.rows.find(self._of(experiment, of))
            if own:
                self._complete(own, found)
            else:
                self._keep(list(self._units(experiment, at, found, key)))
                self._join_waiting(experiment, of)

    def _count_exposures(self, experiment: Experiment, at: int, n: int) -> None:
        variant = experiment.variants[at]
        variant.exposures += n
        self.counts["exposures"][experiment.name, variant.name] += n

    def _keep(self, units: list[Unit]) -> None:
        for cell, n in self.rows.add(units, self._seconds).items():
            name = next((one.name for one in self.experiments.values() if one.number == cell >> 8), OTHER)
            self.counts["exposed"][name, "evicted"] += n

    def _units(self, experiment: Experiment, at: int, found: Exposure, link: int) -> Iterator[Unit]:
        """A unit for each row of which something is given; one where nothing is."""
        key = self._of(experiment, _prediction(found.prediction))
        model = _code(found.predicted.model)
        for n, answer in enumerate(found.answers or (Answer(),)):
            row = found.predicted.first + n * found.predicted.step
            if row <= _ROWS:
                yield Unit(key, experiment.number << 8 | at, row, _name(answer), model, link)

    def _complete(self, numbers: range, found: Exposure) -> None:
        """Give units the classes that the records they came by did not have."""
        classes = {found.predicted.first + n * found.predicted.step: one for n, one in enumerate(found.answers)}
        for number in numbers:
            answer = classes.get(self.rows.row(number))
            if answer is not None and answer.name is not None and not self.rows.name(number):
                self.rows.complete(number, _name(answer), _code(found.predicted.model))

    def converted(self, found: Conversion) -> None:
        """A conversion came."""
        value = found.value
        if value is not None and not (math.isfinite(value) and abs(value) <= _LARGEST):
            self.counts["joined"][found.experiment, "invalid_value"] += 1
            value = None
        base = self._base(found)
        event = Event(base or 0, self.now, False, found.experiment, found.row, value)
        if base is not None and self._join(event):
            return
        experiment = self.experiments.get(found.experiment)
        at = -1 if experiment is None else experiment.find(found.variant)
        if experiment is not None and at >= 0 and found.by_trace and not self._by_user:
            self._count_conversion(experiment, at, 0.0, value or 0.0, first=True)
            self.counts["joined"][experiment.name, "anonymous"] += 1
        elif base is None:
            self.counts["joined"][found.experiment, "no_unit"] += 1
        else:
            self._wait(event)

    def _base(self, found: Conversion) -> int | None:
        if self._by_user and found.user:
            return _user(found.user)
        return _prediction(found.prediction) if found.prediction else None

    def labelled(self, label: Label) -> None:
        """A label came."""
        names = class_set(label.value) if isinstance(label.value, tuple) else (class_text(label.value),)
        event = Event(
            _prediction(id_text(label.prediction)),
            self.now,
            True,
            row=label.row,
            name=_code(",".join(names)),
            model=_code(label.model),
            converts=not set(names).isdisjoint(self._options.conversion_labels),
        )
        if not self._join(event):
            self._wait(event)

    def _wait(self, event: Event) -> None:
        for orphan in self.waiting.add(event):
            self.counts["joined"][orphan.experiment, "orphan"] += 1

    def _join_waiting(self, experiment: Experiment, base: int) -> None:
        for number, event in self.waiting.of(base):
            if event.experiment in ("", experiment.name) and self._join_in(experiment, event):
                self.waiting.remove(number)

    def _join(self, event: Event) -> bool:
        """Join an event with its units in all experiments that it is about; whether there were any."""
        named = self.experiments.get(event.experiment)
        about = [named] if named else [] if event.experiment else list(self.experiments.values())
        joined = [self._join_in(experiment, event) for experiment in about]
        return any(joined)

    def _join_in(self, experiment: Experiment, event: Event) -> bool:
        key = self._of(experiment, event.base)
        if not event.is_label and (number := next(iter(self.users.find(key)), None)) is not None:
            result = self._convert(experiment, self.users, number, event.value)
        else:
            own = [number for number in self.rows.find(key) if self._is_meant(number, event)]
            if not own:
                return False
            if event.is_label:
                result = self._label(experiment, own, event)
            else:
                result = self._convert_row(experiment, own[0], event.value)
        self.counts["joined"][experiment.name, result] += 1
        self._touched.add(experiment.name)
        return True

    def _is_meant(self, number: int, event: Event) -> bool:
        return event.row in (None, self.rows.row(number)) and event.model in (0, self.rows.model(number))

    def _label(self, experiment: Experiment, numbers: list[int], event: Event) -> str:
        results = [self._label_row(experiment, number, event) for number in numbers]
        return next(result for result in ("joined", "repeated", "expired", "unanswered") if result in results)

    def _label_row(self, experiment: Experiment, number: int, event: Event) -> str:
        if self.rows.age(number, self._seconds) >= self._window:
            return "expired"
        if self.rows.has(number, LABELLED):
            return "repeated"
        name = self.rows.name(number)
        if name:
            variant = experiment.variants[self.rows.cell(number) & 0xFF]
            correct = name == event.name
            variant.labelled += 1
            variant.correct += correct
            self.counts["labels"][experiment.name, variant.name, "correct" if correct else "wrong"] += 1
        if name or event.converts:
            self.rows.mark(number, LABELLED)
        if event.converts:
            self._convert_row(experiment, number, None)
        return "joined" if name or event.converts else "unanswered"

    def _convert_row(self, experiment: Experiment, number: int, value: float | None) -> str:
        """The unit that a row is, or is of."""
        if not self._by_user:
            return self._convert(experiment, self.rows, number, value)
        user = self.users.find(self.rows.link(number))
        return self._convert(experiment, self.users, user[0], value) if user else "expired"

    def _convert(self, experiment: Experiment, units: Units, number: int, value: float | None) -> str:
        if units.age(number, self._seconds) >= self._window:
            return "expired"
        first = not units.has(number, CONVERTED)
        units.mark(number, CONVERTED)
        before, after = units.add_value(number, value or 0.0)
        self._count_conversion(experiment, units.cell(number) & 0xFF, before, after, first)
        return "joined" if first else "repeated"

    def _count_conversion(self, experiment: Experiment, at: int, before: float, after: float, first: bool) -> None:
        """A unit converted; `before` and `after`: what its conversions were worth."""
        variant = experiment.variants[at]
        self._touched.add(experiment.name)
        variant.value += after - before
        variant.squares += after * after - before * before
        if first:
            variant.conversions += 1
            self.counts["conversions"][experiment.name, variant.name] += 1

    def _of(self, experiment: Experiment, base: int) -> int:
        return base ^ self._salts[experiment.name]

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((key, None) for key in sorted(self._deleted))
        self._deleted.clear()
        yield from ((_key(self.experiments[name]), self.experiments[name].pack()) for name in sorted(self._dirty))
        self._dirty.clear()
        for part in (self.rows, self.users, self.waiting):
            yield from part.checkpoint()
        if self.now != self._saved:
            self._saved = self.now
            yield _NOW, self.now.to_bytes(8, "big") + self._next.to_bytes(8, "big")

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        used = set()
        if len(kept := state.get(_NOW, b"")) == 16:
            self.now = self._saved = int.from_bytes(kept[:8], "big")
            self._next = int.from_bytes(kept[8:], "big")
            used.add(_NOW)
        for key in sorted(key for key in state if key.startswith(_EXPERIMENT)):
            try:
                experiment = unpack(state[key])
            except (KeyError, TypeError, ValueError):
                log.warning("experiment_restarted", number=int.from_bytes(key[len(_EXPERIMENT) :], "big"))
                continue
            self._next = max(self._next, experiment.number + 1)
            self._enter(experiment)
            used.add(key)
        return used.union(*(part.restore(state) for part in (self.rows, self.users, self.waiting)))


def _prediction(id_: str) -> int:
    return _hash(f"p\0{id_}")


def _user(id_: str) -> int:
    return _hash(f"u\0{id_}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _name(answer: Answer) -> int:
    return 0 if answer.name is None else _code(answer.name)


def _code(text: str) -> int:
    """A class or a model as 32 bits; 0 for none."""
    return max(1, zlib.crc32(text.encode("utf-8", "replace"))) if text else 0


def _key(experiment: Experiment) -> bytes:
    return _EXPERIMENT + experiment.number.to_bytes(8, "big")
