"""Requests to URLs of several servers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sidecar.deliver.common.http_origin import Answer, HttpOrigin
from sidecar.options import ClientTls

MAX_REPLY_BYTES = 1 << 20


class HttpPost:
    """Connections to the host of each URL. Used from several threads."""

    def __init__(self, tls: ClientTls, timeout: float, connections: int) -> None:
        self._tls, self._timeout, self._connections = tls, timeout, connections
        self._origins: dict[tuple[str, str], HttpOrigin] = {}

    def open(self, url: str) -> None:
        """Make ready for a URL; opens no connection. Raises `Permanent` where a file of the connection cannot be used.
        Call before `post`."""
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc
        if key not in self._origins:
            self._origins[key] = HttpOrigin(url, self._tls, self._timeout, self._connections, MAX_REPLY_BYTES)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and wait for the end of its reply; raises as `HttpOrigin.request`."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return self._origins[parts.scheme, parts.netloc].request("POST", target, body, headers)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for origin in self._origins.values():
            origin.close()
