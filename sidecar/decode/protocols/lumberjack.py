"""The lumberjack protocol, version 2, without I/O: frames, windows, acknowledgements, for either side.

Source of the rules: `PROTOCOL.md` of Elastic's go-lumber and what its server and Logstash's beats input were seen to
do. All integers are 32-bit, big-endian; every frame begins with `2` and its type:

| frame | body |
|---|---|
| `W` window | number of data frames that will follow before the sender wants an acknowledgement |
| `J` data | sequence number, length, a JSON document |
| `C` compressed | length, zlib of whole data frames |
| `A` acknowledgement, from the reader | highest sequence number that it has taken on |

Sequence numbers restart at 1 in every window: Logstash acknowledges where a frame's number equals the size of its
window. Acknowledgements are cumulative and come in the order of the windows; one below the window's size says that
the reader has got so far, and 0 that it is busy but alive.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isal import igzip_lib, isal_zlib

from sidecar.errors import DecodeError, TooLarge

VERSION = b"2"
WINDOW, DATA, COMPRESSED, ACK = b"W", b"J", b"C", b"A"

_SHORT = struct.Struct(">2sI")
_LONG = struct.Struct(">2sII")
DATA_HEADER_BYTES = _LONG.size
ACK_BYTES = _SHORT.size


def window_frame(count: int) -> bytes:
    """Announces `count` data frames."""
    return _SHORT.pack(VERSION + WINDOW, count)


def data_frame(sequence: int, document: bytes) -> bytes:
    """One JSON document."""
    return _LONG.pack(VERSION + DATA, sequence, len(document)) + document


def compressed_frame(frames: bytes) -> bytes:
    """Whole data frames, deflated."""
    body: bytes = igzip_lib.compress(frames, 1, igzip_lib.COMP_ZLIB)
    return _SHORT.pack(VERSION + COMPRESSED, len(body)) + body


def ack_frame(sequence: int) -> bytes:
    """What a reader says; 0 while it is busy."""
    return _SHORT.pack(VERSION + ACK, sequence)


class AckReader:
    """Acknowledgements out of a stream of bytes that may be cut anywhere."""

    def __init__(self) -> None:
        self._buffer = b""
        self._read = 0

    def feed(self, data: bytes) -> list[int]:
        """The sequence numbers that are complete now. Raises DecodeError for anything but acknowledgements."""
        self._buffer += data
        found = []
        while len(self._buffer) >= ACK_BYTES:
            head, sequence = _SHORT.unpack_from(self._buffer)
            self._expect(head)
            found.append(sequence)
            self._buffer = self._buffer[ACK_BYTES:]
            self._read += ACK_BYTES
        if self._buffer:
            self._expect(self._buffer[:2])
        return found

    def _expect(self, head: bytes) -> None:
        if not (VERSION + ACK).startswith(head):
            raise DecodeError(f"not a lumberjack acknowledgement: {head!r}", self._read)


class Sending:
    """The sender's side of one conversation: windows of documents out, acknowledgements in.

    At most `pipelining` windows are under way at a time. What was acknowledged is a prefix of the documents, since
    acknowledgements come in the order of the windows.
    """

    def __init__(self, windows: Iterable[tuple[int, bytes]], pipelining: int) -> None:
        """`windows`: number of documents and their data frames (compressed or not), made only when there is room."""
        self._windows = iter(windows)
        self._pipelining = pipelining
        self._open: deque[int] = deque()
        self._partial = 0
        """Documents of the oldest open window that are acknowledged."""
        self._whole = 0
        self._output = memoryview(b"")
        self._all_out = False
        self._acks = AckReader()

    @property
    def acknowledged(self) -> int:
        """Documents that the receiver has acknowledged, counted from the first."""
        return self._whole + self._partial

    @property
    def done(self) -> bool:
        """Every document is acknowledged."""
        self._fill()
        return self._all_out and not self._open

    def output(self) -> memoryview:
        """What is to be written next; empty while there is nothing to do but wait."""
        self._fill()
        return self._output

    def wrote(self, size: int) -> None:
        """So many bytes of `output` have gone out."""
        self._output = self._output[size:]

    def received(self, data: bytes) -> None:
        """Bytes from the receiver. Raises DecodeError where they make no sense."""
        for sequence in self._acks.feed(data):
            self._acknowledge(sequence)

    def _acknowledge(self, sequence: int) -> None:
        if sequence == 0:
            return
        if not self._open or sequence > self._open[0]:
            size = self._open[0] if self._open else 0
            raise DecodeError(f"acknowledgement of {sequence} in a window of {size}")
        if sequence == self._open[0]:
            self._whole += self._open.popleft()
            self._partial = 0
        else:
            self._partial = max(self._partial, sequence)

    def _fill(self) -> None:
        if self._output or self._all_out or len(self._open) >= self._pipelining:
            return
        following = next(self._windows, None)
        if following is None:
            self._all_out = True
            return
        count, frames = following
        self._open.append(count)
        self._output = memoryview(window_frame(count) + frames)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader takes; more is an error, since its memory has to be bounded."""

    window: int = 100_000
    """Data frames in a window."""
    document_bytes: int = 16 << 20
    batch_bytes: int = 64 << 20
    """Bytes of a window's documents, decompressed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The documents of one window."""

    documents: Sequence[bytes]
    """JSON, not looked into."""
    sequence: int
    """Number of the last one: what is to be acknowledged once all are kept."""


