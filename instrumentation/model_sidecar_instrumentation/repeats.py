"""Which calls belong to one prediction: `predict_proba`, `predict` and `decision_function` of one model with the same
rows, in any order and from any thread, are one. The same method again is another.

Calls belong together within one trace; where one of them has no trace (outside of a request, or in the thread of an
executor that does not take the context with it), within `WINDOW` seconds. Calls of two traces never do: those are two
requests, though they may ask the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from model_sidecar_instrumentation.sample import Sample

WINDOW = 5.0
_GROUPS, _MANY = 1024, 32
"""Rows that are remembered, and predictions of the same rows."""

Rows = tuple[int, int]
"""Number of the model and fingerprint of the rows."""


@dataclass
class Prediction:
    """What was said of some rows so far; nothing of the rows themselves."""

    at: float
    """When it was last asked for, in monotonic seconds."""
    methods: set[str]
    sample: Sample | None = None
    """The rows that its events have."""
    reported: set[str] = field(default_factory=set)
    """Columns that its events have."""
    failed: bool = False
    """Every method that was asked failed."""


class Repeats:
    """The latest predictions, a bounded number of them. Safe to share between threads."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """In a child after a fork: a lock that another thread held is never released there."""
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[Rows, int], deque[Prediction]] = OrderedDict()
        self._latest: OrderedDict[Rows, int] = OrderedDict()

    def ask(self, rows: Rows, trace: int, method: str, now: float) -> tuple[Prediction, bool]:
        """The prediction that a call of `method` belongs to, and whether it was counted before. `trace`: 0 for none."""
        with self._lock:
            found = self._open(rows, trace, method, now)
            if found is not None:
                found.methods.add(method)
                found.at = now
                return found, True
            made = Prediction(now, {method})
            self._keep(rows, trace, made)
            return made, False

    def take_back(self, prediction: Prediction, method: str) -> None:
        """The call failed: it was no prediction, and another method that is tried instead is."""
        with self._lock:
            prediction.methods.discard(method)
            prediction.failed = not prediction.methods

    def _open(self, rows: Rows, trace: int, method: str, now: float) -> Prediction | None:
        """One that this method has not answered yet: of this trace, else a recent one without a trace; for a call
        without a trace, a recent one of the latest trace."""
        own = self._groups.get((rows, trace), ())
        other = self._groups.get((rows, 0 if trace else self._latest.get(rows, 0)), ())
        for group, traced in ((own, bool(trace)), (other, False)):
            for prediction in group:
                recent = traced or now - prediction.at <= WINDOW
                if recent and not prediction.failed and method not in prediction.methods:
                    return prediction
        return None

    def _keep(self, rows: Rows, trace: int, made: Prediction) -> None:
        group = self._groups.setdefault((rows, trace), deque(maxlen=_MANY))
        group.append(made)
        self._groups.move_to_end((rows, trace))
        if trace:
            self._latest[rows] = trace
            self._latest.move_to_end(rows)
        while len(self._groups) > _GROUPS:
            self._groups.popitem(last=False)
        while len(self._latest) > _GROUPS:
            self._latest.popitem(last=False)
