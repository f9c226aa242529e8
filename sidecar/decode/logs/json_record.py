"""JSON log lines (NDJSON) as an OTLP logs request.

No line is lost: one that is not a JSON object, nests too deep or has too many members is kept as text with
`log.unparsed`, one that is too long is kept cut with `log.truncated`. Objects one behind the other on one line are a
record each: with commas between them or not, in brackets (an array, or the part of one that stands on a line), with the
record separator of JSON text sequences (RFC 7464) before them.

JSON here is what strict parsers take, and what costs a line of a real logger no more than one value (see
`json_lenient`). Of a duplicate member the last value counts, at the place of the first.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from sidecar.decode.api import Check, Transcoded
from sidecar.decode.logs import fields as names
from sidecar.decode.logs import severity
from sidecar.decode.logs.colours import text_without_colours
from sidecar.decode.logs.json_lenient import read_objects
from sidecar.decode.logs.timestamps import parse_time, seconds_and_nanoseconds
from sidecar.decode.logs.tracebacks import read_traceback
from sidecar.decode.otlp.encode import any_value, key_value
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_LINE_BYTES
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.records import check_logs
from sidecar.decode.otlp.wire import put_bytes, put_fixed32, put_fixed64, put_uint

_RESOURCE_BYTES = 64
"""More than a resource has beside the service's name."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a line says. Ids are empty where it has none; `attributes` is what is left, in line order."""

    body: str | None
    attributes: Mapping[str, Value]
    service: str = ""
    time: int = 0
    severity_number: int = 0
    severity_text: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    flags: int = 0


def json_lines(body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
    """NDJSON to an ExportLogsServiceRequest; blank lines are skipped, a byte order mark before a line is too.
    `observed`: Unix ns for every record's observed time; `anonymous`: content of the Resource of lines that name no
    service. Consecutive lines of one service share a resource. Refuses no line below MAX_EXPANDED_BYTES."""
    by_line = [read_records(line) for line in _split(body)]
    lines = [record for records in by_line for record in records]
    rows = tuple((number, len(records)) for number, records in enumerate(by_line) if len(records) > 1)
    payload = b"".join(
        _resource_logs(_resource(service) or anonymous, group, observed)
        for service, group in groupby(lines, lambda line: line.service)
    )
    timed = bool(lines) and all(line.time for line in lines)
    resource = max((len(line.service.encode()) for line in lines), default=0) + len(anonymous) + _RESOURCE_BYTES
    if len(payload) + len(lines) * resource > MAX_EXPANDED_BYTES:
        return Transcoded(payload, replace(check_logs(payload), timed=timed), rows=rows)
    return Transcoded(payload, Check(len(lines), timed=timed), rows=rows)


def _split(body: bytes) -> Iterator[bytes]:
    """A byte order mark stands where a file, a body or a program's output began; files put together have it inside."""
    for whole in body.split(b"\n"):
        line = whole.removeprefix(BOM_UTF8)
        if line.strip(b" \t\r"):
            yield line.rstrip(b"\r")


def read_line(line: bytes) -> LogLine:
    """The (first) record of a line without its line end."""
    return read_records(line)[0]


def read_records(line: bytes) -> list[LogLine]:
    """The records of one line without its line end: one, but for a row of objects."""
    if len(line) > MAX_LINE_BYTES:
        return [_text(line, _cut(line), names.TRUNCATED)]
    text = line.decode("utf-8", "replace")
    objects = read_objects(text)
    if all(map(_within_depth, objects)):
        records = [_interpret(_expand(members)) for members in objects]
        if records and all(len(record.attributes) <= MAX_ATTRIBUTES for record in records):
            return records
    return [_text(line, text, names.UNPARSED)]


def _text(line: bytes, text: str, flag: str) -> LogLine:
    """The record of a line of which no members are known."""
    number, level = severity.guess(line)
    return LogLine(text, {flag: True}, severity_number=number, severity_text=level)


def _cut(line: bytes) -> str:
    """The first MAX_LINE_BYTES bytes or up to three fewer, so that no character is cut through."""
    end = MAX_LINE_BYTES
    while end > MAX_LINE_BYTES - 3 and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end].decode("utf-8", "replace")


