"""What a file gives that is of no kind that its option has."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.config.given_values import Origins, get, has, place, take
from sidecar.config.option_fields import MORE, Field, Path_, fields, further_fields

MASKED = "********"
"""What `sidecar config show` has for a secret. Nobody may take it for one: it would be a password that all know."""


def kinds_of(annotation: Any) -> set[Any]:
    """The types that an option may have, without what is in them."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return {typing.get_origin(a) or a for a in (typing.get_args(annotation) if union else (annotation,))}


def drop_absent(values: dict[str, Any], origins: Origins) -> list[str]:
    """Remove what counts as not given: null, and empty text where an option has no default or is a path, such as
    `${NAME:-}` leaves. The problems of switches that are given for numbers, which are removed too."""
    problems = []
    for field in _given(values):
        value, kinds = get(values, field.path), kinds_of(field.annotation)
        switch = isinstance(value, bool) and bool not in kinds and bool({int, float} & kinds)
        if switch:
            shown = ".".join(field.path)
            problems.append(f"{place(field.path, origins)}: {shown}: expected a number (given: {value})")
        if switch or value is None or (value == "" and kinds & {Path, type(None)}):
            take(values, field.path)
    return problems


def _given(values: dict[str, Any]) -> Iterator[Field]:
    sinks = get(values, MORE)
    further = (f for name in sinks for f in further_fields(name, None)) if isinstance(sinks, dict) else ()
    yield from {f.path: f for f in (*fields(), *further) if f.path != MORE and has(values, f.path)}.values()


def masked(values: dict[str, Any], origins: Origins, path: Path_ = ()) -> Iterator[str]:
    """The problems of secrets that were copied from `sidecar config show`."""
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, dict):
            yield from masked(value, origins, here)
        elif value == MASKED:
            shown = ".".join(here)
            yield f"{place(here, origins)}: {shown}: is as `sidecar config show` masks it; give the secret, or its file"
