import asyncio
import gc
import threading
from typing import Any

import pytest
from support.receive_fakes import FakeDecoder, FakeLog, ingest_of

from sidecar.decode.api import Check
from sidecar.errors import DecodeError, Overloaded, TooLarge, Unauthenticated, Unavailable
from sidecar.journal.submission import Submission
from sidecar.receive import encodings, replies
from sidecar.receive import ingest as module
from sidecar.receive.encodings import JSON, NDJSON, PROTOBUF, Encoding
from sidecar.receive.ingest import Reservation


def _accept(log: Any = None, decoder: Any = None, body: bytes = b"body", **options: Any) -> replies.Outcome:
    with ingest_of(log, decoder, **options) as (ingest, _):
        return asyncio.run(ingest.accept("otlp_grpc", "spans", body, PROTOBUF))


def test_kept_only_after_the_commit() -> None:
    log = FakeLog()

    async def run() -> None:
        log.gate = asyncio.Event()
        with ingest_of(log) as (ingest, _):
            task = asyncio.create_task(ingest.accept("otlp_grpc", "spans", b"body", PROTOBUF))
            for _ in range(5):
                await asyncio.sleep(0)
            assert log.submitted == 1
            assert not task.done()
            assert ingest.in_flight_bytes == 4
            log.gate.set()
            assert await task == replies.ACCEPTED
            assert ingest.in_flight_bytes == 0

    asyncio.run(run())
    [submission] = log.submissions
    assert (submission.signal, submission.payload, submission.items, submission.events, submission.rejected) == (
        "spans",
        b"body",
        2,
        1,
        0,
    )
    assert submission.digest is not None


def test_partial_keeps_the_rest_and_names_what_was_refused() -> None:
    log = FakeLog()
    outcome = _accept(log, FakeDecoder(Check(items=2, rejected=3, errors=("a: bad", "b: bad"), timed=True)))
    assert outcome == replies.partial(3, "3 of 5 records refused: a: bad; b: bad")
    assert [(d.items, d.rejected) for d in log.submissions] == [(2, 3)]


def test_what_has_no_valid_record_is_invalid_and_not_stored() -> None:
    log = FakeLog()
    outcome = _accept(log, FakeDecoder(Check(items=0, rejected=2, errors=("spans[0].trace_id: 15 bytes",))))
    assert outcome.kind == "invalid"
    assert "spans[0].trace_id: 15 bytes" in outcome.message
    assert not log.submissions


def test_an_empty_request_is_fine_and_not_kept() -> None:
    log = FakeLog()
    assert _accept(log, FakeDecoder(Check(items=0)), b"") == replies.ACCEPTED
    assert log.submitted == 0


def test_no_digest_without_times() -> None:
    log = FakeLog()
    decoder = FakeDecoder(Check(items=1, timed=False))
    _accept(log, decoder)
    assert log.submissions[0].digest is None
    assert not decoder.digests


def test_the_digest_is_of_what_the_client_sent_and_differs_by_signal_and_encoding() -> None:
    log, decoder = FakeLog(), FakeDecoder(Check(items=1, timed=True))

    async def run() -> None:
        with ingest_of(log, decoder) as (ingest, _):
            await ingest.accept("a", "logs", b"line", NDJSON)
            await ingest.accept("a", "logs", b"line", PROTOBUF)
            await ingest.accept("a", "spans", b"line", PROTOBUF)
            await ingest.accept("b", "spans", b"line", PROTOBUF)

    asyncio.run(run())
    assert [body for body, _ in decoder.digests] == [b"line"] * 4
    digests = [submission.digest for submission in log.submissions]
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]
    assert log.submissions[0].payload == b"transcoded line"


@pytest.mark.parametrize(
    ("error", "kind", "retry_after"),
    [
        (DecodeError("truncated", 7), "invalid", None),
        (TooLarge("limit is 10 bytes"), "too_large", None),
        (Overloaded("journal full", 12.5), "overloaded", 12.5),
        (Unavailable("disk gone", 3.0), "unavailable", 3.0),
        (Unauthenticated("who?"), "unauthenticated", None),
        (replies.Refused(replies.unsupported("no such type")), "unsupported", None),
    ],
)
def test_errors_are_rows_of_the_table(error: Exception, kind: str, retry_after: float | None) -> None:
    log = FakeLog()
    for outcome in (_accept(log, FakeDecoder(error=error)), _accept(_raising(error, late=False))):
        assert (outcome.kind, outcome.retry_after) == (kind, retry_after)
        assert str(error) in outcome.message
    assert not log.submissions
    assert _accept(_raising(error, late=True)).kind == kind


@pytest.mark.parametrize("late", [False, True])
def test_a_refused_payload_is_gone_at_once(late: bool) -> None:
    """A cycle of error, call and future would keep it until the collector comes, which under such load is rarely."""
    gc.collect()
    gc.disable()
    try:
        _accept(_raising(Overloaded("journal full", 1.0), late=late), body=b"refused")
        assert [one for one in gc.get_objects() if isinstance(one, Submission) and one.payload == b"refused"] == []
    finally:
        gc.enable()


def _raising(error: Exception, *, late: bool) -> FakeLog:
    log = FakeLog()
    if late:
        log.late_error = error
    else:
        log.error = error
    return log


def test_a_fault_of_ours_asks_for_a_retry_and_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = _accept(decoder=FakeDecoder(error=ZeroDivisionError("oops")))
    assert outcome.kind == "unavailable"
    assert "oops" not in outcome.message
    assert "ZeroDivisionError" in "".join(capsys.readouterr())


