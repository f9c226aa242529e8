"""The events of the zero-code instrumentation in some payloads, read once for all derivers that want them, together
with the columns of all log records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sidecar.decode.api import Decoder, LogBatch, PredictionBatch
from sidecar.decode.predictions.attribute_names import EVENT_MARKS


class PredictionEvents:
    """Derivers are given the same payloads one after the other; what the first asks for is kept until the last has it.
    Called from one thread."""

    def __init__(self) -> None:
        self._derivers = self._left = 0
        self._features = False
        self._payloads: tuple[bytes, ...] = ()
        self._batch: PredictionBatch | None = None

    def join(self, features: bool = False) -> PredictionEvents:
        """One more deriver will ask for each batch of payloads; `features`: for their columns too."""
        self._derivers += 1
        self._features |= features
        return self

    def logs(self, decoder: Decoder, payloads: Sequence[bytes]) -> LogBatch:
        """All log records of the payloads, for one that has not joined and asks first. Raises DecodeError."""
        if not self._derivers or not _may_have_events(decoder, payloads):
            return decoder.logs(payloads, ())
        logs, events = decoder.logs_and_predictions(payloads, self._features)
        self._keep(payloads, events)
        return logs

    def read(self, decoder: Decoder, payloads: Sequence[bytes]) -> PredictionBatch | None:
        """The events of the payloads; None where there are none. Raises DecodeError."""
        if not self._has(payloads):
            self._keep((), None)
            may_have = _may_have_events(decoder, payloads)
            self._keep(payloads, decoder.predictions(payloads, self._features) if may_have else None)
        batch = self._batch
        self.skip()
        return batch

    def others(self, payloads: Sequence[bytes]) -> list[bool]:
        """Of each payload whether there may be other records in it. Instead of `read`; nothing is read for it."""
        batch = self._batch if self._has(payloads) else None
        self.skip()
        return [True] * len(payloads) if batch is None else others(batch)

    def skip(self) -> None:
        """Instead of `read`, by a deriver that has nothing to do with them."""
        self._left -= 1
        if self._left <= 0:
            self._payloads, self._batch = (), None

    def _has(self, payloads: Sequence[bytes]) -> bool:
        return self._left > 0 and _same(self._payloads, payloads)

    def _keep(self, payloads: Sequence[bytes], batch: PredictionBatch | None) -> None:
        self._payloads, self._batch, self._left = tuple(payloads), batch, self._derivers


def others(batch: PredictionBatch) -> list[bool]:
    """Of each payload whether there are other records in it than these events."""
    events = np.bincount(batch.payload, minlength=len(batch.ends))
    found: list[bool] = (np.diff(batch.ends, prepend=np.uint32(0)) > events).tolist()
    return found


def _may_have_events(decoder: Decoder, payloads: Sequence[bytes]) -> bool:
    return any(decoder.contains_any(payload, EVENT_MARKS) for payload in payloads)


def _same(some: Sequence[bytes], others: Sequence[bytes]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
