"""Where labels come from: documents of the engine, or a file. Each source is read twice."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from sidecar.decode.predictions.label_names import ALIASES
from sidecar.decode.predictions.label_record import Label, Names
from sidecar.decode.predictions.label_rows import Row, mapped_rows
from sidecar.errors import SidecarError
from sidecar.outcomes.point_in_time import PointInTime
from sidecar.outcomes.prediction_documents import LABEL_SORT, SOURCE, label_of, label_query
from sidecar.profile.arrow_values import listed
from sidecar.send.label_import import format_of, opened, rows_of

Format = Literal["auto", "csv", "json", "ndjson", "parquet"]
SHOWN = 5
"""Records that are no labels which are named."""
_BATCH = 10_000


class UnreadableLabels(SidecarError):
    """A file has no labels; the message says why."""


@dataclass(slots=True)
class Labels:
    """Labels of one reading, and what was among them that is none."""

    invalid: int = 0
    examples: list[str] = field(default_factory=list)
    """The first of them, with their reasons."""

    def refuse(self, what: str) -> None:
        """One record is no label."""
        self.invalid += 1
        if len(self.examples) < SHOWN:
            self.examples.append(what)


class LabelSource(Protocol):
    """Labels in the order in which they came."""

    def read(self, found: Labels) -> Iterator[list[Label]]:
        """All of them, some at a time. `found` is given what is none."""
        ...


class StoredLabels:
    """Those among the engine's documents."""

    def __init__(self, documents: PointInTime, begin: int, end: int) -> None:
        """`begin`, `end`: Unix seconds."""
        self._documents, self._query = documents, label_query(begin, end)

    def read(self, found: Labels) -> Iterator[list[Label]]:
        for hits in self._documents.pages(self._query, LABEL_SORT, SOURCE):
            labels = []
            for hit in hits:
                label = label_of(hit)
                if isinstance(label, str):
                    found.refuse(f"document {hit['_id']}: {label}")
                elif label is not None:
                    labels.append(label)
            yield labels


class FileLabels:
    """Those of a file: CSV with a header, JSON, JSON lines, gzip or not, or Parquet."""

    def __init__(self, path: Path, format_: Format, names: Names = ALIASES) -> None:
        """Raises `UnreadableLabels`."""
        if not path.exists():
            raise UnreadableLabels(f"{path}: no such file")
        if not path.is_file():
            raise UnreadableLabels(f"{path}: not a regular file; it is read twice: write the labels to a file first")
        self._path, self._names = path, names
        self._format = "parquet" if format_ == "auto" and path.suffix.lower() == ".parquet" else format_

    def read(self, found: Labels) -> Iterator[list[Label]]:
        """Raises `SidecarError` where the file is damaged, or has no columns for an id and a truth."""
        labels: list[Label] = []
        for row in self._rows():
            if row.label is None:
                found.refuse(f"{row.place}: {row.refusal}")
                continue
            labels.append(row.label)
            if len(labels) == _BATCH:
                yield labels
                labels = []
        yield labels

    def _rows(self) -> Iterator[Row]:
        if self._format == "parquet":
            yield from mapped_rows(_parquet(self._path), self._names)
            return
        with opened(str(self._path), sys.stdin.buffer) as source:
            chosen = format_of(source) if self._format == "auto" else self._format
            yield from rows_of(source, chosen, self._names)


def _parquet(path: Path) -> Iterator[list[Mapping[str, Any]]]:
    """Its rows, some at a time. The first part may be empty, and has the names of the columns."""
    try:
        pyarrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    except ImportError:
        raise UnreadableLabels(f"{path}: Parquet needs pyarrow: pip install 'model-sidecar[profile]'") from None
    try:
        with parquet.ParquetFile(str(path)) as file:
            yield [dict.fromkeys(file.schema_arrow.names)]
            for batch in file.iter_batches(_BATCH):
                columns = [map(_plain, listed(column)) for column in batch.columns]
                yield [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise UnreadableLabels(f"{path}: cannot be read as Parquet: {error}") from None


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
