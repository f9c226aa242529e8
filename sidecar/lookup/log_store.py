"""What the page asks of a place where log records are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import Deadline


class LogStore(Protocol):
    """Where log records are read in the order in which they came. Called from several threads at once; every function
    may raise `StoreFailure` and, where it takes a deadline, `LookupTimeout`."""

    def position(self) -> int:
        """Behind everything that is kept now."""
        ...

    def after(self, position: int, limit: int) -> tuple[list[LogRecord], int, int]:
        """(records that came behind a position, the position behind them, how many more there were than `limit`,
        which are passed over)."""
        ...

    def newest(self, deadline: Deadline) -> Iterator[Sequence[LogRecord]]:
        """All records, some at a time, newest first as they came."""
        ...
