"""A reference from a table, in two passes: the first finds the types and takes a sample, by which the cells are chosen;
the second counts every value. So tables of any size are read in the same memory."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.derive.drift.reference import CategoryColumn, NumberColumn, Reference, Role
from sidecar.derive.drift.reference_builder import CategoryBuilder, NumberBuilder, class_of
from sidecar.errors import SidecarError
from sidecar.profile.row_files import Chunk, Table, Values

ColumnKind = Literal["number", "category"]
KINDS: tuple[ColumnKind, ...] = ("number", "category")
SAMPLE_ROWS = 20_000
_SEED = 20_250_101
_NUMERIC_SHARE = 0.99
"""A column with fewer numbers is one of categories."""
_MOST_CLASSES = 50
"""Different whole numbers that are taken for classes, in a column of what was predicted or is true."""
_NAMED = 20
"""Columns that are named at the most."""
Builder = NumberBuilder | CategoryBuilder


class InvalidProfile(SidecarError):
    """A table cannot be profiled as asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    model: str = ""
    version: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Of columns that are no features."""
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    """Of columns whose kind is given."""
    left_out: frozenset[str] = frozenset()
    like: Reference | None = None
    """Take over its cells, so that the two can be merged and compared exactly."""


class _Sample:
    """A uniform sample of rows, and what types were seen."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(_SEED)
        self._keys: F64 = np.zeros(0)
        self._parts: dict[str, list[tuple[U8, F64]]] = {}
        self._waiting: list[F64] = []
        self._bound = 1.0
        self.numbers: dict[str, int] = {}
        self.others: dict[str, int] = {}

    def add(self, chunk: Chunk) -> None:
        """Rows of a chunk; those that are in the sample stay."""
        rows = max(map(len, chunk.values()), default=0)
        keys = self._random.random(rows)
        picked = keys < self._bound
        size = sum(map(len, self._waiting)) + len(self._keys)
        for name in chunk.keys() | self._parts.keys():
            values = chunk.get(name)
            if name not in self._parts:
                self._parts[name] = [_missing(size)] if size else []
            part = _missing(int(picked.sum())) if values is None else (values.kind[picked], values.number[picked])
            self._parts[name].append(part)
            if values is not None:
                numbers = int(np.count_nonzero(values.kind == FeatureKind.NUMBER))
                self.numbers[name] = self.numbers.get(name, 0) + numbers
                others = int(np.count_nonzero(values.kind != FeatureKind.MISSING)) - numbers
                self.others[name] = self.others.get(name, 0) + others
        self._waiting.append(keys[picked])
        if size + int(picked.sum()) > 2 * SAMPLE_ROWS:
            self._prune()

    def _prune(self) -> None:
        keys = np.concatenate([self._keys, *self._waiting])
        order = np.argsort(keys, kind="stable")[:SAMPLE_ROWS]
        self._keys, self._waiting = keys[order], []
        self._bound = float(self._keys[-1]) if len(order) == SAMPLE_ROWS else 1.0
        for name, parts in self._parts.items():
            kind, number = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
            self._parts[name] = [(kind[order], number[order])]

    def values(self, name: str) -> F64:
        """The numbers of one column in the sample."""
        parts = self._parts.get(name, [])
        return np.concatenate([np.zeros(0), *(number[kind == FeatureKind.NUMBER] for kind, number in parts)])

    def kind(self, name: str) -> ColumnKind:
        """Of numbers nearly only, or of categories."""
        numbers, others = self.numbers.get(name, 0), self.others.get(name, 0)
        return "number" if numbers >= _NUMERIC_SHARE * (numbers + others) else "category"


def _missing(rows: int) -> tuple[U8, F64]:
    return np.zeros(rows, np.uint8), np.zeros(rows)


