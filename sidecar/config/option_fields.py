"""Every option of the program, from the components' own options: its path, type, default and description."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from sidecar.config.settings import Settings
from sidecar.deliver.registry import SINKS
from sidecar.options import Quantity

PREFIX = "SIDECAR_"
SEPARATOR = "__"

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One option, as the generated reference and the JSON Schema know it."""

    path: Path_
    annotation: Any
    default: Any
    description: str
    quantity: Quantity | None = None
    """What kind of number it is, where it is one with a unit."""

    @property
    def variable(self) -> str:
        return PREFIX + SEPARATOR.join(self.path).upper()


MORE: Path_ = ("deliver", "additional")
"""Sections by name below this one, each with the options of the kind that its `kind` says."""
KINDS = {kind.name: kind.options for kind in SINKS if kind.allow_multiple}


def fields(model: type[BaseModel] = Settings, prefix: Path_ = ()) -> Iterator[Field]:
    """Every option of the program, depth first in the order of declaration. What has only one value is none."""
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        if section is not None:
            yield from fields(section, (*prefix, name))
        elif not _constant(info.annotation):
            default = info.get_default(call_default_factory=True, validated_data={})
            quantity = next((m for m in info.metadata if isinstance(m, Quantity)), None)
            yield Field((*prefix, name), info.annotation, default, info.description or "", quantity)


def further_fields(name: str, kind: str | None) -> Iterator[Field]:
    """The options of an additional sink of this name; of all kinds where `kind` is none of those that there are."""
    yield Field((*MORE, name, "kind"), str, None, "Kind of the sink.")
    for options in [KINDS[kind]] if kind in KINDS else KINDS.values():
        yield from fields(options, (*MORE, name))


def known(path: Path_) -> Literal["option", "section", ""]:
    """What is at `path`; empty if there is nothing. An additional sink has the options of all kinds."""
    if path[: len(MORE)] == MORE:
        inner = path[len(MORE) + 1 :]
        return "section" if inner in _SINK_SECTIONS else "option" if inner in _SINK_OPTIONS else ""
    return "section" if path in _SECTIONS else "option" if path in _OPTIONS else ""


def path_of(variable: str) -> Path_:
    """The path that a variable with our prefix sets, whether or not there is such an option."""
    return tuple(variable.removeprefix(PREFIX).lower().split(SEPARATOR))


def _constant(annotation: Any) -> bool:
    return typing.get_origin(annotation) is typing.Literal and len(typing.get_args(annotation)) == 1


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _sections(options: frozenset[Path_]) -> frozenset[Path_]:
    return frozenset(path[:n] for path in options for n in range(len(path)))


_OPTIONS = frozenset(f.path for f in fields())
_SECTIONS = _sections(_OPTIONS)
_SINK_OPTIONS = frozenset(f.path for options in KINDS.values() for f in fields(options)) | {("kind",)}
_SINK_SECTIONS = _sections(_SINK_OPTIONS)
