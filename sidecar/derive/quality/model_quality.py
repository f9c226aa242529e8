"""The state of one model's expectations: what its rows of the last sub-windows are, and what the last check said."""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sidecar.derive.quality.column_summary import Needs, Summary
from sidecar.derive.quality.expectations import Compiled, RowExpectation, WindowExpectation
from sidecar.derive.quality.row_rules import Null
from sidecar.derive.quality.values import Values
from sidecar.derive.quality.window_rules import ColumnCount, ColumnSet, Window

MAX_NAMES = 2000
"""Names of columns that are remembered."""
_OPEN, _CHECKED, _STEP = b"o", b"c", b"s"
_MAX_BYTES = 64 << 20

Failure = tuple[str, str, int]
"""(column, expectation, how often)."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one expectation at the last check."""

    met: bool | None
    """None: the window does not say."""
    unexpected: float | None = None
    """Share of unexpected values, of those that `mostly` is about."""
    observed: float | None = None
    undecided: int = 0
    """Values that are cut, and of which the rule does not know."""


@dataclass(slots=True)
class _Step:
    """The rows of one sub-window."""

    rows: int
    columns: dict[str, Summary]
    wrong: list[list[int]]
    """(unexpected, undecided) values of each expectation."""
    names: set[str]

    def merge(self, other: _Step, needs: Mapping[str, Needs]) -> None:
        """Add the rows of another one."""
        self.rows += other.rows
        for name, summary in other.columns.items():
            self.columns.setdefault(name, Summary(needs[name])).merge(summary)
        for own, more in zip(self.wrong, other.wrong, strict=True):
            own[0] += more[0]
            own[1] += more[1]
        self.names |= other.names


class ModelQuality:
    """Sub-windows and checks are numbered by the caller, from the times at which payloads were received: reading them
    again gives the same. Not thread-safe."""

    def __init__(self, expectations: Sequence[Compiled], sub_windows: int, sub_window: int, check: int) -> None:
        """`sub_window` and `check`: those of the first payload."""
        self.expectations = tuple(expectations)
        self.labels = _labels(expectations)
        """Of each expectation, distinct among those of a column."""
        self.results: dict[int, Result] = {}
        """By the place of the expectation."""
        self.sub_window, self.check, self.seen = sub_window, check, 0
        self._sub_windows = sub_windows
        self._needs: dict[str, Needs] = {}
        self._rules: dict[str, list[tuple[int, RowExpectation]]] = {}
        for place, one in enumerate(expectations):
            if one.column:
                self._needs.setdefault(one.column, Needs())
            if isinstance(one, RowExpectation):
                self._rules.setdefault(one.column, []).append((place, one))
            elif one.column:
                self._needs[one.column] |= one.rule.needs
        self._needs_names = any(
            isinstance(one, WindowExpectation) and isinstance(one.rule, (ColumnCount, ColumnSet))
            for one in expectations
        )
        self._open = self._step()
        self._ring: deque[tuple[int, bytes]] = deque()
        self._new: list[tuple[bytes, bytes | None]] = []
        self._dirty = True
        self._checked = False

    def _step(self) -> _Step:
        return _Step(0, {}, [[0, 0] for _ in self.expectations], set())

    def advance(self, sub_window: int, check: int) -> list[Failure]:
        """Go on to those of a payload that comes next; the expectations that a check on the way found not met."""
        failures: list[Failure] = []
        if check > self.check:
            failures = self._run_check()
            self.check = check
        if sub_window > self.sub_window:
            self._close()
            self.sub_window = sub_window
            while self._ring and self._ring[0][0] <= sub_window - self._sub_windows:
                number, _ = self._ring.popleft()
                self._new.append((_step_key(number), None))
        return failures

    def see(self, time: int, rows: int) -> None:
        """So many rows came, the last one at `time` (Unix ns)."""
        self.seen = max(self.seen, time)
        self._open.rows += rows
        self._dirty = True

    def add(self, column: str, values: Values, absent: int = 0) -> list[Failure]:
        """Values of a column, and rows that have no such column; those that an expectation of all values forbids."""
        if self._needs_names and len(values.kind) and len(self._open.names) < MAX_NAMES:
            self._open.names.add(column)
        needs = self._needs.get(column)
        if needs is None:
            return []
        summary = self._open.columns.get(column)
        if summary is None:
            summary = self._open.columns[column] = Summary(needs)
        summary.add(values, absent)
        self._dirty = True
        failures: list[Failure] = []
        for place, one in self._rules.get(column, ()):
            unexpected, undecided = _judged(one, values, absent)
            self._open.wrong[place][0] += unexpected
            self._open.wrong[place][1] += undecided
            if unexpected and one.mostly == 1:
                failures.append((column, self.labels[place], unexpected))
        return failures

    def absent(self, column: str, rows: int) -> list[Failure]:
        """So many rows have no such column at all."""
        nothing = Values(np.zeros(0, np.uint8), np.zeros(0), [])
        return self.add(column, nothing, rows)

    @property
    def columns(self) -> Iterable[str]:
        """That the expectations are about."""
        return self._needs

    def _run_check(self) -> list[Failure]:
        found = self._window()
        self._checked = True
        if not found.rows:
            self.results = {}
            return []
        there = {name: summary for name, summary in found.columns.items() if summary.elements > summary.absent}
        window = Window(found.rows, there, frozenset(found.names))
        self.results = {
            place: _row_result(one, window, *found.wrong[place])
            if isinstance(one, RowExpectation)
            else _window_result(one, window)
            for place, one in enumerate(self.expectations)
        }
        return [
            (one.column, self.labels[place], 1)
            for place, one in enumerate(self.expectations)
            if self.results[place].met is False and not (isinstance(one, RowExpectation) and one.mostly == 1)
        ]

    def _window(self) -> _Step:
        found = self._step()
        for _, packed in self._ring:
            step = self._unpacked(packed)
            if step is not None:
                found.merge(step, self._needs)
        found.merge(self._open, self._needs)
        return found

    def _close(self) -> None:
        if self._open.rows or self._open.columns:
            packed = _packed(self._open)
            self._ring.append((self.sub_window, packed))
            self._new.append((_step_key(self.sub_window), packed))
            self._open = self._step()
            self._dirty = True

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key below the model's own, value); None deletes."""
        yield from self._new
        self._new.clear()
        if self._dirty:
            self._dirty = False
            place = json.dumps([self.sub_window, self.check, self.seen]).encode()
            yield _OPEN, len(place).to_bytes(2, "little") + place + _packed(self._open)
        if self._checked:
            self._checked = False
            yield _CHECKED, json.dumps([[place, asdict(one)] for place, one in self.results.items()]).encode()

    def state_keys(self) -> Iterator[bytes]:
        """Keys below the model's own under which something may be kept."""
        yield from (_OPEN, _CHECKED)
        yield from (_step_key(number) for number, _ in self._ring)
        yield from (key for key, _ in self._new)

    def restore(self, state: Mapping[bytes, bytes]) -> bool:
        """Take over what `checkpoint` gave; False for what is not from there."""
        try:
            kept = state[_OPEN]
            end = 2 + int.from_bytes(kept[:2], "little")
            sub_window, check, seen = json.loads(kept[2:end])
            found = self._unpacked(kept[end:])
            steps = {int(key[1:]): value for key, value in state.items() if key[:1] == _STEP}
            results = {int(place): Result(**one) for place, one in json.loads(state.get(_CHECKED, b"[]"))}
        except (KeyError, TypeError, ValueError):
            return False
        whole = all(self._unpacked(packed) is not None for packed in steps.values())
        if found is None or not whole or not all(place < len(self.expectations) for place in results):
            return False
        self.sub_window, self.check, self.seen = int(sub_window), int(check), int(seen)
        self._open, self.results = found, results
        self._ring = deque(sorted(steps.items()))
        self._dirty = False
        return True

    def _unpacked(self, packed: bytes) -> _Step | None:
        try:
            unpacker = zlib.decompressobj()
            found = json.loads(unpacker.decompress(packed, _MAX_BYTES))
            columns = {name: Summary.unpacked(self._needs[name], summary) for name, summary in found["columns"].items()}
            wrong = [[int(unexpected), int(undecided)] for unexpected, undecided in found["wrong"]]
            step = _Step(int(found["rows"]), columns, wrong, set(found["names"]))
        except (zlib.error, KeyError, TypeError, ValueError):
            return None
        return step if len(wrong) == len(self.expectations) else None


