"""What distinguishes a resend from an equal payload, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sidecar.journal.memory import MemoryJournal
from sidecar.journal.options import JournalOptions
from sidecar.journal.submission import Receipt, Submission
from sidecar.receive import acknowledgements
from sidecar.receive.acknowledgements import Acknowledgements, Exchange, retries

SUBMISSION = Submission("logs", b"equal", 1, digest=b"d" * 16)
Step = Callable[[Exchange], object]


def run(work: Callable[[Acknowledgements, MemoryJournal], Coroutine[None, None, None]]) -> None:
    async def all_of_it() -> None:
        log = MemoryJournal(JournalOptions(backend="memory"), lambda: 1_700_000_000_000_000_000)
        try:
            await work(Acknowledgements(log), log)
        finally:
            log.close()

    asyncio.run(all_of_it())


def _answered(exchange: Exchange) -> None:
    exchange.answered()


def _closed_after(exchange: Exchange) -> None:
    exchange.answered()
    exchange.closed(whole=True)


def _closed_before(exchange: Exchange) -> None:
    exchange.closed(whole=True)


def _reset(exchange: Exchange) -> None:
    exchange.answered()
    exchange.closed(whole=False)


def _used_again(exchange: Exchange) -> None:
    exchange.answered()
    exchange.arrive()


def _cancelled(exchange: Exchange) -> None:
    exchange.lose()


ROWS: list[tuple[Step, bool, bool, bool]] = [
    # What became of the first, on the same connection, the client retries: is an equal one a resend?
    (_cancelled, False, False, True),
    (_cancelled, True, False, True),
    (_cancelled, True, True, True),
    (_reset, False, False, True),
    (_closed_before, False, False, True),
    (_closed_before, False, True, True),
    (_answered, True, False, False),
    (_answered, True, True, False),
    (_answered, False, False, False),
    (_answered, False, True, True),
    (_closed_after, False, False, False),
    (_closed_after, False, True, True),
    (_used_again, False, False, False),
    (_used_again, False, True, False),
    (_used_again, True, True, False),
]


@pytest.mark.parametrize(("step", "same", "repeats", "resend"), ROWS)
def test_the_table(step: Step, same: bool, repeats: bool, resend: bool) -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        first = Exchange("a", repeats)
        kept = await known.submit(SUBMISSION, first)
        step(first)
        again = await known.submit(SUBMISSION, Exchange("a" if same else "b", repeats))
        assert (again.seq == kept.seq, again.duplicate) == (resend, resend)

    run(work)


@pytest.mark.parametrize("step", [_cancelled, _closed_before])
def test_a_client_that_gives_up_before_the_commit(step: Step) -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        first = Exchange("a")
        kept = known.submit(SUBMISSION, first)
        step(first)
        again = known.submit(SUBMISSION, Exchange("b"))
        assert await again == Receipt((await kept).seq, duplicate=True)

    run(work)


def test_in_flight_on_whole_connections_all_are_kept() -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        receipts = await asyncio.gather(*[known.submit(SUBMISSION, Exchange(n)) for n in range(20)])
        assert len({r.seq for r in receipts}) == 20

    run(work)


def test_a_resend_stands_for_what_it_repeats() -> None:
    """Lost, sent again and lost, sent again and acknowledged: the next equal one is another."""

    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        for _ in range(3):
            receipts = []
            for step in (_reset, _cancelled, _closed_after):
                exchange = Exchange(object())
                receipts.append(await known.submit(SUBMISSION, exchange))
                step(exchange)
            assert receipts == [Receipt(receipts[0].seq, duplicate=n > 0) for n in range(3)]
            assert len(known) == 0
        assert log.head() == 3

    run(work)


def test_one_of_several_equal_ones_is_lost() -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        exchanges = [Exchange(n) for n in range(5)]
        for exchange in exchanges:
            await known.submit(SUBMISSION, exchange)
        exchanges[1].lose()
        for exchange in exchanges:
            _closed_after(exchange)
        last = Exchange("again")
        assert (await known.submit(SUBMISSION, last)).duplicate
        _closed_after(last)
        assert not (await known.submit(SUBMISSION, Exchange("another"))).duplicate
        assert log.head() == 6

    run(work)


def test_what_could_not_be_kept_is_no_reason_to_take_the_next_for_a_resend() -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        first, refused = Exchange("a"), Exchange("b")
        await known.submit(SUBMISSION, first)
        first.answered()
        failing: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        failing.set_exception(OSError())
        submit, log.submit = log.submit, lambda submission: failing  # type: ignore[method-assign]
        with pytest.raises(OSError):
            await known.submit(SUBMISSION, refused)
        refused.answered()
        log.submit = submit  # type: ignore[method-assign]
        assert not (await known.submit(SUBMISSION, Exchange("b"))).duplicate

    run(work)


def test_a_reply_that_is_stuck_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(acknowledgements.time, "monotonic", lambda: now[0])
    waiting = 10
    first = Exchange("a", backlog=lambda: waiting)
    assert not first.may_be_sent_again_as(Exchange("b")), "it is in flight"
    first.answered()
    assert not first.may_be_sent_again_as(Exchange("b")), "acknowledgements of TCP may be delayed"
    now[0] += 2
    assert first.may_be_sent_again_as(Exchange("b"))
    assert not first.may_be_sent_again_as(Exchange("a"))
    waiting = 0
    assert not first.may_be_sent_again_as(Exchange("b"))


def test_a_connection_that_is_closed_late_may_have_lost_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(acknowledgements.time, "monotonic", lambda: now[0])
    at_once, late = Exchange("a"), Exchange("b")
    for exchange, seconds in ((at_once, 0.5), (late, 1.5)):
        exchange.answered()
        now[0] += seconds
        exchange.closed(whole=True)
    assert not at_once.may_be_sent_again_as(Exchange("c"))
    assert late.may_be_sent_again_as(Exchange("c"))


def test_a_client_that_retries_may_repeat_on_its_connection_after_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(acknowledgements.time, "monotonic", lambda: now[0])
    exporter, other = Exchange("a", retries=True, timeout=10), Exchange("a", timeout=10)
    short = Exchange("a", retries=True, timeout=1)
    assert not exporter.may_be_sent_again_as(Exchange("a", retries=True))
    now[0] += 0.8
    assert short.may_be_sent_again_as(Exchange("a", retries=True)), "it counts from when it sent, and gives up earlier"
    now[0] += 8.6
    assert not exporter.may_be_sent_again_as(Exchange("a", retries=True))
    now[0] += 0.2
    assert exporter.may_be_sent_again_as(Exchange("a", retries=True))
    assert not other.may_be_sent_again_as(Exchange("a"))


def test_memory_is_bounded() -> None:
    async def work(known: Acknowledgements, log: MemoryJournal) -> None:
        for n in range(acknowledgements.CAPACITY + 50):
            kept = known.submit(Submission("logs", b"%d" % n, 1, digest=b"%016d" % n), Exchange(n))
        await kept
        assert len(known) == acknowledgements.CAPACITY
        for n in range(200):
            kept = known.submit(SUBMISSION, Exchange(n))
        await kept
        assert len(known._equal[b"d" * 16].open) == acknowledgements.MOST_EQUAL

    run(work)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("OTel-OTLP-Exporter-Python/1.45.2", True),
        ("OTel-OTLP-Exporter-Python/1.45.2 grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)", True),
        ("OTel OTLP Exporter Go/1.38.0 grpc-go/1.85.0", True),
        ("OTel-OTLP-Exporter-Java/1.54.1", True),
        ("OTel-OTLP-Exporter-JavaScript/0.206.0", True),
        ("OpenTelemetry Collector Contrib/0.140.0 (linux/amd64)", True),
        ("Fluent-Bit", True),
        ("Vector/0.51.0 (x86_64-unknown-linux-gnu)", True),
        ("curl/8.5.0", False),
        ("python-requests/2.34.2", False),
        ("Python-urllib/3.11", False),
        ("grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)", False),
        ("grpcurl/1.9.3 grpc-go/1.61.0", False),
        ("Go-http-client/1.1", False),
        ("", False),
    ],
)
def test_who_retries(agent: str, expected: bool) -> None:
    assert retries(agent) is expected
