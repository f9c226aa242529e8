"""Spans into the state of the deriver of drift, which keeps and shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sidecar.decode.api import Decoder
from sidecar.derive.deriver import Checkpointed
from sidecar.derive.drift.observations import Observations
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival
from sidecar.pipeline import Signal


class Keeper(Protocol):
    """The deriver of drift."""

    def decode_spans(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]: ...
    def apply(self, batch: Sequence[Observations], arrival: Arrival) -> None: ...


class SpanDeriver:
    """Spans in. The caller guards both with one lock; only `decode` is called outside of it."""

    signal: Signal = "spans"
    kept: Sequence[Checkpointed] = ()

    def __init__(self, drift: Keeper) -> None:
        self._drift = drift

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]:
        """What the payloads say. Raises DecodeError."""
        return self._drift.decode_spans(decoder, payloads)

    def apply(self, batch: Sequence[Observations], arrival: Arrival) -> None:
        """Add what payloads say."""
        self._drift.apply(batch, arrival)

    def expire(self, now: int, ttl: int) -> None:
        """Nothing of its own."""

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        return ()
