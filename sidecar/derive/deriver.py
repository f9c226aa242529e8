"""What a deriver is to the engine, and what it is built with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from sidecar.decode.api import Decoder
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.native_buckets import ROW_BYTES
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.target_info import Targets
from sidecar.pipeline import Signal
from sidecar.telemetry import Telemetry


class Checkpointed(Protocol):
    """State that is committed with the place in the journal. Called under the engine's lock."""

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        ...

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what is of use; the keys of that. The others are deleted."""
        ...


@runtime_checkable
class SeriesSet(Protocol):
    """Series that a budget bounds. Called under the engine's lock."""

    def sizes(self) -> Iterator[tuple[str, int]]:
        """(metric, series)."""
        ...

    def overflow(self) -> Iterator[tuple[str, str, int]]:
        """(metric, label, records that went to an overflow series), where there are any."""
        ...


@runtime_checkable
class Exported(Protocol):
    """Series that a scraper is shown at 0 first. Called under the engine's lock."""

    def mark_exported(self) -> None:
        """What there is now is not shown at 0 first: an earlier run may have shown it."""
        ...


@runtime_checkable
class Reloadable(Protocol):
    """Reads files of its own. Called under the engine's lock."""

    def reload(self) -> None:
        """Read them again."""
        ...


@runtime_checkable
class Described(Protocol):
    """Has something to say in /status. Called under the engine's lock."""

    def status(self) -> Mapping[str, Any]:
        """As JSON, by names that no other deriver has."""
        ...


@runtime_checkable
class Timed(Protocol):
    """Has something to do when time has passed, whether or not anything arrives. Called under the engine's lock."""

    def advance(self, now: int) -> None:
        """All that had arrived at `now` (Unix ns) is applied."""
        ...


class Annotator(Protocol):
    """Adds to records what is derived of each. Called without the engine's lock, from one thread."""

    @property
    def signals(self) -> frozenset[Signal]:
        """Those to whose records it adds: logs, spans, or both."""
        ...

    def may_annotate(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether anything may be added to a request of these signals. Cheap."""
        ...

    def annotate(self, decoder: Decoder, payload: bytes, signal: Signal) -> bytes:
        """A request with what is added; the very same object where that is nothing. Raises DecodeError."""
        ...


@runtime_checkable
class Annotating(Protocol):
    """Has something to add to records that are delivered."""

    def annotator(self) -> Annotator | None:
        """One for a sink of its own; None where nothing is added."""
        ...


Batch = TypeVar("Batch")


class Deriver(Protocol[Batch]):
    """Batches of one signal in, families out. Only `decode` is called without the engine's lock."""

    @property
    def signal(self) -> Signal: ...
    @property
    def kept(self) -> Sequence[Checkpointed]:
        """Its state; what is also a `SeriesSet` is counted, what is `Exported` learns of a restart."""
        ...

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> Batch: ...
    def apply(self, batch: Batch, arrival: Arrival) -> None: ...
    def expire(self, now: int, ttl: int) -> None: ...
    def collect(self, view: View) -> Iterable[FamilySnapshot]: ...


@dataclass(frozen=True, slots=True)
class DeriverContext:
    """What the engine gives every deriver."""

    budget: Budget
    """Of each table."""
    targets: Targets
    telemetry: Telemetry
    events: PredictionEvents = field(default_factory=PredictionEvents)


def table_bytes(budget: Budget, tables: int) -> int:
    """What tables can take at most, about: rows, and label values thrice (key, two texts)."""
    row = 500 + (ROW_BYTES if budget.native else 0)
    return tables * (budget.series * row + 3 * budget.characters)
