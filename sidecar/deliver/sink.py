"""What a sink is to the worker: entries in, batches out, a result for each batch sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from sidecar.decode.api import Decoder
from sidecar.pipeline import Clock, Counts, DeadLetter, Entry, Signal
from sidecar.telemetry import Telemetry

P = TypeVar("P")
"""A batch: whatever the sink made of some entries and sends as one request. Opaque to the worker."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of a destination gave, before anything is delivered to it."""

    state: Literal["ok", "warning", "failed"]
    detail: str
    """One line for people; names no secret."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """Documents of one entry that have finished. The sum of `counts` is their number."""

    seq: int
    counts: Counts
    dead: Sequence[DeadLetter] = ()


@dataclass(frozen=True, slots=True)
class Retry(Generic[P]):
    """What has to be sent again, and how soon."""

    batches: Sequence[P]
    reason: str
    """Label of the retry counter: one of a small set."""
    detail: str = ""
    """The destination's words, for the log."""
    immediately: bool = False
    """No back-off: the request was only cut into smaller ones."""
    retry_after: float | None = None
    """Seconds that the destination asked for."""
    backpressure: bool = False
    """The destination is overloaded: fewer requests in flight."""
    level: Literal["warning", "error"] = "warning"
    """`error` where nothing will get better without an operator."""


@dataclass(frozen=True, slots=True)
class SendResult(Generic[P]):
    """What became of one batch."""

    settled: Sequence[ItemResult] = ()
    retry: Retry[P] | None = None


@dataclass(frozen=True, slots=True)
class PreparedBatch(Generic[P]):
    """Entries made ready to be sent."""

    batches: Sequence[P]
    expected: Mapping[int, int]
    """Sequence number -> documents that have to be settled before the entry is done; every entry is named."""
    settled: Sequence[ItemResult] = field(default=())
    """What finished before anything was sent."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink may be built from."""

    decoder: Decoder
    journal_id: str
    """The beginning of the ids of log records."""
    directory: Path
    """Where the program keeps its files; a sink that has one of its own keeps it here by default."""
    telemetry: Telemetry
    clock: Clock


class Sink(Protocol[P]):
    """One destination. `prepare` is called from one thread, `send` from several."""

    name: str
    """Name of the sink and of its consumer."""
    signals: frozenset[Signal]
    """Signals that it takes."""

    @property
    def target_batch_bytes(self) -> int:
        """Payload bytes that make about one full batch."""
        ...

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[P]:
        """Entries to batches. Raises nothing: what cannot be sent is settled as dropped or dead-lettered."""
        ...

    def send(self, batch: P) -> SendResult[P]:
        """Send one batch. A failure of the destination or of the network is a result, not an exception."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Facts for the status page."""
        ...

    def close(self) -> None:
        """Give back connections and files. Called once, after the last `send`."""
        ...


class ReplayableSink(Sink[P], Protocol[P]):
    """A sink whose dead letters can be sent again by hand."""

    def prepare_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Sequence[P]:
        """Dead letters to request batches. In the results of `send`, the row of a dead letter stands in the place of
        the sequence number: dead letters of several journals may share one."""
        ...
