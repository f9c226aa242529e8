"""The server below the ingest and the serve port, on a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from starlette.types import Receive, Scope, Send

from sidecar.health import Health
from sidecar.serve.serve_port import Scrape, Sources, build_app
from sidecar.web import WebServer


def test_replies_do_not_wait_for_acknowledgements() -> None:
    """Head and body of a reply are two writes: with Nagle's algorithm the second would wait for the client's delayed
    acknowledgement of the first."""
    without_delay: list[int] = []

    async def run() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            (connection,) = server._server.server_state.connections
            accepted = connection.transport.get_extra_info("socket")
            without_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        server = WebServer("test", app, "127.0.0.1", 0)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 204")
        writer.close()
        await server.stop(1.0)

    asyncio.run(run())
    assert without_delay == [1]


@pytest.mark.parametrize(("head", "before_the_end"), [("transfer-encoding: chunked", 1), ("content-length: 6", 0)])
def test_parts_of_a_body_are_gathered_where_its_length_is_known(head: str, before_the_end: int) -> None:
    """A body of unknown length is handed over as it comes: what has come of it is reserved for, and bounded."""
    parts: list[bytes] = []
    known: list[int] = []
    chunked = "chunked" in head

    async def run() -> None:
        first = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            more = True
            while more:
                message = await receive()
                more = message["more_body"]
                parts.append(message["body"])
                first.set()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        server = WebServer("test", app, "127.0.0.1", 0)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{head}\r\n\r\n".encode())
        writer.write(b"3\r\nabc\r\n" if chunked else b"abc")
        await asyncio.wait([asyncio.ensure_future(first.wait())], timeout=60 if chunked else 0.3)
        known.append(len(parts))
        writer.write(b"3\r\ndef\r\n0\r\n\r\n" if chunked else b"def")
        assert (await reader.read()).startswith(b"HTTP/1.1 204")
        writer.close()
        await server.stop(1.0)

    asyncio.run(run())
    assert known == [before_the_end]
    assert b"".join(parts) == b"abcdef"


@pytest.fixture(scope="module")
def serve_port() -> Iterator[int]:
    """The serve port's application on a socket, in a thread's event loop."""
    sources = Sources(Health(), lambda accept, who: Scrape(b"up 1\n", "text/plain"), lambda: {"version": "1"})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = WebServer("serve", build_app(sources, None), "127.0.0.1", 0)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(120)
    yield server.port
    asyncio.run_coroutine_threadsafe(server.stop(1.0), loop).result(120)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(120)
    loop.close()


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("GET", "/metrics/", 200),
        ("GET", "//metrics", 200),
        ("HEAD", "/metrics/", 200),
        ("GET", "/status/", 200),
        ("GET", "/startupz//", 200),
        ("GET", "/%6detrics", 200),
        ("GET", "//", 200),
        ("GET", "/metric", 404),
        ("HEAD", "/nothing", 404),
        ("GET", "/api/traces/", 404),
        ("POST", "/metrics", 405),
        ("OPTIONS", "/status", 405),
        ("DELETE", "/", 405),
        ("POST", "/v1/traces", 404),
    ],
)
def test_paths_of_the_serve_port(serve_port: int, verb: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", serve_port, timeout=60)
    connection.request(verb, path)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status == status
    if status in (404, 405):
        assert reply.getheader("content-type") == "application/json"
        assert not body if verb == "HEAD" else json.loads(body)["message"]
    assert (reply.getheader("allow") == "GET") == (status == 405)


def test_replies_have_a_date_and_nothing_happens_between_them() -> None:
    """The server's own loop would make the date ten times a second."""
    dates: list[float] = []
    began = time.time()
    wakings: list[float] = []

    async def run() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        server = WebServer("test", app, "127.0.0.1", 0)
        await server.start()
        loop = asyncio.get_running_loop()
        later = loop.call_at
        loop.call_at = lambda when, *rest, **more: wakings.append(when) or later(when, *rest, **more)  # type: ignore[method-assign,func-returns-value]
        await asyncio.sleep(0.35)
        loop.call_at = later  # type: ignore[method-assign]
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            head = await reader.read()
            (date,) = (line for line in head.split(b"\r\n") if line.lower().startswith(b"date: "))
            dates.append(parsedate_to_datetime(date[6:].decode()).timestamp())
            writer.close()
        await server.stop(1.0)

    asyncio.run(run())
    assert all(began - 1 <= date <= time.time() for date in dates)
    assert len(wakings) == 1, "only the sleep of the test itself"
