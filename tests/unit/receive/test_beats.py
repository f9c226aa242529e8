"""What a Beat is answered, and when: no sockets, a log that commits when it is asked to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from support.receive_fakes import FakeLog, ingest_of

from sidecar.decode.protocols.lumberjack import ack_frame, data_frame, window_frame
from sidecar.decode.python import ReferenceDecoder
from sidecar.errors import Overloaded
from sidecar.receive import beats
from sidecar.receive import ingest as ingest
from sidecar.receive.beats import LumberjackReceiver, Options, lines
from sidecar.receive.credentials import Credentials

EVENT = b'{"@timestamp":"2026-01-02T03:04:05.678Z","message":"m"}'


def window(*documents: bytes) -> bytes:
    return window_frame(len(documents)) + b"".join(data_frame(n, d) for n, d in enumerate(documents, 1))


class Writer:
    """The side of a connection that is written to."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    async def drain(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


async def converse(data: bytes, log: Any = None, limit: int = 64 << 20, **options: Any) -> tuple[Writer, int]:
    """What a connection that sends `data` and ends is answered, and the bytes left in flight after it."""
    writer, reader = Writer(), asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    with ingest_of(log, ReferenceDecoder(), limit) as (ingest, counted):
        receiver = LumberjackReceiver(Options(port=0, **options), ingest, Credentials(), counted.telemetry)
        await receiver.server.accept(reader, writer)  # type: ignore[arg-type]
        return writer, ingest.in_flight_bytes


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (b'{"@timestamp":"t","@metadata":{"beat":"filebeat","n":{}},"a":1}', b'{"@timestamp":"t","a":1}'),
        (
            b'{"b":{"d":1.50,"c":"\xc3\xa9\\u00e9"},\n"a":[true,null,12345678901234567890]}',
            b'{"a":[true,null,12345678901234567890],"b":{"c":"\xc3\xa9\xc3\xa9","d":1.5}}',
        ),
        (b'{"a":{"@metadata":1}}', b'{"a":{"@metadata":1}}'),
        (b'{"b":1,"a":1e400}', b'{"b":1,"a":1e400}'),
        (b'{"b":"\\ud800","a":NaN}', b'{"b":"\\ud800","a":NaN}'),
        (b'{"b":"\\ud800","a":1}', b'{"b":"\\ud800","a":1}'),
        (b'{"a":"\xff"}', b'{"a":"\xff"}'),
        (b"[" * 100_000, b"[" * 100_000),
        (b"not\nJSON", b"not JSON"),
        (b"", b""),
    ],
)
def test_events_are_lines_without_what_a_beat_says_of_itself(event: bytes, line: bytes) -> None:
    assert lines([event, event]) == (line + b"\n") * 2


def test_every_window_is_acknowledged_by_its_last_number() -> None:
    log = FakeLog()
    writer, held = asyncio.run(
        converse(window(EVENT, EVENT) + window(EVENT) + window_frame(9) + data_frame(1, EVENT), log)
    )
    assert writer.said == ack_frame(2) + ack_frame(1)
    assert writer.closed
    assert held == 0
    assert [submission.items for submission in log.submissions] == [2, 1], "half a window is not kept: it comes again"
    assert all(submission.digest for submission in log.submissions), "what comes again is recognised"


def test_a_beat_that_waits_is_kept_informed_that_its_window_is_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "BUSY_SECONDS", 0.01)

    async def run() -> None:
        log = FakeLog()
        log.gate = asyncio.Event()
        conversation = asyncio.create_task(converse(window(EVENT), log))
        await asyncio.sleep(0.2)
        assert not conversation.done()
        log.gate.set()
        writer, _ = await conversation
        assert writer.said.startswith(ack_frame(0))
        assert writer.said.replace(ack_frame(0), b"") == ack_frame(1)

    asyncio.run(run())


def test_a_full_journal_makes_a_beat_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "RETRY_SECONDS", (0.0, 0.0))

    class Full(FakeLog):
        tries = 0

        def submit(self, submission: Any) -> Any:
            self.tries += 1
            if self.tries < 4:
                raise Overloaded("full", 1.0)
            return super().submit(submission)

    log = Full()
    writer, held = asyncio.run(converse(window(EVENT), log))
    assert (log.tries, writer.said, held) == (4, ack_frame(1), 0)


@pytest.mark.parametrize(
    "data",
    [b"1W\x00\x00\x00\x01", window_frame(5), window(b"x" * 70_000), data_frame(1, b"{}")],
    ids=["version 1", "too many", "too large", "no window"],
)
def test_what_is_out_of_bounds_ends_the_connection(data: bytes) -> None:
    writer, held = asyncio.run(converse(data, max_window=4, max_window_bytes=64 << 10))
    assert (writer.said, writer.closed, held) == (b"", True, 0)


@pytest.mark.parametrize("in_flight", [True, False])
def test_stopping_waits_for_a_window_in_flight_and_not_for_the_next(in_flight: bool) -> None:
    async def run() -> None:
        log, writer, reader = FakeLog(), Writer(), asyncio.StreamReader()
        log.gate = asyncio.Event()
        with ingest_of(log, ReferenceDecoder()) as (ingest, counted):
            receiver = LumberjackReceiver(Options(port=0), ingest, Credentials(), counted.telemetry)
            await receiver.start()
            connection = asyncio.create_task(receiver.server.accept(reader, writer))  # type: ignore[arg-type]
            if in_flight:
                reader.feed_data(window(EVENT) + window(EVENT))
            await asyncio.sleep(0.05)
            stopping = asyncio.create_task(receiver.stop(20))
            await asyncio.sleep(0.05)
            assert stopping.done() is not in_flight
            log.gate.set()
            await stopping
            await connection
        assert writer.said == (ack_frame(1) if in_flight else b"")
        assert writer.closed

    asyncio.run(run())


def test_it_is_off_without_a_port() -> None:
    assert not Options().switched_on
    assert Options(port=0).switched_on
    assert not Options(port=0, enabled=False).switched_on
    with pytest.raises(ValidationError, match="port is missing"):
        Options(enabled=True)