def profile(table: Table, wanted: Wanted, progress: Callable[[int], None] = lambda _: None) -> Reference:
    """The reference of a table. `progress` is given the bytes that were read since its last call; all bytes are read
    twice. Raises UnreadableTable and InvalidProfile."""
    sample, names = _Sample(), dict[str, None]()
    not_there = set(wanted.left_out)
    for size, chunk in table.chunks():
        not_there -= chunk.keys()
        sample.add({name: values for name, values in chunk.items() if name not in wanted.left_out})
        names |= dict.fromkeys(name for name in chunk if name not in wanted.left_out)
        progress(size)
    if not names:
        raise InvalidProfile(f"{table.path}: no rows")
    unknown = sorted(not_there | (wanted.roles.keys() | wanted.kinds.keys()) - names.keys())
    if unknown:
        raise InvalidProfile(f"no column {unknown[0]!r} in {table.path}; {_meant(unknown[0], list(names))}")
    builders = {name: _builder(name, wanted, sample) for name in names}
    rows = 0
    calibrated = _calibrated(wanted, builders)
    categories = frozenset(name for name, builder in builders.items() if isinstance(builder, CategoryBuilder))
    for size, chunk in table.chunks(codes=categories):
        count = max(map(len, chunk.values()), default=0)
        absent = Values(*_missing(count), [])
        for name, builder in builders.items():
            values = chunk.get(name, absent)
            if isinstance(builder, NumberBuilder):
                builder.add(values.kind, values.number)
            else:
                builder.add(values.kind, values.number, values.texts)
        if calibrated is not None and all(name in chunk for name in calibrated[1:]):
            score, prediction, label = calibrated
            own = chunk[prediction], chunk[label]
            score.add_outcomes(chunk[score.name].kind, chunk[score.name].number, *map(_classes, own))
        rows += count
        progress(size)
    columns = tuple(builder.column() for builder in builders.values())
    return Reference(model=wanted.model, model_version=wanted.version, rows=rows, columns=columns)


def _meant(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}there are {named(names)}"


def named(names: list[str]) -> str:
    """Names of columns for a message: the first few, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _calibrated(wanted: Wanted, builders: Mapping[str, Builder]) -> tuple[NumberBuilder, str, str] | None:
    """The score, and the columns of prediction and label, where all are there and the score is a number."""
    by_role = {role: builders[name] for name, role in wanted.roles.items() if name in builders}
    score, prediction, label = (by_role.get(role) for role in ("score", "prediction", "label"))
    if not isinstance(score, NumberBuilder) or prediction is None or label is None:
        return None
    return score, prediction.name, label.name


def _classes(values: Values) -> list[str | None]:
    """Each value as the class that it stands for; None where there is none."""
    kinds, numbers = values.kind.tolist(), values.number.tolist()
    return [class_of(kind, number, values.texts) for kind, number in zip(kinds, numbers, strict=True)]


def _kind(name: str, role: Role, sample: _Sample) -> ColumnKind:
    """Of answers a few whole numbers are classes: a model that predicts them says so in its events."""
    kind = sample.kind(name)
    if kind == "category" or role not in ("prediction", "label"):
        return kind
    distinct = np.unique(sample.values(name))
    return "category" if len(distinct) <= _MOST_CLASSES and bool(np.all(distinct == np.floor(distinct))) else kind


def _builder(name: str, wanted: Wanted, sample: _Sample) -> Builder:
    role = wanted.roles.get(name, "feature")
    like: NumberColumn | CategoryColumn | None = wanted.like.column(name, role) if wanted.like else None
    kind = wanted.kinds.get(name) or (like.type if like else _kind(name, role, sample))
    if kind == "category" and role == "score":
        raise InvalidProfile(f"invalid score {name!r}: texts; expected a column of probabilities, 0 to 1")
    if kind == "category":
        return CategoryBuilder(name, role)
    if isinstance(like, NumberColumn):
        return NumberBuilder(name, role, edges=np.array(like.edges)).like(like.bins)
    return NumberBuilder(name, role, sample.values(name))
