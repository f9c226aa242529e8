"""Posts of the commands to a running sidecar's HTTP ingest: one connection that is kept, and one rule for retries."""

from __future__ import annotations

import copy
import http.client
import json
import math
import random
import ssl
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sidecar.deliver.retry import Attempts, Backoff, parse_retry_after
from sidecar.errors import ConfigError, Retryable, SidecarError

TIMEOUT_SECONDS = 10.0
MAX_REPLY_BYTES = 1 << 20
RETRYABLE = frozenset({408, 425, 429, 502, 503, 504})
"""429, 502, 503 and 504 by the OTLP specification ("Failures"), 408 and 425 by RFC 9110 and RFC 8470. The sidecar never
answers 500 to what it may accept later (`receive/replies.py`), so that by 500 too a body is rejected."""
BACKOFF = Backoff(0.2, 5.0)
"""The sidecar is on this machine, and back within seconds of a restart."""


class GaveUp(SidecarError):
    """The deadline came before an answer; the message says why there was none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the sidecar."""

    status: int
    body: bytes
    retry_after: float | None
    """Seconds, where it gave some."""

    def __str__(self) -> str:
        """Status and message."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        message = _message(found) if isinstance(found, dict) else None
        return f"{self.status}: {message or ascii(self.body[:200])}"


def _message(body: dict[str, Any]) -> object:
    """Of a `google.rpc.Status`, or of what was accepted in part."""
    part = body.get("partialSuccess")
    return body.get("message") or (part.get("errorMessage") if isinstance(part, dict) else None)


Post = Callable[[bytes, str], Reply]
"""Posts a body with its idempotency key ("": it has none). Raises `Retryable` where nobody answers."""


class Poster:
    """Not thread-safe."""

    def __init__(self, url: str, token: str | None, ca_file: str | None, timeout: float = TIMEOUT_SECONDS) -> None:
        """`ConfigError` if that is no URL. `ca_file`: PEM file with the authority of the ingest's certificate."""
        self.url = url
        scheme, host, port, path = _parts(url)
        self._path = path
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if scheme == "https":
            tls = ssl.create_default_context(cafile=ca_file)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=tls
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def with_token(self, token: str) -> Poster:
        """One to the same address with another token, on the same connection."""
        other = copy.copy(self)
        other._headers = {"Authorization": f"Bearer {token}"}
        return other

    def to(self, path: str, content_type: str) -> Post:
        """Posts of one kind to one path."""
        return partial(self._post, path, content_type)

    def _post(self, path: str, content_type: str, body: bytes, key: str) -> Reply:
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
        return Reply(response.status, content, parse_retry_after(response.getheader("Retry-After"), time.time()))

    def close(self) -> None:
        self._connection.close()


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of the ingest's address. Raises `ConfigError`."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/")
    except ValueError:  # Brackets without an end, a port beyond 65535.
        pass
    raise ConfigError([f"invalid --url: {url!r}; expected http://HOST:PORT or https://HOST:PORT"])


class Sender:
    """Sends bodies, each until it is answered for good.

    A body is sent again, the same bytes under the same key, where nobody answers and on the statuses of `RETRYABLE`:
    after a back-off with jitter, and not before `Retry-After`. Every other answer is final.
    """

    def __init__(
        self,
        post: Post,
        waiting: Callable[[str, float], None] = lambda reason, seconds: None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`waiting` is given the reason and the seconds of each pause; `draw` is uniform in [0, 1)."""
        self._post, self._waiting, self._sleep, self._clock, self._draw = post, waiting, sleep, clock, draw

    def send(self, body: bytes, key: str = "", deadline: Callable[[], float] = lambda: math.inf) -> Reply:
        """The final answer. Raises `GaveUp` where the next attempt would be after `deadline()`, which is asked before
        each pause and is on the clock's scale."""
        attempts = Attempts(BACKOFF, self._clock, self._draw)
        while True:
            try:
                reply = self._post(body, key)
                if reply.status not in RETRYABLE:
                    return reply
                reason, retry_after = f"the sidecar answers {reply}", reply.retry_after
            except Retryable as error:
                reason, retry_after = f"the sidecar does not answer: {error.reason}", None
            pause = attempts.pause(deadline(), retry_after)
            if pause is None:
                raise GaveUp(reason)
            self._waiting(reason, pause)
            self._sleep(pause)
