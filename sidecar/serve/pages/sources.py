"""What the page reads. Light: the program makes one at its start, whether or not anybody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sidecar.lookup.settings import LookupOptions
from sidecar.serve.exposition import Family

if TYPE_CHECKING:
    from sidecar.journal.dead_letters import StoredDeadLetter
    from sidecar.lookup.log_store import LogStore
    from sidecar.lookup.store import TraceStore


class DeadLetterList(Protocol):
    """Where dead letters are listed. Raises `Unavailable` where they cannot be read."""

    def page(self, consumer: str | None = None, limit: int = 100, after: int = 0) -> list[StoredDeadLetter]:
        """In order of their number, those beyond `after`."""
        ...

    def show(self, letter_id: int) -> StoredDeadLetter | None:
        """One by its number."""
        ...


@dataclass(frozen=True, slots=True)
class ReplayCount:
    """What became of the dead letters of one replay."""

    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class PageSources:
    """Functions are called in threads, one request at a time each. What is None this program has not."""

    status: Callable[[], Mapping[str, Any]]
    families: Callable[[], Sequence[Family]] | None = None
    """Metrics as a person sees them: looking changes nothing for scrapers."""
    traces: TraceStore | None = None
    logs: LogStore | None = None
    dead_letters: Callable[[], DeadLetterList] | None = None
    """Raises `ConfigError` where there is no journal on disk."""
    replay: Callable[[str], ReplayCount] | None = None
    """Sends the oldest dead letters of a sink again. Raises `Retryable` where the destination cannot take them now,
    `ConfigError` where that sink is not on or cannot. None where the page is read-only."""
    stopping: Callable[[], bool] = lambda: False
    """Whether the program is about to end; live tails end then, so that the port can be closed."""
    lookup: LookupOptions = field(default_factory=LookupOptions)
