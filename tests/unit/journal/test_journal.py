"""The journal's promises, one by one, on both stores where they hold for both."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.journals import Clock, Disk, finish, journal, keep, options, submission, take, texts

from sidecar.errors import ConfigError, Overloaded, Unavailable
from sidecar.journal import schema
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.journal import Journal
from sidecar.journal.opening import open_journal, read_ledger
from sidecar.journal.submission import Receipt
from sidecar.pipeline import Ack, DeadLetter, entry_counts

LOGS = frozenset(["logs"])
ALL = frozenset(["spans", "logs", "metrics"])
Make = Callable[..., Journal]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Make]:
    opened: list[Journal] = []

    def open_one(**more: Any) -> Journal:
        opened.append(journal(tmp_path / "j", clock, backend=request.param, **more))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def disk_journal(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    opened: list[Journal] = []

    def open_one(disk: Disk | None = None, **more: Any) -> Journal:
        opened.append(journal(tmp_path / "j", clock, disk, **more))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


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


def test_a_resend_is_acknowledged_and_not_kept(make: Make, clock: Clock) -> None:
    log = make(dedupe_window=60)
    first = log.append(submission("x", 4, digest=b"d" * 16)).result(10)
    clock.forward(59)
    again = log.append(submission("x", 4, digest=b"d" * 16)).result(10)
    assert (first.duplicate, again.duplicate, again.seq) == (False, True, first.seq)
    log.flush()
    assert log.ledger().duplicates["logs"] == 4
    assert log.ledger().received["logs"] == 4
    clock.forward(120)
    keep(log, "other", digest=b"e" * 16)
    assert not log.append(submission("x", 4, digest=b"d" * 16)).result(10).duplicate


def test_resends_before_the_commit_share_its_fate(make: Make) -> None:
    log = make(commit_delay=0.2)
    futures = [log.append(submission("x", 2, digest=b"d" * 16)) for _ in range(4)]
    receipts = [f.result(10) for f in futures]
    assert sorted(r.duplicate for r in receipts) == [False, True, True, True]
    assert {r.seq for r in receipts} == {1}
    log.flush()
    assert log.ledger().received["logs"] == 2
    assert log.ledger().duplicates["logs"] == 6


def test_a_distinct_payload_is_kept_beside_its_equal(make: Make) -> None:
    log = make()
    equal = [submission("x", 2, digest=b"d" * 16)] + [replace(submission("x", 2, digest=b"d" * 16), distinct=True)] * 3
    receipts = [f.result(10) for f in [log.append(d) for d in equal]]
    assert len({r.seq for r in receipts}) == 4
    assert not any(r.duplicate for r in receipts)
    assert log.append(equal[0]).result(10) == Receipt(receipts[-1].seq, duplicate=True)


def test_an_acknowledged_payload_is_no_longer_remembered(make: Make) -> None:
    log = make()
    first = log.append(submission("x", 2, digest=b"d" * 16)).result(10)
    other = log.append(submission("y", 2, digest=b"e" * 16)).result(10)
    log.acknowledged(b"d" * 16, [first.seq])
    second = log.append(submission("x", 2, digest=b"d" * 16)).result(10)
    assert not second.duplicate
    assert log.append(submission("x", 2, digest=b"d" * 16)).result(10) == Receipt(second.seq, duplicate=True)
    assert log.append(submission("y", 2, digest=b"e" * 16)).result(10) == Receipt(other.seq, duplicate=True)
    assert log.ledger().received["logs"] == 6


def test_what_is_acknowledged_stays_so_over_a_restart_and_what_is_not_is_remembered(disk_journal: Make) -> None:
    disk = Disk()
    log = disk_journal(disk)
    submissions = [submission(name, 1, digest=name.encode() * 16) for name in "abcd"]
    seqs = [log.append(d).result(10).seq for d in submissions]
    log.acknowledged(b"a" * 16, seqs[:1])
    log.flush()
    disk.full = True
    log.acknowledged(b"b" * 16, seqs[1:2])
    with pytest.raises(Unavailable):
        log.flush()
    disk.full = False
    log.close()
    log = disk_journal()
    log.acknowledged(b"c" * 16, seqs[2:3])
    log.close()
    log = disk_journal()
    assert [log.append(d).result(10).duplicate for d in submissions] == [False, False, False, True]


def test_payloads_without_a_digest_are_never_resends(make: Make) -> None:
    log = make()
    assert keep(log, "same") != keep(log, "same")


def test_at_the_quota_intake_is_refused_until_something_drains(make: Make, clock: Clock) -> None:
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


def test_a_restart_finds_everything_where_it_was(disk_journal: Make) -> None:
    log = disk_journal()
    consumer = log.consumer("a", LOGS)
    for i in range(4):
        keep(log, f"{i}", 2, digest=b"%016d" % i)
    entries = take(consumer)
    letter = DeadLetter("a", "id-1", "logs", "logs-x", "mapper: no", b"{}\n", 2, 1)
    consumer.done([Ack(1, {("logs", "delivered", ""): 2})], {b"k": b"v"}).result(10)
    consumer.done([Ack(2, {("logs", "dead_lettered", "mapper"): 2}, [letter])]).result(10)
    consumer.done([Ack(4, entry_counts(entries[3], "delivered"))])
    before, journal_id = log.ledger(), log.id
    log.close()

    log = disk_journal()
    assert log.id == journal_id
    assert log.ledger() == before
    consumer = log.consumer("a", LOGS)
    assert dict(consumer.state()) == {b"k": b"v"}
    assert texts(take(consumer)) == ["2", "3"], "the fourth was done, but the third was not"
    assert log.append(submission("3", 2, digest=b"%016d" % 3)).result(10).duplicate
    assert log.dead_letters() == {"a": 1}
    assert keep(log, "new") == 5
    assert log.ledger().balance() == []


def test_lagging_consumers_read_from_the_disk(disk_journal: Make) -> None:
    log = disk_journal(hot_cache_bytes=0)
    consumer = log.consumer("a", LOGS)
    wanted = [f"{i}" * 300 for i in range(30)]
    for text in wanted:
        keep(log, text)
    assert texts(take(consumer, 7)) + texts(take(consumer)) == wanted


def test_files_are_private_and_one_process_has_them(disk_journal: Make, tmp_path: Path) -> None:
    log = disk_journal()
    keep(log, "x")
    directory = tmp_path / "j"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in directory.iterdir()} == {0o600}
    with pytest.raises(ConfigError, match="in use by another sidecar"):
        open_journal(options(directory))


def test_the_ledger_can_be_read_beside_a_running_journal(disk_journal: Make, tmp_path: Path) -> None:
    log = disk_journal()
    log.consumer("a", LOGS)
    keep(log, "x", 3)
    log.flush()
    assert read_ledger(options(tmp_path / "j")) == log.ledger()


def test_a_consumer_gone_from_the_configuration_holds_nothing_back(disk_journal: Make) -> None:
    log = disk_journal()
    log.consumer("old", LOGS)
    consumer = log.consumer("a", LOGS)
    keep(log, "x")
    finish(consumer, take(consumer))
    log.close()
    log = disk_journal()
    log.consumer("a", LOGS)
    assert log.stored_entries() == 1
    assert log.prune_absent() == ["old"]
    log.flush()
    log.flush()
    assert log.stored_entries() == 0
    log.close()
    assert [c.name for c in disk_journal().ledger().consumers] == ["a"]


def test_a_consumer_that_reads_more_signals_than_before_still_balances(disk_journal: Make) -> None:
    log = disk_journal()
    log.consumer("a", LOGS)
    keep(log, "l", 2)
    keep(log, "m", 3, signal="metrics")
    log.close()
    log = disk_journal()
    consumer = log.consumer("a", frozenset(["logs", "metrics"]))
    log.flush()
    assert log.ledger().balance() == []
    finish(consumer, take(consumer))
    assert log.ledger().consumers[0].counts == {("logs", "delivered", ""): 2, ("metrics", "delivered", ""): 3}
    assert log.ledger().balance() == []


# A disk that does not behave


def test_a_full_disk_refuses_and_recovers_without_losing_or_doubling(disk_journal: Make) -> None:
    disk = Disk()
    log = disk_journal(disk)
    consumer = log.consumer("a", LOGS)
    keep(log, "before", 1)
    (entry,) = take(consumer)
    disk.full = True
    waiting = [log.append(submission("lost", 1, digest=b"l" * 16)) for _ in range(2)]
    for future in waiting:
        with pytest.raises(Unavailable, match="full"):
            future.result(10)
    word = consumer.done([Ack(entry.seq, entry_counts(entry, "delivered"))], {b"k": b"v"})
    with pytest.raises(Unavailable):
        word.result(10)
    assert log.ledger().received == {"logs": 1}
    assert log.ledger().balance() == []
    assert not log.writing()
    disk.full = False
    receipt = log.append(submission("lost", 1, digest=b"l" * 16)).result(10)
    assert not receipt.duplicate
    assert texts(take(consumer)) == ["lost"]
    assert log.ledger().consumers[0].counts == {("logs", "delivered", ""): 1}, "the word was kept"
    assert dict(log.consumer("a", LOGS).state()) == {b"k": b"v"}
    assert log.writing()
    log.close()
    assert disk_journal().ledger() == log.ledger()


def test_a_disk_that_goes_away_and_comes_back(disk_journal: Make) -> None:
    disk = Disk()
    log = disk_journal(disk)
    consumer = log.consumer("a", LOGS)
    keep(log, "1")
    disk.gone = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            log.append(submission("no")).result(10)
    disk.gone = False
    keep(log, "2")
    assert texts(take(consumer)) == ["1", "2"]
    assert log.ledger().balance() == []


def _garble(path: Path, seq: int) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE entries SET payload = zeroblob(length(payload)) WHERE seq = ?", (seq,))
    db.commit()
    db.close()


def test_an_entry_that_fails_its_checksum_is_counted_and_passed(disk_journal: Make, tmp_path: Path) -> None:
    log = disk_journal()
    for name in ("a", "b"):
        log.consumer(name, LOGS)
    for i in range(3):
        keep(log, f"{i}" * 500, 2)
    log.close()
    _garble(tmp_path / "j" / schema.FILE, 2)
    log = disk_journal()
    for name in ("a", "b"):
        consumer = log.consumer(name, LOGS)
        entries = take(consumer)
        assert [e.seq for e in entries] == [1, 3]
        finish(consumer, entries)
    assert [c.counts for c in log.ledger().consumers] == [
        {("logs", "delivered", ""): 4, ("logs", "dropped", "corrupt"): 2}
    ] * 2
    assert log.ledger().balance() == []


def test_dead_letters_are_listed_shown_and_deleted(disk_journal: Make, tmp_path: Path) -> None:
    log = disk_journal()
    consumer = log.consumer("es", LOGS)
    keep(log, "x", 3)
    (entry,) = take(consumer)
    letters = [DeadLetter("es", f"id-{i}", "logs", "ix", f"bad {i}", b"doc%d" % i, 1, 5) for i in (1, 2, 2)]
    consumer.done([Ack(entry.seq, entry_counts(entry, "dead_lettered", "bad"), letters)]).result(10)
    table = DeadLetters(tmp_path / "j")
    assert table.count() == {"es": 2}
    first, second = table.iterate("es")
    assert (first.letter.doc_id, first.letter.document) == ("id-1", b"doc1")
    assert table.show(second.id) == second
    assert table.delete([first.id, 999]) == 1
    assert table.page("es") == [second]
    assert table.page("other") == []
    assert log.dead_letters() == {"es": 1}


def test_dead_letters_past_their_bound_are_counted_as_dropped(disk_journal: Make) -> None:
    log = disk_journal(dead_letters={"max_bytes": 10})
    consumer = log.consumer("es", LOGS)
    keep(log, "x", 3)
    (entry,) = take(consumer)
    letters = [DeadLetter("es", f"{i}", "logs", "ix", "bad", b"doc", 1, 5) for i in range(3)]
    consumer.done([Ack(entry.seq, entry_counts(entry, "dead_lettered", "bad"), letters)]).result(10)
    assert log.dead_letters() == {"es": 1}
    assert log.ledger().consumers[0].counts == {
        ("logs", "dead_lettered", "bad"): 1,
        ("logs", "dropped", "dead_letters_full"): 2,
    }
    assert log.ledger().balance() == []


def test_space_is_used_again_and_given_back(disk_journal: Make, tmp_path: Path) -> None:
    log = disk_journal()
    consumer = log.consumer("a", LOGS)
    payload = random.Random(1).randbytes(500_000)
    for _ in range(60):
        log.append(submission(payload)).result(10)
    full = (tmp_path / "j" / schema.FILE).stat().st_size
    while entries := take(consumer):
        finish(consumer, entries)
    for _ in range(100):
        log.flush()
    log.close()
    assert full > 20_000_000
    assert (tmp_path / "j" / schema.FILE).stat().st_size < 12_000_000
