"""Bytes as they come to whole lines."""

from __future__ import annotations

from sidecar.decode.otlp.limits import MAX_LINE_BYTES

CUT_BYTES = MAX_LINE_BYTES + 4
"""Of a line that is too long so much is handed on that it is seen to be too long."""


class LineSplitter:
    """A line over the limit is given cut, the rest of it is left out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> bytes:
        """The whole lines that are there now, each with its end."""
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return b""
            self._skipping, data = False, data[end:]
        self._rest += data
        end = self._rest.rfind(b"\n") + 1
        body = bytes(self._rest[:end])
        del self._rest[:end]
        if len(self._rest) >= CUT_BYTES:
            body += self._rest[:CUT_BYTES] + b"\n"
            self._rest.clear()
            self._skipping = True
        return body

    def finish(self) -> bytes:
        """The last line, if it has no end."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + b"\n" if rest else b""
