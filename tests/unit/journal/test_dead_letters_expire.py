from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from support.journals import SECOND, Clock, Disk, journal, keep, take

from sidecar.journal import schema
from sidecar.journal.dead_letters import expire
from sidecar.journal.journal import Journal
from sidecar.journal.memory import MemoryStore
from sidecar.journal.transaction import Delta, Transaction
from sidecar.pipeline import Ack, DeadLetter, entry_counts

LOGS = frozenset({"logs"})
DAY = 86_400 * SECOND


def letters(*times: int) -> list[DeadLetter]:
    return [DeadLetter("es", f"{when}", "logs", "ix", "bad", b"document", 1, when) for when in times]


def refuse(log: Journal, dead: list[DeadLetter]) -> None:
    """An entry whose documents all become dead letters."""
    consumer = log.consumer("es", LOGS)
    keep(log, "x", len(dead))
    (entry,) = take(consumer)
    consumer.done([Ack(entry.seq, entry_counts(entry, "dead_lettered", "bad"), dead)]).result(10)


@pytest.mark.parametrize(
    ("before", "most", "left"), [(0, 9, "1234"), (3, 9, "34"), (0, 1, "4"), (3, 0, ""), (9, 9, "")]
)
@pytest.mark.parametrize("where", ["file", "memory"])
def test_old_ones_go_and_the_oldest_past_the_number(
    tmp_path: Path, where: str, before: int, most: int, left: str
) -> None:
    if where == "memory":
        store = MemoryStore()
        delta = Delta(1, dead=letters(1, 2, 3, 4))
        store.commit(Transaction(1, 1, 1, deltas={"es": delta}))
        gone, size = store.expire_dead_letters(before, most)
        found = "".join(letter.doc_id for letter in store.all_dead_letters())
    else:
        log = journal(tmp_path)
        refuse(log, letters(1, 2, 3, 4))
        log.close()
        db = schema.connect(tmp_path / schema.FILE)
        gone, size = expire(db, before, most)
        found = "".join(row[0] for row in db.execute("SELECT doc_id FROM dead_letters ORDER BY id"))
        db.close()
    assert (found, gone, size) == (left, 4 - len(left), len(left) * len(b"documentbad"))


def test_a_running_journal_deletes_them_and_has_room_again(tmp_path: Path) -> None:
    clock = Clock()
    log = journal(tmp_path, clock, dead_letters={"max_bytes": 25, "max_age": "2d"})
    refuse(log, letters(clock.now, clock.now + 1, clock.now + 2))  # Room for two.
    assert log.ledger().consumers[0].counts["logs", "dropped", "dead_letters_full"] == 1
    clock.forward(3 * 86_400)
    for _ in range(40):  # It looks with some commits, not with every one.
        keep(log, "y")
    assert log.dead_letters() == {}
    refuse_more = letters(clock.now, clock.now + 1)
    consumer = log.consumer("es", LOGS)
    entries = take(consumer)
    consumer.done([Ack(e.seq, entry_counts(e, "delivered")) for e in entries[1:]])
    consumer.done([Ack(entries[0].seq, entry_counts(entries[0], "dead_lettered", "bad"), refuse_more[:1])]).result(10)
    assert log.dead_letters() == {"es": 1}
    assert log.ledger().balance() == []
    log.close()


def test_a_disk_that_fails_then_is_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, clock = Disk(), Clock()
    log = journal(tmp_path, clock, disk, dead_letters={"max_count": 1})

    def fail(*_: object) -> tuple[int, int]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr("sidecar.journal.dead_letters.expire", fail)
        refuse(log, letters(clock.now, clock.now + 1))
        clock.forward(61)
        for _ in range(40):
            keep(log, "y")
        assert log.dead_letters() == {"es": 2}
    clock.forward(61)
    for _ in range(40):
        keep(log, "y")
    assert log.dead_letters() == {"es": 1}
    log.close()
