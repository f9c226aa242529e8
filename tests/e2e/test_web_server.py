"""The server below the intake and the serve port, on a real socket."""

from __future__ import annotations

import asyncio
import socket

from starlette.types import Receive, Scope, Send

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
