"""The journal's promises, one by one, on both stores where they hold for both."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from support.journals import ALL, LOGS, Clock, Make, finish, keep, submission, take, texts

from sidecar.errors import Overloaded, Unavailable
from sidecar.journal import consumer as reading
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Receipt
from sidecar.pipeline import Ack, entry_counts


def test_entries_come_in_order_and_whole(make: Make, clock: Clock) -> None:
    log = make()
    consumer = log.consumer("a", ALL)
    big = bytes(range(256)) * 2000
    assert keep(log, "one", 3) == 1
    assert keep(log, big, 5, signal="spans", events=2) == 2
    first, second = take(consumer)
    assert (first.seq, first.signal, first.items, first.payload, first.time_ns) == (1, "logs", 3, b"one", clock.now)
    assert (second.signal, second.items, second.events, second.payload) == ("spans", 5, 2, big)
    assert log.head() == 2


def test_next_keeps_to_its_bounds_but_gives_at_least_one(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    for text in ("aaaa", "bbbb", "cccc"):
        keep(log, text)
    assert texts(take(consumer, size=1)) == ["aaaa"]
    assert texts(take(consumer, entries=1)) == ["bbbb"]
    assert texts(take(consumer)) == ["cccc"]
    assert consumer.next(10, 10, 0.01) == []


def test_a_consumer_sees_only_its_signals_and_holds_back_nobody(make: Make) -> None:
    log = make()
    logs, metrics = log.consumer("logs", LOGS), log.consumer("metrics", frozenset(["metrics"]))
    for i in range(5):
        keep(log, f"l{i}")
    keep(log, "m", signal="metrics")
    assert texts(take(metrics)) == ["m"]
    finish(logs, take(logs))
    log.flush()
    assert log.stored_entries() == 1


def test_next_wakes_up_for_a_new_entry(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.extend(texts(consumer.next(100, 100, 30))))
    thread.start()
    keep(log, "news")
    thread.join(10)
    assert got == ["news"]


def test_wait_gathers_until_there_is_enough(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    consumer.wait(0.01, 60, 100, 10)  # nothing there: the timeout
    keep(log, "few")
    consumer.wait(60, 0.01, 100, 10)  # too little: the time to gather
    assert texts(take(consumer)) == ["few"]
    keep(log, "m", signal="metrics")
    for i in range(10):
        keep(log, f"l{i}")
    consumer.wait(60, 60, 1 << 20, 10)  # as many as asked for
    keep(log, "big" * 100)
    consumer.wait(60, 60, 100, 1000)  # as large as asked for
    assert len(take(consumer)) == 11


def test_one_whose_time_is_over_begins_behind_the_next_commit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LULL", 6000)  # Of 10 ms: a minute.
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "first")
    thread = threading.Thread(target=lambda: consumer.wait(60, 0.01, 1 << 20, 1000))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    for _ in range(100):  # On a slow machine the first comes while it gathers.
        keep(log, "next")
        thread.join(0.2)
        if not thread.is_alive():
            break
    assert not thread.is_alive()
    assert len(take(consumer)) >= 2


def test_one_that_waits_for_the_next_commit_is_woken(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LULL", 6000)
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "first")
    for end in (consumer.wake, log.close):
        thread = threading.Thread(target=lambda: consumer.wait(60, 0.01, 1 << 20, 1000))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        end()
        thread.join(20)
        assert not thread.is_alive()


def test_one_that_gathers_is_woken_by_much_by_wake_and_by_close(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "first")

    def ended_by(act: Callable[[], object]) -> None:
        thread = threading.Thread(target=lambda: consumer.wait(60, 60, 1 << 20, 1000))
        thread.start()
        act()
        thread.join(30)
        assert not thread.is_alive()

    ended_by(lambda: keep(log, bytes(2 << 20)))
    take(consumer)
    ended_by(consumer.wake)
    keep(log, "last")
    ended_by(consumer.wake)
    ended_by(log.close)


def test_a_wait_lets_go_of_what_does_not_concern_the_consumer(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "m", signal="metrics")
    consumer.wait(0.01, 0, 1, 1)
    log.flush()
    assert log.stored_entries() == 0


def test_submit_resolves_in_its_event_loop(make: Make) -> None:
    log = make()

    async def many() -> list[Receipt]:
        return await asyncio.gather(*[log.submit(submission(f"{i}")) for i in range(50)])

    receipts = asyncio.run(many())
    assert [r.seq for r in receipts] == list(range(1, 51))
    assert not any(r.duplicate for r in receipts)


def test_done_out_of_order_moves_the_mark_only_to_the_first_gap(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    for i in range(3):
        keep(log, f"{i}", 10)
    one, two, three = take(consumer)
    later = consumer.done(
        [Ack(three.seq, entry_counts(three, "delivered")), Ack(two.seq, entry_counts(two, "delivered"))]
    )
    log.flush()
    assert not later.done()
    assert consumer.waiting() == {"logs": 30}
    finish(consumer, [one])
    later.result(10)
    assert consumer.waiting() == {"logs": 0}
    assert log.ledger().consumers[0].counts == {("logs", "delivered", ""): 30}
    assert log.ledger().balance() == []
    log.flush()
    assert log.stored_entries() == 0


def test_done_for_what_was_never_handed_out_is_a_mistake(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "x")
    with pytest.raises(ValueError, match="never handed out"):
        consumer.done([Ack(1)])


def test_state_must_come_in_order(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    keep(log, "1")
    keep(log, "2")
    _, second = take(consumer)
    with pytest.raises(ValueError, match="in order"):
        consumer.done([Ack(second.seq)], {b"k": b"v"})


def test_state_is_kept_and_deleted_by_key(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    consumer.done([], {b"x": b"1", b"y": b"2"}).result(10)
    consumer.done([], {b"x": None, b"z": b"3"}).result(10)
    assert dict(log.consumer("a", LOGS).state()) == {b"y": b"2", b"z": b"3"}


def test_a_new_consumer_begins_at_the_oldest_kept_entry_and_balances(make: Make) -> None:
    log = make()
    first = log.consumer("first", LOGS)
    keep(log, "gone", 7)
    finish(first, take(first))
    log.flush()
    keep(log, "kept", 5)
    second = log.consumer("second", LOGS)
    assert texts(take(second)) == ["kept"]
    log.flush()
    ledger = next(c for c in log.ledger().consumers if c.name == "second")
    assert ledger.base == {"logs": 7}
    assert ledger.waiting == {"logs": 5}
    assert log.ledger().balance() == []


def test_the_ledger_names_what_does_not_add_up(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", frozenset(["spans"]))
    keep(log, "x", 5, signal="spans", events=2)
    (entry,) = take(consumer)
    consumer.done([Ack(entry.seq, {("spans", "delivered", ""): 5})]).result(10)
    assert log.ledger().balance() == ["a/span_events: received 2 since it began, but finished 0 + waiting 0 = 0"]


def test_rejected_items_are_counted_even_where_nothing_is_kept(make: Make) -> None:
    log = make()
    keep(log, "part", 5, rejected=2)
    log.append(submission("none", 0, rejected=4)).result(10)
    assert log.ledger().received == {"logs": 5}
    assert log.ledger().rejected == {"logs": 6}
    assert log.stored_entries() == 1


def test_at_the_quota_ingest_is_refused_until_something_drains(make: Make, clock: Clock) -> None:
    log = make(quota_bytes=1 << 20, memory_bytes=1 << 20)
    consumer = log.consumer("a", LOGS)
    payload = random.Random(1).randbytes(200_000)
    with pytest.raises(Overloaded, match="quota") as caught:
        _keep_many(log, payload, 20)
    assert caught.value.retry_after == 30
    assert log.stored_bytes() <= 1 << 20
    clock.forward(1)
    finish(consumer, take(consumer))
    log.flush()
    assert log.stored_bytes() == 0
    assert log.drain_rate() > 100_000
    assert 1 <= log.retry_after() < 30
    keep(log, payload)
    assert log.ledger().balance() == []


def test_that_the_quota_is_reached_is_said_once_with_who_is_behind(make: Make) -> None:
    log = make(quota_bytes=1 << 20, memory_bytes=1 << 20)
    quick, slow = log.consumer("quick", LOGS), log.consumer("slow", LOGS)
    payload = random.Random(1).randbytes(200_000)
    with capture_logs() as lines:
        for _ in range(2):
            for _ in range(3):
                with pytest.raises(Overloaded, match="quota"):
                    _keep_many(log, payload, 20)
                finish(quick, take(quick))
                log.flush()
            assert [line["event"] for line in lines] == ["journal_full"]
            assert lines[0]["behind"][-1] == "slow"
            lines.clear()
            finish(slow, take(slow))
            log.flush()
            keep(log, payload)


def _keep_many(log: Journal, payload: bytes, times: int) -> None:
    for _ in range(times):
        keep(log, payload)


def test_drop_oldest_skips_the_lagging_consumer_and_counts(make: Make) -> None:
    log = make(quota_bytes=1 << 20, memory_bytes=1 << 20, when_full="drop_oldest")
    quick, slow = log.consumer("quick", LOGS), log.consumer("slow", LOGS)
    payload = random.Random(1).randbytes(200_000)
    in_flight = None
    for _ in range(12):
        keep(log, payload, 10)
        finish(quick, take(quick))
        in_flight = in_flight or take(slow)
    log.flush()
    by_name = {c.name: c for c in log.ledger().consumers}
    assert by_name["quick"].counts == {("logs", "delivered", ""): 120}
    dropped = by_name["slow"].counts[("logs", "dropped", "journal_full")]
    assert dropped + by_name["slow"].waiting["logs"] == 120
    assert 0 < dropped < 120
    assert log.ledger().balance() == []
    finish(slow, in_flight or [])
    finish(slow, take(slow))
    assert log.ledger().balance() == []
    assert {c.name: c for c in log.ledger().consumers}["slow"].counts[("logs", "delivered", "")] == 120 - dropped


def test_a_closed_journal_takes_nothing_and_wakes_its_consumers(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(consumer.next(1, 1, 60)))
    thread.start()
    log.close()
    thread.join(10)
    assert got == [[]]
    with pytest.raises(Unavailable):
        log.append(submission("x"))


def test_lag_is_the_age_of_the_oldest_unfinished_entry(make: Make, clock: Clock) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    assert consumer.lag_seconds() == 0
    keep(log, "x")
    clock.forward(5)
    keep(log, "y")
    assert consumer.lag_seconds() == 5
    one, two = take(consumer)
    assert consumer.lag_seconds() == 5
    finish(consumer, [one])
    assert consumer.lag_seconds() == 0
    finish(consumer, [two])
    assert consumer.lag_seconds() == 0


# What a restart must find
