from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import config, maintenance
from sidecar.errors import ConfigError
from sidecar.settings import Settings


def at(path: Path, **environ: str) -> Settings:
    return config.load({"SIDECAR_JOURNAL__PATH": str(path), **environ})


ELASTIC = {"SIDECAR_DELIVER__ELASTICSEARCH__URL": "http://127.0.0.1:1"}


def test_no_command_makes_a_journal_where_there_is_none(tmp_path: Path) -> None:
    settings = at(tmp_path / "slip", **ELASTIC)
    commands = (
        lambda: maintenance.stat(settings),
        lambda: maintenance.drain(settings, 1.0, lambda _: None),
        lambda: list(maintenance.list_dead_letters(settings, None, 10, False)),
        lambda: maintenance.replay_dead_letters(settings, None, lambda _: None),
    )
    for command in commands:
        with pytest.raises(ConfigError, match=r"there is no journal in .*slip; set SIDECAR_JOURNAL__PATH"):
            command()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_memory_has_nothing_to_look_into(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory"):
        maintenance.stat(at(tmp_path, SIDECAR_JOURNAL__KIND="memory"))


def test_replay_needs_somewhere_to_send_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"deliver\.elasticsearch\.url is not set"):
        maintenance.replay_dead_letters(at(tmp_path), None, lambda _: None)


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
