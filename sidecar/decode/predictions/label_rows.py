"""Records of labels from bytes that are read piece by piece: lines of JSON, JSON documents, CSV.

What is read at once is bounded, whatever the input claims, so that a file of any size can be read. `Read` gives at most
so many bytes, none at the end; where it also stops behind a line end it is a file's `readline`.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sidecar.decode.predictions.label_names import ALIASES, Concept
from sidecar.decode.predictions.label_record import InvalidLabel, Label, Names, read_label
from sidecar.errors import DecodeError

MAX_RECORD_BYTES = 64 << 10
"""One record as it is written: a line; in characters, a row of CSV over several lines and an element of an array."""
MAX_COLUMNS = 256
_PIECE = 64 << 10
_BOM = codecs.BOM_UTF8
_WHITE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()

_NEEDED: tuple[tuple[Concept, str], ...] = (("id", "prediction id"), ("truth", "truth"))
_TOO_LONG = InvalidLabel(f"longer than {MAX_RECORD_BYTES} bytes")

Readline = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A record where it stands, and the label that it is, or why it is none."""

    place: str
    """`line 3` (from 1, the first line of several), `record 3` in JSON documents."""
    label: Label | None
    refusal: str
    text: str
    """The record as it was written; empty where it is too long or not UTF-8."""


def json_lines(readline: Readline, names: Names = ALIASES) -> Iterator[Row]:
    """One JSON object a line; blank lines are skipped."""
    for number, line in _lines(readline):
        if isinstance(line, InvalidLabel) or line.strip():
            yield _row(f"line {number}", line, partial(_object, names=names))


def documents(read: Readline, names: Names = ALIASES) -> Iterator[Row]:
    """An array of objects, or objects one after the other. Raises DecodeError where it is no JSON from there on."""
    for number, (value, text) in enumerate(_values(read), 1):
        long = len(text) > MAX_RECORD_BYTES
        yield _row(f"record {number}", _TOO_LONG if long else text, partial(_of_value, value=value, names=names))


def csv_rows(readline: Readline, names: Names = ALIASES) -> Iterator[Row]:
    """CSV as RFC 4180 has it, with a header. Raises DecodeError where the header names no id or no truth."""
    rows = _csv(readline)
    _, head = next(rows, (0, ""))
    header = _header(head, names)

    def read(text: str) -> Label:
        cells = _cells(text)
        if len(cells) != len(header):
            raise InvalidLabel(f"{len(cells)} columns, the header has {len(header)}")
        return read_label(dict(zip(header, cells, strict=True)), written=True, names=names)

    for number, text in rows:
        yield _row(f"line {number}", text, read)


def mapped_rows(parts: Iterable[Sequence[Mapping[str, Any]]], names: Names = ALIASES) -> Iterator[Row]:
    """Rows that are mappings already. The first part only names the columns. Raises DecodeError where none is for an id
    or a truth."""
    number = 0
    for part in parts:
        if not number:
            for concept, what in _NEEDED:
                if missing := _missing(list(part[0]), names[concept], what):
                    raise DecodeError(missing)
            number = 1
            continue
        for record in part:
            yield _row(f"record {number}", "", partial(_of_value, value=record, names=names))
            number += 1


def _row(place: str, text: str | InvalidLabel, read: Callable[[str], Label]) -> Row:
    if isinstance(text, InvalidLabel):
        return Row(place, None, str(text), "")
    try:
        return Row(place, read(text), "", text)
    except InvalidLabel as error:
        return Row(place, None, str(error), text)


def _object(line: str, names: Names) -> Label:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidLabel("not a JSON object") from None
    return _of_value("", value, names)


def _of_value(_: str, value: Any, names: Names) -> Label:
    if not isinstance(value, Mapping):
        raise InvalidLabel("not a JSON object")
    return read_label(value, written=False, names=names)


def _lines(readline: Readline) -> Iterator[tuple[int, str | InvalidLabel]]:
    """Lines without their ends, from 1, a byte order mark left out; why one cannot be read."""
    number = 0
    while line := readline(MAX_RECORD_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) > MAX_RECORD_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = readline(_PIECE)
            yield number, _TOO_LONG
            continue
        try:
            yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield number, InvalidLabel("not UTF-8")


