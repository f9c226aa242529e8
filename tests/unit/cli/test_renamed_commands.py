"""Commands and options by the names that they had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sidecar.cli.main import main
from sidecar.cli.renamed_commands import RENAMED_COMMANDS, renamed_names, renamed_option
from sidecar.cli.shared import DURATION
from sidecar.generated_reference import commands


@pytest.mark.parametrize("renamed", RENAMED_COMMANDS, ids=lambda renamed: renamed.old)
def test_a_command_works_by_its_old_name_with_a_warning(renamed: Any) -> None:
    names = [name for name, _ in commands(main, "sidecar")]
    assert f"sidecar {renamed.new}" in names
    assert f"sidecar {renamed.old}" not in names
    old, new = (CliRunner().invoke(main, [*name.split(), "--help"]) for name in (renamed.old, renamed.new))
    assert old.stdout == new.stdout
    assert new.stdout.startswith(f"Usage: sidecar {renamed.new} ")
    assert new.stderr == ""
    assert old.stderr == (
        f"sidecar: `sidecar {renamed.old}` is renamed; write `sidecar {renamed.new}`: the old name works for one minor "
        "version more\n"
    )


def test_old_names_of_options_are_of_options_that_exist() -> None:
    there = list(commands(main, "sidecar"))
    options = {f"{name} {option}" for name, command in there for p in command.params for option in p.opts}
    found = dict(renamed_names(there))
    assert {new for old, new in found.items() if "--" in old} <= options
    assert found == {
        "sidecar agent bundle": "sidecar instrument bundle",
        "sidecar journal stat": "sidecar journal status",
        "sidecar labels import --refused": "sidecar labels import --rejects",
        "sidecar labels import --stop-on-refused": "sidecar labels import --fail-fast",
        "sidecar labels import --patience": "sidecar labels import --timeout",
        "sidecar setup elasticsearch --key-days": "sidecar setup elasticsearch --api-key-expires",
    }


@click.command()
@click.option("--api-key-expires", "expires", type=DURATION)
@click.option("--fail-fast", is_flag=True)
@click.option("--timeout", default=300.0, type=DURATION)
@renamed_option("--stop-on-refused", "--fail-fast", is_flag=True)
@renamed_option("--key-hours", "--timeout", lambda hours: f"{hours}h", type=click.IntRange(1))
def toy(**given: Any) -> None:
    click.echo(repr(sorted(given.items())))


@pytest.mark.parametrize(
    ("words", "given", "warnings"),
    [
        ([], (False, 300.0), 0),
        (["--key-hours", "2"], (False, 7200.0), 1),
        (["--stop-on-refused"], (True, 300.0), 1),
        (["--stop-on-refused", "--key-hours=1"], (True, 3600.0), 2),
        (["--timeout", "250ms", "--key-hours", "2"], (False, 0.25), 1),
    ],
)
def test_an_old_name_gives_the_new_one_its_value(words: list[str], given: tuple[Any, ...], warnings: int) -> None:
    done = CliRunner().invoke(toy, words)
    assert done.stdout == repr([("expires", None), ("fail_fast", given[0]), ("timeout", given[1])]) + "\n"
    assert done.stderr.count("is renamed; write") == warnings


@pytest.mark.parametrize("words", [["--key-hours", "0"], ["--timeout", "soon"], ["--timeout", "-1"], ["--timeout=nan"]])
def test_what_is_no_value_is_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(toy, words).exit_code == 2


def test_an_import_of_labels_by_old_names(tmp_path: Path) -> None:
    file, rejects = tmp_path / "labels.csv", tmp_path / "not-labels"
    file.write_text("id,label\n,1\na,1\n")
    words = ["labels", "import", str(file), "--url", "http://127.0.0.1:1", "--patience", "0.01", "--batch", "1"]
    done = CliRunner().invoke(main, [*words, "--refused", str(rejects)])
    assert (done.exit_code, done.stdout) == (1, "1 records: 0 accepted, 1 rejected\n")
    assert rejects.read_text().count("\n") == 1
    done = CliRunner().invoke(main, [*words, "--stop-on-refused"])
    assert "line 2: no prediction id" in done.stderr
