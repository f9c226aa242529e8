"""Look-ups over HTTP without a socket: an application on a store, asked as a client would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from sidecar.decode.api import Decoder
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink
from sidecar.deliver.store.span_store import Store
from sidecar.deliver.store.trace_reader import StoredTraces
from sidecar.lookup.routes import lookup_routers
from sidecar.lookup.settings import LookupOptions
from sidecar.lookup.store import TraceStore
from sidecar.pipeline import Entry
from support.delivery import entry, sink_context
from support.lookup_traces import START, payloads


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """Asks the look-up APIs of a store."""

    def __init__(self, store: TraceStore, **options: Any) -> None:
        self._app = FastAPI()
        for router in lookup_routers(store, LookupOptions(**options)):
            self._app.include_router(router)

    def get(self, target: str, **headers: str) -> Answer:
        """`target`: path and query as they stand in a request line, encoded."""
        path, _, query = target.partition("?")
        return asyncio.run(self._get(path, query, headers))

    async def _get(self, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        from urllib.parse import unquote

        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
        }  # fmt: skip
        await self._app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


def filled(directory: Path, decoder: Decoder, *entries: Entry) -> StoredTraces:
    """An embedded store with entries; by default the traces of `lookup_traces`."""
    store = Store(StoreOptions(max_age=10 * 365 * 86_400), directory, lambda: START + 600_000_000_000)
    sink = StoreSink("store", store, sink_context(decoder, "log"))
    put(sink, *(entries or [entry(n, body, _items(body), time_ns=START) for n, body in enumerate(payloads(), 1)]))
    return sink.traces


def put(sink: StoreSink, *entries: Entry) -> None:
    """Entries into the store of a sink."""
    for batch in sink.prepare(entries).batches:
        assert sink.send(batch).retry is None


def _items(body: bytes) -> int:
    from sidecar.decode.python import ReferenceDecoder

    return ReferenceDecoder().check_spans(body).items
