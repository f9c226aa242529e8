"""Log files by their format: from the bytes of a file to one JSON log line or text line a record.

The container runtimes put each line of output into an envelope: CRI's is `TIME STREAM FLAGS CONTENT` (Kubernetes, CRI
logging design: flag `P` for a part of a line, `F` for its last part), Docker's json-file driver writes an object with
`log`, `stream` and `time`, and a part of a line has no line end in `log`.

Nothing is remembered between calls: what may go on in bytes that are not there yet is not taken, and is given again.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from sidecar.decode.logs import multiline
from sidecar.decode.otlp.limits import MAX_LINE_BYTES

Format = Literal["json", "plain", "cri", "docker"]

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_CRI = re.compile(rb"^(" + _TIME + rb") (stdout|stderr) ([A-Z]+(?::[A-Z]+)*)(?: (.*))?$", re.MULTILINE)
_DOCKER_KEYS = frozenset({"log", "stream", "time", "attrs"})
_BLANK = b" \t\r"
_SOMETHING = re.compile(rb"[^ \t\r\n]")
DETECT_LINES, DETECT_BYTES = 16, 256 << 10
SEEN_BYTES = 4096
"""Of what was read before a piece; it shows how the lines of a log begin."""
"""Of a piece that is looked at to tell the format."""
_OTHER_THAN_JSON = re.compile(rb"\n[^{]")


@dataclass(frozen=True, slots=True)
class Taken:
    """What the first `consumed` bytes of a file's piece say."""

    body: bytes
    """One record a line, for `Decoder.json_lines`; no blank lines where there are `times`."""
    consumed: int
    times: tuple[int, ...] = ()
    """Of each record, the envelope's time in Unix ns, 0 where it has none; empty where the format has no envelopes."""
    streams: tuple[bytes, ...] = ()
    """Of each record, `stdout`, `stderr` or nothing; as many as `times`."""
    held: bool = False
    """Whole lines were left because they may go on. Take them with `final` after some time."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of output, put together from its parts, with the bytes of the file that it was in."""

    start: int
    end: int
    content: bytes
    time: int = 0
    stream: bytes = b""


def detect(piece: bytes) -> Format:
    """The format of a file by its first lines. An envelope counts even where lines before it have none: a file may
    begin with blank lines or with what a crash left."""
    text = _SOMETHING.search(piece)
    first = text.start() if text else len(piece)
    lines = piece[first : first + DETECT_BYTES].split(b"\n", DETECT_LINES)[:DETECT_LINES]
    for line in lines:
        if _CRI.match(line):
            return "cri"
        if _docker(line) is not None:
            return "docker"
    return "json" if lines[0][:1] == b"{" else "plain"


def take(
    piece: bytes, kind: Format, *, join: bool, as_text: bool = False, final: bool = False, seen: bytes = b""
) -> Taken:
    """Records from a piece of a file that begins at the beginning of a line. `seen`: whole lines before it, by which it
    is judged whether lines behind a stack trace are part of it.

    `join`: lines of a stack trace become one record. `as_text`: lines that look like JSON are text all the same.
    `final`: nothing is held back but a last line without an end.
    """
    end = piece.rfind(b"\n") + 1
    if not end:
        return Taken(b"", 0)
    if kind in ("cri", "docker"):
        return _enveloped(piece, end, kind, join, final, seen)
    if not as_text and not (join and _may_need_joining(piece, end)):
        return Taken(piece if end == len(piece) else piece[:end], end)
    lines, place = [], 0
    for content in piece[: end - 1].split(b"\n"):
        lines.append(_Line(place, place + len(content) + 1, content.removeprefix(BOM_UTF8)))
        place += len(content) + 1
    return _records(lines, end, _grouped(lines, final, {b"": seen.splitlines()}) if join else None, as_text)


def _may_need_joining(piece: bytes, end: int) -> bool:
    return not _all_json(piece, end) and multiline.may_be_in(piece, end)


def _all_json(piece: bytes, end: int) -> bool:
    """Every line begins with a brace, so that nothing is to be joined."""
    return piece.startswith(b"{") and _OTHER_THAN_JSON.search(piece, 0, end) is None


def _enveloped(piece: bytes, end: int, kind: Format, join: bool, final: bool, seen: bytes) -> Taken:
    if kind == "cri" and (quick := _quick_cri(piece, end, join)) is not None:
        return quick
    parse = _cri if kind == "cri" else _docker
    lines: list[_Line] = []
    parts: dict[bytes, list[_Line]] = {}
    place = 0
    for raw in piece[: end - 1].split(b"\n"):
        start, place = place, place + len(raw) + 1
        found = parse(raw)
        if found is None:
            lines.append(_Line(start, place, raw))
            continue
        at, stream, content, whole = found
        part = _Line(start, place, content, at, stream)
        before = parts.setdefault(stream, [])
        before.append(part)
        if whole or sum(len(p.content) for p in before) > MAX_LINE_BYTES:
            lines.append(_put_together(parts.pop(stream)))
    if final:
        lines += [_put_together(open_) for open_ in parts.values()]
        parts = {}
    lines.sort(key=lambda line: line.start)
    limit = min((open_[0].start for open_ in parts.values()), default=end)
    groups = _grouped(lines, final, _contents(seen, parse)) if join else None
    taken = _records(lines, limit, groups, as_text=False, timed=True)
    return replace(taken, held=taken.consumed < end)


def _contents(seen: bytes, parse: Callable[[bytes], _Parsed | None]) -> dict[bytes, list[bytes]]:
    """Lines without their envelopes by stream; what the runtime cut is left out."""
    contents: dict[bytes, list[bytes]] = {}
    for found in map(parse, seen.splitlines()):
        if found is not None and found[3]:
            contents.setdefault(found[1], []).append(found[2])
    return contents


