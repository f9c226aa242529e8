from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sidecar import maintenance
from sidecar.config import loader
from sidecar.config.settings import Settings
from sidecar.errors import ConfigError
from sidecar.journal.opening import open_journal
from sidecar.journal.submission import Submission
from sidecar.pipeline import Ack, DeadLetter


def at(path: Path, **environ: str) -> Settings:
    return loader.load({"SIDECAR_JOURNAL__PATH": str(path), **environ})


ELASTIC = {"SIDECAR_DELIVER__ELASTICSEARCH__URL": "http://127.0.0.1:1"}


def test_no_command_makes_a_journal_where_there_is_none(tmp_path: Path) -> None:
    settings = at(tmp_path / "slip", **ELASTIC)
    commands = (
        lambda: maintenance.journal_status(settings),
        lambda: maintenance.drain(settings, 1.0, lambda _: None),
        lambda: list(maintenance.list_dead_letters(settings, None, 10, False)),
        lambda: maintenance.replay_dead_letters(settings, None, lambda _: None),
        lambda: maintenance.show_dead_letter(settings, 1),
        lambda: list(maintenance.export_dead_letters(settings, None)),
        lambda: maintenance.expire_dead_letters(settings, 1.0, 1),
    )
    for command in commands:
        with pytest.raises(ConfigError, match=r"there is no journal in .*slip; set SIDECAR_JOURNAL__PATH"):
            command()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_memory_has_nothing_to_look_into(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory"):
        maintenance.journal_status(at(tmp_path, SIDECAR_JOURNAL__BACKEND="memory"))


def test_replay_needs_somewhere_to_send_to(tmp_path: Path) -> None:
    kinds = r"of a kind that replays dead letters \(elasticsearch or logstash or otlp\) is enabled"
    with pytest.raises(ConfigError, match=f"no sink {kinds}"):
        maintenance.replay_dead_letters(at(tmp_path), None, lambda _: None)
    with pytest.raises(ConfigError, match=f"no sink named 'otlp' {kinds}"):
        maintenance.replay_dead_letters(at(tmp_path, **ELASTIC), "otlp", lambda _: None)


def test_a_slip_in_the_name_of_a_sink_is_not_an_empty_list(tmp_path: Path) -> None:
    open_journal(at(tmp_path).journal).close()
    settings = at(tmp_path, **ELASTIC)
    assert list(maintenance.list_dead_letters(settings, "elasticsearch", 10, False)) == ["no dead letters"]
    for command in (
        lambda: list(maintenance.list_dead_letters(settings, "elasticsearc", 10, False)),
        lambda: list(maintenance.export_dead_letters(settings, "elasticsearc")),
    ):
        with pytest.raises(ConfigError, match="no sink named 'elasticsearc'; expected one of elasticsearch, store"):
            command()


def test_figures_in_lines() -> None:
    stat = {"path": "/j", "received": {"spans": 2, "logs": 0}, "dead_letters": {}, "ledger": ["a", "b"], "problems": []}
    assert list(maintenance.as_text(stat)) == [
        "path: /j",
        "received: 2 spans",
        "dead_letters: none",
        "ledger:",
        "  a",
        "  b",
        "problems: none",
    ]


DAY = 86_400 * 10**9
PAIR = b'{"create":{"_index":"logs-x","_id":"%d"}}\n{"body":{"text":"caf\xc3\xa9"}}\n'


def with_letters(path: Path) -> None:
    """Letters 1 and 2 of 40 days ago, 3 of now, and 4 of a sink of payloads."""
    log = open_journal(at(path).journal, time.time_ns, None)
    consumer = log.consumer("elasticsearch", frozenset(("logs",)))
    other = log.consumer("otlp", frozenset(("logs",)))
    log.append(Submission("logs", b"", 3)).result(10)
    (entry,) = consumer.next(100, 10, 5)
    now = time.time_ns()
    times = (now - 40 * DAY, now - 40 * DAY, now)
    letters = [
        DeadLetter("elasticsearch", str(n), "logs", "logs-x", "mapper_parsing_exception: no", PAIR % n, entry.seq, when)
        for n, when in enumerate(times)
    ]
    consumer.done([Ack(entry.seq, {("logs", "dead_lettered", "mapper_parsing_exception"): 3}, letters)]).result(10)
    other.next(100, 10, 5)
    payload = DeadLetter("otlp", "p", "logs", "there", "refused", b"\x0a\x00", entry.seq, now)
    other.done([Ack(entry.seq, {("logs", "dead_lettered", "refused"): 3}, [payload])]).result(10)
    log.close()


def test_dead_letters_are_shown_and_exported_as_json(tmp_path: Path) -> None:
    with_letters(tmp_path)
    shown = json.loads(maintenance.show_dead_letter(at(tmp_path), 3))
    assert (shown["id"], shown["document"]) == (3, {"body": {"text": "café"}})
    assert (shown["sink"], shown["index"], shown["document_id"]) == ("elasticsearch", "logs-x", "2")
    with pytest.raises(ConfigError, match="no dead letter 9; expected a number"):
        maintenance.show_dead_letter(at(tmp_path), 9)
    exported = [json.loads(line) for line in maintenance.export_dead_letters(at(tmp_path), None)]
    assert [letter["id"] for letter in exported] == [1, 2, 3, 4]
    assert exported[2] == shown
    assert (exported[3]["payload"], "document" in exported[3]) == ("CgA=", False)
    assert len(list(maintenance.export_dead_letters(at(tmp_path), "otlp"))) == 1


def test_dead_letters_expire_by_age_and_by_number(tmp_path: Path) -> None:
    with_letters(tmp_path)
    assert maintenance.expire_dead_letters(at(tmp_path), 60 * 86_400, 100) == 0
    assert maintenance.expire_dead_letters(at(tmp_path), 60 * 86_400, 3) == 1
    assert maintenance.expire_dead_letters(at(tmp_path), 30 * 86_400, 100) == 1
    assert maintenance.journal_status(at(tmp_path))["dead_letters"] == {"elasticsearch": 1, "otlp": 1}
    assert maintenance.expire_dead_letters(at(tmp_path), 30 * 86_400, 0) == 2
    assert maintenance.journal_status(at(tmp_path))["problems"] == []
