"""The rows that a model is given, as columns. Everything is copied out before the call returns; nothing is kept of the
app's own objects."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import plain, plain_list, text, to_numpy

Columns = Mapping[str, Any]

_SMALL = 4
"""Data of which no part can be had is copied whole if it has at most this many times the values that may be kept."""


class Paced(dict[str, Any]):
    """A dict of our own that an exporter's thread reads. The thread offers the interpreter's lock to others before each
    member: encoding hundreds of events takes tens of milliseconds of Python, in which a request that wants the lock
    would wait for five milliseconds each time."""

    __slots__ = ()

    def items(self) -> Any:
        for pair in super().items():
            time.sleep(0)
            yield pair


class Block(Mapping[str, list[Any]]):
    """Columns of numbers as one small array of our own, shape (rows, columns). They become Python numbers when the
    exporter's thread reads them, not while the app waits; and a thousand waiting events are a thousand objects for the
    garbage collector, not twenty thousand."""

    __slots__ = ("_array", "_names")

    def __init__(self, names: Sequence[str], array: Any) -> None:
        self._names, self._array = names, array

    def __getitem__(self, name: str) -> list[Any]:
        return list(self._array[:, self._names.index(name)].tolist())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def items(self) -> Any:
        """As `Paced.items`."""
        for pair in zip(self._names, self._array.T.tolist()):
            time.sleep(0)
            yield pair


def size(data: Any) -> tuple[int | None, int]:
    """Rows and columns. Rows are None where that cannot be known; columns are 0 where they are no features, such as
    texts and images."""
    shape = getattr(data, "shape", None)
    if shape is not None and not callable(shape):
        return _of_shape(data, shape)
    if isinstance(data, dict):
        return _of_feed(data)
    if isinstance(data, (list, tuple)):
        return len(data), _width(data[0]) if data else 0
    if hasattr(data, "num_row") and hasattr(data, "num_col"):
        return int(data.num_row()), int(data.num_col())
    return (len(data), 0) if hasattr(data, "__len__") and not isinstance(data, (str, bytes)) else (None, 0)


def _of_shape(data: Any, shape: Any) -> tuple[int | None, int]:
    dimensions = len(shape)
    if dimensions == 0:
        return 1, 0
    rows = shape[0]
    rows = None if rows is None else int(rows)
    if dimensions == 1:
        return rows, 0 if getattr(getattr(data, "dtype", None), "kind", "") in "OUS" else 1
    return rows, int(shape[1] or 0) if dimensions == 2 else 0


def _of_feed(data: dict[Any, Any]) -> tuple[int | None, int]:
    """Columns by name: rows are what all of them have; otherwise it is one row of scalars."""
    if not data:
        return None, 0
    sizes = [size(value) for value in data.values()]
    rows = {n for n, _ in sizes}
    if rows == {None}:
        return 1, len(data)
    return (rows.pop() if len(rows) == 1 else None), sum(width for _, width in sizes)


def _width(row: Any) -> int:
    if isinstance(row, (list, tuple, dict)):
        return len(row)
    shape = getattr(row, "shape", None)
    if shape is not None and not callable(shape):
        return int(shape[0]) if len(shape) == 1 else 0
    return 1 if isinstance(row, (int, float)) else 0


def features(data: Any, names: Sequence[Any] | None, sample: Sample, settings: CaptureSettings) -> Columns:
    """The kept rows, a column for each feature, at most `settings.columns`. `names` are used where the data has none.
    Empty where the data has no features or where they cannot be read without copying much of it."""
    rows = slice(sample.first, None, sample.one_in)
    if isinstance(data, dict):
        return _of_columns(data, rows, sample, settings)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return _of_frame(data, rows, settings)
    if hasattr(data, "gather_every") and hasattr(data, "columns"):
        part = data[:, : settings.columns].gather_every(sample.one_in, sample.first)
        return {_name(n, settings): [plain(v, settings.text) for v in part[n].to_list()] for n in part.columns}
    if isinstance(data, (list, tuple)):
        return _of_rows(data[rows], names, settings)
    if hasattr(data, "tocsr"):
        return _of_sparse(data, names, rows, settings)
    if hasattr(data, "num_row"):
        return _of_matrix(data, names, rows, settings)
    array = to_numpy(data[rows]) if len(data.shape) in (1, 2) else None
    return {} if array is None else _of_array(array, names, settings)


def _of_array(array: Any, names: Sequence[Any] | None, settings: CaptureSettings) -> Columns:
    if array.ndim == 1:
        if array.dtype.kind in "OUS":
            return {}
        array = array.reshape(-1, 1)
    if array.shape[1] > settings.columns:
        array = array[:, : settings.columns]
    named = _named(names, array.shape[1], settings)
    if array.dtype.kind in "bif" and array.dtype.itemsize <= 8 and len(set(named)) == len(named):
        return Block(named, array.copy())
    return Paced(zip(named, plain_list(array.T, settings.text)))


def _of_frame(frame: Any, rows: slice, settings: CaptureSettings) -> Columns:
    """A pandas DataFrame. One of a single type is read as an array, which costs a tenth."""
    if frame.shape[1] > settings.columns:
        frame = frame.iloc[:, : settings.columns]
    names = frame.columns.tolist()
    dtypes = set(frame.dtypes.tolist())
    if len(dtypes) == 1 and getattr(next(iter(dtypes)), "kind", "O") in "biuf":
        array = frame.to_numpy()
        if array.dtype.kind in "biuf":
            return _of_array(array[rows], names, settings)
    part = frame if rows.step == 1 and rows.start == 0 else frame.iloc[rows]
    return Paced(
        (_name(name, settings), plain_list(part.iloc[:, i].to_numpy(), settings.text)) for i, name in enumerate(names)
    )


def _of_rows(rows: Sequence[Any], names: Sequence[Any] | None, settings: CaptureSettings) -> Columns:
    if not rows:
        return {}
    limit = settings.text
    if isinstance(rows[0], dict):
        keys = list(dict.fromkeys(key for row in rows for key in row))[: settings.columns]
        return {_name(key, settings): [plain(row.get(key), limit) for row in rows] for key in keys}
    if isinstance(rows[0], (int, float)):
        rows = [(value,) for value in rows]
    width = min(_width(rows[0]), settings.columns)
    if not width:
        return {}
    columns = [[plain(row[i], limit) for row in rows] for i in range(width)]
    return dict(zip(_named(names, width, settings), columns))


def _of_columns(data: dict[Any, Any], rows: slice, sample: Sample, settings: CaptureSettings) -> Columns:
    """Columns by name, as a network with several inputs is fed: an input of one column is a feature of its name, one of
    several columns is as many features."""
    made: dict[str, Any] = {}
    for key, value in data.items():
        array = to_numpy(value) if hasattr(value, "shape") else None
        if array is None:
            part = value[rows] if isinstance(value, (list, tuple)) else [value]
            made[_name(key, settings)] = [plain(v, settings.text) for v in part]
        elif array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
            made[_name(key, settings)] = plain_list(array[rows].reshape(-1), settings.text)
        elif array.ndim == 2:
            prefix = "" if len(data) == 1 else f"{key}."
            several = _of_array(array[rows], None, settings)
            made.update((prefix + name, column) for name, column in several.items())
    lengths = {len(column) for column in made.values()}
    if lengths != {sample.kept}:
        return {}
    return dict(list(made.items())[: settings.columns])


def _of_sparse(data: Any, names: Sequence[Any] | None, rows: slice, settings: CaptureSettings) -> Columns:
    """scipy's matrices, by row; those of more columns than are kept are texts as counts of words, and are left out."""
    if data.shape[1] > settings.columns or (data.format != "csr" and data.nnz > _SMALL * settings.cells):
        return {}
    return _of_array(data.tocsr()[rows].toarray(), names, settings)


def _of_matrix(data: Any, names: Sequence[Any] | None, rows: slice, settings: CaptureSettings) -> Columns:
    """xgboost's DMatrix and catboost's Pool, which give their values only as a whole."""
    if data.num_row() * data.num_col() > _SMALL * settings.cells:
        return {}
    if hasattr(data, "get_features"):
        values: Any = to_numpy(data.get_features())
        return _of_array(values[rows], data.get_feature_names() or names, settings)
    if hasattr(data, "get_data"):
        return _of_sparse(data.get_data(), data.feature_names or names, rows, settings)
    return {}


def _named(names: Sequence[Any] | None, width: int, settings: CaptureSettings) -> list[str]:
    if names is None:
        return _numbered(width)
    given = [_name(name, settings) or f"f{i}" for i, name in enumerate(names[:width])]
    return given if len(given) == width else given + _numbered(width)[len(given) :]


@lru_cache(maxsize=16)
def _numbered(width: int) -> list[str]:
    return [f"f{i}" for i in range(width)]


def _name(name: Any, settings: CaptureSettings) -> str:
    return text(name if isinstance(name, str) else str(name), settings.text)
