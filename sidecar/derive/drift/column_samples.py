"""The values of one model that belong to one column, gathered from all records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.derive.drift.observations import Observations
from sidecar.derive.drift.reference import Role

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


def features(found: Observations) -> Iterator[tuple[int, Sample]]:
    """(row of `found.models`, values of one feature), in one order whatever the records were."""
    columns = found.features
    if not len(columns.event):
        return
    keys = found.model[columns.event].astype(np.int64) * len(columns.names) + columns.name
    lengths = np.diff(columns.ends, prepend=np.uint32(0)).astype(np.int64)
    starts = columns.ends.astype(np.int64) - lengths
    left = np.ones(len(keys), np.bool_)
    left[np.isin(columns.event, found.repeated)] = False
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
        yield model, Sample(columns.names[name], "feature", kind[within], number[within], columns.texts)


def answers(found: Observations) -> Iterator[tuple[int, Sample]]:
    """The same of predictions and scores."""
    for of, number, role in ((found.value_of, found.value, PREDICTION), (found.score_of, found.score, SCORE)):
        model = found.model[of]
        for code in np.unique(model).tolist():
            own = number[model == code]
            kind = np.full(len(own), FeatureKind.NUMBER, np.uint8)
            yield code, Sample(role, "score" if role == SCORE else "prediction", kind, own, [])
    model = found.model[found.class_of]
    for code in np.unique(model).tolist():
        own_pairs = np.flatnonzero(model == code)
        counted: dict[str, int] = {}
        names, rows = found.class_name[own_pairs].tolist(), found.class_rows[own_pairs].tolist()
        for name, count in zip(names, rows, strict=True):
            text = found.class_names[name][:64]
            counted[text] = counted.get(text, 0) + count
        empty = np.zeros(0)
        yield code, Sample(PREDICTION, "prediction", empty.astype(np.uint8), empty, [], counted)