def _csv(readline: Readline) -> Iterator[tuple[int, str | InvalidLabel]]:
    """Rows with the numbers of their first lines; empty lines are skipped.

    A row ends at the first line end at which its quotes are even. Where that comes to no row (a quote inside of a cell
    that is not quoted, one that is never closed), the first line stands alone, so that it spoils no other.
    """
    lines = _lines(readline)
    waiting: deque[tuple[int, str | InvalidLabel]] = deque()
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number, text = line
        if isinstance(text, str) and text.count('"') % 2:
            taken, whole = _quoted(text, lines, waiting)
            if whole is not None:
                text = whole
                for _ in range(taken):
                    waiting.popleft()
        if text != "":
            yield number, text


def _quoted(
    first: str, lines: Iterator[tuple[int, str | InvalidLabel]], waiting: deque[tuple[int, str | InvalidLabel]]
) -> tuple[int, str | None]:
    """(how many of the waiting lines belong to the row that begins with `first`, the row); None if it is none. Lines
    that had to be read for it are put to those that wait."""
    parts, size, taken = [first], len(first), 0
    while size <= MAX_RECORD_BYTES:
        if taken == len(waiting):
            more = next(lines, None)
            if more is None:
                break
            waiting.append(more)
        text = waiting[taken][1]
        if isinstance(text, InvalidLabel):
            break
        taken += 1
        parts.append(text)
        size += len(text) + 1
        if text.count('"') % 2:
            whole = "\n".join(parts)
            return taken, whole if size <= MAX_RECORD_BYTES and _is_row(whole) else None
    return taken, None


def _is_row(text: str) -> bool:
    try:
        _cells(text)
    except InvalidLabel:
        return False
    return True


def _cells(text: str) -> list[str]:
    """The cells of one row. Raises InvalidLabel."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidLabel(f"not a row of CSV: {error}") from None


def _header(text: str | InvalidLabel, names: Names) -> list[str]:
    try:
        if isinstance(text, InvalidLabel):
            raise text
        header = [name.strip() for name in _cells(text)]
    except InvalidLabel as error:
        raise DecodeError(f"line 1: {error}") from None
    if len(header) > MAX_COLUMNS:
        raise DecodeError(f"line 1: {len(header)} columns, at most {MAX_COLUMNS}")
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        raise DecodeError(f"line 1: the column {twice!r} is there twice")
    for concept, what in _NEEDED:
        if missing := _missing(header, names[concept], what):
            hint = "the first line must name the columns, with commas between them"
            raise DecodeError(f"line 1: {missing}; {hint}")
    return header


def _missing(header: Sequence[str], names: Sequence[str], what: str) -> str:
    """What is said of columns none of which is for this; empty where one is."""
    if any(name in header for name in names):
        return ""
    seen = ", ".join(header[:8])[:120]
    return f"no column for the {what} (any of {', '.join(names)}) in the header {seen!a}"


class _Text:
    """JSON text that is read as it is needed."""

    def __init__(self, read: Readline) -> None:
        self._read = read
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text, self._at, self._passed, self._ended = "", 0, 0, False

    def take(self, sign: str) -> bool:
        """Step over this character if it is the next that is not white."""
        found = self.peek() == sign
        self._at += found
        return found

    def peek(self) -> str:
        """The next character that is not white; empty at the end."""
        while True:
            match = _WHITE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def value(self) -> tuple[Any, str]:
        """The next value, and how it is written. Raises DecodeError."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise self.wrong("nested too deep") from None
            except ValueError:
                if len(self._text) - self._at > MAX_RECORD_BYTES:
                    raise self.wrong(f"not JSON, or a record longer than {MAX_RECORD_BYTES} bytes") from None
                if not self._more():
                    raise self.wrong("not JSON, or cut off") from None
                continue
            # A number at the end of what is there may go on.
            if isinstance(value, dict | list | str) or end < len(self._text) or not self._more():
                text = self._text[self._at : end]
                self._at = end
                return value, text

    def wrong(self, what: str) -> DecodeError:
        """What is wrong here."""
        return DecodeError(f"character {self._passed + self._at + 1}: {what}")

    def _more(self) -> bool:
        """Read on, forgetting what was passed. False at the end."""
        if self._ended:
            return False
        piece = self._read(_PIECE)
        self._ended = not piece
        try:
            text = self._decode(piece, self._ended)
        except UnicodeDecodeError:
            raise self.wrong("not UTF-8 from here on, or soon after") from None
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + text, 0
        return not self._ended


def _values(read: Readline) -> Iterator[tuple[Any, str]]:
    text = _Text(read)
    if not text.take("["):
        while text.peek():
            yield text.value()
        return
    ended = text.take("]")
    while not ended:
        yield text.value()
        ended = text.take("]")
        if not ended and not text.take(","):
            raise text.wrong("a comma or the end of the array must stand here")
    if text.peek():
        raise text.wrong("the array has ended before here")
