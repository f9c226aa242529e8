"""Posts of the commands to a running sidecar's HTTP ingest, over one connection that is kept."""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from dataclasses import dataclass

from sidecar.errors import ConfigError, Retryable

TIMEOUT_SECONDS = 10.0
MAX_REPLY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What the sidecar said."""

    status: int
    body: bytes
    retry_after: float | None
    """Seconds, where it said so."""


class Poster:
    """Not thread-safe."""

    def __init__(self, url: str, token: str | None, ca_file: str | None, timeout: float = TIMEOUT_SECONDS) -> None:
        """`ConfigError` if that is no URL. `ca_file`: PEM file with the authority of the ingest's certificate."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError([f"--url {url}: must be http://HOST:PORT or https://HOST:PORT"])
        self._path = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if parts.scheme == "https":
            tls = ssl.create_default_context(cafile=ca_file)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=tls
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def post(self, path: str, body: bytes, content_type: str, key: str = "") -> Reply:
        """Post to that path below the URL. Raises `Retryable` where nobody answers. `key`: of this body alone, and the
        same when it is posted again."""
        headers = {**self._headers, "Content-Type": content_type, **({"Idempotency-Key": key} if key else {})}
        try:
            self._connection.request("POST", self._path + path, body, headers)
            response = self._connection.getresponse()
            content = response.read(MAX_REPLY_BYTES)
            if not response.isclosed():  # The rest of a longer reply would stand before the next.
                self._connection.close()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Retryable(str(error) or type(error).__name__) from error
        wait = response.getheader("Retry-After", "")
        return Reply(response.status, content, float(wait) if wait.isascii() and wait.isdecimal() else None)

    def close(self) -> None:
        self._connection.close()
