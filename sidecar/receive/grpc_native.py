"""gRPC by the native core: it makes calls of a connection's bytes and bytes of replies, asyncio moves them.

All of it happens in the event loop's thread. A client that does not read its replies is not read from any more, and
what a connection holds of messages that are not whole counts as in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import sidecar_native as core

from sidecar.errors import ConfigError
from sidecar.pipeline import Signal
from sidecar.receive import replies
from sidecar.receive.acknowledgements import Exchange, retries
from sidecar.receive.compression import CODINGS
from sidecar.receive.credentials import Credentials
from sidecar.receive.grpc_call import Answer, Call, ServerOptions
from sidecar.receive.ingest import Ingest
from sidecar.web import listen

PING_ANSWER_SECONDS = 20.0
"""For a client to answer whether it is there, as grpcio has it."""
CLOSE_SECONDS = 0.5
"""At a stop, for a client to take the last replies."""
_DEADLINE_EXCEEDED = 4
_UNAVAILABLE = 14


class NativeTransport:
    """A `Transport`."""

    def __init__(self, options: ServerOptions, answer: Answer, ingest: Ingest, credentials: Credentials) -> None:
        self._options = options
        self._credentials = credentials
        self._listener: asyncio.Server | None = None
        methods = list(options.methods)
        self.core = core.GrpcServer(
            methods,
            options.max_wire_bytes,
            options.max_concurrent_streams,
            ingest.max_in_flight_bytes,
            options.min_ping_interval,
        )
        self.signals = [options.methods[path] for path in methods]
        self.answer = answer
        self.ingest = ingest
        self.keepalive_seconds = options.keepalive_seconds
        self.connections: set[_Connection] = set()
        self.numbers = itertools.count(1)
        self.port = options.port

    async def start(self) -> None:
        o = self._options
        listener = _listen(o.host, o.port)
        self.port = int(listener.getsockname()[1])
        tls = self._credentials.ssl_context("h2")
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), sock=listener, ssl=tls
        )

    async def stop(self, grace: float) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        connections = list(self.connections)
        for connection in connections:
            connection.drain()
        await _lost(connections, grace)
        await asyncio.gather(*(task for one in connections for task in one.end()), return_exceptions=True)
        for connection in connections:
            connection.close()
        await _lost(connections, CLOSE_SECONDS)
        for connection in connections:
            connection.abort()
        await _lost(connections, CLOSE_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    """As grpcio has it, 0.0.0.0 is every address, of IPv6 too where there is such."""
    if host == "0.0.0.0" and socket.has_dualstack_ipv6():
        with contextlib.suppress(ConfigError):
            return listen("receive.otlp_grpc", "::", port)
    return listen("receive.otlp_grpc", host, port)


async def _lost(connections: Iterable[_Connection], seconds: float) -> None:
    """Wait until they are gone."""
    left = [one.lost for one in connections if not one.lost.done()]
    if left:
        await asyncio.wait(left, timeout=seconds)


@dataclass(slots=True)
class _InFlight:
    """A call that is being answered."""

    task: asyncio.Task[None]
    exchange: Exchange
    deadline: float
    """In the loop's time; infinite where the client says none."""


class _Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: NativeTransport) -> None:
        self._server = server
        self._core = server.core.connect()
        self._number = next(server.numbers)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._calls: dict[int, _InFlight] = {}
        self._held = 0
        """Bytes of messages that are not whole, as the ingest has them in flight."""
        self._flushing = False
        self._heard = True
        self._pinged = False
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        """At the earliest deadline of those that were in flight when it was set."""
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)
        self._timer = self._loop.call_later(self._server.keepalive_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self.lost.set_result(None)
        self._hold(0)
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        for stream in list(self._calls):
            self._lose(stream)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        events = self._core.receive(data, self._server.ingest.in_flight_bytes - self._held)
        self._hold(self._core.held)
        for request in events.requests:
            self._begin(request)
        for stream in events.cancelled:
            self._lose(stream)
        self._flush()

    def drain(self) -> None:
        """Take no new calls."""
        self._core.drain()
        self._flush()

    def end(self) -> list[asyncio.Task[None]]:
        """Cancel the calls that are in flight."""
        tasks = [call.task for call in self._calls.values()]
        for task in tasks:
            task.cancel()
        return tasks

    def close(self) -> None:
        """End the connection when what was written is sent."""
        if not self.lost.done():
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """End the connection."""
        if not self.lost.done():
            self._transport.abort()

    def _begin(self, request: core.GrpcRequest) -> None:
        timeout = math.inf if request.timeout is None else request.timeout
        exchange = Exchange(
            self._number, retries(request.user_agent or ""), request.idempotency_key or "", timeout=timeout
        )
        coding = CODINGS[request.encoding] if request.encoding else None
        signal = self._server.signals[request.method]
        call = Call(signal, request.message, coding, request.authorization, exchange, request.overloaded)
        deadline = self._loop.time() + timeout
        task = self._loop.create_task(self._answer(request.stream, call))
        self._calls[request.stream] = _InFlight(task, exchange, deadline)
        self._expire_at(deadline)

    async def _answer(self, stream: int, call: Call) -> None:
        try:
            outcome = await self._server.answer(call)
            self._reply(stream, call.signal, outcome)
        except asyncio.CancelledError:
            # Where it was the client that went away, nobody gets it.
            self._core.refuse(stream, _UNAVAILABLE, "stopping; another instance may take it", [])
            raise
        finally:
            self._calls.pop(stream, None)
            self._flush_soon()

    def _reply(self, stream: int, signal: Signal, outcome: replies.Outcome) -> None:
        error = replies.grpc_error(outcome)
        if error is None:
            self._core.reply(stream, replies.success_body(outcome, signal))
        else:
            self._core.refuse(stream, error.code, error.details, list(error.trailers))
        if stream in self._calls:
            self._calls[stream].exchange.answered()

    def _lose(self, stream: int) -> None:
        """The client waits for no reply."""
        call = self._calls.pop(stream, None)
        if call is not None:
            call.exchange.lose()
            call.task.cancel()

    def _expire_at(self, deadline: float) -> None:
        """Have one timer, which calls that are answered in time leave as it is: almost all are."""
        if deadline < (math.inf if self._expiry is None else self._expiry.when()):
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        for stream in [stream for stream, call in self._calls.items() if call.deadline <= now]:
            self._core.refuse(stream, _DEADLINE_EXCEEDED, "deadline exceeded", [])
            self._lose(stream)
        self._expire_at(min((call.deadline for call in self._calls.values()), default=math.inf))
        self._flush_soon()

    def _look(self) -> None:
        """Whether the client is still there; what it is late with is given up."""
        self._core.expire()
        self._hold(self._core.held)
        wait = self._server.keepalive_seconds
        if self._heard:
            self._pinged = False
        elif self._pinged or not self._core.ping():
            self._transport.abort()
            return
        else:
            self._pinged = True
            wait = PING_ANSWER_SECONDS
        self._heard = False
        self._timer = self._loop.call_later(wait, self._look)
        self._flush()

    def _hold(self, held: int) -> None:
        if held > self._held:
            self._server.ingest.take(held - self._held, alone=True)
        elif held < self._held:
            self._server.ingest.give(self._held - held)
        self._held = held

    def _flush_soon(self) -> None:
        """What several calls are answered at once is written at once."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport.is_closing():
            return
        output = self._core.output()
        if output:
            self._transport.write(output)
        if self._core.closed:
            self._transport.close()
