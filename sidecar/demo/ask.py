"""HTTP on loopback, and what `/metrics` says."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from email.message import Message

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of each line of the text format."""
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            yield match.group(1), dict(_LABEL.findall(match.group(2) or "")), float(match.group(3))


def request(
    method: str, port: int, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises OSError."""
    status, content, _ = answer(method, port, path, body, headers)
    return status, content


def answer(
    method: str, port: int, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, Message]:
    """The same with the answer's headers. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def status_of(port: int, path: str) -> int:
    """Of a GET; 0 where nobody answers."""
    try:
        return request("GET", port, path)[0]
    except OSError:
        return 0
