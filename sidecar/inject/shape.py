"""Parts of objects that came from outside: there, absent (null is the same in Kubernetes), or of another type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.inject.not_injected import CannotInject

Object = dict[str, Any]


def mapping(value: Any, where: str) -> Object:
    """An object; an absent one is empty. Raises `CannotInject` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CannotInject(f"invalid {where}: {type(value).__name__}; expected an object")
    return value


def objects(value: Any, where: str) -> list[Object]:
    """A list of objects; an absent one is empty. Raises `CannotInject` for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise CannotInject(f"invalid {where}: expected a list of objects")
    return value


def texts(value: Any, where: str) -> dict[str, str]:
    """Annotations or labels. Raises `CannotInject` where a value is no text, as an unquoted `true` is."""
    found = mapping(value, where)
    for key, text in found.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise CannotInject(f"invalid {where} {key!r}: {text!r}; expected a text, in quotes")
    return found


def named(items: list[Object], name: str) -> Object | None:
    """The object of a list with that name."""
    return next((item for item in items if item.get("name") == name), None)


def text(value: Mapping[str, Any], key: str) -> str:
    """A member that is a text; empty where it is absent or something else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""
