"""What a user sees when a command fails."""

from __future__ import annotations

import pytest

from sidecar.cli.error_lines import reported
from sidecar.errors import ConfigError, SidecarError


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError(["a: invalid", "b: invalid"]), 2, ["configuration: a: invalid", "configuration: b: invalid"]),
        (SidecarError("invalid x"), 1, ["sidecar: invalid x"]),
        (FileNotFoundError(2, "No such file", "x"), 1, ["sidecar: [Errno 2] No such file: 'x'"]),
    ],
)
def test_what_is_raised_on_purpose_is_a_line_and_an_exit_code(
    error: Exception, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, reported():
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("bug", [ValueError("a bug"), BrokenPipeError()])
def test_bugs_and_the_end_of_a_reader_are_not_hidden(bug: Exception) -> None:
    with pytest.raises(type(bug)), reported():
        raise bug
