"""The joined rows of one model, by the time at which they were predicted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from sidecar.derive.outcomes.joiner import Outcome
from sidecar.derive.outcomes.label_sets import MAX_LABELS
from sidecar.derive.outcomes.options import step_of
from sidecar.derive.outcomes.tally import MAX_CODE, Tally
from sidecar.derive.series import OTHER

Model = tuple[str, str]
"""(name, version)."""


class _Codes:
    """Names by numbers from 0 on, in the order in which they come; `limit` of them, and that number for all others."""

    def __init__(self, limit: int) -> None:
        self._codes: dict[str, int] = {}
        self._limit = limit
        self.new = False
        """A name has come since this was last set to False."""

    @property
    def names(self) -> list[str]:
        """By their codes."""
        return list(self._codes)

    def of(self, name: str) -> int:
        """The name's code."""
        if name not in self._codes and len(self._codes) < self._limit:
            self._codes[name] = len(self._codes)
            self.new = True
        return self._codes.get(name, self._limit)

    def restore(self, names: object) -> None:
        """Take over what `names` gave. Raises ValueError for what it never gives."""
        if not isinstance(names, list) or len(names) > self._limit or not all(isinstance(name, str) for name in names):
            raise ValueError("not outcomes of a model")
        self._codes = {name: code for code, name in enumerate(names)}


class ModelOutcomes:
    """Times are Unix seconds. Not thread-safe."""

    def __init__(self, windows: Sequence[float], seen: int) -> None:
        """`seen`: time of the latest payload."""
        self._longest = {step: max(int(w) for w in windows if step_of(w) == step) for step in map(step_of, windows)}
        self._steps: dict[tuple[int, int], Tally] = {}
        """(seconds of the step, number of the step) -> what was predicted in it."""
        self._classes = _Codes(MAX_CODE)
        self._labels = _Codes(MAX_LABELS)
        """Of sets."""
        self._additions = 0
        self._sums: dict[float, tuple[int, int, Tally]] = {}
        """Window -> (last step, additions until then, sum of its steps): a scrape adds up only what has changed."""
        self.seen = seen
        """Time of the latest label."""
        self._changed: set[tuple[int, int]] = set()
        self._gone: set[tuple[int, int]] = set()
        self._new = True

    @property
    def names(self) -> list[str]:
        """Classes by their codes."""
        own = self._classes.names
        return own if len(own) < MAX_CODE else [*own, OTHER]

    @property
    def labels(self) -> list[str]:
        """Classes of sets by their codes."""
        return self._labels.names

    @property
    def idle(self) -> bool:
        """There is nothing in any window."""
        return not self._steps

    def add(self, outcome: Outcome, now: int) -> None:
        """One joined row."""
        self.seen, self._new = now, True
        self._additions += 1
        for step, longest in self._longest.items():
            number = outcome.time // step
            if number <= now // step - longest // step:
                continue
            tally = self._steps.setdefault((step, number), Tally())
            self._changed.add((step, number))
            self._gone.discard((step, number))
            if outcome.kind.classes is not None:
                assert isinstance(outcome.truth, tuple)
                self._add_set(tally, outcome.kind.classes, outcome.truth)
            elif outcome.kind.name is None:
                assert not isinstance(outcome.truth, tuple)
                tally.add_number(outcome.value, float(outcome.truth))
            else:
                self._add_class(tally, outcome.kind.name, str(outcome.truth), outcome.value)

    def _add_class(self, tally: Tally, predicted: str, actual: str, score: float) -> None:
        tally.add_class(self._classes.of(predicted), self._classes.of(actual), predicted == actual, score)

    def _add_set(self, tally: Tally, predicted: tuple[str, ...], actual: tuple[str, ...]) -> None:
        hits = set(predicted) & set(actual)
        coded = [[self._labels.of(name) for name in names] for names in (predicted, actual, hits)]
        tally.sets.add(coded[0], coded[1], coded[2], predicted == actual)

    def advance(self, now: int) -> None:
        """Forget what is in no window any more."""
        for step, number in list(self._steps):
            if number <= now // step - self._longest[step] // step:
                del self._steps[step, number]
                self._changed.discard((step, number))
                self._gone.add((step, number))

    def window(self, seconds: float, now: int) -> Tally:
        """What was predicted in the window that ends `now`: the step at hand and those before it."""
        step = step_of(seconds)
        last = now // step
        known = self._sums.get(seconds)
        if known is not None and known[:2] == (last, self._additions):
            return known[2]
        found = Tally()
        for (size, number), tally in self._steps.items():
            if size == step and last - int(seconds) // step < number <= last:
                found.plus(tally)
        self._sums[seconds] = last, self._additions, found
        return found

    def state_keys(self) -> Iterator[bytes]:
        """Keys below the model's own under which something may be kept."""
        yield from (b"c", b"s")
        yield from map(_key, self._steps.keys() | self._gone)

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, below the model's own key; None deletes."""
        if self._new:
            self._new = False
            yield b"c", json.dumps([self.seen, *self._classes.names]).encode()
        if self._labels.new:
            self._labels.new = False
            yield b"s", json.dumps(self.labels).encode()
        yield from ((_key(step), None) for step in sorted(self._gone))
        yield from ((_key(step), self._steps[step].pack()) for step in sorted(self._changed))
        self._gone.clear()
        self._changed.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use. Raises ValueError for what is not from here."""
        seen, *names = json.loads(state.get(b"c", b"[0]"))
        if not isinstance(seen, int):
            raise ValueError("not outcomes of a model")
        self._classes.restore(names)
        self._labels.restore(json.loads(state.get(b"s", b"[]")))
        self.seen, self._new = seen, False
        used = {b"c", b"s"}
        for key, value in state.items():
            if len(key) == 13 and key[:1] == b"t":
                step, number = int.from_bytes(key[1:5], "big"), int.from_bytes(key[5:], "big")
                if step in self._longest:
                    self._steps[step, number] = Tally.unpack(value)
                    used.add(key)
        return used


def _key(step: tuple[int, int]) -> bytes:
    return b"t" + step[0].to_bytes(4, "big") + step[1].to_bytes(8, "big")
