"""Files of rows as chunks of columns: CSV, JSON lines, and Parquet or Arrow with pyarrow."""

from __future__ import annotations

import contextlib
import csv
import gzip
import importlib
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.errors import SidecarError
from sidecar.profile.arrow_values import listed

Format = Literal["csv", "ndjson", "parquet", "arrow"]
FORMATS: tuple[Format, ...] = ("csv", "ndjson", "parquet", "arrow")
SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
CHUNK_ROWS = 20_000
MAX_COLUMNS = 10_000
_NOTHING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>"})
"""Texts of a CSV file that stand for a missing value, in lower case."""
_GZIP = b"\x1f\x8b"
_DELIMITERS = ",;\t|"
_INDEX = re.compile(r"__index_level_\d+__")
"""Names that pandas gives in Parquet and Arrow to an index that has none."""
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DIGIT = re.compile("[0-9]")
_SPELLED = (date, time, timedelta)
_FEATURES = "features"


class UnreadableTable(SidecarError):
    """A file is no table; the message says why."""


@dataclass(frozen=True, slots=True)
class Values:
    """One column of a chunk, by FeatureKind; `number` of a text is its place in `texts`."""

    kind: U8
    number: F64
    texts: list[str]

    def __len__(self) -> int:
        return len(self.kind)


Chunk = Mapping[str, Values]
"""Columns of equal length."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file that can be read more than once."""

    path: Path
    format: Format

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def chunks(self, codes: frozenset[str] = frozenset()) -> Iterator[tuple[int, Chunk]]:
        """(bytes that were read since the last one, about; rows). Of a CSV file only what is written as JSON writes
        numbers is one in the columns `codes`: 01234 is a text there. Raises UnreadableTable."""
        read = {"ndjson": _ndjson, "parquet": _parquet, "arrow": _arrow}.get(self.format)
        try:
            yield from read(self) if read else _csv(self, codes)
        except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError, csv.Error) as error:
            raise UnreadableTable(f"{self.path}: cannot be read as {self.format}: {error}") from None


def opened(path: Path, format_: Format | None = None) -> Table:
    """The table in a file; its format by the name's ending where it is not given. Raises UnreadableTable."""
    name = path.name.lower().removesuffix(".gz")
    found = format_ or SUFFIXES.get(Path(name).suffix)
    if found is None:
        raise UnreadableTable(f"{path}: unknown format; expected a name ending in {', '.join(SUFFIXES)}, or --format")
    if not path.exists():
        raise UnreadableTable(f"{path}: no such file")
    if not path.is_file():  # It is read twice.
        raise UnreadableTable(f"{path}: not a regular file; write the data to a file first")
    return Table(path, found)


def of_objects(objects: Sequence[Any]) -> Values:
    """Values of any type as JSON and Arrow give them."""
    kind = np.zeros(len(objects), np.uint8)
    number = np.zeros(len(objects))
    texts: dict[str, int] = {}
    for at, value in enumerate(map(_as_sent, objects)):
        if value is None or (isinstance(value, float) and value != value):
            continue
        if isinstance(value, bool):
            kind[at], number[at] = FeatureKind.BOOL, value
        elif isinstance(value, int | float):
            kind[at], number[at] = FeatureKind.NUMBER, _float(value)
        elif isinstance(value, str):
            kind[at] = FeatureKind.TEXT
            number[at] = texts.setdefault(value[:MAX_FEATURE_CHARS], len(texts))
        else:
            kind[at] = FeatureKind.OTHER
    return Values(kind, number, list(texts))


