"""Patterns matched in time linear in the text, by a deterministic automaton, made as far as the texts need it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.decode.redaction.patterns import Assertion, Chars, Choice, Node, Repeat, Sequential

MAX_STATES = 2_000
"""Of the deterministic automaton; emptied past that."""


@dataclass(slots=True)
class _State:
    """A state of the nondeterministic automaton."""

    free: list[int] = field(default_factory=list)
    """States that are reached without a byte."""
    chars: frozenset[int] | None = None
    to: int = -1
    only: str = ""
    """`begin` or `end`: `free` holds there only."""


class Automaton:
    """Matches whole texts. `matches` makes states as it goes: not thread-safe."""

    def __init__(self, tree: Node) -> None:
        self._states: list[_State] = []
        self._start = self._add()
        self._end = self._build(tree, self._start)
        self._table: dict[tuple[frozenset[int], int], frozenset[int]] = {}

    def matches(self, text: bytes) -> bool:
        now = self._closure(frozenset((self._start,)), at_begin=True, at_end=not text)
        last = len(text) - 1
        for index, byte in enumerate(text):
            key = (now, byte if index < last else byte | 256)
            following = self._table.get(key)
            if following is None:
                moved = frozenset(s.to for s in map(self._states.__getitem__, now) if s.chars and byte in s.chars)
                following = self._closure(moved, at_begin=False, at_end=index == last)
                if len(self._table) > MAX_STATES:
                    self._table.clear()
                self._table[key] = following
            if not following:
                return False
            now = following
        return self._end in now

    def _closure(self, states: frozenset[int], at_begin: bool, at_end: bool) -> frozenset[int]:
        seen, waiting = set(states), list(states)
        while waiting:
            state = self._states[waiting.pop()]
            if (state.only == "begin" and not at_begin) or (state.only == "end" and not at_end):
                continue
            for to in state.free:
                if to not in seen:
                    seen.add(to)
                    waiting.append(to)
        return frozenset(seen)

    def _add(self) -> int:
        self._states.append(_State())
        return len(self._states) - 1

    def _build(self, node: Node, start: int) -> int:
        """Adds the states of a node behind `start`; gives its last one."""
        match node:
            case Chars(allowed):
                end = self._add()
                self._states[start].chars, self._states[start].to = allowed, end
                through = self._add()
                self._states[end].free.append(through)
                return through
            case Sequential(parts):
                for part in parts:
                    start = self._build(part, self._step(start))
                return start
            case Choice(parts):
                ends = [self._build(part, self._step(start)) for part in parts]
                end = self._add()
                for one in ends:
                    self._states[one].free.append(end)
                return end
            case Repeat(part, low, high, _):
                return self._repeat(part, low, high, start)
            case Assertion("word"):
                raise ValueError("\\b is not taken here")
            case Assertion(kind):
                end = self._add()
                self._states[start].free.append(end)
                self._states[start].only = kind
                return end
        raise AssertionError(node)

    def _repeat(self, part: Node, low: int, high: int | None, start: int) -> int:
        for _ in range(low):
            start = self._build(part, self._step(start))
        if high is None:
            loop = self._step(start)
            back = self._build(part, self._step(loop))
            self._states[back].free.append(loop)
            return self._step(loop)
        ends = [start]
        for _ in range(high - low):
            start = self._build(part, self._step(start))
            ends.append(start)
        last = self._add()
        for end in ends:
            self._states[end].free.append(last)
        return last

    def _step(self, start: int) -> int:
        to = self._add()
        self._states[start].free.append(to)
        return to
