"""`sidecar drill` as it is called."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sidecar.cli.drill import _chosen
from sidecar.cli.main import main
from sidecar.drills.catalog import DRILLS


def test_the_list_says_what_each_needs_and_disturbs() -> None:
    done = CliRunner().invoke(main, ["drill", "--list"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [drill.name for drill in DRILLS]
    assert any(line.strip().startswith("disturbs: new span names") for line in lines)


def test_all_are_those_that_harm_nobody_unless_faults_are_given() -> None:
    assert {d.name for d in DRILLS} - {d.name for d in _chosen((), True, False)} == {
        *(d.name for d in DRILLS if d.fault is not None), "label-values",
    }  # fmt: skip
    assert _chosen((), True, True) == list(DRILLS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the drills, or give --all"),
        (["errors", "--all"], "name the drills, or give --all"),
        (["fire"], "no drill is named fire; expected one of errors, latency"),
        (["sidecar-down"], "sidecar-down needs --verify"),
        (["errors", "--verify", "--receivers", "/nowhere"], "/nowhere: invalid receivers"),
    ],
)
def test_wrong_use(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["drill", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_a_sidecar_that_is_not_there_is_an_error_of_one_line() -> None:
    done = CliRunner().invoke(main, ["drill", "errors", "--url", "http://127.0.0.1:1"])
    assert done.exit_code == 1
    assert done.output.startswith("sidecar: the sidecar does not answer at http://127.0.0.1:1")
