"""A Great Expectations suite, read from the JSON that 0.18 and 1.x write. What it means is not known here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.derive import mounted_files
from sidecar.derive.mounted_files import InvalidFile, parse_json

MAX_FILE_BYTES = 16 << 20
MAX_NAME_CHARS = 128
_EXPECTED = "expected a suite as Great Expectations 0.18 or 1.x writes it"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation as it stands in the file."""

    name: str
    """Such as `expect_column_values_to_be_between`; empty where the entry has none."""
    kwargs: Mapping[str, Any]

    @property
    def column(self) -> str:
        """The column that it is about; empty for the table, or where it is no text."""
        found = self.kwargs.get("column")
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite. `meta.model` and `meta.model_version` say which model it is for; without them it is for any."""

    name: str
    model: str
    model_version: str
    expectations: tuple[Expectation, ...]
    digest: str
    """Of the file's content."""

    def is_for(self, model: tuple[str, str]) -> bool:
        """`model`: name and version."""
        name, version = model
        return self.model in ("", name) and self.model_version in ("", version)


def load(path: Path) -> Suite:
    """The suite of a file. Raises InvalidFile."""
    return mounted_files.load(path, "suite", MAX_FILE_BYTES, parse)


def parse(data: bytes) -> Suite:
    """The suite that JSON text holds. Raises InvalidFile."""
    found = parse_json(data, _EXPECTED)
    if not isinstance(found, dict) or not isinstance(found.get("expectations"), list):
        raise InvalidFile(f"no list `expectations`; {_EXPECTED}")
    name = found.get("expectation_suite_name", found.get("name"))
    if not isinstance(name, str) or not name:
        raise InvalidFile(f"no `name` (1.x) and no `expectation_suite_name` (0.18); {_EXPECTED}")
    meta = found.get("meta")
    return Suite(
        name[:MAX_NAME_CHARS],
        _text(meta, "model"),
        _text(meta, "model_version"),
        tuple(map(_expectation, found["expectations"])),
        hashlib.sha256(data).hexdigest()[:12],
    )


def _text(meta: Any, key: str) -> str:
    found = meta.get(key) if isinstance(meta, dict) else None
    if found is not None and not isinstance(found, (str, int, float)):
        raise InvalidFile(f"invalid meta.{key}; expected a text")
    return "" if found is None else str(found)


def _expectation(entry: Any) -> Expectation:
    """An entry that is none becomes an expectation without a name, which is not evaluated."""
    if not isinstance(entry, dict):
        return Expectation("", {})
    name, kwargs = entry.get("type", entry.get("expectation_type")), entry.get("kwargs", {})
    if not isinstance(name, str) or not isinstance(kwargs, dict):
        return Expectation("", {})
    return Expectation(name[:MAX_NAME_CHARS], kwargs)