def _judged(one: RowExpectation, values: Values, absent: int) -> tuple[int, int]:
    """(unexpected, undecided) values."""
    expected = one.rule.expected(values)
    if one.of_all:
        is_null = isinstance(one.rule, Null) and one.rule.wanted
        return values.rows_of(~expected) + (0 if is_null else absent), 0
    undecided = one.rule.undecided(values)
    wrong = ~(expected | values.missing)
    if undecided is None or not undecided.any():
        return values.rows_of(wrong), 0
    return values.rows_of(wrong & ~undecided), values.rows_of(undecided)


def _row_result(one: RowExpectation, window: Window, unexpected: int, undecided: int) -> Result:
    summary = window.columns.get(one.column)
    if summary is None:
        return Result(False)
    values = (summary.elements if one.of_all else summary.present) - undecided
    if not values:
        return Result(True, 0.0, None, undecided)
    return Result((values - unexpected) / values >= one.mostly, unexpected / values, None, undecided)


def _window_result(one: WindowExpectation, window: Window) -> Result:
    finding = one.rule.check(window)
    return Result(finding.met, None, finding.observed)


def _labels(expectations: Sequence[Compiled]) -> tuple[str, ...]:
    seen: dict[tuple[str, str], int] = {}
    found = []
    for one in expectations:
        key = one.column, one.name
        seen[key] = seen.get(key, 0) + 1
        found.append(one.name if seen[key] == 1 else f"{one.name} {seen[key]}")
    return tuple(found)


def _packed(step: _Step) -> bytes:
    columns: dict[str, Any] = {name: summary.packed() for name, summary in step.columns.items()}
    found = {"rows": step.rows, "columns": columns, "wrong": step.wrong, "names": sorted(step.names)}
    return zlib.compress(json.dumps(found).encode(), 1)


def _step_key(number: int) -> bytes:
    return _STEP + b"%020d" % number
