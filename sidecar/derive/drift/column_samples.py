"""The values of one model that belong to one column, gathered from all records."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.derive.drift.observations import Observations
from sidecar.derive.drift.reference import Role
from sidecar.derive.series import I64

PREDICTION = "prediction"
SCORE = "score"


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one column, or rows of each category."""

    name: str
    role: Role
    kind: U8
    number: F64
    texts: list[str]
    counted: dict[str, int] | None = None
    """Rows of each class; then there are no values."""
    last: int = -1
    """Record of the last value that is not missing; -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of each of the models of some records, by the longest column of each record."""

    rows: I64
    with_features: I64
    """Of records that have features."""
    whole: npt.NDArray[np.bool_]
    """No feature of the model was left out."""


def column_label(role: Role, name: str) -> str:
    """A column's name as the label `feature`."""
    if role != "feature":
        return role
    return f"{name} (feature)" if name in (PREDICTION, SCORE) else name


def rows_of(found: Observations) -> Rows:
    """Records that repeat another one are not counted."""
    columns, models = found.features, len(found.models)
    lengths = np.diff(columns.ends, prepend=np.uint32(0)).astype(np.int64)
    of_features = np.zeros(len(found), np.int64)
    np.maximum.at(of_features, columns.event, lengths)
    rows = of_features.copy()
    for of, weights in ((found.value_of, None), (found.score_of, None), (found.class_of, found.class_rows)):
        if len(of):
            np.maximum(rows, np.bincount(of, weights, len(found)).astype(np.int64), out=rows)
    of_features[found.repeated] = rows[found.repeated] = 0
    left_out = np.bincount(found.model, columns.left_out, models)
    return Rows(
        np.bincount(found.model, rows, models).astype(np.int64),
        np.bincount(found.model, of_features, models).astype(np.int64),
        left_out == 0,
    )


def features(found: Observations, models: Collection[int]) -> Iterator[tuple[int, Sample]]:
    """(row of `found.models`, values of one feature) of these models, in one order whatever the records were."""
    columns = found.features
    if not models or not len(columns.event):
        return
    keys = found.model[columns.event].astype(np.int64) * len(columns.names) + columns.name
    lengths = np.diff(columns.ends, prepend=np.uint32(0)).astype(np.int64)
    starts = columns.ends.astype(np.int64) - lengths
    left = np.ones(len(keys), np.bool_)
    left[np.isin(columns.event, found.repeated)] = False
    if len(models) < len(found.models):
        left &= np.isin(found.model, list(models))[columns.event]
    picked = np.flatnonzero(left)
    wanted = keys[picked]
    # A stable sort of 16 bits is one by digits, many times as fast.
    order = picked[np.argsort(wanted.astype(np.uint16) if wanted.max(initial=0) < 1 << 16 else wanted, kind="stable")]
    if not len(order):
        return
    begins = np.cumsum(lengths[order]) - lengths[order]
    places = np.repeat(starts[order] - begins, lengths[order]) + np.arange(int(lengths[order].sum()))
    kind, number = columns.kind[places], columns.number[places]
    changes = np.flatnonzero(np.diff(keys[order], prepend=-1))
    bounds = [*begins[changes].tolist(), len(places)]
    for at, key in enumerate(keys[order][changes].tolist()):
        model, name = divmod(key, len(columns.names))
        within = slice(bounds[at], bounds[at + 1])
        own = kind[within]
        if not len(own):
            continue
        column = int(np.searchsorted(begins, bounds[at] + _last_present(own), side="right")) - 1
        last = int(columns.event[order[column]]) if own.any() else -1
        yield model, Sample(columns.names[name], "feature", own, number[within], columns.texts, None, last)


def _last_present(kind: U8) -> int:
    """Place of the last value that is not missing; 0 where there is none."""
    if kind[-1:].any():  # MISSING is 0.
        return len(kind) - 1
    present = np.flatnonzero(kind)
    return int(present[-1]) if len(present) else 0


def answers(found: Observations) -> Iterator[tuple[int, Sample]]:
    """The same of predictions and scores."""
    for of, number, role in ((found.value_of, found.value, PREDICTION), (found.score_of, found.score, SCORE)):
        model = found.model[of]
        for code in np.unique(model).tolist():
            own = number[model == code]
            kind = np.full(len(own), FeatureKind.NUMBER, np.uint8)
            last = int(of[model == code][-1])
            yield code, Sample(role, "score" if role == SCORE else "prediction", kind, own, [], None, last)
    model = found.model[found.class_of]
    for code in np.unique(model).tolist():
        own_pairs = np.flatnonzero(model == code)
        counted: dict[str, int] = {}
        names, rows = found.class_name[own_pairs].tolist(), found.class_rows[own_pairs].tolist()
        for name, count in zip(names, rows, strict=True):
            text = found.class_names[name][:64]
            counted[text] = counted.get(text, 0) + count
        empty = np.zeros(0)
        last = int(found.class_of[own_pairs[-1]])
        yield code, Sample(PREDICTION, "prediction", empty.astype(np.uint8), empty, [], counted, last)