def _within_depth(members: dict[str, Value]) -> bool:
    return not any(_deeper(value, MAX_DEPTH) for value in members.values())


def _deeper(value: Value, limit: int) -> bool:
    """Whether a value nests deeper than `limit`; a scalar has depth 1."""
    match value:
        case dict():
            return limit < 1 or any(_deeper(element, limit - 1) for element in value.values())
        case list():
            return limit < 1 or any(_deeper(element, limit - 1) for element in value)
        case _:
            return limit < 1


def _expand(members: dict[str, Value]) -> dict[str, Value]:
    """Members of the well-known objects as `object.member`, at the object's place; those of objects in them too."""
    expanded: dict[str, Value] = {}
    for key, value in members.items():
        if isinstance(value, dict) and value and key in names.OBJECTS:
            expanded.update(_expand({f"{key}.{inner}": element for inner, element in value.items()}))
        else:
            expanded[key] = value
    return expanded


def _interpret(rest: dict[str, Value]) -> LogLine:
    """Take what is understood out of `rest`; what is left are the attributes."""
    time = _take_time(rest)
    number, text = _take_level(rest)
    trace_id, span_id, flags = _take_context(rest)
    service = _take_text(rest, names.SERVICE, empty=False)
    body = _take_text(rest, names.BODY)
    return LogLine(body, _with_exception(rest), service or "", time, number, text, trace_id, span_id, flags)


def _take_text(rest: dict[str, Value], aliases: tuple[str, ...], empty: bool = True) -> str | None:
    """The first alias that holds text (`empty`: even empty text)."""
    for name in aliases:
        value = rest.get(name)
        if isinstance(value, str) and (value or empty):
            del rest[name]
            return value
    return None


def _take_time(rest: dict[str, Value]) -> int:
    for name in names.TIME:
        if name in rest and (time := parse_time(rest[name])) is not None:
            del rest[name]
            return time
    seconds, nanoseconds = names.TIME_PAIR
    if seconds in rest and nanoseconds in rest:
        time = seconds_and_nanoseconds(rest[seconds], rest[nanoseconds])
        if time is not None:
            del rest[seconds], rest[nanoseconds]
            return time
    return 0


def _take_level(rest: dict[str, Value]) -> tuple[int, str]:
    """(severity number, text): text as written but for colours, or the number's range name. A name nobody knows gives
    number 0."""
    for name, numbers in names.LEVEL:
        value = rest.get(name)
        if isinstance(value, str):
            value = text_without_colours(value)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 2:
            value = int(value)
        if isinstance(value, str) and value:
            del rest[name]
            return severity.from_name(value), value
        if isinstance(value, int) and not isinstance(value, bool) and (number := _from_number(value, numbers)):
            del rest[name]
            return number, severity.range_name(number, "")
    return 0, ""


def _from_number(value: int, numbers: names.Levels) -> int:
    match numbers:
        case "javascript":
            return severity.from_javascript(value)
        case "python":
            return severity.from_python(value)
        case "otlp":
            return value if 0 < value <= severity.HIGHEST else 0


def _take_context(rest: dict[str, Value]) -> tuple[bytes, bytes, int]:
    """(trace id, span id, trace flags). `traceparent` is read only where no trace id was found."""
    trace_id = _take_id(rest, names.TRACE_ID, 16)
    span_id = _take_id(rest, names.SPAN_ID, 8)
    parent = rest.get(names.TRACEPARENT)
    if trace_id or not isinstance(parent, str):
        return trace_id, span_id, 0
    parts = parent.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2] or parts[0] in ("ff", "FF"):
        return trace_id, span_id, 0
    version, trace, parent_span, flags = (_hex(part) for part in parts)
    if not version or not any(trace) or not any(parent_span) or not flags:
        return trace_id, span_id, 0
    del rest[names.TRACEPARENT]
    return trace, span_id or parent_span, flags[0]


