"""New log records as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from sidecar.lookup.log_store import LogStore
from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import StoreFailure
from sidecar.serve.pages.logs import LogFilter

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0
"""Proxies close connections on which nothing comes."""
MAX_AT_ONCE = 200
"""Records of one event; of more a line says how many."""
MAX_TAILS = 8

log = structlog.get_logger("sidecar.serve")


class LiveTails:
    """All tails of one program. `write` makes HTML of records."""

    def __init__(
        self,
        store: LogStore,
        write: Callable[[Sequence[LogRecord], int], str],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`write(records, passed over)`; when it is `stopping` every tail ends."""
        self._store, self._write, self._stopping = store, write, stopping
        self.open = 0

    @property
    def full(self) -> bool:
        """No more tails are taken."""
        return self.open >= MAX_TAILS

    async def events(self, wanted: LogFilter, poll: float = POLL_SECONDS) -> AsyncIterator[str]:
        """Events from now on, until whoever reads them goes away or the program stops: `rows` with the HTML of new
        records as JSON text, and comments in between that keep the connection open. `trouble` says why there will be no
        more."""
        self.open += 1
        try:
            position = await asyncio.to_thread(self._store.position)
            yield "retry: 3000\n\n"
            quiet = 0.0
            while not self._stopping():
                records, position, passed = await asyncio.to_thread(self._store.after, position, MAX_AT_ONCE)
                shown = [record for record in records if wanted.takes(record)]
                if shown or passed:
                    html = await asyncio.to_thread(self._write, shown, passed)
                    yield f"event: rows\ndata: {json.dumps(html)}\n\n"
                    quiet = 0.0
                await asyncio.sleep(poll)
                quiet += poll
                if quiet >= KEEP_ALIVE_SECONDS:
                    yield ": nothing new\n\n"
                    quiet = 0.0
        except StoreFailure as error:
            log.error("lookup_store_failed", error=str(error))
            yield f"event: trouble\ndata: {json.dumps(str(error))}\n\n"
        finally:
            self.open -= 1
