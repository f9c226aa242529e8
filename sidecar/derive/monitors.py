"""Schemas of BentoML's monitors, kept with the place in the log: a monitor logs its schema once, when it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from sidecar.decode.serving.schemas import Column, Schema, Schemas

_PREFIX = b"serving/schema/"


class KeptSchemas:
    """`schemas` with its place in the kept state. Not thread-safe."""

    def __init__(self) -> None:
        self.schemas = Schemas()
        self._saved: dict[bytes, bytes] = {}

    def all_shown(self) -> None:
        """Nothing of this is shown."""

    def sizes(self) -> Iterator[tuple[str, int]]:
        """It has no series."""
        return iter(())

    def excess(self) -> Iterator[tuple[str, str, int]]:
        """It has no labels."""
        return iter(())

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        now = dict(_packed(source, schema) for (source, _), schema in self.schemas.by_source.items())
        yield from ((key, value) for key, value in now.items() if self._saved.get(key) != value)
        yield from ((key, None) for key in self._saved.keys() - now.keys())
        self._saved = now

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over the kept schemas; the keys that were of use."""
        for key, value in state.items():
            found = _unpacked(value) if key.startswith(_PREFIX) else None
            if found is not None:
                self.schemas.add(*found)
                self._saved[key] = value
        return set(self._saved)


def _packed(source: str, schema: Schema) -> tuple[bytes, bytes]:
    columns = [[column.name, column.role, column.type] for column in schema.columns]
    key = json.dumps([source, *(column.name for column in schema.columns)])
    return _PREFIX + key.encode(), json.dumps([source, schema.model, schema.version, columns]).encode()


def _unpacked(value: bytes) -> tuple[str, Schema] | None:
    """None for what is not from here."""
    try:
        source, model, version, columns = json.loads(value)
        return str(source), Schema(str(model), str(version), tuple(Column(*map(str, one)) for one in columns))
    except (ValueError, TypeError):
        return None
