"""Replies with a largest size and an end in time. Imported only where a sink needs it, for urllib3."""

from __future__ import annotations

import time

import urllib3

_CHUNK = 1 << 16


class ReplyTooLarge(urllib3.exceptions.HTTPError):
    """A reply has more bytes than are read."""


def read_body(response: urllib3.BaseHTTPResponse, max_bytes: int, deadline: float) -> bytes:
    """The whole body. `deadline`: of `time.monotonic`. Raises `ReplyTooLarge` where the body is larger,
    `TimeoutError` where it does not end in time, and what reading raises. A connection whose reply was not read to its
    end is closed: it must not be used again."""
    data = bytearray()
    whole = False
    try:
        while chunk := response.read1(_CHUNK):
            data += chunk
            if len(data) > max_bytes:
                raise ReplyTooLarge(f"reply of more than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("the reply did not end within the time-out")
        whole = True
    finally:
        if not whole:
            response.close()
        response.release_conn()
    return bytes(data)
