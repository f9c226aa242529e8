"""What only a journal on a disk promises: restarts, readers alongside it, disks that are full, away or damaged."""

from __future__ import annotations

import random
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
import structlog
from support.journals import LOGS, Disk, Make, disk_error, finish, garbage, keep, options, submission, take, texts

from sidecar.errors import ConfigError, Unavailable
from sidecar.journal import schema
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.opening import open_journal, read_ledger
from sidecar.pipeline import Ack, DeadLetter, entry_counts


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


def test_the_write_ahead_log_is_copied_after_the_answers(disk_journal: Make, tmp_path: Path) -> None:
    answered, waited = threading.Event(), []
    log = disk_journal(disk=Disk(before_checkpoint=lambda: waited.append(answered.wait(10))))
    small = keep(log, "small")
    assert log.append(submission(garbage(schema.PAGE * schema.CHECKPOINT_PAGES))).result(10).seq == small + 1
    answered.set()
    keep(log, "next")  # Behind the checkpoint.
    assert waited == [True], "once, when there was enough to copy"
    assert (tmp_path / "j" / schema.FILE).stat().st_size > schema.PAGE * schema.CHECKPOINT_PAGES


def test_a_checkpoint_that_fails_loses_nothing_and_is_not_tried_with_every_commit(disk_journal: Make) -> None:
    failures = []

    def fail() -> None:
        failures.append("full")
        raise disk_error("database or disk is full", sqlite3.SQLITE_FULL)

    log = disk_journal(disk=Disk(before_checkpoint=fail))
    with structlog.testing.capture_logs() as lines:
        keep(log, garbage(schema.PAGE * schema.CHECKPOINT_PAGES))
        for i in range(5):
            keep(log, f"{i}")
    assert failures == ["full"]
    assert [line["event"] for line in lines] == ["journal_checkpoint_failed"]
    log.close()
    assert texts(take(disk_journal().consumer("a", LOGS))[1:]) == [f"{i}" for i in range(5)]


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
    assert (first.dead_letter.doc_id, first.dead_letter.document) == ("id-1", b"doc1")
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
