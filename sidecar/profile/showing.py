"""References in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sidecar.derive.drift.methods.registry import METHODS
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.reference import MAX_VALUES, CategoryColumn, NumberColumn, Reference
from sidecar.profile.merging import Difference, on_edges
from sidecar.profile.profiling import named

_BARS = " ▁▂▃▄▅▆▇█"
_STEPS = 24
_SHOWN = 5
_WIDEST = 28


def shown(reference: Reference) -> Iterator[str]:
    """A line for each column: how many values, and how they are distributed."""
    model = " ".join(filter(None, [reference.model, reference.model_version])) or "any model"
    yield f"{model}: {reference.rows} rows, {len(reference.columns)} columns, digest {reference.digest()}"
    width = min(_WIDEST, max((len(column.name) for column in reference.columns), default=0))
    for column in reference.columns:
        role = "" if column.role == "feature" else f" [{column.role}]"
        missing = f"{100 * column.missing / max(1, column.rows):.1f} % missing"
        invalid = f", {column.invalid} invalid" if column.invalid else ""
        what = _number(column) if isinstance(column, NumberColumn) else _category(column)
        yield f"{column.name[:width]:<{width}}{role}  {what}  ({missing}{invalid})"


def _number(column: NumberColumn) -> str:
    if not column.count:
        return "no values"
    counts = on_edges(column, np.linspace(column.min, column.max, _STEPS + 1)[1:-1])
    top = max(1, int(counts.max()))
    bars = "".join(_BARS[-(-int(n) * (len(_BARS) - 1) // top)] for n in counts)
    return f"{column.min:>10.4g} |{bars}| {column.max:<10.4g} mean {column.mean:.4g}, std {column.std:.4g}"


def _category(column: CategoryColumn) -> str:
    size = max(1, column.count)
    best = sorted(column.values.items(), key=lambda pair: -pair[1])[:_SHOWN]
    parts = [f"{name} {100 * n / size:.1f} %" for name, n in best]
    others = len(column.values) - len(best)
    if others or column.rest:
        parts.append(f"{others}{'+' if column.rest else ''} more")
    return ", ".join(parts) or "no values"


def remarks(reference: Reference) -> Iterator[str]:
    """What to know of columns that say little when they are compared."""
    compared = sum(column.role != "label" for column in reference.columns)
    most = DriftOptions().max_features
    if compared > most:
        yield f"{compared} columns; the program compares {most} of all models: see derive.drift.max_features"
    empty = [column.name for column in reference.columns if not column.count]
    if empty:
        yield f"no values to compare in {named(empty)} (missing, lists, infinite or too large)"
    many = [c.name for c in reference.columns if isinstance(c, CategoryColumn) and 2 * c.rest > c.count]
    if many:
        yield (
            f"mostly beyond the {MAX_VALUES} categories that are told apart: {named(many)} "
            "(identifiers, times, free text? leave them out with --exclude)"
        )


def compared(found: list[Difference]) -> Iterator[str]:
    """A line for each column of two references."""
    width = min(_WIDEST, max((len(one.name) for one in found), default=0))
    names = [one.name for one in METHODS]
    yield " ".join([f"{'column':<{width}}", *(f"{name:>15}" for name in names)])
    for one in found:
        missing = "" if one.missing is None else "missing {:.1%} -> {:.1%}".format(*one.missing).replace("%", " %")
        said = "drifted" if one.drifted else "too few rows to say" if one.insufficient else ""
        scores = [f"{one.scores[name]:>15.4f}" if name in one.scores else f"{'':>15}" for name in names]
        what = f" {one.note}  " if one.note else " ".join(scores) + " "
        yield f"{one.name[:width]:<{width}} {what}{'  '.join(filter(None, [missing, said]))}".rstrip()
