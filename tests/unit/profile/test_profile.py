"""`sidecar profile`: files of all formats to references, references merged, shown and compared."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner, Result

from sidecar.cli.main import main
from sidecar.derive.drift.reference import CategoryColumn, NumberColumn, Reference, load
from sidecar.profile import profiling, row_files
from sidecar.profile.merging import differences

RNG = np.random.default_rng(4)
ROWS = 3000
COLUMNS: dict[str, Sequence[Any]] = {
    "age": [*RNG.normal(40, 10, ROWS - 2).round(2).tolist(), None, None],
    "visits": RNG.poisson(3, ROWS).tolist(),
    "plan": RNG.choice(["basic", "pro", "größe"], ROWS).tolist(),
    "vip": (RNG.random(ROWS) < 0.1).tolist(),
    "outcome": RNG.choice(["stay", "leave"], ROWS, p=[0.8, 0.2]).tolist(),
}


WRITERS = {"parquet": "pyarrow.parquet", "arrow": "pyarrow.feather"}


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, arguments)])


def as_csv(columns: dict[str, Sequence[Any]], delimiter: str = ",") -> str:
    rows = zip(*columns.values(), strict=True)
    lines = [delimiter.join("" if v is None else str(v) for v in row) for row in rows]
    return "\n".join([delimiter.join(columns), *lines]) + "\n"


def as_json(columns: dict[str, Sequence[Any]], inner: bool = False) -> str:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return "".join(json.dumps({"features": row, "time": "now"} if inner else row) + "\n" for row in rows)


def made(tmp_path: Path, name: str, data: str | bytes, *arguments: Any) -> Reference:
    file, out = tmp_path / name, tmp_path / f"{name}.reference.json"
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    found = run(file, "--out", out, *arguments)
    assert found.exit_code == 0, found.output
    return load(out)


def test_of_every_format_the_same(tmp_path: Path) -> None:
    expected = made(tmp_path, "data.csv", as_csv(COLUMNS), "--model", "churn", "--model-version", "7")
    assert (expected.model, expected.model_version, expected.rows) == ("churn", "7", ROWS)
    age, visits, plan, vip, _ = expected.columns
    assert isinstance(age, NumberColumn)
    assert (age.count, age.missing) == (ROWS - 2, 2)
    assert age.mean == pytest.approx(np.mean([a for a in COLUMNS["age"] if a is not None]))
    assert isinstance(visits, NumberColumn)
    assert isinstance(plan, CategoryColumn)
    assert plan.values == {name: COLUMNS["plan"].count(name) for name in plan.values}  # type: ignore[attr-defined]
    assert isinstance(vip, CategoryColumn)
    assert set(vip.values) == {"true", "false"}
    for name, data in {
        "semicolons.csv": as_csv(COLUMNS, ";"),
        "data.tsv": as_csv(COLUMNS, "\t"),
        "packed.csv.gz": gzip.compress(as_csv(COLUMNS).encode()),
        "data.ndjson": as_json(COLUMNS),
        "data.jsonl.gz": gzip.compress(as_json(COLUMNS).encode()),
    }.items():
        found = made(tmp_path, name, data, "--model", "churn", "--model-version", "7")
        assert found == expected, name
    inner = made(tmp_path, "events.ndjson", as_json(COLUMNS, inner=True), "--exclude", "time")
    assert inner.columns == expected.columns


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_with_pyarrow(tmp_path: Path, suffix: str) -> None:
    arrow, writer = importlib.import_module("pyarrow"), importlib.import_module(WRITERS[suffix])
    table = arrow.table({name: list(values) for name, values in COLUMNS.items()})
    file, out = tmp_path / f"data.{suffix}", tmp_path / "reference.json"
    if suffix == "parquet":
        writer.write_table(table, file)
    else:
        writer.write_feather(table, file)
    found = run(file, "--out", out)
    assert found.exit_code == 0, found.output
    assert load(out).columns == made(tmp_path, "data.csv", as_csv(COLUMNS)).columns


def test_larger_than_its_sample_and_its_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(row_files, "CHUNK_ROWS", 70)
    found = made(tmp_path, "data.csv", as_csv(COLUMNS)).columns[0]
    assert isinstance(found, NumberColumn)
    ages = np.array([a for a in COLUMNS["age"] if a is not None])
    assert list(found.counts) == [
        int(((ages > a) & (ages <= b)).sum())
        for a, b in zip([-np.inf, *found.edges], [*found.edges, np.inf], strict=True)
    ]
    shares = np.array(found.counts) / found.count
    assert 0.015 < shares.max() < 0.03


def test_roles_and_types(tmp_path: Path) -> None:
    found = made(
        tmp_path,
        "data.csv",
        as_csv(COLUMNS),
        "--prediction",
        "outcome",
        "--exclude",
        "vip",
        "--type",
        "visits=category",
    )
    assert [(c.name, c.role, c.type) for c in found.columns] == [
        ("age", "feature", "number"),
        ("visits", "feature", "category"),
        ("plan", "feature", "category"),
        ("outcome", "prediction", "category"),
    ]


def test_codes_are_categories_as_they_are_written(tmp_path: Path) -> None:
    data = "zip,plan,n\n01234,a,1\n98765,2.0,01\n01234,007,2\n"
    found = made(tmp_path, "data.csv", data, "--type", "zip=category")
    values = [column.values if isinstance(column, CategoryColumn) else column.mean for column in found.columns]
    assert values == [{"01234": 2, "98765": 1}, {"007": 1, "2": 1, "a": 1}, pytest.approx(4 / 3)]


def test_whole_numbers_that_were_predicted_are_classes(tmp_path: Path) -> None:
    """Live classes have no numbers: they would be compared with nothing."""
    rows = "".join(f"{n % 2},{n % 3}.0,{n % 2}.5,{n % 90},0.7\n" for n in range(300))
    data = "bought,truth,price,visits,p\n" + rows

    def types(*words: str) -> dict[str, str]:
        return {column.name: column.type for column in made(tmp_path, "data.csv", data, *words).columns}

    asked = ("--prediction", "bought", "--label", "truth", "--score", "p")
    assert types(*asked) == {
        "bought": "category", "truth": "category", "price": "number", "visits": "number", "p": "number",
    }  # fmt: skip
    found = load(tmp_path / "data.csv.reference.json").column("bought", "prediction")
    assert isinstance(found, CategoryColumn)
    assert found.values == {"0": 150, "1": 150}
    assert types("--prediction", "price")["price"] == types("--prediction", "visits")["visits"] == "number"
    assert types("--prediction", "bought", "--type", "bought=number")["bought"] == "number"


def test_an_index_that_pandas_wrote_is_no_column(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", ",a,b\n0,1,x\n7,2,y\n")
    indexed = load(tmp_path / "a.csv.reference.json")
    assert indexed == made(tmp_path, "b.csv", "a,b\n1,x\n2,y\n")
    table = pyarrow.table({"a": [1, 2], "b": ["x", "y"], "__index_level_0__": [0, 7]})
    importlib.import_module("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    assert made(tmp_path, "a.parquet", (tmp_path / "a.parquet").read_bytes()) == indexed


def test_values_of_parquet_are_what_the_instrumentation_sends(tmp_path: Path) -> None:
    columns = {
        "price": pyarrow.array([Decimal("1.25"), Decimal("2.5"), None]),
        "day": pyarrow.array([date(2026, 1, 2), date(2026, 1, 2), None]),
        "at": pyarrow.array([1_700_000_000_123_456_789, None, None], pyarrow.timestamp("ns", "UTC")),
        "took": pyarrow.array([1_500, None, None], pyarrow.duration("ns")),
        "raw": pyarrow.array([b"x", b"y", None]),
        "list": pyarrow.array([[1.0], [2.0], None]),
    }
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    found = made(tmp_path, "t.parquet", (tmp_path / "t.parquet").read_bytes())
    price, *texts, nested = found.columns
    assert isinstance(price, NumberColumn)
    assert (price.mean, price.missing) == (1.875, 1)
    assert [column.values for column in texts if isinstance(column, CategoryColumn)] == [
        {"2026-01-02": 2},
        {"2023-11-14 22:13:20.123456+00:00": 1},
        {"0:00:00.000001": 1},
        {"x": 1, "y": 1},
    ]
    assert (nested.count, nested.invalid, nested.missing) == (0, 2, 1)


def test_columns_that_say_little_are_named(tmp_path: Path) -> None:
    rows = "".join(f"{n},id-{n},\n" for n in range(200))
    (tmp_path / "data.csv").write_text("n,id,empty\n" + rows)
    found = run(tmp_path / "data.csv", "--out", tmp_path / "out.json")
    assert "no values to compare in empty (" in found.output
    assert "told apart: id (" in found.output
    assert "derive.drift.max_features" not in found.output
    (tmp_path / "wide.csv").write_text(
        "\n".join(",".join(f"c{n}" if not row else "1" for n in range(201)) for row in (0, 1))
    )
    assert "201 columns; the program compares 200" in run(tmp_path / "wide.csv", "--out", tmp_path / "out.json").output


def test_few_texts_among_numbers_are_invalid(tmp_path: Path) -> None:
    column = [*["1.5"] * 500, "oops", "NA", ""]
    found = made(tmp_path, "data.csv", as_csv({"x": column, "y": range(503)})).columns[0]
    assert (found.type, found.count, found.invalid, found.missing) == ("number", 500, 1, 2)


def test_a_column_that_comes_late_was_missing_before(tmp_path: Path) -> None:
    found = made(tmp_path, "data.ndjson", '{"a": 1}\n\n{"a": 2, "b": 5}\n')
    assert [(c.name, c.count, c.missing) for c in found.columns] == [("a", 2, 0), ("b", 1, 1)]


def test_alike_references_are_merged_exactly(tmp_path: Path) -> None:
    both = made(tmp_path, "both.csv", as_csv(COLUMNS))
    like = tmp_path / "both.csv.reference.json"
    halves = [{name: values[part] for name, values in COLUMNS.items()} for part in (slice(1000), slice(1000, None))]
    for name, half in zip(("a.csv", "b.csv"), halves, strict=True):
        made(tmp_path, name, as_csv(half), "--like", like)
    out = tmp_path / "merged.json"
    assert (
        run("merge", tmp_path / "a.csv.reference.json", tmp_path / "b.csv.reference.json", "--out", out).exit_code == 0
    )
    merged = load(out)
    for found, expected in zip(merged.columns, both.columns, strict=True):
        if isinstance(found, NumberColumn) and isinstance(expected, NumberColumn):
            assert (found.counts, found.bins, found.missing) == (expected.counts, expected.bins, expected.missing)
            assert found.std == pytest.approx(expected.std)
            assert found.sums == pytest.approx(expected.sums)
            assert (found.min, found.second, found.max) == (expected.min, expected.second, expected.max)
            assert found.second is not None
        else:
            assert found == expected


def test_other_references_are_merged_closely(tmp_path: Path) -> None:
    first = {"x": RNG.normal(0, 1, 4000), "n": RNG.poisson(2, 4000)}
    second = {"x": RNG.normal(3, 2, 2000), "n": RNG.poisson(4, 2000)}
    for name, columns in {
        "a": first,
        "b": second,
        "both": {k: [*first[k], *second[k]] for k in first},
    }.items():
        made(tmp_path, f"{name}.csv", as_csv({k: list(v) for k, v in columns.items()}))
    files = [tmp_path / f"{name}.csv.reference.json" for name in ("a", "b", "both")]
    merged = tmp_path / "merged.json"
    assert run("merge", *files[:2], "--out", merged).exit_code == 0
    shown = run("diff", files[2], merged)
    assert shown.exit_code == 0
    for line in shown.output.splitlines()[1:]:
        assert max(map(float, line.split()[1:])) < 0.02


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", "x\n1\n2\n", "--model", "a")
    made(tmp_path, "b.csv", "x\n1\n2\n", "--model", "b")
    made(tmp_path, "c.csv", "x\nred\nblue\n", "--model", "a")
    files = [tmp_path / f"{name}.csv.reference.json" for name in "abc"]
    for pair, message in ((files[:2], "different models"), (files[::2], "numbers in one and categories in the other")):
        found = run("merge", *pair)
        assert found.exit_code == 1
        assert message in found.output


def test_shown_in_a_terminal(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", as_csv(COLUMNS), "--model", "churn")
    shown = run("show", tmp_path / "a.csv.reference.json").output
    assert "churn: 3000 rows, 5 columns" in shown
    assert "█" in shown
    assert "0.1 % missing" in shown


def test_the_moved_column_is_named(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", as_csv(COLUMNS))
    moved = {**COLUMNS, "age": [None if a is None else a + 8 for a in COLUMNS["age"]], "new": [1] * ROWS}
    made(tmp_path, "b.csv", as_csv(moved))
    found = run("diff", tmp_path / "a.csv.reference.json", tmp_path / "b.csv.reference.json")
    assert found.exit_code == 1
    assert [line.split()[0] for line in found.output.splitlines() if line.endswith("drifted")] == ["age"]
    assert "new" in found.output
    assert "only in the second" in found.output


def test_what_chance_gives_is_no_drift(tmp_path: Path) -> None:
    """Of fifty pairs with 300 rows at most one is called drifted, though scores are above thresholds in nearly all."""
    random, wrong, insufficient = np.random.default_rng(1), 0, 0
    for n in range(50):
        for name, rows in (("a", 3000), ("b", 300)):
            columns = {"x": random.normal(0, 1, rows), "n": random.poisson(3, rows), "z": random.integers(0, 9, rows)}
            made(tmp_path, f"{name}{n}.csv", as_csv({k: v.tolist() for k, v in columns.items()}))
        found = run("diff", *(tmp_path / f"{name}{n}.csv.reference.json" for name in "ab"))
        wrong += found.exit_code
        insufficient += "too few rows to say" in found.output
    assert wrong <= 1
    assert insufficient == 50


def test_a_frequent_value_stays_together_in_other_cells(tmp_path: Path) -> None:
    """Its cell is as wide as the spread of the values that a sample has: of two samples not the same."""
    random = np.random.default_rng(3)
    scores = []
    for name, rows in (("few", 300), ("many", 20_000)):
        values = np.where(random.random(rows) < 0.6, 0.0, random.exponential(10, rows))
        prices = random.choice([9.99, 19.99, 24.5], rows)
        made(tmp_path, f"{name}.csv", as_csv({"zero": values.tolist(), "price": prices.tolist()}))
    first, second = (load(tmp_path / f"{name}.csv.reference.json") for name in ("few", "many"))
    for one, other in ((first, second), (second, first)):
        scores += [found.scores["psi"] for found in differences(one, other)]
    assert max(scores) < 0.05


def test_what_cannot_be_compared_has_drifted(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", "x,n,both\n" + "1,2,\n" * 50)
    made(tmp_path, "b.csv", "x,n,both\n" + "red,,\n" * 50)
    found = run("diff", *(tmp_path / f"{name}.csv.reference.json" for name in "ab"))
    assert found.exit_code == 1
    assert [line.split(maxsplit=1)[1] for line in found.output.splitlines()[1:]] == [
        "number in the first, category in the second  drifted",
        "no values in the second  missing 0.0 % -> 100.0 %  drifted",
        "no values",
    ]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data.csv", "", "empty; expected a header"),
        ("data.csv", "a,b\n1,2\n1\n", "record 3 has 1 fields; expected 2"),
        ("data.csv", "a,a\n1,2\n", "column names ['a']"),
        ("data.csv", b"a,b\n\xff,2\n", "cannot be read as csv"),
        ("data.csv.gz", b"\x1f\x8bnothing", "cannot be read as csv"),
        ("data.ndjson", '{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("data.ndjson", "[1]\n", "line 1 is not an object"),
        ("data.ndjson", "\n", "no rows"),
        ("data.xlsx", "a", "unknown format"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, name: str, data: str | bytes, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    found = run(file, "--out", tmp_path / "out.json")
    assert found.exit_code == 1
    assert message in found.output
    assert "Traceback" not in found.output
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ("a,b\n1,2\n", ("--prediction", "c"), "no column 'c' in"),
        ("customer,b\n1,2\n", ("--exclude", "custmer"), "did you mean 'customer'? there are customer, b"),
        (",".join(f"c{n}" for n in range(999)) + "\n" + "1," * 998 + "1\n", ("--type", "x=number"), "and 979 more"),
        ("a,b\n", ("--prediction", "b"), "no rows"),
        ("a,b\nx,2\n", ("--score", "a"), "invalid score 'a': texts; expected a column of probabilities"),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, data: str, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "data.csv").write_text(data)
    found = run(tmp_path / "data.csv", *arguments)
    assert found.exit_code == 1
    assert message in found.output


def test_a_column_has_one_role(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    found = run(tmp_path / "data.csv", "--prediction", "a", "--score", "a")
    assert (found.exit_code, "are different columns" in found.output) == (2, True)


def test_pyarrow_is_asked_for_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(row_files.importlib, "import_module", absent)
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    found = run("data", tmp_path / "data.parquet")
    assert found.exit_code == 1
    assert "pip install 'model-sidecar[profile]'" in found.output
