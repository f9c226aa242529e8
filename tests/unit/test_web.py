"""An application that its first request makes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.web import Deferred, _gather


async def _receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def _send(message: Any) -> None:
    del message


def test_requests_that_come_together_make_it_once_and_all_reach_it() -> None:
    made, reached = [], []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    def build() -> ASGIApp:
        made.append(1)
        return app

    async def requests() -> None:
        deferred = Deferred(build)
        assert made == []
        await asyncio.gather(*(deferred({"path": path}, _receive, _send) for path in "abc"))
        await deferred({"path": "d"}, _receive, _send)

    asyncio.run(requests())
    assert made == [1]
    assert reached == ["a", "b", "c", "d"]


def test_a_client_that_goes_away_does_not_take_it_from_the_others() -> None:
    reached = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    async def requests() -> None:
        deferred = Deferred(lambda: app)
        gone = asyncio.create_task(deferred({"path": "gone"}, _receive, _send))
        stays = asyncio.create_task(deferred({"path": "stays"}, _receive, _send))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert gone.cancelled()

    asyncio.run(requests())
    assert reached == ["stays"]


def test_what_could_not_be_made_is_tried_again_by_the_next_request() -> None:
    reached, failures = [], [ImportError("no such module")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    def build() -> ASGIApp:
        if failures:
            raise failures.pop()
        return app

    async def requests() -> None:
        deferred = Deferred(build)
        with pytest.raises(ImportError):
            await deferred({"path": "a"}, _receive, _send)
        await deferred({"path": "b"}, _receive, _send)

    asyncio.run(requests())
    assert reached == ["b"]


def test_a_body_in_small_parts_takes_no_more_than_its_size() -> None:
    large = bytes(range(256)) * 64
    small = [b"%03d" % (n % 1000) for n in range(10_000)]
    parts: list[bytes | bytearray] = []
    for part in (*small, large, *small, large, large):
        _gather(parts, part)
    assert b"".join(parts) == b"".join((*small, large, *small, large, large))
    assert len(parts) == 5
    assert parts[1] is parts[3] is large, "what is large is not copied"
