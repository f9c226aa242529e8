"""Values of records added to the state of their models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sidecar.decode.predictions.feature_counter import FeatureCounter
from sidecar.derive.drift.column_samples import Sample
from sidecar.derive.drift.learning import Learning
from sidecar.derive.drift.model_drift import UNEXPECTED, Failure, ModelDrift
from sidecar.derive.drift.observations import Model, Observations
from sidecar.derive.series import Arrival


def add_features(
    found: Observations,
    wanted: Mapping[int, ModelDrift | Learning],
    counters: Mapping[int, FeatureCounter],
    arrival: Arrival,
) -> tuple[dict[int, int], list[tuple[Model, Failure]]]:
    """Count the values of features; (rows of each model, what is wrong with them)."""
    rows: dict[int, int] = {}
    failures: list[tuple[Model, Failure]] = []
    times = arrival.times[found.payload]
    for code, counter in counters.items():
        state = wanted[code]
        assert isinstance(state, ModelDrift)
        taken = (found.model == code).astype(np.uint8)
        taken[found.repeated] = 0
        counts = counter.count(found.features, taken)
        rows[code] = int(max(counts.values.max(initial=0), counts.others.max(initial=0)))
        wrong = state.add_features(counts, found.features.names, times)
        failures += [(found.models[code], failure) for failure in wrong]
    return rows, failures


def add_sample(state: ModelDrift, sample: Sample, time: int) -> list[Failure]:
    """Count values; what is wrong with them."""
    wrong = state.add(sample, time)
    if wrong is None:
        return [(sample.name, UNEXPECTED, len(sample.kind))] if sample.role == "feature" else []
    return wrong
