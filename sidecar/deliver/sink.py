"""What a sink is to the worker: entries in, parcels out, a verdict for each parcel sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecar.decode.api import Signal
from sidecar.deliver.redaction.options import FilterOptions
from sidecar.journal.entry import Counts, DeadLetter, Entry

P = TypeVar("P")
"""A parcel: whatever the sink made of some entries and sends as one request. Opaque to the worker."""


class WorkerOptions(BaseModel):
    """How fast and how often a sink is fed. Base of every sink's own options."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    takes: ClassVar[frozenset[Signal]] = frozenset(("spans", "logs"))
    """The signals that a sink of this kind can take."""

    signals: tuple[Signal, ...] = Field((), description="Only these signals. Without any: all that the sink can take.")
    filter: FilterOptions = Field(default=FilterOptions(), description="Which of the records the sink takes.")
    max_concurrency: int = Field(
        2,
        ge=1,
        le=64,
        description="Most requests in hand, each of some 10 MB of memory at the default size. The number in flight "
        "adapts to what the far side bears.",
    )
    max_entries: int = Field(1024, ge=1, description="Most payloads taken from the journal for one request.")
    linger: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Seconds for which payloads are gathered while there is less than half a full request to send.",
    )
    retry_initial: float = Field(
        0.5, gt=0, description="Upper bound in seconds of the first back-off; it doubles with every further failure."
    )
    retry_max: float = Field(10.0, gt=0, description="Upper bound in seconds of the longest back-off.")

    @field_validator("signals")
    @classmethod
    def _taken(cls, value: tuple[Signal, ...]) -> tuple[Signal, ...]:
        if not set(value) <= cls.takes:
            raise ValueError(f"this kind of sink takes {', '.join(sorted(cls.takes))}")
        return value

    @property
    def chosen(self) -> frozenset[Signal]:
        """The signals that the sink is to have."""
        return frozenset(self.signals) or self.takes


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a far side gave, before anything is delivered to it."""

    state: Literal["ok", "warning", "failed"]
    detail: str
    """One line for people; names no secret."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Documents of one entry that have come to an end. The sum of `counts` is their number."""

    seq: int
    counts: Counts
    dead: Sequence[DeadLetter] = ()


@dataclass(frozen=True, slots=True)
class Again(Generic[P]):
    """What has to be sent again, and how soon."""

    parcels: Sequence[P]
    reason: str
    """Label of the retry counter: one of a small set."""
    detail: str = ""
    """The far side's words, for the log."""
    at_once: bool = False
    """No back-off: the request was only cut into smaller ones."""
    retry_after: float | None = None
    """Seconds that the far side asked for."""
    slow_down: bool = False
    """The far side is overloaded: fewer requests in flight."""
    level: Literal["warning", "error"] = "warning"
    """`error` where nothing will get better without an operator."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[P]):
    """What became of one parcel."""

    settled: Sequence[Settled] = ()
    again: Again[P] | None = None


@dataclass(frozen=True, slots=True)
class Prepared(Generic[P]):
    """Entries made ready to be sent."""

    parcels: Sequence[P]
    expected: Mapping[int, int]
    """Sequence number -> documents that have to be settled before the entry is done; every entry is named."""
    settled: Sequence[Settled] = field(default=())
    """What came to an end before anything was sent."""


class Sink(Protocol[P]):
    """One far side. `prepare` is called from one thread, `send` from several."""

    name: str
    """Name of the sink and of its consumer."""
    signals: frozenset[Signal]
    """Signals that it takes."""

    @property
    def appetite(self) -> int:
        """Payload bytes that make about one full parcel."""
        ...

    def prepare(self, entries: Sequence[Entry]) -> Prepared[P]:
        """Entries to parcels. Raises nothing: what cannot be sent is settled as dropped or dead-lettered."""
        ...

    def send(self, parcel: P) -> Verdict[P]:
        """Send one parcel. A failure of the far side or of the network is a verdict, not an exception."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Facts for the status page."""
        ...

    def close(self) -> None:
        """Give back connections and files. Called once, after the last `send`."""
        ...