def test_over_the_budget_is_overloaded_with_the_log_s_time_but_one_request_always_goes_in() -> None:
    log = FakeLog()

    async def run() -> None:
        log.gate = asyncio.Event()
        with ingest_of(log, max_in_flight_bytes=1 << 20) as (ingest, _):
            first = asyncio.create_task(ingest.accept("a", "spans", bytes(2 << 20), PROTOBUF))
            await asyncio.sleep(0)
            second = await ingest.accept("a", "spans", b"x", PROTOBUF)
            assert (second.kind, second.retry_after) == ("overloaded", 7.25)
            log.gate.set()
            assert (await first).kind == "accepted"
            assert (await ingest.accept("a", "spans", b"x", PROTOBUF)).kind == "accepted"

    asyncio.run(run())


def test_a_client_that_goes_away_neither_stops_the_commit_nor_frees_the_budget_before_it() -> None:
    log = FakeLog()

    async def run() -> None:
        log.gate = asyncio.Event()
        with ingest_of(log) as (ingest, _):
            task = asyncio.create_task(ingest.accept("a", "spans", b"body", PROTOBUF))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ingest.in_flight_bytes == 4
            log.gate.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert ingest.in_flight_bytes == 0

    asyncio.run(run())
    assert len(log.submissions) == 1


def test_the_budget_is_given_back_whatever_happens() -> None:
    async def run() -> None:
        with ingest_of(decoder=FakeDecoder(error=DecodeError("bad"))) as (ingest, _):

            async def read(reservation: Reservation) -> bytes:
                reservation.grow(100)
                reservation.grow(300)
                reservation.grow(200)
                assert ingest.in_flight_bytes == 300
                raise TooLarge("over")

            assert (await ingest.receive("a", "spans", PROTOBUF, read)).kind == "too_large"
            assert ingest.in_flight_bytes == 0
            assert (await ingest.accept("a", "spans", b"x", PROTOBUF)).kind == "invalid"
            assert ingest.in_flight_bytes == 0

    asyncio.run(run())


def test_stopping() -> None:
    async def run() -> None:
        with ingest_of() as (ingest, _):
            ingest.stop()
            assert (await ingest.accept("a", "spans", b"x", PROTOBUF)).kind == "unavailable"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "size", "in_thread"),
    [
        ("native", encodings.NATIVE_INLINE_BYTES, False),
        ("native", encodings.NATIVE_INLINE_BYTES + 1, True),
        ("reference", encodings.PYTHON_INLINE_BYTES, False),
        ("reference", encodings.PYTHON_INLINE_BYTES + 1, True),
    ],
)
def test_long_work_leaves_the_event_loop(name: str, size: int, in_thread: bool) -> None:
    threads: list[threading.Thread] = []

    class Noting(FakeDecoder):
        def check_spans(self, payload: bytes) -> Check:
            threads.append(threading.current_thread())
            return super().check_spans(payload)

    decoder = Noting()
    decoder.name = name
    assert _accept(decoder=decoder, body=bytes(size)).kind == "accepted"
    assert (threads[0] is not threading.current_thread()) == in_thread


def test_counted() -> None:
    async def run() -> None:
        with ingest_of(decoder=FakeDecoder(Check(items=1, timed=True))) as (ingest, counted):
            await ingest.accept("otlp_grpc", "spans", b"12345", PROTOBUF)
            await ingest.accept("otlp_grpc", "spans", b"123", PROTOBUF)

            async def read(reservation: Reservation) -> bytes:
                raise Unauthenticated("no token")

            await ingest.receive("otlp_http", "logs", PROTOBUF, read)
            assert counted.values("sidecar_receiver_requests_total") == {
                ("otlp_grpc", "spans", "accepted"): 2,
                ("otlp_http", "logs", "unauthenticated"): 1,
            }
            assert counted.values("sidecar_receiver_bytes_total") == {("otlp_grpc", "spans"): 8}
            assert counted.values("sidecar_receiver_auth_failures_total") == {("otlp_http",): 1}
            assert counted.values("sidecar_receiver_in_flight_bytes") == {(): 0}

    asyncio.run(run())


def test_an_array_of_records_is_kept_as_lines() -> None:
    log = FakeLog()
    with ingest_of(log) as (ingest, _):
        assert asyncio.run(ingest.accept("json_http", "logs", b'[{"a":1},{"a":2}]', JSON)) == replies.ACCEPTED
        assert asyncio.run(ingest.accept("json_http", "logs", b'{"a":1}\n', NDJSON)) == replies.ACCEPTED
    assert [submission.payload for submission in log.submissions] == [
        b'transcoded {"a":1}\n{"a":2}\n',
        b'transcoded {"a":1}\n',
    ]


def test_resource_attributes_are_read_as_the_standard_writes_them() -> None:
    options = module.IngestOptions.model_validate({"resource": "team=ml, note=a%2Cb", "service_name": "scorer"})
    assert options.anonymous() == {"team": "ml", "note": "a,b", "service.name": "scorer"}
    with pytest.raises(ValueError, match="key=value pairs"):
        module.IngestOptions.model_validate({"resource": "team"})


@pytest.mark.parametrize("encoding", [NDJSON, JSON], ids=lambda encoding: encoding.name)
@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_a_body_in_another_encoding_is_refused_with_what_is_expected(encoding: Encoding, codec: str) -> None:
    mark = "\ufeff" if codec == "utf-16-be" else ""
    with ingest_of() as (ingest, _):
        body = (mark + '{"message":"m"}\n').encode(codec)
        outcome = asyncio.run(ingest.accept("json_http", "logs", body, encoding))
    assert outcome.kind == "invalid"
    assert "UTF-16; expected UTF-8" in outcome.message
