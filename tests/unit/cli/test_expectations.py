"""`sidecar expectations` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.quality_data import suite

from sidecar.cli.main import main

GOLDEN = Path(__file__).parents[2] / "golden" / "quality"
BETWEEN = "expect_column_values_to_be_between"


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["expectations", *words])
    return done.exit_code, done.stdout, done.stderr


def test_what_becomes_of_each_expectation(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    entries = [(BETWEEN, {"column": "age", "min_value": 0}), ("expect_x", {"column": "age"}), ("", {})]
    file.write_text(suite(entries, "ages", model="churn", model_version="7"))
    assert run(str(file)) == (
        0,
        f"{file}: suite ages for model churn 7\n"
        f"  evaluated      {BETWEEN} (age)\n"
        "  not evaluated  expect_x (age): this expectation is not supported\n"
        "  not evaluated  entry without a type (table): the entry is no expectation: it has no `type` (1.x) or "
        "`expectation_type` (0.18)\n"
        "  1 evaluated, 2 not evaluated\n",
        "",
    )
    code, _, error = run("--strict", str(file))
    assert (code, "2 expectations are not evaluated" in error) == (1, True)


def test_what_is_evaluated_of_every_expectation_is_nothing_less(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    file.write_text(suite([(BETWEEN, {"column": "age", "min_value": 0})]))
    code, text, _ = run("--strict", str(file))
    assert (code, text.splitlines()[0]) == (0, f"{file}: suite s for any model")


def test_a_directory_stands_for_its_files(tmp_path: Path) -> None:
    assert run(str(tmp_path)) == (1, "", f"sidecar: no file *.json in {tmp_path}\n")
    for name in ("b.json", "a.json", "readme.txt"):
        (tmp_path / name).write_text(suite([(BETWEEN, {"column": "age", "min_value": 0})], name))
    code, text, _ = run(str(tmp_path))
    assert (code, [line for line in text.splitlines() if "suite" in line]) == (
        0,
        [f"{tmp_path / name}: suite {name} for any model" for name in ("a.json", "b.json")],
    )


@pytest.mark.parametrize("library", ["gx-0.18", "gx-1"])
def test_suites_that_the_real_library_wrote(library: str, tmp_path: Path) -> None:
    golden = json.loads((GOLDEN / f"{library}.json").read_text(encoding="utf-8"))
    file = tmp_path / "suite.json"
    file.write_text(json.dumps(golden["suite"]), encoding="utf-8")
    code, text, _ = run(str(file))
    assert code == 0
    assert text.count("\n  evaluated ") == len(golden["results"])
    assert text.count("\n  not evaluated ") == len(golden["suite"]["expectations"]) - len(golden["results"])


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"name": "s", "expectations": [', "cut off"), (b"[]", "no list `expectations`"), (b"\xff", "not JSON")],
)
def test_a_file_that_is_no_suite_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    file.write_bytes(content)
    code, text, error = run(str(file))
    assert (code, text) == (1, "")
    assert f"invalid suite {file}" in error
    assert said in error
    assert run(str(tmp_path / "none.json"))[0] == 2
