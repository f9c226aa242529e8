"""`sidecar labels import`: the labels of a file, in batches, to a running sidecar.

Each batch is acknowledged before the next is sent, and batches end at multiples of their size, so that the same file
always gives the same ones. Every label is sent with a time (the file's, where it has none of its own) and its number in
the file: a batch whose acknowledgement was lost is sent again as the same bytes, and the sidecar stores it once.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TextIO

from sidecar.decode.predictions.label_names import ALIASES
from sidecar.decode.predictions.label_record import Label, Names, members
from sidecar.decode.predictions.label_rows import Row, csv_rows, documents, json_lines
from sidecar.errors import DecodeError, SidecarError
from sidecar.send.http_sender import GaveUp, Sender

Format = Literal["csv", "json", "ndjson"]

PATH = "/v1/labels"
CONTENT_TYPE = "application/x-ndjson"
_BUFFER_BYTES = 256 << 10
_SNIFFED_BYTES = 4096
_GZIP = b"\x1f\x8b"
_DAMAGED = (gzip.BadGzipFile, zlib.error, EOFError)
_SUFFIXES: Mapping[str, Format] = {".csv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson"}


class Stopped(SidecarError):
    """The import cannot go on; the message says why."""


@dataclass(slots=True)
class Tally:
    """How far the import is."""

    records: int = 0
    """Records of the file that are dealt with, skipped ones included: the value for `--skip`."""
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A file of labels, opened and decompressed."""

    stream: io.BufferedReader[Any]
    name: str
    time: int
    """Unix ns at which it was changed last; for standard input when it was opened."""
    size: int
    """Bytes as they lie there; 0 where that is not known."""
    position: Callable[[], int]
    """How many of them have been read."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What labels get that do not have it themselves."""

    time: int
    model: str = ""
    version: str = ""

    def fill(self, label: Label) -> Label:
        return replace(
            label,
            time=label.time or self.time,
            model=label.model or self.model,
            version=label.version or self.version,
        )


@contextmanager
def opened(path: str, standard_input: IO[bytes]) -> Iterator[Source]:
    """The file, `-` for standard input; gzip is recognised by what it begins with."""
    if path == "-":
        stream: Any = standard_input
        buffered = io.BufferedReader(stream, _BUFFER_BYTES)
        yield Source(_plain(buffered), "standard input", time.time_ns(), 0, lambda: 0)
        return
    with open(path, "rb", buffering=0) as raw:
        found = os.fstat(raw.fileno())
        changed = found.st_mtime_ns if found.st_mtime_ns > 0 else time.time_ns()
        yield Source(_plain(io.BufferedReader(raw, _BUFFER_BYTES)), path, changed, found.st_size, raw.tell)


def _plain(stream: io.BufferedReader[Any]) -> io.BufferedReader[Any]:
    if stream.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
        return stream
    return io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER_BYTES)


def format_of(source: Source) -> Format:
    """By the name's ending, else by the first character. Raises `Stopped`."""
    if source.name.lower().endswith(".parquet"):
        raise Stopped("Parquet; expected CSV, JSON or JSON lines, as pandas' `to_csv(..., index=False)` writes it")
    ending = os.path.splitext(source.name.lower().removesuffix(".gz"))[1]
    if ending in _SUFFIXES:
        return _SUFFIXES[ending]
    try:
        peeked = source.stream.peek(_SNIFFED_BYTES)
    except _DAMAGED as error:
        raise Stopped(_damage(error)) from None
    begin = peeked[:_SNIFFED_BYTES].removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return "json" if begin == b"[" else "ndjson" if begin == b"{" else "csv"


def rows_of(source: Source, format_: Format, names: Names = ALIASES) -> Iterator[Row]:
    """The records of the file."""
    match format_:
        case "csv":
            return csv_rows(source.stream.readline, names)
        case "json":
            return documents(source.stream.read, names)
        case "ndjson":
            return json_lines(source.stream.readline, names)


