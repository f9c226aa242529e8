"""What records say of predictions: one record as `PredictionRecord`, many as the columns of `PredictionColumns`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U32, U64, UNKNOWN_SERVICE
from sidecar.derive.series import Labels


@dataclass(slots=True)
class PredictionRecord:
    """What one record says of one model's predictions."""

    model: str
    version: str
    time: int
    rows: int = 0
    """Rows that are counted."""
    status: str = "ok"
    classes: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    stage: str = "inference"
    batch: int = 0
    """Rows of the call; 0 where it is no call of its own."""
    scores: F64 | Sequence[float] = ()
    values: F64 | Sequence[float] = ()
    service: str = ""
    """Empty where it is not known."""
    weight: float = 1.0
    """How many such records it stands for."""
    row_weight: float = 1.0
    """How many rows each score and value stands for."""
    loaded: bool = False


@dataclass(frozen=True, slots=True)
class Classes:
    """Pairs of a record and a class."""

    of: U32
    """Record."""
    name: U32
    """Index into `names`."""
    names: Sequence[str]
    rows: F64


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """Numbers in records."""

    of: U32
    """Record."""
    number: F64
    weight: F64
    """Rows that each stands for."""


@dataclass(frozen=True, slots=True)
class PredictionColumns:
    """What n records of some payloads say."""

    payload: U32
    """Index of each record's payload."""
    time: U64
    """Unix ns; 0 where it is not known."""
    group: U32
    groups: Sequence[Labels]
    """Distinct (service, model, version, status, stage)."""
    rows: F64
    """Predictions that are counted."""
    weight: F64
    """How many such calls each record stands for."""
    seconds: F64
    """NaN where it is not known."""
    batch: F64
    """Rows of the call; 0 where it is no call of its own."""
    loaded: npt.NDArray[np.bool_]
    classes: Classes
    scores: NumericColumn
    values: NumericColumn

    def __len__(self) -> int:
        return len(self.group)


def known_service(name: str) -> str:
    """A service's name as a label of a model; empty, which is no label, where it has none (SDKs then say
    `unknown_service:python`)."""
    return "" if name.partition(":")[0] == UNKNOWN_SERVICE else name


def columns_of(records: Sequence[PredictionRecord], payload: Sequence[int]) -> PredictionColumns:
    """The columns of these records. `payload`: index of the payload of each."""
    groups: dict[Labels, int] = {}
    names: dict[str, int] = {}
    group = [groups.setdefault((s.service, s.model, s.version, s.status, s.stage), len(groups)) for s in records]
    classes = [(at, name, n * s.weight) for at, s in enumerate(records) for name, n in s.classes.items()]
    return PredictionColumns(
        payload=np.array(payload, np.uint32),
        time=np.array([s.time for s in records], np.uint64),
        group=np.array(group, np.uint32),
        groups=list(groups),
        rows=np.array([s.rows * s.weight for s in records], np.float64),
        weight=np.array([s.weight for s in records], np.float64),
        seconds=np.array([math.nan if s.seconds is None else s.seconds for s in records], np.float64),
        batch=np.array([s.batch for s in records], np.float64),
        loaded=np.array([s.loaded for s in records], np.bool_),
        classes=Classes(
            np.array([at for at, _, _ in classes], np.uint32),
            np.array([names.setdefault(name, len(names)) for _, name, _ in classes], np.uint32),
            list(names),
            np.array([rows for _, _, rows in classes], np.float64),
        ),
        scores=_column([s.scores for s in records], records),
        values=_column([s.values for s in records], records),
    )


def _column(numbers: Sequence[F64 | Sequence[float]], records: Sequence[PredictionRecord]) -> NumericColumn:
    of = np.repeat(np.arange(len(records), dtype=np.uint32), [len(each) for each in numbers])
    flat = np.concatenate([np.zeros(0), *(np.asarray(each, np.float64) for each in numbers)])
    weights = np.array([s.weight * s.row_weight for s in records], np.float64)
    return NumericColumn(of, flat, weights[of])
