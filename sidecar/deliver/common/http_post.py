"""Requests to one URL over kept connections, bounded in time as a whole. Imported only where used, for urllib3."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.util.retry import Retry

from sidecar.deliver.common.bounded_reply import read_body
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.tls import client_context
from sidecar.deliver.retry import parse_retry_after
from sidecar.errors import Permanent
from sidecar.options import ClientTls

MAX_REPLY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes
    retry_after: float | None
    """Seconds."""


class HttpPost:
    """Connections to the host of each URL. Proxies of the environment are not asked. Used from several threads."""

    def __init__(self, tls: ClientTls, timeout: float, connections: int) -> None:
        self._tls, self._timeout, self._connections = tls, timeout, connections
        self._pools: dict[tuple[str, str], urllib3.HTTPConnectionPool] = {}

    def open(self, url: str) -> None:
        """Make ready for a URL; opens no connection. Raises `Permanent` where a file of the connection cannot be used.
        Call before `post`."""
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc
        if key in self._pools:
            return
        secure: dict[str, Any] = {}
        if parts.scheme == "https":
            tls = self._tls
            secure = {"ssl_context": _context(tls)}
            if tls.server_name:
                name = False if tls.insecure_skip_verify else tls.server_name
                secure |= {"server_hostname": tls.server_name, "assert_hostname": name}
        make = urllib3.HTTPSConnectionPool if parts.scheme == "https" else urllib3.HTTPConnectionPool
        self._pools[key] = make(parts.hostname or "", parts.port, maxsize=self._connections, **secure)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and wait for its end. The time-out is that of the whole, the reply included. Raises
        `Unreached` (`timeout`, `tls`, `unreachable`) where there was no reply; the request may have been carried out
        nevertheless."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        deadline = time.monotonic() + self._timeout
        try:
            response = self._pools[parts.scheme, parts.netloc].urlopen(
                "POST",
                target,
                body=body,
                headers=headers,
                retries=Retry(False),
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(total=self._timeout),
            )
            reply = read_body(response, MAX_REPLY_BYTES, deadline)
        except urllib3.exceptions.SSLError as error:
            raise Unreached("tls", str(error)) from error
        except urllib3.exceptions.NewConnectionError as error:  # Which is a kind of time-out to urllib3.
            raise Unreached("unreachable", str(error)) from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise Unreached("timeout", str(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreached("unreachable", str(error)) from error
        retry_after = parse_retry_after(response.headers.get("retry-after"), time.time())
        return Answer(response.status, response.headers, reply, retry_after)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for pool in self._pools.values():
            pool.close()


def _context(tls: ClientTls) -> ssl.SSLContext:
    try:
        return client_context(tls)
    except OSError as error:  # ssl.SSLError is one
        raise Permanent(f"files of the TLS connection cannot be used: {error}") from error
