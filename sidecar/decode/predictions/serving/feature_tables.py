"""Rows and tables as columns of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.serving.call import MAX_CELLS, MAX_COLUMNS, NO_COLUMNS, Columns


def of_rows(rows: Sequence[Value], names: Sequence[Value] = ()) -> Columns:
    """Rows (maps, arrays or scalars; the first one says which) as columns. Arrays without `names` have the columns
    `0`, `1`, …; columns of what is no scalar are left out."""
    if not rows:
        return NO_COLUMNS
    first = rows[0]
    if isinstance(first, dict):
        keys = list(islice(first, MAX_COLUMNS))
        kept = rows[: _most_rows(len(keys))]
        maps = [row if isinstance(row, dict) else {} for row in kept]
        return _scalars({key: [row.get(key) for row in maps] for key in keys})
    if isinstance(first, list):
        width = min(len(first), MAX_COLUMNS)
        arrays = [row for row in rows[: _most_rows(width)] if isinstance(row, list) and len(row) >= width]
        # zip() would make columns of the cells beyond the cap as well.
        cut = arrays if width == len(first) else [row[:width] for row in arrays]
        named = [str(name) for name in names[:width]] if len(names) >= width else [str(n) for n in range(width)]
        return _scalars(dict(zip(named, map(list, zip(*cut, strict=False)), strict=False)))
    return _scalars({str(names[0]) if names else "0": rows[: _most_rows(1)]})


def of_columns(columns: Mapping[str, Value]) -> Columns:
    """Columns by name, each an array by row; an array of arrays gives a column for each place (`name.0`, `name.1`)."""
    found: dict[str, Sequence[Value]] = {}
    for name, values in islice(columns.items(), MAX_COLUMNS):
        if not isinstance(values, list) or not values:
            continue
        if isinstance(values[0], list):
            found.update(of_matrix(name, values))
        else:
            found[name] = values
    most = _most_rows(len(found))
    return _scalars({name: values[:most] for name, values in islice(found.items(), MAX_COLUMNS)})


def of_matrix(name: str, rows: Sequence[Value]) -> Columns:
    """Arrays by row, of one length, as columns `name.0`, …; as `name` where there is one place only."""
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    names = [name] if width == 1 else [f"{name}.{n}" for n in range(min(width, MAX_COLUMNS))]
    return of_rows(rows, names)


def _most_rows(columns: int) -> int:
    return MAX_CELLS // max(columns, 1)


def _scalars(columns: Mapping[str, Sequence[Value]]) -> Columns:
    return {name: values for name, values in columns.items() if values and not isinstance(values[0], list | dict)}
