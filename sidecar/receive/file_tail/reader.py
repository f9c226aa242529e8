"""One step of reading one file: its next bytes as an OTLP payload, and where we are after them."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from sidecar.decode.api import Decoder
from sidecar.decode.logs import containers
from sidecar.decode.logs.annotate import annotate
from sidecar.decode.logs.byte_order import is_utf16
from sidecar.decode.logs.containers import SEEN_BYTES, Format, Taken
from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.decode.redaction.rules import Redactor, Rules
from sidecar.receive.file_tail import blank
from sidecar.receive.file_tail.checkpoint import TAIL_BYTES, Checkpoint
from sidecar.receive.file_tail.options import Options
from sidecar.receive.file_tail.source import Source
from sidecar.receive.file_tail.tailed_file import TailedFile
from sidecar.receive.resource_resolver import CONTAINER, ResourceResolver

READ_BYTES = MAX_LINE_BYTES + (64 << 10)
"""Of a file at a time: the longest line that is stored whole fits, with what a runtime adds to it."""
MAX_SHAPERS = 256
DETECT_BEFORE = 64 << 10
"""A file's format is looked for as far as here: its first lines may be damaged."""
ENDED_AFTER = 5.0
"""A last line without an end is taken when its file was rotated away and has not grown for so many seconds."""
WAIT_SECONDS = 10.0
"""A file is read, though the one before it was not read to its end, after so long without progress there."""
_IN_PARTS: tuple[Format | None, ...] = ("cri", "docker")
"""Formats that cut long lines into parts, whose last may be in the next file."""

log = structlog.get_logger("sidecar.receive")


class Truncated(Exception):
    """The content before our offset is not there any more. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one read gave. Nothing of it is in the file's state before it is committed."""

    file: TailedFile
    payload: bytes
    items: int
    consumed: int
    recent: bytes
    skipping: bool = False
    done: bool = False
    full: bool = False
    """There is probably more to read at once."""
    held_at: float | None = None
    """Whole lines were left because they may go on, and since when."""
    before: tuple[Step, ...] = ()
    """The rests of the files before it, which this step took along."""

    def checkpoint(self) -> Checkpoint:
        """The file's position after this step."""
        return self.file.checkpoint_at(self.file.offset + self.consumed, self.recent, self.skipping, self.done)

    def parts(self) -> Iterator[Step]:
        """The steps of all files."""
        yield from self.before
        yield self

    def apply(self) -> None:
        """It is committed."""
        file = self.file
        file.offset += self.consumed
        file.recent, file.skipping, file.done = self.recent, self.skipping, self.done
        file.held_since = self.held_at
        file.records += self.items
        file.bytes_read += self.consumed


