"""Rows and tables as columns of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.serving.call import MAX_CELLS, MAX_COLUMNS, NO_COLUMNS, Columns, CutColumns

NAMED = 10
"""Columns that are left out of which the name is said."""


def of_rows(rows: Sequence[Value], names: Sequence[Value] = ()) -> Columns:
    """Rows (maps, arrays or scalars; the first one says which) as columns. Arrays without `names` have the columns
    `f0`, `f1`, …, as those of the instrumentation; columns of what is no scalar are left out."""
    if not rows:
        return NO_COLUMNS
    first = rows[0]
    if isinstance(first, dict):
        keys = list(first)
        kept = keys[:MAX_COLUMNS]
        maps = [row if isinstance(row, dict) else {} for row in rows[: _most_rows(len(kept))]]
        return _scalars({key: [row.get(key) for row in maps] for key in kept}, keys[MAX_COLUMNS:])
    if isinstance(first, list):
        width = min(len(first), MAX_COLUMNS)
        arrays = [row for row in rows[: _most_rows(width)] if isinstance(row, list) and len(row) >= width]
        # zip() would make columns of the cells beyond the cap as well.
        cut = arrays if width == len(first) else [row[:width] for row in arrays]
        named = [str(name) for name in names[:width]] if len(names) >= width else [f"f{n}" for n in range(width)]
        found = dict(zip(named, map(list, zip(*cut, strict=False)), strict=False))
        beyond = range(width, len(first))
        return _scalars(found, [str(names[n]) if n < len(names) else f"f{n}" for n in beyond[:NAMED]], len(beyond))
    return _scalars({str(names[0]) if names else "f0": rows[: _most_rows(1)]})


def of_columns(columns: Mapping[str, Value]) -> Columns:
    """Columns by name, each an array by row; an array of arrays gives a column for each place (`name.0`, `name.1`)."""
    found: dict[str, Sequence[Value]] = {}
    left: list[str] = []
    more = 0
    for name, values in columns.items():
        if not isinstance(values, list) or not values:
            continue
        if len(found) >= MAX_COLUMNS:
            left.append(name)
        elif isinstance(values[0], list):
            matrix = of_matrix(name, values)
            found.update(matrix)
            if isinstance(matrix, CutColumns):
                left += matrix.names_left_out
                more += matrix.left_out - len(matrix.names_left_out)
        else:
            found[name] = values
    left += list(found)[MAX_COLUMNS:]
    most = _most_rows(len(found))
    kept = {name: values[:most] for name, values in islice(found.items(), MAX_COLUMNS)}
    return _scalars(kept, left, len(left) + more)


def of_matrix(name: str, rows: Sequence[Value]) -> Columns:
    """Arrays by row, of one length, as columns `name.0`, …; as `name` where there is one place only."""
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    names = [name] if width == 1 else [f"{name}.{n}" for n in range(min(width, MAX_COLUMNS + NAMED))]
    return of_rows(rows, names)


def _most_rows(columns: int) -> int:
    return MAX_CELLS // max(columns, 1)


def _scalars(columns: Mapping[str, Sequence[Value]], names: Sequence[str] = (), left_out: int | None = None) -> Columns:
    """`names`: of columns that are left out already, the first ones; `left_out`: how many they are, if more."""
    found = {name: values for name, values in columns.items() if values and not isinstance(values[0], list | dict)}
    others = [name for name, values in columns.items() if values and name not in found]
    left = len(others) + (len(names) if left_out is None else left_out)
    return CutColumns(found, left, [*names[:NAMED], *others][:NAMED]) if left else found
