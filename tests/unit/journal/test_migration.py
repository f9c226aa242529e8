"""Journals of earlier versions, as their programs left them (`tests/golden/journal`): migrated, and nothing is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.journals import ALL, Disk, finish, garbage, journal, options, submission, take, texts

from sidecar.errors import ConfigError
from sidecar.journal import schema
from sidecar.journal.journal import Journal
from sidecar.journal.opening import read_ledger

GOLDEN = Path(__file__).parents[2] / "golden" / "journal"
SPANS_AND_LOGS = frozenset(["spans", "logs"])
SPANS = "spans " * 40


def unpack(name: str, directory: Path) -> Path:
    """The file of that name, with its write-ahead log where it has one."""
    for packed in GOLDEN.glob(f"{name}.db*.gz"):
        suffix = packed.name.removeprefix(f"{name}.db").removesuffix(".gz")
        (directory / f"{schema.FILE}{suffix}").write_bytes(gzip.decompress(packed.read_bytes()))
    return directory / schema.FILE


def check_all_is_there(log: Journal) -> None:
    derive, elasticsearch = log.consumer("derive", ALL), log.consumer("elasticsearch", SPANS_AND_LOGS)
    assert dict(derive.state()) == {b"row": b"value"}
    assert log.checkpoints(b"") == {b"file_tail/1": b"123"}
    assert log.dead_letters() == {"elasticsearch": 1}
    ledger = log.ledger()
    assert ledger.balance() == []
    counters = (ledger.received, ledger.rejected, ledger.duplicates)
    assert [{line: n for line, n in counter.items() if n} for counter in counters] == [
        {"logs": 3, "spans": 3, "span_events": 2},
        {"spans": 1},
        {"spans": 3, "span_events": 2},
    ]
    counts = {consumer.name: consumer.counts for consumer in ledger.consumers}
    assert counts["derive"] == {
        ("logs", "delivered", ""): 2,
        ("spans", "delivered", ""): 3,
        ("span_events", "delivered", ""): 2,
    }
    assert counts["elasticsearch"] == {("logs", "delivered", ""): 1, ("logs", "dead_lettered", "mapper"): 1}
    assert texts(take(derive)) == ["with a checkpoint"]
    left = take(elasticsearch)
    assert texts(left) == [SPANS, "with a checkpoint"]
    assert log.append(submission("x", 3, signal="spans", events=2, digest=b"d" * 16)).result(10).duplicate
    finish(elasticsearch, left)
    assert log.ledger().balance() == []


def test_words_of_an_earlier_version_are_renamed(tmp_path: Path) -> None:
    file = unpack("v1_closed", tmp_path)
    change(
        file,
        "INSERT INTO counts VALUES ('derive', 'spans', 'dropped', 'undecodable', 1)",
        "INSERT INTO counts VALUES ('derive', 'spans', 'dropped', 'not_decodable', 1)",
        "UPDATE counts SET items = 1 WHERE consumer = 'derive' AND signal = 'spans' AND outcome = 'delivered'",
    )
    for damage in (False, True):
        directory = tmp_path / f"damaged {damage}"
        directory.mkdir()
        (directory / schema.FILE).write_bytes(file.read_bytes())
        if damage:
            with (directory / schema.FILE).open("r+b") as f:
                f.write(bytes(schema.PAGE))
        log = journal(directory)
        (derive,) = (consumer for consumer in log.ledger().consumers if consumer.name == "derive")
        assert {key: n for key, n in derive.counts.items() if key[0] == "spans"} == {
            ("spans", "delivered", ""): 1,
            ("spans", "dropped", "not_decodable"): 2,
        }
        assert log.ledger().balance() == []
        log.close()


def change(file: Path, *statements: str) -> None:
    db = schema.connect(file)
    for statement in statements:
        db.execute(statement)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


def version(file: Path) -> int:
    db = schema.connect(file, read_only=True)
    try:
        return schema.pragma(db, "user_version")
    finally:
        db.close()


@pytest.mark.parametrize("name", ["v1_closed", "v1_killed"])
def test_an_earlier_version_is_migrated(tmp_path: Path, name: str) -> None:
    file = unpack(name, tmp_path)
    with capture_logs() as lines:
        log = journal(tmp_path)
    assert [(line["log_level"], line["version"], line["to"]) for line in lines] == [("info", 1, schema.VERSION)]
    check_all_is_there(log)
    log.close()
    assert version(file) == schema.VERSION
    assert not list(tmp_path.glob("*damaged*"))
    with capture_logs() as lines:
        log = journal(tmp_path)
        assert log.ledger().balance() == []
        log.close()
    assert lines == []


def test_a_migrated_file_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    file = unpack("v1_closed", tmp_path)
    journal(tmp_path).close()
    journal(tmp_path / "new").close()
    assert described(file) == described(tmp_path / "new" / schema.FILE)


def described(file: Path) -> list[tuple[object, ...]]:
    """Tables, the pages where they begin, their columns: salvage puts a new file's first page in a lost one's place."""
    db = schema.connect(file, read_only=True)
    try:
        tables = db.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return [(*table, *db.execute(f"PRAGMA table_info({table[0]})").fetchall()) for table in tables]
    finally:
        db.close()


def test_a_disk_that_fails_while_migrating_leaves_it_as_it_was(tmp_path: Path) -> None:
    file = unpack("v1_closed", tmp_path)
    with pytest.raises(ConfigError, match="cannot be opened"):
        journal(tmp_path, disk=Disk(full=True))
    assert version(file) == 1
    log = journal(tmp_path)
    check_all_is_there(log)
    log.close()


@pytest.mark.parametrize("damage", ["first page", "garbage behind"])
def test_a_damaged_one_of_an_earlier_version_is_salvaged(tmp_path: Path, damage: str) -> None:
    file = unpack("v1_closed", tmp_path)
    with file.open("r+b") as f:
        if damage == "first page":
            f.write(bytes(schema.PAGE))
        else:
            f.seek(schema.PAGE * 2)
            f.write(garbage(schema.PAGE))
    log = journal(tmp_path)
    assert list(tmp_path.glob("journal.damaged-*.db"))
    if damage == "first page":
        check_all_is_there(log)
    assert log.ledger().balance() == []
    log.close()


def test_the_ledger_of_an_earlier_version_is_read_after_a_start(tmp_path: Path) -> None:
    file = unpack("v1_closed", tmp_path)
    with pytest.raises(ConfigError, match=r"earlier version \(1\); start the sidecar"):
        read_ledger(options(tmp_path))
    assert version(file) == 1
    journal(tmp_path).close()
    assert read_ledger(options(tmp_path)).balance() == []
