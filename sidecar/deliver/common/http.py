"""What the sinks that speak HTTP share without its libraries: a reply, the lack of one, and what sends requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sidecar.errors import Retryable


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answered."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    """Seconds."""


class Unreached(Retryable):
    """No usable reply. `reason` is the label of the retry counter (one of a small set), `detail` says more."""

    def __init__(self, reason: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.detail = detail


class Http(Protocol):
    """Sends requests; see `http_client.HttpClient`."""

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """The reply, whatever its status. Raises `Unreached` where there was none."""
        ...

    def close(self) -> None: ...
