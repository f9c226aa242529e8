"""What in the configuration is no UTF-8."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sidecar.config.given_values import Origins, place
from sidecar.config.option_fields import MORE, Path_, fields, further_fields
from sidecar.os_text import repaired

#: Options that are names of files, or patterns of them, by their last key.
_FILE_NAMES = frozenset({"path", "include", "exclude", "unix_socket"})


def check_text(values: Mapping[str, Any], origins: Origins) -> list[str]:
    """The problems of values that are no UTF-8: names of files may be of any bytes, all other text is sent on."""
    return [
        f"{place(path, origins)}: {repaired('.'.join(path))}: invalid text; expected UTF-8"
        for path in _unencodable(values, ())
        if not _names_files(path)
    ]


def _names_files(path: Path_) -> bool:
    more = further_fields(path[2], None) if path[:2] == MORE and len(path) > 2 else ()
    field = next((f for f in (*fields(), *more) if f.path == path), None)
    return field is not None and (
        Path in (field.annotation, *typing.get_args(field.annotation)) or path[-1] in _FILE_NAMES
    )


def _unencodable(value: Any, path: Path_) -> Iterator[Path_]:
    match value:
        case str() if value != repaired(value):
            yield path
        case Mapping():
            for key, inner in value.items():
                there = (*path, str(key))
                yield from _unencodable(inner, there) if str(key) == repaired(str(key)) else (there,)
        case list() | tuple():
            yield from (path for inner in value for _ in _unencodable(inner, path))
