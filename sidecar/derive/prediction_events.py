"""The events of the zero-code instrumentation in some payloads, read once for all derivers that want them."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.decode.api import Decoder, PredictionBatch
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

    def read(self, decoder: Decoder, payloads: Sequence[bytes]) -> PredictionBatch | None:
        """The events of the payloads; None where there are none. Raises DecodeError."""
        if not self._left or not _same(self._payloads, payloads):
            self._payloads, self._batch = (), None
            if any(decoder.contains_any(payload, EVENT_MARKS) for payload in payloads):
                self._batch = decoder.predictions(payloads, self._features)
            self._payloads, self._left = tuple(payloads), self._derivers
        batch = self._batch
        self.skip()
        return batch

    def skip(self) -> None:
        """Instead of `read`, by a deriver that has nothing to do with them."""
        self._left -= 1
        if self._left <= 0:
            self._payloads, self._batch = (), None


def _same(some: Sequence[bytes], others: Sequence[bytes]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
