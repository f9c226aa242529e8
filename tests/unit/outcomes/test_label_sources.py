"""Labels of files: formats, columns, and records that are none."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sidecar.cli.labels import label_names
from sidecar.decode.predictions.label_record import Label
from sidecar.errors import SidecarError
from sidecar.outcomes.label_sources import FileLabels, Labels

EXPECTED = [Label("p-1", "yes"), Label("p-2", 3, row=1)]


def read(path: Path, format_: Any = "auto", **names: str) -> tuple[list[Label], Labels]:
    found = Labels()
    source = FileLabels(path, format_, label_names(names.get("id"), names.get("truth")))
    parts = [list(source.read(found)), list(source.read(Labels()))]
    assert parts[0] == parts[1]
    return [label for part in parts[0] for label in part], found


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "prediction_id,label,row\np-1,yes,\np-2,3,1\n"),
        ("l.ndjson", '{"id": "p-1", "label": "yes"}\n{"id": "p-2", "truth": 3, "row": 1}\n'),
        ("l", '[{"id": "p-1", "label": "yes"}, {"id": "p-2", "truth": 3, "row": 1}]'),
    ],
)
def test_text(tmp_path: Path, name: str, text: str) -> None:
    found, refused = read(write(tmp_path, name, text))
    assert found == EXPECTED
    assert refused.invalid == 0


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    columns = {"order": ["p-1", "p-2", None], "outcome": ["yes", "no", "yes"], "row": [None, 1, 2]}
    pq.write_table(pa.table(columns), path)
    found, refused = read(path, id="order", truth="outcome")
    assert found == [Label("p-1", "yes"), Label("p-2", "no", row=1)]
    assert refused.examples == ["record 3: no prediction id (any of order)"]
    values = {"id": ["a", "b"], "label": [Decimal("1.5"), Decimal(2)]}
    values |= {"time": [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)]}
    pq.write_table(pa.table(values), path)
    found, _ = read(path)
    assert [(label.value, label.time) for label in found] == [(1.5, 1767312000 * 10**9), (2.0, 1767398400 * 10**9)]
    pq.write_table(pa.table({"id": ["a"], "label": [1], "time": [date(2026, 1, 2)]}), path)
    assert read(path)[0][0].time == 1767312000 * 10**9
    times = pa.array([1767312000 * 10**9 + 1999], pa.timestamp("ns"))  # Python's times have no nanoseconds.
    pq.write_table(pa.table({"id": ["a"], "label": [1], "time": times}), path)
    assert read(path)[0][0].time == 1767312000 * 10**9 + 1000


@pytest.mark.parametrize("name", ["l.csv", "l.parquet"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [({"customer": ["1"], "bought": ["yes"]}, "prediction id"), ({"id": ["1"], "bought": ["yes"]}, "truth")],
)
def test_columns_that_are_not_there_are_said(tmp_path: Path, name: str, columns: dict[str, Any], message: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        write(tmp_path, name, ",".join(columns) + "\n" + ",".join(column[0] for column in columns.values()) + "\n")
    else:
        pq.write_table(pa.table(columns), path)
    with pytest.raises(SidecarError, match=f"no column for the {message}.*bought"):
        read(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="no such file"):
        FileLabels(tmp_path / "absent.csv", "auto")
    with pytest.raises(SidecarError, match="not a regular file"):
        FileLabels(tmp_path, "auto")
    with pytest.raises(SidecarError, match="cannot be read as Parquet"):
        read(write(tmp_path, "l.parquet", "id,label\n"))


def test_records_that_are_no_labels_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"p-{n}", "label": "a" if n % 2 else None}) for n in range(20)]
    found, refused = read(write(tmp_path, "l.jsonl", "\n".join(lines)))
    assert len(found) == 10
    assert refused.invalid == 10
    assert len(refused.examples) == 5
    assert refused.examples[0].startswith("line 1: no truth")
