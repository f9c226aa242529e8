"""Gives values to the expectations of their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.derive.drift.column_samples import PREDICTION, SCORE, Sample, column_label, rows_of
from sidecar.derive.drift.observations import Model, Observations
from sidecar.derive.quality.model_quality import Failure, ModelQuality
from sidecar.derive.quality.values import Values


def hold(
    found: Observations, samples: Sequence[tuple[int, Sample]], held: Mapping[int, ModelQuality]
) -> list[tuple[Model, Failure]]:
    """What is wrong with these values. `samples` and `held`: by row of `found.models`."""
    failures: list[tuple[Model, Failure]] = []
    rows = rows_of(found)
    seen: dict[tuple[int, str], int] = {}
    for code, sample in samples:
        quality = held.get(code)
        if quality is None:
            continue
        name = column_label(sample.role, sample.name)
        seen[code, name] = len(sample.kind)
        failures += [(found.models[code], failure) for failure in quality.add(name, _values(sample))]
    for code, quality in held.items():
        quality.see(0, int(rows.rows[code]))
        with_features = int(rows.with_features[code])
        if not rows.whole[code] or not with_features:
            continue
        for name in quality.columns:
            absent = with_features - seen.get((code, name), 0)
            if absent > 0 and name not in (PREDICTION, SCORE):
                failures += [(found.models[code], failure) for failure in quality.absent(name, absent)]
    return failures


def _values(sample: Sample) -> Values:
    if sample.counted is not None:
        return Values.counted(sample.counted)
    return Values(sample.kind, sample.number, sample.texts)
