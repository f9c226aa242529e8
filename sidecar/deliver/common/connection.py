"""The way to a server for commands: one request after the other, with the credentials and certificates of options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.http import Http, Reply
from sidecar.options import ClientAuth, ClientTls


class ConnectionOptions(Protocol):
    """What a section of options says of a connection."""

    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def tls(self) -> ClientTls: ...
    @property
    def auth(self) -> ClientAuth: ...
    @property
    def timeout(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server that no section of options names."""

    hosts: tuple[str, ...]
    auth: ClientAuth = field(default_factory=ClientAuth)
    tls: ClientTls = field(default_factory=ClientTls)
    timeout: float = 30.0
    """Seconds of a request."""


class Connection:
    """Requests to one server. Use it as a context manager."""

    def __init__(self, options: ConnectionOptions) -> None:
        """Raises `Permanent` where a secret cannot be read."""
        # Imported where it is used: the commands that do not need it, `run` among them, are 7 MiB smaller for it.
        from sidecar.deliver.common.http_client import HttpClient

        self._headers = {"accept": "application/json", **Authorization(options.auth).headers()}
        self._http: Http = HttpClient(options.hosts, options.tls, options.timeout, 1)

    def ask(self, method: str, target: str, body: bytes | None) -> Reply:
        """A `Request`: `body` is JSON, or for `_bulk` of an engine lines of it."""
        kind = "application/x-ndjson" if "/_bulk" in target else "application/json"
        return self.send(method, target, body, {} if body is None else {"content-type": kind})

    def send(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """A `Send`: with headers besides those of the connection, or instead of them."""
        return self._http.request(method, target, body, {**self._headers, **headers})

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