class BatchReader:
    """The reader's side: windows out of a stream of bytes that may be cut anywhere. One for each connection."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._read = 0
        self._window = 0
        self._documents: list[bytes] = []
        self._bytes = 0
        self._sequence = 0

    @property
    def pending(self) -> int:
        """Documents of a window that is not complete yet."""
        return len(self._documents)

    @property
    def held(self) -> int:
        """Bytes held: of frames that are not there as a whole yet, and of documents."""
        return len(self._buffer) + self._bytes

    def feed(self, data: bytes) -> list[Batch]:
        """The batches that are complete now. Raises DecodeError for bytes that are not version 2 of the protocol,
        TooLarge over a limit; after either the connection is of no more use."""
        self._buffer += data
        found: list[Batch] = []
        at = 0
        while (size := self._frame(found, at)) > 0:
            at += size
            self._read += size
        del self._buffer[:at]
        return found

    def _frame(self, found: list[Batch], at: int) -> int:
        """Take the frame at `at`; gives its size, 0 where it is not there as a whole yet."""
        left = len(self._buffer) - at
        head = bytes(self._buffer[at : at + 2])
        if head[:1] not in (b"", VERSION):
            raise DecodeError(f"not version 2 of the lumberjack protocol: {head[:1]!r}", self._read)
        kind = head[1:]
        if kind not in (b"", WINDOW, DATA, COMPRESSED):
            raise DecodeError(f"unknown frame type {kind!r}", self._read)
        if not kind or left < (_LONG.size if kind == DATA else _SHORT.size):
            return 0
        if kind == WINDOW:
            self._open_window(_SHORT.unpack_from(self._buffer, at)[1], found)
            return _SHORT.size
        if kind == DATA:
            _, sequence, size = _LONG.unpack_from(self._buffer, at)
            self._check_document(size)
            begin, end = at + _LONG.size, at + _LONG.size + size
            if left >= end - at:
                self._take(sequence, bytes(self._buffer[begin:end]), found)
        else:
            (_, size) = _SHORT.unpack_from(self._buffer, at)
            if size > self._limits.batch_bytes:
                raise TooLarge(f"compressed frame of {size} bytes, the limit is {self._limits.batch_bytes}")
            begin, end = at + _SHORT.size, at + _SHORT.size + size
            if left >= end - at:
                self._take_all(self._inflate(bytes(self._buffer[begin:end])), found)
        return end - at if left >= end - at else 0

    def _open_window(self, count: int, found: list[Batch]) -> None:
        if count > self._limits.window:
            raise TooLarge(f"window of {count} frames, the limit is {self._limits.window}")
        if self._documents:  # A sender may restart; what it sent stands.
            self._close_window(found)
        self._window = count

    def _close_window(self, found: list[Batch]) -> None:
        found.append(Batch(self._documents, self._sequence))
        self._documents, self._bytes, self._window, self._sequence = [], 0, 0, 0

    def _check_document(self, size: int) -> None:
        if not self._window:
            raise DecodeError("data frame outside of a window", self._read)
        if size > self._limits.document_bytes:
            raise TooLarge(f"document of {size} bytes, the limit is {self._limits.document_bytes}")
        if self._bytes + size > self._limits.batch_bytes:
            raise TooLarge(f"window of more than {self._limits.batch_bytes} bytes")

    def _take(self, sequence: int, document: bytes, found: list[Batch]) -> None:
        self._documents.append(document)
        self._bytes += len(document)
        self._sequence = sequence
        if len(self._documents) == self._window:
            self._close_window(found)

    def _take_all(self, frames: bytes, found: list[Batch]) -> None:
        """Whole data frames, and nothing else: a compressed frame in a compressed frame would be a bomb."""
        at = 0
        while at < len(frames):
            if frames[at : at + 2] != VERSION + DATA or len(frames) - at < _LONG.size:
                raise DecodeError("a compressed frame holds something else than whole data frames", self._read)
            _, sequence, size = _LONG.unpack_from(frames, at)
            self._check_document(size)
            at += _LONG.size
            if len(frames) - at < size:
                raise DecodeError("a data frame ends past its compressed frame", self._read)
            self._take(sequence, frames[at : at + size], found)
            at += size

    def _inflate(self, body: bytes) -> bytes:
        if not self._window:
            raise DecodeError("compressed frame outside of a window", self._read)
        most = self._limits.batch_bytes - self._bytes + self._window * _LONG.size
        opener = isal_zlib.decompressobj()
        try:
            frames: bytes = opener.decompress(body, most + 1)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # the stub takes the class for an instance
            raise DecodeError(f"compressed frame is not valid zlib: {error}", self._read) from error
        if len(frames) > most:
            raise TooLarge(f"window of more than {self._limits.batch_bytes} bytes")
        if not opener.eof or opener.unused_data:
            raise DecodeError("compressed frame is not one whole zlib stream", self._read)
        return frames
