"""Schemas of BentoML's monitors, kept with the place in the log: a monitor logs its schema once, when it starts.

Schema and data are in two files, whose lines may come in either order: lines of data that are early wait for theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sidecar.decode.documents.text import as_text
from sidecar.decode.predictions.serving import protocols
from sidecar.decode.predictions.serving.bento_schemas import Column, Schema, Schemas
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.errors import DecodeError

MAX_EARLY = 200
"""Lines of data that wait for their schema."""
MAX_EARLY_BYTES = 20_000
_PREFIX = b"serving/schema/"
_EARLY = b"serving/early/"


class BentoSchemas:
    """`schemas` and early lines with their place in the kept state. Not thread-safe."""

    def __init__(self) -> None:
        self.schemas = Schemas()
        self._early: list[Record] = []
        self._saved: dict[bytes, bytes] = {}

    @contextmanager
    def undone_by_errors(self) -> Iterator[None]:
        """Of what is read inside nothing stays if that raises: payloads are read again one by one, to find the bad."""
        known, early = dict(self.schemas.by_source), list(self._early)
        try:
            yield
        except DecodeError:
            self.schemas.replace(known)
            self._early = early
            raise

    def hold(self, record: Record) -> None:
        """Keep a line of data whose schema is not known yet; of too many the first ones go, and long ones at once."""
        if len(_packed_record(record)) > MAX_EARLY_BYTES:
            return
        self._early = [*self._early[1 - MAX_EARLY :], record]

    def read_again(self) -> list[Call]:
        """The calls of early lines whose schema is known now."""
        read = [(record, protocols.read(record, self.schemas)) for record in self._early]
        self._early = [record for record, call in read if call is None]
        return [call for _, call in read if call is not None]

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        now = dict(_packed(source, schema) for (source, _), schema in self.schemas.by_source.items())
        now |= {_EARLY + b"%04d" % n: _packed_record(record) for n, record in enumerate(self._early)}
        yield from ((key, value) for key, value in now.items() if self._saved.get(key) != value)
        yield from ((key, None) for key in self._saved.keys() - now.keys())
        self._saved = now

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        for key, value in sorted(state.items()):
            schema = _unpacked(value) if key.startswith(_PREFIX) else None
            early = _unpacked_record(value) if key.startswith(_EARLY) else None
            if schema is not None:
                self.schemas.add(*schema)
            if early is not None:
                self._early.append(early)
            if schema is not None or early is not None:
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


def _packed_record(record: Record) -> bytes:
    return json.dumps([record.time, dict(record.attributes), dict(record.resource)], default=as_text).encode()


def _unpacked_record(value: bytes) -> Record | None:
    """None for what is not from here."""
    try:
        match json.loads(value):
            case [int(time), dict(attributes), dict(resource)]:
                return Record("", time, attributes, None, resource)
    except ValueError:
        return None
    return None
