"""Values as they were given, nested by section, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.config.option_fields import Path_

Origins = dict[Path_, str]
"""Where the value at a path comes from: file and line, or variable."""


def put(values: dict[str, Any], path: Path_, value: Any, origins: Origins, origin: str) -> None:
    """Set the value at `path`, and where it comes from."""
    here = values
    for key in path[:-1]:
        child = here.get(key)
        if not isinstance(child, dict):
            child = here[key] = {}
        here = child
    here[path[-1]] = value
    origins[path] = origin


def has(values: Mapping[str, Any], path: Path_) -> bool:
    """Whether something was given at `path`."""
    here: Any = values
    for key in path:
        if not isinstance(here, Mapping) or key not in here:
            return False
        here = here[key]
    return True


def get(values: Mapping[str, Any], path: Path_) -> Any:
    """What was given at `path`; None if nothing was."""
    here: Any = values
    for key in path:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here


def take(values: dict[str, Any], path: Path_) -> Any:
    """Remove what was given at `path`. Raises KeyError if nothing was."""
    here = values
    for key in path[:-1]:
        here = here[key]
    return here.pop(path[-1])


def place(path: Path_, origins: Mapping[Path_, str]) -> str:
    """Where `path` comes from: what set it, what set a part around it, or what set anything in it."""
    for n in range(len(path), 0, -1):
        if path[:n] in origins:
            return origins[path[:n]]
    inside = sorted({origin for key, origin in origins.items() if key[: len(path)] == path})
    return ", ".join(inside) or "default"
