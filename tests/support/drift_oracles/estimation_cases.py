"""Frames of predictions for estimates of accuracy without labels: a reference with labels, and windows whose inputs
have moved, so that the model is less sure; in the last one the truth has changed and the inputs have not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

REFERENCE_ROWS, ROWS = 10_000, 4_000


@dataclass(frozen=True, slots=True)
class Frame:
    """n rows of c classes."""

    probabilities: Any
    """n × c, as the model says them; of two classes, of both."""
    predicted: Any
    actual: Any

    @property
    def scores(self) -> Any:
        """Of the predicted class."""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]

    @property
    def accuracy(self) -> float:
        """The real one."""
        return float((self.predicted == self.actual).mean())


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def frame(seed: int, classes: int, rows: int, spread: float, certainty: float = 1.0, changed: float = 0.0) -> Frame:
    """`spread` of the inputs: less is nearer to where the classes meet. `certainty`: what the model takes the logits
    times, so that it is too sure (above 1) or not sure enough. `changed`: share of rows whose truth is another one."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(1).normal(0, 1, (4, classes))
    logits = rng.normal(0, spread, (rows, 4)) @ weights
    truth = _softmax(logits)
    actual = (truth.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    other = rng.random(rows) < changed
    actual = np.where(other, (actual + 1) % classes, actual)
    said = _softmax(certainty * logits)
    return Frame(said, said.argmax(axis=1), actual)


MODELS = {
    "calibrated, two classes": (2, 1.0),
    "too sure, two classes": (2, 2.5),
    "not sure enough, two classes": (2, 0.5),
    "calibrated, five classes": (5, 1.0),
    "too sure, five classes": (5, 2.0),
}
WINDOWS = {"as before": 2.0, "moved": 1.0, "moved far": 0.4, "to the easy side": 4.0}


def cases() -> dict[str, tuple[Frame, dict[str, Frame]]]:
    """Model -> (reference, window -> frame)."""
    found = {}
    for n, (name, (classes, certainty)) in enumerate(MODELS.items()):
        before = frame(100 + n, classes, REFERENCE_ROWS, 2.0, certainty)
        windows = {
            window: frame(1000 + 10 * n + k, classes, ROWS, spread, certainty)
            for k, (window, spread) in enumerate(WINDOWS.items())
        }
        windows["the truth has changed"] = frame(2000 + n, classes, ROWS, 2.0, certainty, changed=0.3)
        found[name] = before, windows
    return found
