"""The reference redactor: rules applied to a request on the wire. This is what a redacted payload looks like.

Nothing but what the rules change is rewritten. A field that changes is written again with its number and the new
length, and so are the messages around it; every other field keeps its bytes and its place, unknown ones too, so that
what is forwarded stays what was sent. A payload in which nothing changes is handed back as it is.

- Refused records are left out, and so are those that the filter does not take. A resource or scope that had records and
  has none left goes with them; one that came without records stays.
- With key or value rules (and only then) nothing passes that cannot be looked into: fields that OTLP's tables here do
  not know, known numbers with another wire type, ids of a wrong length (which a later field of the same number
  overrides), values nested deeper than MAX_DEPTH (in a resource, scope or body that a later one overrides).
- Every text field and every bytes value is subject to value rules and to the size limit: also names, versions, schema
  URLs, trace states, severity texts and the keys of attributes. Ids, times and enums are not. Numbers in values
  (doubles too) are subject to the rules for card numbers by their decimal digits; one that they change becomes text.
- What a value rule drops is the entry or array element of which it is the value, or the text is the key; a field of its
  own (a name, a message, a body) is left out. `dropped_attributes_count` stays: it is about limits in the client.
- A key rule that hashes or masks rewrites the entry, with key and value and nothing else. Value rules and the limit
  then concern the key only. Key rules and paths look at the last key of an entry, value rules at every field.
- `add` puts attributes behind those of the last resource field (which counts), as many as fit MAX_ATTRIBUTES; where
  there is no resource field, one is put before everything else.
- A record with which the redacted payload would pass MAX_EXPANDED_BYTES is left out like one that the filter refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sidecar.decode.documents.text import as_text
from sidecar.decode.otlp import records as otlp
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_EXPANDED_BYTES
from sidecar.decode.otlp.message import any_value, text
from sidecar.decode.otlp.schema import Field, by_tag
from sidecar.decode.otlp.tags import (
    ARRAY,
    BOOL,
    BYTES,
    CHILDREN,
    DOUBLE,
    ELEMENT,
    EVENT_NAME,
    HEAD,
    INT,
    KEY,
    MAP,
    RESOURCE_ATTRIBUTE,
    RESOURCES,
    SCHEMA_URL,
    STRING,
    VALUE,
)
from sidecar.decode.otlp.wire import WireField, double, fields, messages, put_again, put_bytes, signed
from sidecar.decode.redaction.filter import event_name, taken
from sidecar.decode.redaction.redactor import AttributeEntry, Redaction
from sidecar.decode.redaction.rules import MASKED, MAX_ABOVE_BYTES, Action, Redacted, Rules

JSON_BLANKS = b" \t\n\r"
_ID_LENGTHS = {"trace_id": (16,), "span_id": (8,), "parent_span_id": (0, 8)}
_RECORD_ID_LENGTHS = {"trace_id": (0, 16), "span_id": (0, 8)}


@dataclass(frozen=True, slots=True)
class _Kind:
    """The messages of one signal."""

    outer: str
    inner: str
    record: str
    read: Callable[[bytes], Iterator[otlp.RecordContext]]


_SPANS = _Kind("ResourceSpans", "ScopeSpans", "Span", otlp.spans)
_LOGS = _Kind("ResourceLogs", "ScopeLogs", "LogRecord", otlp.log_records)


class ReferenceRedactor:
    """See `rules.Redactor`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._redaction = Redaction(rules)

    def spans(self, payload: bytes) -> Redacted:
        return self._redact(payload, _SPANS)

    def logs(self, payload: bytes) -> Redacted:
        return self._redact(payload, _LOGS)

    def _redact(self, payload: bytes, kind: _Kind) -> Redacted:
        placed = list(kind.read(payload))
        accepted = [one for one in placed if not one.rejection]
        takes = iter(taken(self._rules.filter, accepted))
        decisions = [None if one.rejection or not next(takes) else one.record for one in placed]
        rewrite = _Rewrite(self._rules, self._redaction, kind, iter(decisions))
        redacted = rewrite.request(payload)
        ordinals = {id(one.record): ordinal for ordinal, one in enumerate(accepted)}
        left = [ordinals[id(record)] for record in rewrite.left]
        return Redacted(
            payload=payload if redacted == payload else redacted,
            items=len(left),
            events=sum(len(record.events) for record in rewrite.left if isinstance(record, otlp.Span)),
            ordinals=None if len(left) == len(accepted) else np.array(left, np.uint32),
            changed=rewrite.changed,
        )


@dataclass(frozen=True, slots=True)
class _Around:
    """The message `data[a:b]` that has entries in fields of this tag."""

    a: int
    b: int
    tag: int

    def keys(self, data: bytes) -> frozenset[bytes]:
        return frozenset(_last_key(data, c, d) for c, d in messages(data, self.a, self.b, self.tag))