class Reader:
    """Reads files by these options."""

    def __init__(self, options: Options, decoder: Decoder, resource_resolver: ResourceResolver) -> None:
        """`resource_resolver`: whose lines those are that name no service."""
        self._options = options
        self._decoder = decoder
        self._resource_resolver = resource_resolver
        self._shapers: dict[tuple[tuple[str, str], ...], Redactor] = {}

    def step(
        self, file: TailedFile, source: Source, now: float, observed: int, before: Sequence[TailedFile] = ()
    ) -> Step | None:
        """The next records; None if there are none now. `now`: monotonic seconds, `observed`: Unix ns. `before`: what
        was written before this file and has lines left that may go on here, oldest first.

        Raises `Truncated`, `Broken` or OSError.
        """
        size = source.size()
        if not source.compressed and size < len(file.start):
            raise Truncated
        if size == file.offset and not source.compressed:
            file.size = size
            return None
        if not source.compressed and (size < file.offset or not file.unchanged(source)):
            raise Truncated
        if size != file.size:
            file.size, file.grown_at = size, now
        file.read_start(source)
        self._note_encoding(file)
        first = b"" if file.skipping or file.foreign else source.pread(file.offset, len(BOM_UTF8))
        if first[:1] == b"\0":
            file.written = source.modified()
            return self._skip_blank(file, source)
        if first == BOM_UTF8 and not file.offset:
            return Step(file, b"", 0, len(first), first, full=True)
        data = source.pread(file.offset, READ_BYTES)
        # Asked last: what is written meanwhile may have been read, and then nobody looks again.
        file.written = source.modified()
        at_end = len(data) < READ_BYTES
        if source.compressed and not data:
            return Step(file, b"", 0, 0, file.recent, done=True)
        if file.skipping:
            return self._skip(file, data, at_end)
        return self._take(file, source, data, at_end, now, observed, before)

    def _note_encoding(self, file: TailedFile) -> None:
        if not file.foreign and is_utf16(file.start):
            file.foreign = True
            log.warning("encoding_not_utf8", path=file.path)

    def _skip_blank(self, file: TailedFile, source: Source) -> Step | None:
        """NULs up to the next text. A step to nowhere where there are more than are looked through at once."""
        place, is_text = blank.text_after(source, max(file.offset, file.blank_to))
        file.blank_to = place
        at_end = not is_text and not source.pread(place, 1)
        if is_text or source.compressed:
            recent = source.pread(max(0, place - TAIL_BYTES), min(place, TAIL_BYTES))
            done = at_end and source.compressed
            return Step(file, b"", 0, place - file.offset, recent, done=done, full=not at_end)
        return None if at_end else Step(file, b"", 0, 0, file.recent, full=True)

    def _skip(self, file: TailedFile, data: bytes, at_end: bool) -> Step | None:
        """The rest of a line that was cut."""
        end = data.find(b"\n") + 1
        skipped = end or len(data)
        return Step(
            file, b"", 0, skipped, self._recent(file, data[:skipped]), skipping=not end, full=not at_end or end > 0
        )

    def _take(
        self,
        file: TailedFile,
        source: Source,
        data: bytes,
        at_end: bool,
        now: float,
        observed: int,
        before: Sequence[TailedFile],
    ) -> Step | None:
        data, broken_off = self._up_to_blank(file, source, data)
        at_end = at_end and not broken_off
        last = broken_off or (at_end and (source.compressed or self._ended(file, now)))
        piece = data + b"\n" if last and not data.endswith(b"\n") else data
        if b"\n" not in piece:
            return self._cut(file, data, observed) if len(data) > MAX_LINE_BYTES else None
        self._detect_format(file, piece)
        rests = self._rests(file, before, now)
        if rests is None:
            return None
        lead = b"".join(rest for _, rest in rests)
        seen = self._seen(file, source)
        taken = self._records(file, lead + piece, seen, final=last or self._waited(file, now))
        if not taken.consumed and not at_end:
            taken = self._records(file, lead + piece, seen, final=True)
        if taken.consumed <= len(lead):
            file.held_since = now if file.held_since is None else file.held_since
            return None
        consumed = min(taken.consumed - len(lead), len(data))
        payload, items = b"", 0
        if taken.body:
            payload, items = self._made(file, taken, observed)
        taken_along = tuple(Step(one, b"", 0, len(rest), self._recent(one, rest)) for one, rest in rests)
        recent, held_at = self._recent(file, data[:consumed]), now if taken.held else None
        return Step(file, payload, items, consumed, recent, full=not at_end, held_at=held_at, before=taken_along)

    def _rests(
        self, file: TailedFile, before: Sequence[TailedFile], now: float
    ) -> list[tuple[TailedFile, bytes]] | None:
        """What is held of the files before, oldest first; None while the last of them may yet have such lines."""
        found: list[tuple[TailedFile, bytes]] = []
        size = 0
        for one in reversed(before):
            if one.source is None or file.kind not in _IN_PARTS or one.kind not in (None, file.kind):
                break
            if one.held_since is None:
                if not found and self._waits_for(file, one, now):
                    return None
                break
            rest = one.source.pread(one.offset, READ_BYTES)
            size += len(rest)
            whole = rest.endswith(b"\n") and len(rest) == one.source.size() - one.offset
            if not whole or size > READ_BYTES or not one.unchanged(one.source):
                break
            found.append((one, rest))
        return found[::-1]

    @staticmethod
    def _waits_for(file: TailedFile, before: TailedFile, now: float) -> bool:
        """Whether the file before it is still being read."""
        if file.waits_for is None or file.waits_for[0] != before.offset:
            file.waits_for = before.offset, now
        return now - file.waits_for[1] < WAIT_SECONDS

    def _waited(self, file: TailedFile, now: float) -> bool:
        """Whether what is held is not going to go on."""
        if file.held_since is None:
            return False
        seconds = self._options.multiline_timeout
        if file.kind in _IN_PARTS:
            if not file.former and file.seen_at <= file.held_since:
                return False
            seconds = max(seconds, ENDED_AFTER) if file.former else seconds
        return now - file.held_since >= seconds

    def needs_look(self, file: TailedFile, now: float) -> bool:
        """Whether what is held of it waits only for a look for files: it may go on in another one."""
        due = file.held_since is not None and now - file.held_since >= self._options.multiline_timeout
        return due and file.kind in _IN_PARTS and not file.former and file.seen_at <= (file.held_since or 0)

    def _detect_format(self, file: TailedFile, piece: bytes) -> None:
        if self._options.format != "auto":
            file.kind = self._options.format
        elif file.kind not in _IN_PARTS and (file.kind is None or file.offset < DETECT_BEFORE):
            file.kind = containers.detect(piece)

    @staticmethod
    def _seen(file: TailedFile, source: Source) -> bytes:
        """Whole lines before what is read now. Of a compressed file none: to go back in it means to unpack it again."""
        if source.compressed or not file.offset:
            return b""
        begin = max(0, file.offset - SEEN_BYTES)
        data = source.pread(begin, file.offset - begin)
        return data[data.find(b"\n") + 1 :] if begin else data

    def _records(self, file: TailedFile, piece: bytes, seen: bytes, final: bool) -> Taken:
        assert file.kind is not None
        options = self._options
        as_text = options.format == "plain"
        return containers.take(piece, file.kind, join=options.multiline, as_text=as_text, final=final, seen=seen)

    @staticmethod
    def _up_to_blank(file: TailedFile, source: Source, data: bytes) -> tuple[bytes, bool]:
        """The data before NULs, and whether there is text behind them: then what is before has no more to come."""
        end = -1 if file.foreign else blank.begin_in(data)
        if end < 0:
            return data, False
        return data[:end], blank.text_after(source, file.offset + end)[1]

    def _cut(self, file: TailedFile, data: bytes, observed: int) -> Step:
        """A line that is longer than what is stored of one."""
        payload, items = self._made(file, Taken(data[: MAX_LINE_BYTES + 4], len(data)), observed)
        return Step(file, payload, items, len(data), self._recent(file, data), skipping=True, full=True)

    def _made(self, file: TailedFile, taken: Taken, observed: int) -> tuple[bytes, int]:
        """(payload with what is known of the file, records)"""
        attributes = self._attributes(file)
        anonymous = self._resource_resolver.anonymous(attributes.get(CONTAINER, ""))
        made = self._decoder.json_lines(taken.body, observed, anonymous)
        if taken.times:
            payload = annotate(made.payload, attributes, taken.times, taken.streams, made.rows)
        else:
            # The same for resources alone, but natively.
            payload = self._shaper(attributes).logs(made.payload).payload
        return payload, made.check.items

    def _shaper(self, attributes: Mapping[str, str]) -> Redactor:
        key = tuple(attributes.items())
        shaper = self._shapers.get(key)
        if shaper is None:
            if len(self._shapers) >= MAX_SHAPERS:
                self._shapers.clear()
            shaper = self._shapers[key] = self._decoder.redactor(Rules(add=key))
        return shaper

    def _ended(self, file: TailedFile, now: float) -> bool:
        return file.former and now - file.grown_at >= ENDED_AFTER

    def _attributes(self, file: TailedFile) -> Mapping[str, str]:
        return {**file.attributes, **self._options.resource}

    @staticmethod
    def _recent(file: TailedFile, data: bytes) -> bytes:
        return data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (file.recent + data)[-TAIL_BYTES:]