class Rejects:
    """Rejected records as JSON lines in a file for its owner only, which is made when there is one."""

    def __init__(self, path: Path, append: bool) -> None:
        self.path, self._append = path, append
        self._file: TextIO | None = None

    def write(self, row: Row) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self._append else os.O_TRUNC)
            self._file = os.fdopen(os.open(self.path, flags, 0o600), "w", encoding="utf-8", buffering=1)
        line = {"place": row.place, "reason": row.refusal, "record": row.text}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class BatchSender:
    """Sends one batch after the other, each until it is accepted or the timeout has passed."""

    def __init__(self, sender: Sender, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`timeout`: seconds without success after which to give up. `clock`: that of `sender`."""
        self._sender, self._timeout, self._clock = sender, timeout, clock

    def send(self, body: bytes, labels: int) -> None:
        """Returns when all of them are stored. Raises `Stopped`."""
        deadline = self._clock() + self._timeout
        try:
            reply = self._sender.send(body, deadline=lambda: deadline)
        except GaveUp as gave_up:
            raise Stopped(f"gave up after {self._timeout:g} s: {gave_up}") from gave_up
        if reply.status != 200:
            hint = "; a smaller --batch may do" if reply.status == 413 else ""
            raise Stopped(f"the sidecar answers {reply}{hint}")
        _check(reply.body, labels)


def _check(body: bytes, labels: int) -> None:
    """Raises `Stopped` where that does not acknowledge them all. They were checked here: only a sidecar of another
    version rejects one."""
    try:
        found = json.loads(body)
        accepted, errors = found["accepted"], found["errors"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise Stopped(f"invalid answer: {body[:200]!a}; expected a sidecar's: check --url") from None
    if accepted != labels:
        raise Stopped(
            f"the sidecar accepted {accepted} of {labels} labels that are valid here ({errors}); expected the same "
            "version of both"
        )


def run(
    rows: Iterator[Row],
    sender: BatchSender,
    defaults: Defaults,
    tally: Tally,
    *,
    batch: int,
    skip: int = 0,
    reject: Callable[[Row], None] | None = None,
    show: Callable[[], None] = lambda: None,
) -> None:
    """Send all but the first `skip` records; `tally` is kept up to date, so that it holds whatever ends the run.

    `reject` is given what is not a label, behind the batch that it was in; without it the run ends there. Raises
    `Stopped`.
    """
    tally.records = skip
    for records in _batches(rows, skip, batch):
        bad = next((n for n, (_, row) in enumerate(records) if row.label is None), None)
        sent = records if reject is not None or bad is None else records[:bad]
        body, labels = _body(sent, defaults)
        if labels:
            sender.send(body, labels)
        tally.accepted += labels
        for number, row in sent:
            if row.label is None and reject is not None:
                reject(row)
                tally.rejected += 1
            tally.records = number
        show()
        if len(sent) < len(records):
            _, row = records[len(sent)]
            raise Stopped(f"{row.place}: {row.refusal}")


def _batches(rows: Iterator[Row], skip: int, size: int) -> Iterator[list[tuple[int, Row]]]:
    """Numbered records in batches that end at multiples of `size`. What came before damage is given. Raises
    `Stopped`."""
    batch: list[tuple[int, Row]] = []
    number, damage = 0, ""
    try:
        for number, row in enumerate(rows, 1):
            if number > skip:
                batch.append((number, row))
            if batch and number % size == 0:
                yield batch
                batch = []
    except DecodeError as error:
        damage = str(error)
    except _DAMAGED as error:
        damage = _damage(error)
    if batch:
        yield batch
    if damage:
        raise Stopped(damage)
    if number < skip:
        raise Stopped(f"invalid --skip: {skip}; expected at most {number}, the number of records")


def _damage(error: Exception) -> str:
    return f"invalid gzip: {error}; expected an undamaged file"


def _body(records: list[tuple[int, Row]], defaults: Defaults) -> tuple[bytes, int]:
    """Lines for the sidecar, and how many labels they are. The number tells apart batches of equal labels."""
    lines = [
        json.dumps({**members(defaults.fill(row.label)), "record": number}, separators=(",", ":"))
        for number, row in records
        if row.label is not None
    ]
    return "\n".join(lines).encode(), len(lines)
