from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fastapi import FastAPI

from sidecar.deliver.store.http_api import traces_router

KNOWN = "0af7651916cd43dd8448eb211c80319c"


class Shown:
    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def as_json(self) -> Mapping[str, Any]:
        return self._value


class FakeStore:
    def trace(self, trace_id: str) -> Shown | None:
        return Shown({"traceId": trace_id, "spans": []}) if trace_id == KNOWN else None

    def recent(self, limit: int = 20, service: str | None = None) -> Sequence[Shown]:
        return [Shown({"limit": limit, "service": service})]


def get(path: str, query: str = "") -> tuple[int, Any]:
    """Status and JSON body of a GET, without a socket."""
    app = FastAPI()
    app.include_router(traces_router(FakeStore()))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


@pytest.mark.parametrize("asked", [KNOWN, KNOWN.upper()])
def test_a_known_trace_is_answered(asked: str) -> None:
    assert get(f"/api/traces/{asked}") == (200, {"traceId": KNOWN, "spans": []})


def test_an_unknown_trace_is_404_with_a_message() -> None:
    status, answer = get(f"/api/traces/{KNOWN[::-1]}")
    assert status == 404
    assert "retention" in answer["message"]


@pytest.mark.parametrize("asked", ["1", KNOWN[:-1], KNOWN + "0", "g" * 32, "0" * 32, "\0", "x" * 500])
def test_what_is_no_trace_id_is_400_with_a_message(asked: str) -> None:
    status, answer = get(f"/api/traces/{asked}")
    assert status == 400
    assert "32 hexadecimal digits" in answer["message"]


def test_the_listing_passes_its_parameters() -> None:
    assert get("/api/traces") == (200, {"traces": [{"limit": 20, "service": None}]})
    assert get("/api/traces", "service=shop&limit=5") == (200, {"traces": [{"limit": 5, "service": "shop"}]})
    assert get("/api/traces", "limit=0")[0] == 422
