"""The receivers that alerts shall have."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.drills.alert_routes import receivers
from sidecar.errors import ConfigError


@pytest.mark.parametrize(
    ("severity", "team", "wanted"),
    [
        ("critical", "ml", ["critical", "hook", "ml-team"]),
        ("critical", "application", ["critical", "hook"]),
        ("warning", "application", ["default-email", "hook"]),
        ("info", "security", ["hook", "security"]),
        ("", "", ["default-email", "hook"]),
    ],
)
def test_those_of_the_shipped_alertmanager(severity: str, team: str, wanted: list[str]) -> None:
    assert receivers(None).expected({"severity": severity, "team": team}) == wanted


def test_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text("always: []\nteam: {ml: [models]}\n")
    assert receivers(file).expected({"severity": "warning", "team": "ml"}) == ["models"]


@pytest.mark.parametrize(
    ("text", "said"), [("team: 3", "team"), ("teams: {}", "teams"), ("[", "invalid receivers"), ("a", "invalid")]
)
def test_a_file_that_is_invalid(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        receivers(file)
