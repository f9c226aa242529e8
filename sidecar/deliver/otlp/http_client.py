"""OTLP over HTTP with protobuf bodies: bytes out, the meaning of the answer back. Imported only where used."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
from isal import igzip_lib
from urllib3.util.retry import Retry

from sidecar.deliver.common.http_body import read_body
from sidecar.deliver.common.tls import client_context
from sidecar.deliver.otlp import responses
from sidecar.deliver.otlp.responses import ExportResult
from sidecar.deliver.retry import parse_retry_after
from sidecar.errors import Permanent
from sidecar.options import ClientTls
from sidecar.pipeline import Signal

MAX_REPLY_BYTES = 1 << 20


class OtlpHttpClient:
    """Connections to the receivers of each signal. Used from several threads."""

    def __init__(
        self,
        urls: Mapping[Signal, str],
        *,
        gzip: bool,
        timeout: float,
        tls: ClientTls,
        user_agent: str,
        connections: int,
    ) -> None:
        """`urls`: signal -> whole URL. Opens no connection. Raises `Permanent` where a file of the connection cannot be
        used."""
        self._gzip, self._timeout, self._user_agent = gzip, timeout, user_agent
        self._pools: dict[tuple[str, str], urllib3.HTTPConnectionPool] = {}
        self._targets: dict[Signal, tuple[urllib3.HTTPConnectionPool, str]] = {}
        for signal, url in urls.items():
            parts = urlsplit(url)
            key = (parts.scheme, parts.netloc)
            if key not in self._pools:
                secure: dict[str, Any] = {}
                if parts.scheme == "https":
                    secure = {"ssl_context": _context(tls)}
                    if tls.server_name:
                        name = False if tls.insecure_skip_verify else tls.server_name
                        secure |= {"server_hostname": tls.server_name, "assert_hostname": name}
                make = urllib3.HTTPSConnectionPool if parts.scheme == "https" else urllib3.HTTPConnectionPool
                self._pools[key] = make(parts.hostname or "", parts.port, maxsize=connections, **secure)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            self._targets[signal] = (self._pools[key], target)

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> ExportResult:
        """Send one request and wait for its end. The time-out is that of the whole, the reply included."""
        pool, target = self._targets[signal]
        sent = {"content-type": "application/x-protobuf", "user-agent": self._user_agent, **headers}
        if self._gzip:
            sent["content-encoding"] = "gzip"
            body = igzip_lib.compress(body, 1, igzip_lib.COMP_GZIP)
        deadline = time.monotonic() + self._timeout
        try:
            response = pool.urlopen(
                "POST",
                target,
                body=body,
                headers=sent,
                retries=Retry(False),
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(total=self._timeout),
            )
            reply = read_body(response, MAX_REPLY_BYTES, deadline)
        except urllib3.exceptions.SSLError as error:
            return responses.unreached("tls", str(error))
        except urllib3.exceptions.NewConnectionError as error:  # Which is a kind of time-out to urllib3.
            return responses.unreached("unreachable", str(error))
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            return responses.unreached("timeout", str(error))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return responses.unreached("unreachable", str(error))
        retry_after = parse_retry_after(response.headers.get("retry-after"), time.time())
        return responses.from_http(response.status, response.headers.get("content-type", ""), reply, retry_after)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for pool in self._pools.values():
            pool.close()


def _context(tls: ClientTls) -> ssl.SSLContext:
    try:
        return client_context(tls)
    except OSError as error:  # ssl.SSLError is one
        raise Permanent(f"files of the TLS connection cannot be used: {error}") from error