def _take_id(rest: dict[str, Value], aliases: tuple[str, ...], length: int) -> bytes:
    """The first alias that holds a usable id; others stay attributes."""
    for name in aliases:
        value = rest.get(name)
        if name == names.GOOGLE_TRACE and isinstance(value, str):
            value = value.rpartition("/")[2]
        found = _hex(value) if isinstance(value, str) and len(value) == 2 * length else b""
        if not found and name in names.DECIMAL_IDS:
            found = _decimal_id(value, length)
        if any(found):
            del rest[name]
            return found
    return b""


def _hex(text: str) -> bytes:
    """Bytes of hex digits in any case; empty if they are not."""
    return bytes.fromhex(text) if _HEX.issuperset(text) else b""


_HEX = frozenset("0123456789abcdefABCDEF")


def _decimal_id(value: Value, length: int) -> bytes:
    """An unsigned 64-bit number, as number or text, in the low bytes of the id."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 64:
        return value.to_bytes(length, "big")
    return b""


def _with_exception(rest: dict[str, Value]) -> dict[str, Value]:
    """`rest` with what it says of an exception under the names of the semantic conventions.

    A member is renamed only where the line has not got one of the new name already.
    """
    stacktrace, derived_type, derived_message = _stacktrace(rest)
    structured = _structured_exception(rest)
    if structured is not None:
        derived_type, derived_message = derived_type or structured[0], derived_message or structured[1]
    renames = (
        (stacktrace, "exception.stacktrace"),
        (_text_member(rest, names.EXCEPTION_TYPE), "exception.type"),
        (_text_member(rest, names.EXCEPTION_MESSAGE), "exception.message"),
        (names.STRUCTURED_EXCEPTION if structured is not None else None, names.STRUCTURED_KEPT),
    )
    renamed = {old: new for old, new in renames if old is not None and new not in rest}
    attributes = {renamed.get(key, key): value for key, value in rest.items()}
    for key, derived in (("exception.type", derived_type), ("exception.message", derived_message)):
        if derived:
            attributes.setdefault(key, derived)
    return attributes


def _stacktrace(rest: dict[str, Value]) -> tuple[str | None, str, str]:
    """(name of the first member that holds a stack trace, its exception's type and message); no name if none does."""
    for name in names.STACKTRACE:
        value = rest.get(name)
        if isinstance(value, str) and (found := read_traceback(value)) is not None:
            return name, *found
    return _text_member(rest, names.SURE_STACKTRACE), "", ""


def _text_member(rest: dict[str, Value], aliases: tuple[str, ...]) -> str | None:
    return next((name for name in aliases if isinstance(value := rest.get(name), str) and value), None)


def _structured_exception(rest: dict[str, Value]) -> tuple[str, str] | None:
    """(type, message) of structlog's list of exceptions; None if there is none."""
    match rest.get(names.STRUCTURED_EXCEPTION):
        case [{names.STRUCTURED_TYPE: str(kind), **more}, *_]:
            message = more.get(names.STRUCTURED_MESSAGE)
            return kind, message if isinstance(message, str) else ""
        case _:
            return None


def _resource(service: str) -> bytes:
    """Content of the Resource of a service's lines."""
    return key_value(1, "service.name", service) if service else b""


def _resource_logs(resource: bytes, lines: Iterator[LogLine], observed: int) -> bytes:
    """ResourceLogs {1: Resource, 2: ScopeLogs {2: records}} as field 1 of the request."""
    resource = put_bytes(1, resource) if resource else b""
    records = b"".join(put_bytes(2, _log_record(line, observed)) for line in lines)
    return put_bytes(1, resource + put_bytes(2, records))


def _log_record(line: LogLine, observed: int) -> bytes:
    """LogRecord, fields in the order of their numbers, absent ones left out."""
    parts = [
        put_fixed64(1, line.time) if line.time else b"",
        put_uint(2, line.severity_number) if line.severity_number else b"",
        put_bytes(3, line.severity_text.encode()) if line.severity_text else b"",
        put_bytes(5, any_value(line.body)) if line.body is not None else b"",
        *(key_value(6, key, value) for key, value in line.attributes.items()),
        put_fixed32(8, line.flags) if line.flags else b"",
        put_bytes(9, line.trace_id) if line.trace_id else b"",
        put_bytes(10, line.span_id) if line.span_id else b"",
        put_fixed64(11, observed),
    ]
    return b"".join(parts)
