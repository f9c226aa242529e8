"""Schemas of BentoML's monitors, as far as they were seen: a log of data refers to one that was logged before it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.decode.otlp.tags import KEY, VALUE
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.predictions.serving.exchange import Members

MAX_SCHEMAS = 64
MAX_COLUMNS = 256


def key_mark(name: str) -> bytes:
    """A KeyValue's key as it stands on the wire, with the tag of the value behind it."""
    return put_bytes(KEY >> 3, name.encode()) + bytes((VALUE,))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a monitor."""

    name: str
    role: str
    """`feature`, `prediction` or `target`."""
    type: str
    """`numerical`, `categorical` or `numerical_sequence`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a monitor said of its columns."""

    model: str
    version: str
    columns: tuple[Column, ...]

    def fits(self, own: Members) -> bool:
        """Whether a record has all of the columns."""
        return all(column.name in own for column in self.columns)


@dataclass
class Schemas:
    """The latest schemas, by the source that logged them. Bounded: the one that was seen longest ago goes."""

    by_source: dict[tuple[str, tuple[str, ...]], Schema] = field(default_factory=dict)
    """(source, names of the columns) -> schema."""
    marks: tuple[bytes, ...] = ()
    """One of these stands in each record of a monitor whose schema is known: the last column of each."""
    version: int = 0
    """Grows with each schema that is new."""

    def add(self, source: str, schema: Schema) -> None:
        """Keep a schema."""
        key = source, tuple(column.name for column in schema.columns)
        if self.by_source.get(key) == schema:
            return
        # A copy, so that another thread that looks for one at the moment is not disturbed.
        others = {at: known for at, known in self.by_source.items() if at != key}
        latest = list(others.items())[1 - MAX_SCHEMAS :]
        self.replace({**dict(latest), key: schema})

    def replace(self, by_source: dict[tuple[str, tuple[str, ...]], Schema]) -> None:
        """Have these schemas and no others."""
        self.by_source = by_source
        self.version += 1
        self.marks = tuple(dict.fromkeys(key_mark(known.columns[-1].name) for known in self.by_source.values()))

    def marked(self, payload: bytes) -> bool:
        """Whether one of `marks` stands in a payload."""
        return any(mark in payload for mark in self.marks)

    def knows(self, source: str) -> bool:
        """Whether there is a schema of this source."""
        return any(at == source for at, _ in self.by_source)

    def find(self, source: str, own: Members) -> Schema | None:
        """The schema of a record from this source: of those that fit it the one with the most columns."""
        fitting = (known for (at, _), known in self.by_source.items() if at == source and known.fits(own))
        return max(fitting, key=lambda schema: len(schema.columns), default=None)
