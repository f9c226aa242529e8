"""Damaged files: the journal starts, keeps what can be read, sets the rest aside, and never pretends."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.journals import Clock, Disk, finish, garbage, journal, keep, submission, take

from sidecar.errors import Unavailable
from sidecar.journal import schema
from sidecar.journal.journal import Journal
from sidecar.journal.salvage import salvage
from sidecar.pipeline import Ack, DeadLetter, entry_counts

LOGS = frozenset(["logs"])
ENTRIES = 60


def _payload(i: int) -> bytes:
    return random.Random(i).randbytes(3000 + 100 * (i % 7))


def _filled(path: Path) -> tuple[str, Path]:
    """A journal with a consumer that has finished the first ten entries; closed."""
    log = journal(path)
    consumer, _ = log.consumer("a", LOGS), log.consumer("behind", LOGS)
    for i in range(1, ENTRIES + 1):
        keep(log, _payload(i), 2, digest=b"%016d" % i)
    entries = take(consumer, 10)
    letter = DeadLetter("a", "id", "logs", "ix", "no", b"doc", 1, 1)
    consumer.done([Ack(e.seq, entry_counts(e, "delivered")) for e in entries[:9]], {b"k": b"v"})
    consumer.done([Ack(entries[9].seq, entry_counts(entries[9], "dead_lettered"), [letter])]).result(10)
    log.close()
    return log.id, path / schema.FILE


def _read_all(log: Journal, name: str) -> dict[int, bytes]:
    consumer = log.consumer(name, LOGS)
    found: dict[int, bytes] = {}
    while entries := take(consumer):
        found |= {e.seq: e.payload for e in entries}
        finish(consumer, entries)
    return found


def _zero_header(file: Path) -> None:
    with file.open("r+b") as f:
        f.write(b"\0" * 100)


def _zero_first_page(file: Path) -> None:
    with file.open("r+b") as f:
        f.write(garbage(schema.PAGE))


def _some_pages(file: Path) -> None:
    rng = random.Random(5)
    with file.open("r+b") as f:
        for page in rng.sample(range(15, file.stat().st_size // schema.PAGE), 6):
            f.seek(page * schema.PAGE)
            f.write(rng.randbytes(schema.PAGE))


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3 // 512 * 512 + 7)


def _text(file: Path) -> None:
    file.write_text("this is not a database, but it is longer than a header\n" * 50)


def _empty(file: Path) -> None:
    os.truncate(file, 0)


def _later_version(file: Path) -> None:
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()


def _root_page(table: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        db = sqlite3.connect(file)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        db.close()
        with file.open("r+b") as f:
            f.seek((page - 1) * schema.PAGE)
            f.write(garbage(schema.PAGE))

    return damage


def _later_names(file: Path) -> None:
    _later_version(file)
    db = sqlite3.connect(file)
    db.execute("ALTER TABLE consumers RENAME COLUMN low_water_mark TO place")
    db.close()


@pytest.mark.parametrize(
    ("damage", "at_least"),
    [
        (_zero_header, ENTRIES),
        (_zero_first_page, ENTRIES),
        (_some_pages, ENTRIES // 2),
        (_cut, ENTRIES // 3),
        (_text, 0),
        (_empty, 0),
        (_later_version, ENTRIES),
        *((_root_page(table), ENTRIES) for table in ("ingest", "counts", "state", "digests")),
        (_root_page("dead_letters"), ENTRIES),
        (_root_page("entries"), 0),
    ],
)
def test_what_can_be_read_is_kept_and_the_ledger_says_the_rest(
    tmp_path: Path, damage: Callable[[Path], None], at_least: int
) -> None:
    journal_id, file = _filled(tmp_path)
    damage(file)
    log = journal(tmp_path)
    log.flush()
    assert log.ledger().balance() == []
    for name, first in (("a", 11), ("behind", 1)):
        found = _read_all(log, name)
        assert all(payload == _payload(seq) for seq, payload in found.items())
        if at_least == ENTRIES:
            assert sorted(found) == list(range(first, ENTRIES + 1))
            assert log.id == journal_id
        assert len(found) >= at_least - first + 1
    log.flush()
    assert log.ledger().balance() == []
    if log.id == journal_id:
        assert keep(log, "next") > ENTRIES, "a number is never given twice under one id"
        for c in log.ledger().consumers:
            assert c.finished("logs") + c.waiting["logs"] == log.ledger().received["logs"] - c.base["logs"]
    else:
        assert log.ledger().received.get("logs", 0) == 0
        keep(log, "next")
    log.close()
    again = journal(tmp_path)
    assert again.ledger().balance() == []
    again.close()


@pytest.mark.parametrize("damage", [_root_page("consumers"), _later_names])
def test_a_consumer_that_cannot_be_read_begins_again_without_its_state(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """With it, what is read again would be counted twice."""
    _, file = _filled(tmp_path)
    damage(file)
    log = journal(tmp_path)
    consumer = log.consumer("a", LOGS)
    assert dict(consumer.state()) == {}
    assert [e.seq for e in take(consumer, 1)] == [1]
    assert log.ledger().balance() == []
    log.close()


def test_the_damaged_file_is_set_aside_once(tmp_path: Path) -> None:
    _, file = _filled(tmp_path)
    _text(file)
    journal(tmp_path).close()
    assert len(list(tmp_path.glob("journal.damaged-*.db"))) == 1
    journal(tmp_path).close()
    names = {p.name for p in tmp_path.iterdir()}
    assert len([n for n in names if n.startswith("journal.damaged-")]) == 1
    assert not any("new" in n or "salvag" in n for n in names)


def test_cursors_states_digests_and_letters_are_salvaged(tmp_path: Path) -> None:
    _, file = _filled(tmp_path)
    _zero_first_page(file)
    log = journal(tmp_path)
    consumer = log.consumer("a", LOGS)
    assert dict(consumer.state()) == {b"k": b"v"}
    assert log.dead_letters() == {"a": 1}
    assert log.append(submission(_payload(7), 2, digest=b"%016d" % 7)).result(10).duplicate
    assert [e.seq for e in take(consumer, 1)] == [11]
    log.close()


def test_an_unreadable_wal_beside_a_good_file_is_no_reason_to_stop(tmp_path: Path) -> None:
    _, file = _filled(tmp_path)
    file.with_name("journal.db-wal").write_bytes(garbage(50_000))
    log = journal(tmp_path)
    assert len(_read_all(log, "behind")) == ENTRIES
    log.close()


def test_numbers_are_not_given_again_after_a_crash(tmp_path: Path) -> None:
    log = journal(tmp_path / "j")
    keep(log, "1")
    shutil.copytree(tmp_path / "j", tmp_path / "copy")
    lost = keep(log, "this commit is lost by the disk")
    log.close()
    (tmp_path / "copy" / "journal.lock").unlink()
    after = journal(tmp_path / "copy")
    assert after.id == log.id
    assert keep(after, "another") > lost
    after.close()


def test_a_salvage_that_was_killed_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, file = _filled(tmp_path)
    _zero_header(file)
    with monkeypatch.context() as patch:
        patch.setattr("sidecar.journal.salvage._copy", _killed)
        with pytest.raises(KeyboardInterrupt):
            salvage(tmp_path)
    assert not file.exists()
    log = journal(tmp_path)
    assert len(_read_all(log, "behind")) == ENTRIES
    log.close()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_damage_found_while_running_is_salvaged_and_ingest_goes_on(tmp_path: Path) -> None:
    _, file = _filled(tmp_path)
    disk = Disk()
    log = journal(tmp_path, Clock(), disk, hot_cache_bytes=0)
    log.consumer("a", LOGS)
    consumer = log.consumer("behind", LOGS)
    entries = take(consumer, 5)
    with file.open("r+b") as f:
        f.seek(schema.PAGE * 15)
        f.write(garbage(file.stat().st_size - 15 * schema.PAGE))
    disk.made[-1].execute("PRAGMA shrink_memory")
    number, refused = 0, 0
    while not number:
        try:
            number = keep(log, _payload(0), 2)
        except Unavailable:
            refused += 1
            assert refused < 10
    assert refused
    assert list(tmp_path.glob("journal.damaged-*.db"))
    finish(consumer, entries)
    left = take(consumer)
    assert (left[-1].seq, left[-1].payload) == (number, _payload(0))
    finish(consumer, left)
    assert log.ledger().balance() == []
    counts = {c.name: c.counts for c in log.ledger().consumers}["behind"]
    assert counts[("logs", "dropped", "corrupt")] > 0
    assert sum(counts.values()) == 2 * (ENTRIES + 1)
    log.close()
    again = journal(tmp_path)
    assert again.ledger().balance() == []
    again.close()


def test_a_directory_in_the_place_of_the_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / schema.FILE).mkdir()
    log = journal(tmp_path)
    keep(log, "x")
    log.close()
    assert list(tmp_path.glob("journal.damaged-*.db"))
