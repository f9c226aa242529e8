"""Labels joined with the predictions of a time, in memory that depends on the labels alone.

Labels are read twice: first their ids, as hashes; then the predictions, of which those stay that a label names; then
the labels again, in the order in which they came. The join itself and what is added up are those of `derive.outcomes`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sidecar.decode.predictions.prediction_rows import PredictedRows, id_text
from sidecar.derive.outcomes.joiner import Joiner, Outcome, key_of
from sidecar.derive.outcomes.model_outcomes import Model, ModelOutcomes
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.errors import SidecarError
from sidecar.outcomes.label_sources import Labels, LabelSource

U64 = npt.NDArray[np.uint64]
_KEY_BYTES = 8
_FOREVER = 366 * 86_400
"""Seconds; longer than predictions are looked for. A label that is in the engine is never too late."""
_SECOND = 10**9
Result = tuple[str, str, str]
"""(model, version, what became of it)."""


class TooMuch(SidecarError):
    """What is to be joined does not fit into memory; the message says what to do."""


@dataclass(slots=True)
class Joined:
    """What came of it."""

    models: dict[Model, ModelOutcomes] = field(default_factory=dict)
    rows: Counter[Model] = field(default_factory=Counter)
    """Predicted rows that were read."""
    predictions: Counter[Result] = field(default_factory=Counter)
    """Rows that a label names, by `joiner.TAKEN`."""
    labels: Counter[Result] = field(default_factory=Counter)
    """By `joiner.RESULTS`."""
    invalid: Labels = field(default_factory=Labels)
    left_out: set[Model] = field(default_factory=set)
    """Models beyond `max_models`, which have no figures."""


def join(
    labels: LabelSource, predictions: Iterable[Sequence[PredictedRows]], options: OutcomeOptions, now: int
) -> Joined:
    """`predictions`: in order of time. `now`: Unix seconds at which windows end. Raises `TooMuch`, and what the sources
    raise."""
    keys = _keys(labels, options.max_bytes)
    joiner = Joiner(options.max_bytes - keys.nbytes, _FOREVER, _FOREVER, 1)
    joiner.advance(now * _SECOND)
    found = Joined()
    for part in predictions:
        _predicted(part, keys, joiner, found)
        _check(joiner, options)
    for labelled in labels.read(found.invalid):
        for label in labelled:
            joiner.labelled(label)
        _take(joiner, options, now, found)
    joiner.advance((now + 2 * _FOREVER) * _SECOND)  # No prediction comes for what still waits.
    _take(joiner, options, now, found)
    return found


def _keys(labels: LabelSource, max_bytes: int) -> U64:
    """Keys of the ids that labels name, ascending, each once."""
    keys, known = array("Q"), np.zeros(0, np.uint64)
    for part in labels.read(Labels()):
        keys.extend(key_of(id_text(label.prediction)) for label in part)
        if len(keys) * _KEY_BYTES > max_bytes // 8:
            keys, known = array("Q"), _merged(known, keys)
            if known.nbytes > max_bytes // 2:
                raise TooMuch(
                    f"labels name more than {len(known)} predictions; expected at most half of "
                    f"derive.outcomes.max_bytes ({max_bytes}) at {_KEY_BYTES} bytes each"
                )
    return _merged(known, keys)


def _merged(known: U64, keys: array[int]) -> U64:
    return np.unique(np.concatenate((known, np.frombuffer(keys, np.uint64))))


def _predicted(part: Sequence[PredictedRows], keys: U64, joiner: Joiner, found: Joined) -> None:
    for prediction in part:
        found.rows[prediction.model, prediction.version] += len(prediction.answers) + prediction.left_out
    if not len(keys) or not part:
        return
    own = np.array([key_of(prediction.id) for prediction in part], np.uint64)
    places = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
    for n in np.flatnonzero(keys[places] == own).tolist():
        joiner.predicted(part[n])


def _check(joiner: Joiner, options: OutcomeOptions) -> None:
    if any(result == "evicted" for _, _, result in joiner.predictions):
        raise TooMuch(
            f"more than {len(joiner.open)} predicted rows have a label; expected at most what "
            f"derive.outcomes.max_bytes ({options.max_bytes}) holds: set it higher, or derive.outcomes.windows shorter"
        )


def _take(joiner: Joiner, options: OutcomeOptions, now: int, found: Joined) -> None:
    outcomes, labels, predictions = joiner.taken()
    found.labels += labels
    found.predictions += predictions
    for outcome in outcomes:
        _add(outcome, options, now, found)


def _add(outcome: Outcome, options: OutcomeOptions, now: int, found: Joined) -> None:
    model = outcome.kind.model, outcome.kind.version
    state = found.models.get(model)
    if state is None:
        if len(found.models) >= options.max_models:
            found.left_out.add(model)
            return
        state = found.models[model] = ModelOutcomes(options.windows, now)
    state.add(outcome, now)
