"""What all that speaks HTTP shares without its libraries: a reply, the lack of one, and what sends requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sidecar.deliver.retry import is_temporary
from sidecar.errors import Retryable


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    """Seconds."""

    @property
    def is_temporary(self) -> bool:
        """Whether the server may answer otherwise later."""
        return is_temporary(self.status)


class Unreached(Retryable):
    """No usable reply. `reason` is the label of the retry counter (one of a small set), `detail` says more."""

    def __init__(self, reason: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.detail = detail


Request = Callable[[str, str, bytes | None], Reply]
"""(method, target, JSON body) -> reply, whatever its status. May raise `Unreached`."""
Send = Callable[[str, str, bytes | None, Mapping[str, str]], Reply]
"""The same with headers: (method, target, body, headers) -> reply."""


class Http(Protocol):
    """Sends requests; see `http_client.HttpClient`."""

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """The reply, whatever its status. Raises `Unreached` where there was none."""
        ...

    def close(self) -> None: ...


class FirstUse:
    """An `Http` that its first request makes: libraries and connections take memory, and time at start, that a program
    which has nothing to send does without. Used from several threads."""

    def __init__(self, make: Callable[[], Http]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._http: Http | None = None

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """As `Http.request`."""
        with self._lock:
            if self._http is None:
                self._http = self._make()
        return self._http.request(method, target, body, headers)

    def close(self) -> None:
        """Close what was opened."""
        with self._lock:
            if self._http is not None:
                self._http.close()
