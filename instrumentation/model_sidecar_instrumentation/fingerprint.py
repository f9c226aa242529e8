"""A number for the rows that a model is given, so that they are recognised when another method of the model gets them
again: in the same object, in a copy, or made again from the same request. Only the number is kept, never the rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from model_sidecar_instrumentation.values import plain, to_numpy

_CELLS = 2048
"""At most so many values are looked at one by one; of more, those of evenly spaced rows."""
_BYTES = 1 << 24
"""At most so many bytes of an array of numbers are added up; of more, evenly spaced ones."""
_SMALL = 256
"""Arrays of numbers of at most so many values have the number of a list with the same values."""
_TEXT = 100_000


def fingerprint(data: Any, tag: Callable[[Any], int | None]) -> int | None:
    """Equal for equal rows; None where that cannot be known. `tag` numbers a living object whose values cannot be read
    without copying them all, such as catboost's Pool."""
    if isinstance(data, (list, tuple)):
        return _of_rows(data)
    if isinstance(data, dict):
        parts = [(str(key), fingerprint(value, tag)) for key, value in list(data.items())[:_CELLS]]
        return None if any(part is None for _, part in parts) else hash((len(data), *parts))
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return _of_frame(data)
    if hasattr(data, "hash_rows"):
        return _of_array(data.hash_rows().to_numpy(), (len(data), data.shape[1]))
    if hasattr(data, "tocsr") and hasattr(data, "nnz"):
        return _of_sparse(data)
    array = to_numpy(data)
    if array is not None and array.dtype.kind in "biufOUSMm":
        return _of_array(array, array.shape)
    if isinstance(data, (str, int, float, bool)):
        return hash(_values((data,)))
    return tag(data)


def _of_rows(rows: Any) -> int | None:
    """A list of rows (lists, dicts, arrays) or of values."""
    if not rows:
        return hash(())
    first = rows[0]
    width = len(first) if hasattr(first, "__len__") and not isinstance(first, (str, bytes)) else 0
    part = rows[:: max(1, -(-len(rows) * max(1, width) // _CELLS))]
    if not width:
        return hash((len(rows), _values(part)))
    cells: list[Any] = []
    for row in part:
        if isinstance(row, dict):
            cells.extend(row)
            cells.extend(row.values())
        elif hasattr(row, "tolist"):
            cells.extend(row.tolist() if getattr(row, "ndim", 1) == 1 else [id(row)])
        else:
            cells.extend(row if isinstance(row, (list, tuple)) else (row,))
    return hash((len(rows), width, _values(cells)))


def _of_frame(frame: Any) -> int:
    """pandas: of a single type of number as an array, else value by value."""
    dtypes = set(frame.dtypes.tolist())
    if len(dtypes) == 1 and getattr(next(iter(dtypes)), "kind", "O") in "biuf":
        array = frame.to_numpy()
        if array.dtype.kind in "biuf":
            return _of_array(array, array.shape)
    step = max(1, -(-frame.shape[0] * max(1, frame.shape[1]) // _CELLS))
    part = frame.iloc[::step].to_numpy(dtype=object)
    return hash((*frame.shape, _values(part.reshape(-1).tolist())))


def _of_sparse(matrix: Any) -> int:
    parts: list[Any] = [getattr(matrix, name, None) for name in ("data", "indices", "indptr", "row", "col")]
    arrays = [_of_array(part, part.shape) for part in parts if hasattr(part, "dtype") and part.dtype.kind in "biuf"]
    return hash((*matrix.shape, matrix.nnz, *arrays))


def _of_array(array: Any, shape: Iterable[int]) -> int:
    if array.dtype.kind not in "biuf" or array.size <= _SMALL:
        flat = array.reshape(-1)
        return hash((*shape, _values(flat[:: max(1, -(-flat.size // _CELLS))].tolist())))
    numpy = sys.modules["numpy"]
    some = array[:: max(1, len(array) // 64)]
    some = some.reshape(len(some), -1)
    seen = some[:, :: max(1, -(-some.size // _CELLS))].tobytes()
    return hash((*shape, array.dtype.str, _sum(numpy, array), seen))


def _sum(numpy: Any, array: Any) -> int:
    """All bytes of the array as words, added up: a value that changed anywhere changes it."""
    step = -(-array.nbytes // _BYTES)
    if step > 1:
        array = array.reshape(-1)[::step] if array.flags.c_contiguous else array[::step]
    whole = array.T if array.flags.f_contiguous else numpy.ascontiguousarray(array)
    words = whole.reshape(-1).view(f"u{min(8, whole.dtype.itemsize)}")
    return int(numpy.add.reduce(words, dtype="uint64"))


def _values(cells: Iterable[Any]) -> tuple[Any, ...]:
    """As what can be hashed; missing numbers are alike."""
    plain_ones = (cell if type(cell) in (float, int, str, bool) else plain(cell, _TEXT) for cell in cells)
    return tuple("nan" if cell != cell else cell for cell in plain_ones)
