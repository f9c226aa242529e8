"""The proxy that the environment names for a destination over HTTP, and the way through it.

Names and meaning are those of curl: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or upper case.
Networks in `no_proxy`, and this machine as an exception, are those of Go's `http.ProxyFromEnvironment`, by which the
OpenTelemetry Collector and Beats go.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sidecar.deliver.common.connecting import seconds_left
from sidecar.errors import Permanent
from sidecar.loopback import is_loopback

_MAX_REPLY_BYTES = 16 << 10
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3}) ?([^\r\n]*)")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One that is spoken to in plain HTTP."""

    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)
    """That it is to get with what it is asked: its credentials."""

    def __str__(self) -> str:
        return f"proxy {self.host}:{self.port}"

    def tunnel(self, authority: str, connection: socket.socket, deadline: float) -> None:
        """Have a connection to it go on to `authority` (host and port): what follows goes there and comes from there
        (RFC 9110, 9.3.6). Raises OSError where the proxy does not do it."""
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        connection.settimeout(seconds_left(deadline))
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        reply = b""
        while b"\r\n\r\n" not in reply:
            connection.settimeout(seconds_left(deadline))
            data = connection.recv(_MAX_REPLY_BYTES)
            reply += data
            if not data or len(reply) > _MAX_REPLY_BYTES:
                raise OSError("the proxy gives no answer to CONNECT")
        status = _STATUS.match(reply)
        if status is None or not status[1].startswith(b"2"):
            said = b" ".join(status.groups()) if status else reply[:100]
            raise OSError(f"the proxy answers CONNECT with {said[:200].decode('latin-1')!r}")


def proxy_of(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a destination; None where it is to be connected to itself, as this machine always is. Raises
    `Permanent` where the environment names one that cannot be used."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for spelling in (name, name.upper()):
            value = environment.get(spelling, "").strip()
            if value:
                exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
                return None if _is_direct(host, port, exceptions) else _parsed(spelling, value)
    return None


def _parsed(name: str, value: str) -> Proxy:
    """The value is never shown: it may hold a password."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, 80 if parts.port is None else parts.port
        authorization = base64.b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode())
    except ValueError:
        raise Permanent(f"{name}: not an address; expected http://HOST:PORT") from None
    if parts.scheme != "http":
        raise Permanent(f"{name}: a proxy of the kind {parts.scheme[:20]}://; expected http://HOST:PORT")
    if not host or not port:
        raise Permanent(f"{name}: not an address; expected http://HOST:PORT")
    given = parts.username is not None
    return Proxy(host, port, {"Proxy-Authorization": f"Basic {authorization.decode()}"} if given else {})


def _is_direct(host: str, port: int, exceptions: str) -> bool:
    name = host.rstrip(".").lower()
    return is_loopback(name) or any(_covers(one.lower(), name, port) for one in re.split(r"[,\s]+", exceptions) if one)


def _covers(exception: str, name: str, port: int) -> bool:
    """Whether a name (then its subdomains, too), an address, a network or `*`, perhaps with a port, covers a host."""
    if exception == "*":
        return True
    address, network = _network(name), _network(exception)
    if address is not None and network is not None:
        return address.version == network.version and address.subnet_of(network)  # type: ignore[arg-type]  # the same
    bare, colon, of_port = exception.rpartition(":")
    if colon and of_port.isdecimal() and _network(exception) is None:
        return int(of_port) == port and _covers(bare.strip("[]"), name, port)
    wanted = exception.removeprefix("*").lstrip(".").rstrip(".")
    return bool(wanted) and (name == wanted or name.endswith(f".{wanted}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
