"""The accept loop that receivers of streams share: no clients, connections that are handed to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.receive_fakes import Counted

from sidecar.errors import ConfigError, DecodeError, Overloaded, TooLarge
from sidecar.options import ServerAuth
from sidecar.receive.credentials import Credentials
from sidecar.receive.receiver import Listener
from sidecar.receive.tcp_server import Connection, StreamProtocol, TcpServer

CLOSED = "sidecar_receiver_closed_connections_total"


class Writer:
    """The side of a connection that is written to."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Setting:
    """A server of a protocol, and connections of it."""

    def __init__(self, serve: Callable[[Connection], Awaitable[None]], most: int = 2, **protocol: Any) -> None:
        self.counted = Counted()
        made = StreamProtocol("toy", "toys", serve, 1 << 10, **protocol)
        self.server = TcpServer(made, Listener("127.0.0.1", 0), most, Credentials(), self.counted.telemetry)
        self.writers: list[Writer] = []

    def connect(self) -> asyncio.Task[None]:
        self.writers.append(Writer())
        made: Any = self.writers[-1]
        return asyncio.create_task(self.server.accept(asyncio.StreamReader(), made))

    @property
    def closed(self) -> dict[tuple[str, ...], float]:
        return self.counted.values(CLOSED)


async def _wait(connection: Connection) -> None:
    await asyncio.Event().wait()


def test_connections_past_the_bound_are_closed_and_logged_once_until_there_is_room() -> None:
    async def run() -> None:
        setting = Setting(_wait)
        with capture_logs() as lines:
            first, second = setting.connect(), setting.connect()
            await asyncio.gather(setting.connect(), setting.connect())
            assert [writer.closed for writer in setting.writers] == [False, False, True, True]
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            third = setting.connect()
            await setting.connect()
        assert [line["event"] for line in lines] == ["too_many_connections"] * 2
        assert setting.closed == {("toy", "max_connections"): 3}
        for task in (second, third):
            task.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "event", "reason"),
    [
        (DecodeError("no frame", 3), "connection_closed", "invalid"),
        (TooLarge("over the limit"), "connection_closed", "invalid"),
        (Overloaded("full", 1.0), "connection_closed", "overloaded"),
        (TimeoutError(), "connection_idle", "idle"),
        (ConnectionResetError("reset"), "connection_lost", None),
        (ZeroDivisionError("a bug"), "connection_failed", "internal"),
    ],
)
def test_every_end_of_a_connection_is_logged_and_counted(error: Exception, event: str, reason: str | None) -> None:
    async def serve(connection: Connection) -> None:
        raise error

    async def run() -> None:
        setting = Setting(serve)
        with capture_logs() as lines:
            await setting.connect()
        assert [(line["event"], line["receiver"]) for line in lines] == [(event, "toy")]
        assert setting.closed == ({("toy", reason): 1} if reason else {})
        assert setting.writers[0].closed

    asyncio.run(run())


def test_a_stop_ends_idle_connections_and_waits_for_those_that_store() -> None:
    release = asyncio.Event()
    done: list[str] = []

    async def serve(connection: Connection) -> None:
        if not done:
            done.append("began")
            with connection.storing():
                await release.wait()
            assert connection.ending
            done.append("stored")
            return
        await asyncio.Event().wait()

    async def run() -> None:
        setting = Setting(serve)
        await setting.server.start()
        storing, idle = setting.connect(), setting.connect()
        await asyncio.sleep(0)
        stopping = asyncio.create_task(setting.server.stop(60))
        await idle
        assert not storing.done()
        assert not stopping.done()
        await setting.connect()
        release.set()
        await stopping
        await storing
        assert done == ["began", "stored"]
        assert setting.closed == {("toy", "stopping"): 1}
        await setting.server.stop(60)

    asyncio.run(run())


def test_what_is_not_stored_in_time_is_cancelled() -> None:
    cancelled = []

    async def serve(connection: Connection) -> None:
        with connection.storing():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(connection)
                raise

    async def run() -> None:
        setting = Setting(serve)
        await setting.server.start()
        task = setting.connect()
        await asyncio.sleep(0)
        await setting.server.stop(0.0)
        await task

    asyncio.run(run())
    assert len(cancelled) == 1


def test_a_stop_goes_on_reading_what_came_already_where_clients_do_not_send_it_again() -> None:
    read: list[bytes] = []

    async def serve(connection: Connection) -> None:
        while not connection.ending and (data := await connection.reader.read(2)):
            read.append(data)

    async def run() -> None:
        setting = Setting(serve, drain_seconds=60.0)
        await setting.server.start()
        reader, writer = asyncio.StreamReader(), Writer()
        made: Any = writer
        task = asyncio.create_task(setting.server.accept(reader, made))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(setting.server.stop(60))
        await asyncio.sleep(0)
        reader.feed_data(b"late")
        reader.feed_eof()
        await stopping
        await task

    asyncio.run(run())
    assert b"".join(read) == b"late"


def test_it_does_not_start_where_a_token_is_asked_for_that_clients_cannot_send(tmp_path: Path) -> None:
    token = Credentials(auth=ServerAuth.model_validate({"token": "secret"}))
    protocol = StreamProtocol("toy", "toys", _wait, 1 << 10)

    async def start(listener: Listener) -> int:
        server = TcpServer(protocol, listener, 1, token, Counted().telemetry)
        await server.start()
        await server.stop(0)
        return server.port

    with pytest.raises(ConfigError, match=r"receive\.toy: a token is asked for, and toys cannot carry one"):
        asyncio.run(start(Listener("0.0.0.0", 0)))
    assert asyncio.run(start(Listener("127.0.0.1", 0))) > 0
    place = tmp_path / "s"
    assert asyncio.run(start(Listener(unix_socket=place))) == 0
    assert not place.exists()


def test_an_address_that_cannot_be_had_is_named() -> None:
    server = TcpServer(
        StreamProtocol("toy", "toys", _wait, 1 << 10), Listener("192.0.2.1", 9), 1, Credentials(), Counted().telemetry
    )
    with pytest.raises(ConfigError, match=r"receive\.toy: cannot listen on 192\.0\.2\.1:9: "):
        asyncio.run(server.start())
