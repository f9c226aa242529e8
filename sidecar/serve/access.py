"""Under which address, and from where, the page is asked.

A page of anybody's can have its own name point at this machine (DNS rebinding): the browser then takes this server for
that page's own, and lets it read what is served here. It sends that name as `Host`, so only names that nobody can own,
and those that are allowed by configuration, are answered.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_OF_NOBODY = (".localhost", ".local", ".internal", ".svc")
"""Ends of names that cannot be bought: RFC 6761, 6762, ICANN's private use, and Kubernetes's services (`.cluster.local`
is one of the second)."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the options of the serve port say."""

    allowed_hosts: Sequence[str] = ()
    path_prefix: str = ""
    local_only: bool = False


def is_page(path: str) -> bool:
    """Whether a path is the page's, or leads to it."""
    return path in ("/", "/ui") or path.startswith("/ui/")


def host_name(header: str) -> str:
    """Of a `Host` header (RFC 9110, 7.2) or an origin's authority, without the port, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def host_is_known(header: str, allowed: Sequence[str] = ()) -> bool:
    """Whether a page that is asked for under this `Host` is this server's own: an IP address, a name without a dot,
    this machine's, one that nobody can own, or an allowed one (`*` allows all). Without a header: no browser asks."""
    name = host_name(header)
    if not name or "." not in name or name.endswith(_OF_NOBODY) or name == socket.gethostname().lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return any(one == "*" or host_name(one) == name for one in allowed)
    return True


def is_local(address: str) -> bool:
    """Whether a client is on this machine, or in this pod; one that comes by `kubectl port-forward` is."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


class PathPrefix:
    """Paths are with or without the prefix at which a proxy shows this port."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == self._prefix or path.startswith(self._prefix + "/")):
            scope = {**scope, "path": path.removeprefix(self._prefix) or "/"}
        await self._app(scope, receive, send)


class PageAccess:
    """Refuses the page to those who may not have it: 421 under a foreign name, 403 from elsewhere."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" and is_page(scope["path"]) else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        if not host_is_known(host, self._access.allowed_hosts):
            return _refused(
                421,
                f"invalid host: {host[:200]!r}; expected an IP address, a name without a dot, or one of "
                "serve.allowed_hosts: any other name could be one that a foreign page has had point here",
            )
        client = scope.get("client")
        if self._access.local_only and not (client and is_local(client[0])):
            return _refused(
                403,
                "the page is for this machine (serve.page.local_only): open it by kubectl port-forward, or set "
                "SIDECAR_SERVE__PAGE__LOCAL_ONLY=false",
            )
        return None


def _refused(status: int, message: str) -> Response:
    return Response(json.dumps({"message": message}, indent=2) + "\n", status, media_type="application/json")
