"""Which label belongs to which prediction, in whatever order they come.

A label takes every row that it names: its id, and row, model and version where it says them. What it is counted as,
once, is the first of: `joined` (a row of it was open), `duplicate` (each has a label already: the first one stays),
`expired` (it waited longer than `label_ttl`), `invalid` (a text for a number, a set for one class). Without a row it
waits for one, and is an `orphan` where none comes. A prediction whose id, model and version are known already is a
duplicate, and not taken.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sidecar.decode.predictions.label_record import Label, Truth
from sidecar.decode.predictions.prediction_rows import Answer, PredictedRows, class_set, class_text, id_text
from sidecar.derive.outcomes.early_labels import STORED_LABELS, EarlyLabel
from sidecar.derive.outcomes.kinds import Kind
from sidecar.derive.outcomes.open_predictions import OpenPredictions, OpenRow
from sidecar.derive.waiting import Waiting

RESULTS = ("joined", "duplicate", "expired", "orphan", "invalid")
TAKEN = ("kept", "repeated", "duplicate", "refused", "evicted", "unanswered")
"""What becomes of predicted rows: `repeated` is what says itself that it completes others, as `predict_proba` after
`predict`; `refused` is what would be more kinds than are numbered, or of rows that are not
read one by one; `evicted` what had to go before its label; `unanswered` has neither class nor number."""
_SECOND = 10**9
_LAST = (1 << 32) - 1


class Outcome(NamedTuple):
    """One row with its label."""

    kind: Kind
    value: float
    """The predicted number, or the probability of the predicted class; NaN where it is not known."""
    time: int
    """When it was predicted, Unix seconds."""
    truth: str | float | tuple[str, ...]
    """The class, or the number or set of classes where such was predicted."""


class Joiner:
    """Times are Unix ns at which payloads were received. Not thread-safe."""

    def __init__(self, max_bytes: int, label_ttl: float, prediction_ttl: float, max_waiting: int) -> None:
        """`label_ttl`: seconds that a prediction waits for its label; `prediction_ttl`: a label for its prediction."""
        self.open = OpenPredictions(max_bytes, round(label_ttl))
        self.waiting = Waiting(STORED_LABELS, max_waiting, prediction_ttl)
        self.now = 0
        """The latest time so far, Unix ns."""
        self.outcomes: list[Outcome] = []
        """Since the last `taken`."""
        self.labels: Counter[tuple[str, str, str]] = Counter()
        """(model, version, result) -> labels, since the last `taken`."""
        self.predictions: Counter[tuple[str, str, str]] = Counter()

    @property
    def _seconds(self) -> int:
        return min(self.now // _SECOND, _LAST)

    def taken(self) -> tuple[list[Outcome], Counter[tuple[str, str, str]], Counter[tuple[str, str, str]]]:
        """(outcomes, labels, predictions) since the last call."""
        found = self.outcomes, self.labels, self.predictions
        self.outcomes, self.labels, self.predictions = [], Counter(), Counter()
        return found

    def advance(self, time: int) -> None:
        """Go on to the time of a payload that comes next."""
        self.now = max(self.now, time)
        self.open.advance(self._seconds)
        for label in self.waiting.expired(self.now):
            self._count(label, "orphan")

    def predicted(self, found: PredictedRows) -> None:
        """A prediction came."""
        about = found.model, found.version
        if found.left_out:
            self.predictions[(*about, "refused")] += found.left_out
        rows = list(_rows(found))
        if len(rows) < len(found.answers):
            self.predictions[(*about, "unanswered")] += len(found.answers) - len(rows)
        if not rows:
            return
        key = key_of(found.id)
        result = self._refused(key, found, {kind for kind, _, _ in rows})
        if result == "duplicate" and found.repeats:
            result = "repeated"
            self._complete(key, rows)
        if result:
            self.predictions[(*about, result)] += len(rows)
            return
        seconds = found.time // _SECOND
        time = seconds if 0 < seconds < self._seconds else self._seconds
        numbers, evicted = self.open.add(key, rows, time, self._seconds)
        self.predictions[(*about, "kept")] += len(rows)
        for model, n in evicted.items():
            self.predictions[(*model, "evicted")] += n
        added = [
            OpenRow(number, kind, value, time, self._seconds, False)
            for number, (kind, _, value) in zip(numbers, rows, strict=True)
        ]
        self._join_waiting(key, added, [row for _, row, _ in rows])

    def _refused(self, key: int, found: PredictedRows, kinds: set[Kind]) -> str:
        about = found.model, found.version
        for record in self.open.find(key, None):
            if any(row.kind[:2] == about and not self.open.is_expired(row, self._seconds) for row in record):
                return "duplicate"
        return "" if self.open.kinds.has_room(kinds) else "refused"

    def _complete(self, key: int, rows: list[tuple[Kind, int, float]]) -> None:
        """Give open rows the scores that their own record did not have."""
        for kind, place, value in rows:
            for row in (one for record in self.open.find(key, place) for one in record):
                if row.kind == kind and not row.joined and row.value != row.value:
                    self.open.complete(row.number, value)

    def _join_waiting(self, key: int, added: list[OpenRow], rows: list[int]) -> None:
        for number, label in self.waiting.of(key):
            places = [n for n, row in enumerate(rows) if label.row is None or label.row == row]
            result = self._join([added[n] for n in places], label)
            if result:
                self.waiting.remove(number)
            if result == "joined":
                for n in places:
                    added[n] = added[n]._replace(joined=True)

    def labelled(self, label: Label) -> None:
        """A label came."""
        given = EarlyLabel(
            key_of(id_text(label.prediction)), label.row, label.model, label.version, label.value, self.now
        )
        found = [row for record in self.open.find(given.key, given.row) for row in record]
        if not self._join(found, given):
            for orphan in self.waiting.add(given):
                self._count(orphan, "orphan")

    def _join(self, rows: list[OpenRow], label: EarlyLabel) -> str:
        """Join the label with what it names of these rows; what it is, empty where none of them is meant."""
        own = [row for row in rows if _names(label, row.kind)]
        if not own:
            return ""
        now = self._seconds
        open_ = [row for row in own if self.open.is_open(row, now)]
        pairs = [(row, truth) for row in open_ if (truth := _truth(row.kind, label.value)) is not None]
        for row, truth in pairs:
            self.open.join(row.number)
            self.outcomes.append(Outcome(row.kind, row.value, row.time, truth))
        if pairs:
            result = "joined"
        elif open_:
            result = "invalid"
        else:
            result = "duplicate" if any(row.joined for row in own) else "expired"
        self.labels[(*(pairs[0][0] if pairs else own[-1]).kind[:2], result)] += 1
        return result

    def _count(self, label: EarlyLabel, result: str) -> None:
        self.labels[(label.model, label.version, result)] += 1

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from self.open.checkpoint()
        yield from self.waiting.checkpoint()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        return self.open.restore(state) | self.waiting.restore(state)


def key_of(id_: str) -> int:
    """An id as 64 bits: of five million ids another one is met by one label in 3.7e12."""
    return int.from_bytes(hashlib.blake2b(id_.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _rows(found: PredictedRows) -> Iterator[tuple[Kind, int, float]]:
    for n, answer in enumerate(found.answers):
        row = found.first + n * found.step
        if answer.classes is not None and row <= _LAST:
            yield Kind(found.model, found.version, None, answer.classes), row, math.nan
        elif answer.name is not None and row <= _LAST:
            yield Kind(found.model, found.version, answer.name), row, answer.score
        elif _is_number(answer) and row <= _LAST:
            yield Kind(found.model, found.version, None), row, answer.value


def _is_number(answer: Answer) -> bool:
    return answer.value == answer.value


def _names(label: EarlyLabel, kind: Kind) -> bool:
    return label.model in ("", kind.model) and label.version in ("", kind.version)


def _truth(kind: Kind, value: Truth) -> str | float | tuple[str, ...] | None:
    """The truth as what was predicted: a class, a number or a set of classes, for which one class is a set of one; None
    for a text where a number was, and for a set where none was."""
    if kind.classes is not None:
        return class_set(value if isinstance(value, tuple) else (value,))
    if isinstance(value, tuple):
        return None
    if kind.name is not None:
        return class_text(value)
    return None if isinstance(value, str) else float(value)
