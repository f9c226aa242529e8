"""What is added up of joined rows: whole numbers and exact sums, so that it does not depend on their order."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.derive.fixed_point import MAX_VALUE
from sidecar.derive.outcomes.label_sets import SetTally
from sidecar.derive.series import I64
from sidecar.derive.sums import exact, pack_total, unpack_total

BINS = 200
"""Bins of the probability of the predicted class, evenly spaced in its logit, so that probabilities near 0 and 1, which
rare classes have, are told apart too."""
_LOGIT = 12.0
CALIBRATION_BINS = 10
"""Of equal width."""
SLOTS = 3
"""Of the bins: the first class of a model, the second one, all others."""
MAX_CODE = 20
"""Code of all classes beyond so many."""
_EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept so far away from 0 and 1 in the log loss, as scikit-learn has it."""
_SPLITTER = 134217729.0

TALLY_BYTES = 14_000
"""What one takes at most, about; without scores a third of it."""
SCORE_SUMS = ("log_loss", "brier")
VALUE_SUMS = ("error", "absolute", "squared", "relative", "actual", "actual_squared")


class Tally:
    """Joined rows of one model and some time. Not thread-safe."""

    def __init__(self) -> None:
        self.matrix: I64 = np.zeros((0, 0), np.int64)
        """Rows by code of the predicted and of the actual class."""
        self.correct = 0
        """Rows of the matrix whose classes are equal; those of classes without a code of their own are known here."""
        self.bins: npt.NDArray[Any] = np.zeros((0, 2, BINS), np.int32)
        """Rows with a score by slot of the predicted class, whether it is the actual one, and bin; empty or SLOTS."""
        self.calibration: I64 = np.zeros((2, CALIBRATION_BINS), np.int64)
        """Rows with a score, and those of them that are correct, by bin of the score."""
        self.scores = [0] * CALIBRATION_BINS
        """Exact sums of the scores of these bins."""
        self.score_sums = dict.fromkeys(SCORE_SUMS, 0)
        """Exact sums over rows with a score."""
        self.numbers = 0
        """Rows of predicted numbers."""
        self.nonzero = 0
        """Those of them whose actual number is not 0."""
        self.value_sums = dict.fromkeys(VALUE_SUMS, 0)
        """Exact sums over rows of predicted numbers; `relative` over those whose actual number is not 0."""
        self.sets = SetTally()
        """Rows of predicted sets of classes."""

    @property
    def rows(self) -> int:
        """All joined rows."""
        return self.classified + self.numbers + self.sets.rows

    @property
    def classified(self) -> int:
        """Rows of predicted classes."""
        return int(self.matrix.sum())

    @property
    def scored(self) -> int:
        """Rows with a score."""
        return int(self.calibration[0].sum())

    def add_class(self, predicted: int, actual: int, correct: bool, score: float) -> None:
        """One row with the codes of its classes. `score`: probability of the predicted class, or NaN."""
        self._reserve(max(predicted, actual) + 1)
        self.matrix[predicted, actual] += 1
        self.correct += correct
        if math.isnan(score):
            return
        if not len(self.bins):
            self.bins = np.zeros((SLOTS, 2, BINS), np.int32)
        self.bins[min(predicted, SLOTS - 1), int(correct), bin_of(score)] += 1
        at = min(int(score * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        self.calibration[0, at] += 1
        self.calibration[1, at] += correct
        self.scores[at] += exact(score)
        probability = score if correct else 1 - score
        self.score_sums["log_loss"] += exact(-math.log(min(max(probability, _EPSILON), 1 - _EPSILON)))
        self.score_sums["brier"] += exact((1 - probability) ** 2)

    def add_number(self, predicted: float, actual: float) -> bool:
        """One row of numbers; False where either is beyond what can be added up."""
        if not (abs(predicted) < MAX_VALUE and abs(actual) < MAX_VALUE):
            return False
        error = predicted - actual
        self.numbers += 1
        sums = self.value_sums
        sums["error"] += exact(error)
        sums["absolute"] += exact(abs(error))
        sums["squared"] += exact(error * error)
        if actual:
            relative = abs(error / actual)
            if math.isfinite(relative):
                self.nonzero += 1
                sums["relative"] += exact(relative)
        sums["actual"] += exact(actual)
        high, low = square(actual)
        sums["actual_squared"] += exact(high) + exact(low)
        return True

    def plus(self, other: Tally) -> None:
        """Add another one."""
        self._reserve(len(other.matrix))
        size = len(other.matrix)
        self.matrix[:size, :size] += other.matrix
        self.correct += other.correct
        if len(other.bins):
            self.bins = other.bins.astype(np.int64) + (self.bins if len(self.bins) else 0)
        self.calibration += other.calibration
        self.scores = [a + b for a, b in zip(self.scores, other.scores, strict=True)]
        self.numbers += other.numbers
        self.nonzero += other.nonzero
        self.sets.plus(other.sets)
        for sums, more in ((self.score_sums, other.score_sums), (self.value_sums, other.value_sums)):
            for name, total in more.items():
                sums[name] += total

    def _reserve(self, size: int) -> None:
        if size > len(self.matrix):
            grown = np.zeros((size, size), np.int64)
            grown[: len(self.matrix), : len(self.matrix)] = self.matrix
            self.matrix = grown

    def pack(self) -> bytes:
        """As bytes."""
        whole = [self.correct, self.numbers, self.nonzero]
        totals = [*self.scores, *self.score_sums.values(), *self.value_sums.values()]
        found = {
            "matrix": self.matrix.tolist(),
            "bins": [[at, n] for at, n in enumerate(self.bins.reshape(-1).tolist()) if n],
            "calibration": self.calibration.tolist(),
            "whole": whole,
            "sets": self.sets.packed(),
            "totals": [pack_total(total).hex() for total in totals],
        }
        return zlib.compress(json.dumps(found, separators=(",", ":")).encode(), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> Tally:
        """What `pack` gave. Raises ValueError for anything else."""
        try:
            found = json.loads(zlib.decompress(packed))
            own = cls()
            size = len(found["matrix"])
            own.matrix = np.array(found["matrix"], np.int64).reshape(size, size)
            if found["bins"]:
                own.bins = np.zeros((SLOTS, 2, BINS), np.int32)
                for at, n in found["bins"]:
                    own.bins.reshape(-1)[at] = n
            own.calibration = np.array(found["calibration"], np.int64).reshape(2, CALIBRATION_BINS)
            if "sets" in found:  # Not in what a former version of the program has kept.
                own.sets = SetTally.unpacked(found["sets"])
            own.correct, own.numbers, own.nonzero = map(int, found["whole"])
            totals = iter([unpack_total(bytes.fromhex(total)) for total in found["totals"]])
            own.scores = [next(totals) for _ in own.scores]
            own.score_sums = {name: next(totals) for name in SCORE_SUMS}
            own.value_sums = {name: next(totals) for name in VALUE_SUMS}
        except (zlib.error, KeyError, IndexError, TypeError, StopIteration) as error:
            raise ValueError("not a tally") from error
        return own


def bin_of(score: float) -> int:
    """Bin of a probability."""
    if score <= 0 or score >= 1:
        return 0 if score <= 0 else BINS - 1
    place = (math.log(score / (1 - score)) / _LOGIT + 1) / 2 * BINS
    return min(max(int(place), 0), BINS - 1)


def square(value: float) -> tuple[float, float]:
    """A square as the sum of two doubles, exactly (Dekker 1971), so that variances of numbers far from 0 are right."""
    scaled = _SPLITTER * value
    high = scaled - (scaled - value)
    low = value - high
    product = value * value
    return product, low * low - ((product - high * high) - 2 * high * low)
