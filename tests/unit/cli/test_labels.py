"""`sidecar labels import` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.main import main


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such-file"], 2, "does not exist"),
        (["FILE", "--batch", "10001"], 2, "1<=x<=10000"),
        (["FILE", "--time", "yesterday"], 2, "invalid time: 'yesterday'"),
        (["FILE", "--url", "no url"], 2, "expected http://HOST:PORT"),
        (["FILE", "--url", "http://127.0.0.1:1", "--timeout", "100ms"], 1, "gave up after 0.1 s"),
    ],
)
def test_the_command_s_exit_codes(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"id,label\np1,1\np2,2\n")
    done = CliRunner().invoke(main, ["labels", "import", *[str(file) if word == "FILE" else word for word in words]])
    assert done.exit_code == code, done.output
    assert said in done.output
    if code == 1:
        assert "stopped after record 0; go on with --skip 0" in done.output


def test_parquet_is_called_so(tmp_path: Path) -> None:
    """Its bytes as lines of CSV would be no UTF-8, which helps nobody."""
    file = tmp_path / "labels.parquet"
    file.write_bytes(b"PAR1\xff")
    done = CliRunner().invoke(main, ["labels", "import", str(file)])
    assert (done.exit_code, "Parquet; expected CSV, JSON or JSON lines" in done.output) == (1, True)


@pytest.mark.parametrize("command", [["labels", "import"], ["logs"]])
def test_a_token_file_without_a_token_is_named(command: list[str], tmp_path: Path) -> None:
    token, file = tmp_path / "token", tmp_path / "labels.csv"
    token.write_text("\n")
    file.write_text("id,label\n")
    words = [*command, *([str(file)] if len(command) > 1 else []), "--token-file", str(token)]
    done = CliRunner().invoke(main, words, input="")
    assert (done.exit_code, done.stderr) == (
        2,
        f"configuration: invalid --token-file: {token} is empty; expected a token\n",
    )