@dataclass
class _Rewrite:
    """One payload's way through the rules. Methods that may leave out what they are given return None for that."""

    rules: Rules
    redaction: Redaction
    kind: _Kind
    decisions: Iterator[otlp.Span | otlp.LogRecord | None]
    """For each record in wire order: itself, or None where it is left out."""
    left: list[otlp.Span | otlp.LogRecord] = field(default_factory=list)
    changed: int = 0
    expanded: int = 0
    event: str | None = None
    """Name of the log record or span event that is being written."""

    def request(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        for tag, a, b, begin, end in fields(data, 0, len(data)):
            if tag == RESOURCES:
                parts.append(_again(data, (tag, a, b, begin, end), self._of_resource(data, a, b)))
            elif not self.rules.scrubs:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _of_resource(self, data: bytes, a: int, b: int) -> bytes | None:
        """A ResourceSpans or ResourceLogs."""
        before = self.changed
        heads, size = self._heads(data, a, b, self.kind.outer, "Resource")
        parts: list[bytes] = []
        if self.rules.add and not any(messages(data, a, b, HEAD)):
            added = self._added(b"")
            parts.append(put_bytes(1, added))
            size += len(added)
        children, left = 0, 0
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == CHILDREN:
                had, redacted = self._of_scope(data, c, d, size)
                children += had
                left += redacted is not None and had > 0
                parts.append(_again(data, (tag, c, d, begin, end), redacted))
            else:
                parts.append(next(heads))
        if children and not left:
            self.changed = before
            return None
        return b"".join(parts)

    def _of_scope(self, data: bytes, a: int, b: int, shared: int) -> tuple[int, bytes | None]:
        """A ScopeSpans or ScopeLogs, with the number of its records before. `shared`: bytes of its resource."""
        before, before_left = self.changed, len(self.left)
        heads, size = self._heads(data, a, b, self.kind.inner, "InstrumentationScope")
        parts: list[bytes] = []
        records = 0
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == CHILDREN:
                records += 1
                parts.append(_again(data, (tag, c, d, begin, end), self._record(data, c, d, shared + size)))
            else:
                parts.append(next(heads))
        if records and len(self.left) == before_left:
            self.changed = before
            return records, None
        return records, b"".join(parts)

    def _heads(self, data: bytes, a: int, b: int, outer: str, head: str) -> tuple[Iterator[bytes], int]:
        """The fields of `outer` but its children, each as it may leave, and the bytes of resource (or scope) and schema
        URL that count for each record."""
        parts: list[bytes] = []
        lengths: dict[int, int] = {}
        last = max((begin for tag, _, _, begin, _ in fields(data, a, b) if tag == HEAD), default=-1)
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == CHILDREN:
                continue
            if tag == HEAD:
                redacted: bytes | None = self._message(data, c, d, head)
                if begin == last and head == "Resource":
                    redacted = (redacted or b"") + self._added(data[c:d])
            elif tag == SCHEMA_URL:
                redacted = self._text(data[c:d])
            else:
                parts.append(b"" if self.rules.scrubs else data[begin:end])
                continue
            lengths[tag] = len(redacted or b"")
            parts.append(_again(data, (tag, c, d, begin, end), redacted))
        return iter(parts), sum(lengths.values())

    def _added(self, resource: bytes) -> bytes:
        """The attributes to add to a resource message as it came in."""
        pairs = list(messages(resource, 0, len(resource), RESOURCE_ATTRIBUTE))
        present = {text(_last_key(resource, a, b)) for a, b in pairs}
        lacking = [(key, value) for key, value in self.rules.add if key not in present]
        room = max(0, MAX_ATTRIBUTES - len(pairs))
        return b"".join(key_value(1, key, value) for key, value in lacking[:room])

    def _record(self, data: bytes, a: int, b: int, shared: int) -> bytes | None:
        record = next(self.decisions)
        if record is None:
            return None
        before = self.changed
        self.event = event_name(record) if isinstance(record, otlp.LogRecord) else None
        redacted = self._message(data, a, b, self.kind.record)
        self.event = None
        events = len(record.events) if isinstance(record, otlp.Span) else 0
        self.expanded += otlp.expanded_bytes(len(redacted), shared, events)
        if self.expanded > MAX_EXPANDED_BYTES:
            self.changed = before
            return None
        self.left.append(record)
        return redacted

    def _message(self, data: bytes, a: int, b: int, message: str) -> bytes:
        known = by_tag(message)
        parts: list[bytes] = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag in known:
                parts.append(self._field(data, (tag, c, d, begin, end), known[tag], message, _Around(a, b, tag)))
            elif not self.rules.scrubs:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _field(self, data: bytes, place: WireField, known: Field, message: str, around: _Around) -> bytes:
        _, a, b, begin, end = place
        match known.kind:
            case "string":
                return _again(data, place, self._text(data[a:b]))
            case "bytes":
                lengths = (_RECORD_ID_LENGTHS if message == "LogRecord" else _ID_LENGTHS)[known.name]
                return b"" if self.rules.scrubs and b - a not in lengths else data[begin:end]
            case "attributes":
                return _again(data, place, self._pair(data, a, b, 0, b"", around))
            case "any":
                return _again(data, place, self._any(data, a, b, 1, b""))
            case "message" if known.of == "Event":
                return _again(data, place, self._span_event(data, a, b))
            case "message":
                return _again(data, place, self._message(data, a, b, known.of))
            case _:
                return data[begin:end]

    def _span_event(self, data: bytes, a: int, b: int) -> bytes:
        self.event = text(b"".join([data[c:d] for c, d in messages(data, a, b, EVENT_NAME)][-1:]))
        redacted = self._message(data, a, b, "Event")
        self.event = None
        return redacted

    def _pair(self, data: bytes, a: int, b: int, depth: int, above: bytes, around: _Around) -> bytes | None:
        """A KeyValue whose value has depth `depth` + 1. `above`: the keys of the maps around it, each with a point."""
        key = _last_key(data, a, b)
        nested, json_text = _is_nested(data, a, b), _is_json_text(data, a, b)
        entry = AttributeEntry(key, above + key, nested, json_text, lambda: around.keys(data))
        action = self.redaction.key_action(entry, self.event)
        if action is not None:
            self.changed += 1
            return None if action == "drop" else self._replaced(data, a, b, depth, action)
        parts: list[bytes] = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == KEY:
                redacted = self._text(data[c:d])
            elif tag == VALUE:
                redacted = self._any(data, c, d, depth + 1, (above + key + b".")[-MAX_ABOVE_BYTES:])
            else:
                parts.append(b"" if self.rules.scrubs else data[begin:end])
                continue
            if redacted is None:
                return None
            parts.append(_again(data, (tag, c, d, begin, end), redacted))
        return b"".join(parts)

    def _entry(self, data: bytes, depth: int, above: bytes, around: _Around, a: int, b: int) -> bytes | None:
        return self._pair(data, a, b, depth, above, around)

    def _replaced(self, data: bytes, a: int, b: int, depth: int, action: Action) -> bytes | None:
        key = self._text(_last_key(data, a, b))
        if key is None:
            return None
        if action == "mask":
            return put_bytes(1, key) + put_bytes(2, put_bytes(1, MASKED))
        found = [any_value(data, c, d, depth + 1) for c, d in messages(data, a, b, VALUE)]
        value, deep = found[-1] if found else (None, False)
        digest = self.redaction.digest(b"" if deep else as_text(value).encode())
        return put_bytes(1, key) + put_bytes(2, put_bytes(1, digest))

    def _any(self, data: bytes, a: int, b: int, depth: int, above: bytes) -> bytes | None:
        """An AnyValue."""
        if depth > MAX_DEPTH:
            self.changed += self.rules.scrubs
            return b"" if self.rules.scrubs else data[a:b]
        parts: list[bytes] = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag in (STRING, BYTES):
                redacted = self._text(data[c:d])
            elif tag == ARRAY:
                redacted = self._elements(data, c, d, lambda c, d: self._any(data, c, d, depth + 1, above))
            elif tag == MAP:
                around = _Around(c, d, ELEMENT)
                redacted = self._elements(data, c, d, partial(self._entry, data, depth, above, around))
            elif tag in (INT, DOUBLE):
                digits = self._number(tag, c)
                if digits is None:
                    return None
                parts.append(put_bytes(1, digits) if digits else data[begin:end])
                continue
            else:
                parts.append(b"" if self.rules.scrubs and tag != BOOL else data[begin:end])
                continue
            if redacted is None:
                return None
            parts.append(_again(data, (tag, c, d, begin, end), redacted))
        return b"".join(parts)

    def _elements(self, data: bytes, a: int, b: int, redact: Callable[[int, int], bytes | None]) -> bytes:
        """An ArrayValue or a KeyValueList."""
        parts: list[bytes] = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == ELEMENT:
                parts.append(_again(data, (tag, c, d, begin, end), redact(c, d)))
            elif not self.rules.scrubs:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _text(self, raw: bytes) -> bytes | None:
        redacted = self.redaction.text(raw)
        self.changed += redacted != raw
        return redacted

    def _number(self, tag: int, value: int) -> bytes | None:
        """What stands for a number that may not leave as it is; empty where it may. `value`: as `fields` has it."""
        redacted = self.redaction.number(signed(value) if tag == INT else double(value))
        self.changed += redacted != b""
        return redacted


def _again(data: bytes, field: WireField, redacted: bytes | None) -> bytes:
    """A field with another content; nothing for None."""
    return b"" if redacted is None else put_again(data, field, redacted)


def _is_nested(data: bytes, a: int, b: int) -> bool:
    """Whether an array or a map stands in a value of a KeyValue."""
    values = messages(data, a, b, VALUE)
    return any(tag in (ARRAY, MAP) for c, d in values for tag, *_ in fields(data, c, d))


def _is_json_text(data: bytes, a: int, b: int) -> bool:
    """Whether a text that begins as an array or a map in JSON does stands in a value of a KeyValue."""
    values = messages(data, a, b, VALUE)
    texts = (data[e:f] for c, d in values for e, f in messages(data, c, d, STRING))
    return any(found.lstrip(JSON_BLANKS).startswith((b"{", b"[")) for found in texts)


def _last_key(data: bytes, a: int, b: int) -> bytes:
    keys: Sequence[bytes] = [data[c:d] for c, d in messages(data, a, b, KEY)]
    return keys[-1] if keys else b""