def _put_together(parts: Sequence[_Line]) -> _Line:
    first = parts[0]
    content = b"".join(p.content for p in parts).removeprefix(BOM_UTF8)
    return _Line(first.start, parts[-1].end, content, first.time, first.stream)


def _quick_cri(piece: bytes, end: int, join: bool) -> Taken | None:
    """The usual case, without work for each line: whole lines that need no joining. None where it is another."""
    found = _CRI.findall(piece, 0, end)
    if len(found) != piece.count(b"\n", 0, end):
        return None
    times, streams, flags, contents = zip(*found, strict=True)
    if not {flag[:1] for flag in set(flags)} <= {b"F"} or not all(contents):
        return None
    body = b"\n".join(contents) + b"\n"
    if BOM_UTF8 in body:
        return None
    odd = not _all_json(body, len(body))
    if odd and (any(not c.strip(_BLANK) for c in contents) or (join and multiline.may_be_in(body, len(body)))):
        return None
    return Taken(body, end, tuple(map(_nanoseconds, times)), streams)


def _records(lines: Sequence[_Line], limit: int, grouped: _Grouped | None, as_text: bool, timed: bool = False) -> Taken:
    """Lines to records. A record is given only if all before it are, so that one offset says how far we are.
    `grouped`: None where each line is a record."""
    groups, open_starts = grouped or ([[line] for line in lines], [])
    limit = _settled(groups, min([limit, *open_starts]))
    texts: list[bytes] = []
    kept: list[_Line] = []
    for group in groups:
        if group[0].start >= limit:
            continue
        text = _text([line.content for line in group], as_text)
        if text.strip(_BLANK):
            texts.append(text)
            kept.append(group[0])
    body = b"".join(text + b"\n" for text in texts)
    held = limit < max((line.end for line in lines), default=limit)
    if not timed:
        return Taken(body, limit, held=held)
    return Taken(body, limit, tuple(k.time for k in kept), tuple(k.stream for k in kept), held)


_Grouped = tuple[list[list[_Line]], list[int]]
"""(records, each stream's by itself, in order of their first lines; first bytes of those that may go on)"""


def _grouped(lines: Sequence[_Line], final: bool, seen: Mapping[bytes, Sequence[bytes]]) -> _Grouped:
    """`seen`: contents of lines before these, by stream."""
    by_stream: dict[bytes, list[_Line]] = {}
    for line in lines:
        by_stream.setdefault(line.stream, []).append(line)
    groups: list[list[_Line]] = []
    open_starts: list[int] = []
    for stream, own in by_stream.items():
        found, begin = multiline.group([line.content for line in own], final, seen.get(stream, ())), 0
        for end in found.ends:
            groups.append(own[begin:end])
            begin = end
        if found.open:
            open_starts.append(groups[-1][0].start)
    groups.sort(key=lambda group: group[0].start)
    return groups, open_starts


def _settled(groups: Sequence[Sequence[_Line]], limit: int) -> int:
    """The largest limit up to the given one that no record lies across."""
    for group in reversed(groups):
        if group[0].start < limit < group[-1].end:
            limit = group[0].start
    # One that was passed may lie across the new limit: streams interleave.
    if any(group[0].start < limit < group[-1].end for group in groups):
        return _settled(groups, limit)
    return limit


def _text(lines: Sequence[bytes], as_text: bool) -> bytes:
    if len(lines) > 1:
        return multiline.as_record(lines)
    line = lines[0]
    if b"\n" in line or (as_text and line.lstrip(_BLANK)[:1] == b"{"):
        return multiline.as_text(line)
    return line


_Parsed = tuple[int, bytes, bytes, bool]
"""(time, stream, content, whether the line ends here)"""


def _cri(line: bytes) -> _Parsed | None:
    found = _CRI.match(line)
    if found is None:
        return None
    at, stream, flags, content = found.groups()
    return _nanoseconds(at), stream, content or b"", flags[:1] != b"P"


def _docker(line: bytes) -> _Parsed | None:
    if line[:1] != b"{" or b'"log"' not in line:
        return None
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or not members.keys() <= _DOCKER_KEYS:
        return None
    text, stream, at = members.get("log"), members.get("stream"), members.get("time")
    if not isinstance(text, str) or not isinstance(stream, str) or not isinstance(at, str):
        return None
    content = text.encode("utf-8", "replace")
    whole = content.endswith(b"\n")
    return _nanoseconds(at.encode("ascii", "replace")), stream.encode(), content.removesuffix(b"\n"), whole


def _nanoseconds(text: bytes) -> int:
    """Unix ns of an RFC 3339 time; 0 for what is none."""
    seconds = _seconds(text[:19])
    if seconds is None:
        return 0
    rest = text[19:]
    digits = 0
    if rest[:1] == b".":
        digits = len(rest[1:]) - len(rest[1:].lstrip(b"0123456789"))
    fraction = int(rest[1 : 1 + digits].ljust(9, b"0")[:9]) if digits else 0
    zone = rest[1 + digits :] if digits else rest
    return (seconds - (0 if zone == b"Z" else _offset(zone))) * 1_000_000_000 + fraction


@lru_cache(64)
def _seconds(text: bytes) -> int | None:
    try:
        return calendar.timegm(time.strptime(text.decode("ascii", "replace"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


@lru_cache(16)
def _offset(zone: bytes) -> int:
    """Seconds east of Greenwich of `+HH:MM`."""
    if len(zone) != 6 or zone[:1] not in (b"+", b"-") or not (zone[1:3] + zone[4:]).isdigit():
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
    return -seconds if zone[:1] == b"-" else seconds