def _as_sent(value: Any) -> Any:
    """What the zero-code instrumentation makes of a value that JSON has not: a number or text where it is one."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value[:MAX_FEATURE_CHARS].decode("utf-8", "replace")
    return str(value) if isinstance(value, _SPELLED) else value


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def of_texts(column: Sequence[str], codes: bool = False) -> Values:
    """The same of fields of a CSV file: numbers where they are written as such, with `codes` as JSON does it."""
    if codes:
        return of_objects([_code(text.strip()) for text in column])
    try:
        number = np.array(column).astype(np.float64)
        missing = np.isnan(number)
        kind = np.where(missing, FeatureKind.MISSING, FeatureKind.NUMBER).astype(np.uint8)
        return Values(kind, np.where(missing, 0.0, number), [])
    except ValueError:
        return of_objects([_field(text) for text in column])


def _code(text: str) -> Any:
    return _field(text) if _JSON_NUMBER.fullmatch(text) or not _DIGIT.search(text) else text


def _field(text: str) -> Any:
    text = text.strip()
    lower = text.lower()
    if lower in _NOTHING:
        return None
    if lower in ("true", "false"):
        return lower == "true"
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return text


@contextlib.contextmanager
def _text(table: Table) -> Iterator[tuple[IO[bytes], IO[str]]]:
    """(the file as it lies there, its text)."""
    with table.path.open("rb") as raw:
        packed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        yield raw, io.TextIOWrapper(stream, "utf-8-sig", newline="")


def _csv(table: Table, codes: frozenset[str]) -> Iterator[tuple[int, Chunk]]:
    with _text(table) as (raw, text):
        head = text.readline()
        text.seek(0)
        delimiter = max(_DELIMITERS, key=head.count)
        rows = csv.reader(text, delimiter=delimiter)
        names = [name.strip()[:MAX_FEATURE_CHARS] for name in next(rows, [])]
        indexed = len(names) > 1 and not names[0]  # An index that pandas or R wrote is no column.
        _check_names(table, names[indexed:])
        before = 0
        for first in itertools.count(2, CHUNK_ROWS):
            part = list(itertools.islice(rows, CHUNK_ROWS))
            if not part:
                return
            for number, row in enumerate(part, first):
                if row and len(row) != len(names):
                    raise UnreadableTable(
                        f"{table.path}: record {number} has {len(row)} fields; expected {len(names)} as the header has"
                    )
            whole = [row for row in part if row]
            columns = zip(*whole, strict=True) if whole else ()
            yield raw.tell() - before, _by_name(names, columns, indexed, codes)
            before = raw.tell()


def _by_name(names: Sequence[str], columns: Iterable[Sequence[str]], indexed: bool, codes: frozenset[str]) -> Chunk:
    found = list(zip(names, columns, strict=False))
    return {name: of_texts(column, name in codes) for name, column in found[indexed:]}


def _check_names(table: Table, names: Sequence[str]) -> None:
    if not names:
        raise UnreadableTable(f"{table.path}: empty; expected a header with the names of the columns")
    if len(names) > MAX_COLUMNS:
        raise UnreadableTable(f"{table.path}: {len(names)} columns; expected at most {MAX_COLUMNS}")
    twice = {name for name in names if names.count(name) > 1 or not name}
    if twice:
        raise UnreadableTable(
            f"{table.path}: column names {sorted(twice)!r}; expected distinct ones that are not empty"
        )


def _ndjson(table: Table) -> Iterator[tuple[int, Chunk]]:
    with _text(table) as (raw, text):
        before = 0
        for first in itertools.count(1, CHUNK_ROWS):
            part = list(itertools.islice(text, CHUNK_ROWS))
            if not part:
                return
            rows = [row for number, line in enumerate(part, first) if (row := _row(table, number, line)) is not None]
            names = dict.fromkeys(name for row in rows for name in row)
            _check_count(table, len(names))
            yield raw.tell() - before, {name: of_objects([row.get(name) for row in rows]) for name in names}
            before = raw.tell()


def _row(table: Table, number: int, line: str) -> dict[str, Any] | None:
    """The columns of a line: members, and those of a member `features`. None for an empty line."""
    if not line.strip():
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableTable(f"{table.path}: line {number} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableTable(f"{table.path}: line {number} is not an object; expected one object a line")
    inner = found.get(_FEATURES)
    flat = {**{k: v for k, v in found.items() if k != _FEATURES}, **inner} if isinstance(inner, dict) else found
    return {name[:MAX_FEATURE_CHARS]: value for name, value in flat.items() if name}


def _check_count(table: Table, count: int) -> None:
    if count > MAX_COLUMNS:
        raise UnreadableTable(f"{table.path}: {count} columns; expected at most {MAX_COLUMNS}")


def _pyarrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnreadableTable("Parquet and Arrow need pyarrow: pip install 'model-sidecar[profile]'") from None


def _parquet(table: Table) -> Iterator[tuple[int, Chunk]]:
    parquet, arrow = _pyarrow("pyarrow.parquet"), _pyarrow("pyarrow")
    try:
        with parquet.ParquetFile(os.fspath(table.path)) as file:
            rows = max(1, file.metadata.num_rows)
            yield from _batches(table, file.iter_batches(CHUNK_ROWS), rows)
    except arrow.ArrowException as error:
        raise UnreadableTable(f"{table.path}: cannot be read as parquet: {error}") from None


def _arrow(table: Table) -> Iterator[tuple[int, Chunk]]:
    arrow, feather = _pyarrow("pyarrow"), _pyarrow("pyarrow.feather")
    try:
        found = feather.read_table(os.fspath(table.path), memory_map=True)
        yield from _batches(table, found.to_batches(CHUNK_ROWS), max(1, found.num_rows))
    except arrow.ArrowException as error:
        raise UnreadableTable(f"{table.path}: cannot be read as arrow: {error}") from None


def _batches(table: Table, batches: Iterable[Any], rows: int) -> Iterator[tuple[int, Chunk]]:
    for batch in batches:
        names = [name[:MAX_FEATURE_CHARS] for name in batch.schema.names]
        _check_names(table, names)
        columns = {
            name: _of_arrow(table, name, batch.column(at))
            for at, name in enumerate(names)
            if not _INDEX.fullmatch(name)
        }
        yield table.size * batch.num_rows // rows, columns


def _of_arrow(table: Table, name: str, array: Any) -> Values:
    try:
        return of_objects(listed(array))
    except (ValueError, OverflowError) as error:
        raise UnreadableTable(f"{table.path}: column {name!r} cannot be read: {error}") from None
