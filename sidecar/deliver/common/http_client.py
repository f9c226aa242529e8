"""HTTP over `elastic-transport`: several nodes, TLS, and bounds that it lacks.

Imported only where a sink needs it: the transport and its HTTP client cost a few megabytes.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3
from elastic_transport import (
    ApiResponseMeta,
    ConnectionError,
    ConnectionTimeout,
    HttpHeaders,
    Serializer,
    TlsError,
    Transport,
    TransportError,
    Urllib3HttpNode,
)
from elastic_transport._node import NodeApiResponse
from elastic_transport.client_utils import DEFAULT, DefaultType, url_to_node_config
from urllib3.util.retry import Retry

from sidecar.deliver.common.bounded_reply import ReplyTooLarge, read_body
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.deliver.retry import parse_retry_after
from sidecar.options import ClientTls

MAX_REPLY_BYTES = 32 << 20
"""A reply is about 40 bytes a document, and a few hundred for one that was refused."""
_TYPES = ("application/json", "application/x-ndjson", "application/*", "text/*", "multipart/form-data")

# One line for every request and every node that is down, past structlog: the worker says what matters.
logging.getLogger("elastic_transport").setLevel(logging.CRITICAL)


class _Raw(Serializer):
    """Bytes as they are: replies are read by who asked, and only where there is something to read."""

    mimetype = "*/*"

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: bytes) -> bytes:
        return data


class BoundedNode(Urllib3HttpNode):
    """A node whose timeout is that of the whole request, and whose replies have a largest size.

    The plain node restarts its clock with every byte received, so that a destination which trickles could hold a
    request for ever.
    """

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> NodeApiResponse:
        began = time.monotonic()
        seconds = self.config.request_timeout if isinstance(request_timeout, DefaultType) else request_timeout
        deadline = math.inf if seconds is None else began + seconds
        sent = self._headers.copy()
        sent.update(headers or {})
        try:
            response = self.pool.urlopen(
                method,
                self.path_prefix + target,
                body=body,
                retries=Retry(False),
                headers=sent,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=seconds),
            )
            data = read_body(response, MAX_REPLY_BYTES, deadline)
        except urllib3.exceptions.SSLError as error:
            raise TlsError(str(error), errors=(error,)) from error
        except urllib3.exceptions.NewConnectionError as error:  # Which is a kind of time-out to urllib3.
            raise ConnectionError(str(error), errors=(error,)) from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise ConnectionTimeout(str(error), errors=(error,)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionError(str(error), errors=(error,)) from error
        meta = ApiResponseMeta(
            node=self.config,
            duration=time.monotonic() - began,
            http_version="1.1",
            status=response.status,
            headers=HttpHeaders(response.headers),
        )
        return NodeApiResponse(meta, data)


class HttpClient:
    """Requests to whichever node is alive."""

    def __init__(self, urls: Sequence[str], tls: ClientTls, timeout: float, connections: int) -> None:
        configs = [
            dataclasses.replace(
                url_to_node_config(url, use_default_ports_for_scheme=True),
                connections_per_node=connections,
                request_timeout=timeout,
                **(_tls(tls) if url.startswith("https:") else {}),
            )
            for url in urls
        ]
        self._transport = Transport(
            configs,
            node_class=BoundedNode,
            # Every type by name for which the library has a serializer of its own, which would touch the bytes.
            serializers=dict.fromkeys(_TYPES, _Raw()),
            # Another node is tried at once when one cannot be reached; everything else is the worker's business.
            max_retries=len(configs) - 1,
            retry_on_status=(),
            dead_node_backoff_factor=0.5,
            max_dead_node_backoff=5,
            meta_header=False,
        )

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """The reply of a node, whatever its status. Raises `Unreached` (`timeout`, `tls`, `too_large`, `unreachable`)
        where there was none; the request may have been carried out nevertheless."""
        try:
            answer = self._transport.perform_request(
                method, target, body=body, headers={**headers, "user-agent": USER_AGENT}
            )
        except ConnectionTimeout as error:
            raise Unreached("timeout", str(error.message)) from error
        except TlsError as error:
            raise Unreached("tls", str(error.message)) from error
        except TransportError as error:
            large = any(isinstance(cause, ReplyTooLarge) for cause in error.errors)
            raise Unreached("too_large" if large else "unreachable", str(error.message)) from error
        retry_after = parse_retry_after(answer.meta.headers.get("retry-after"), time.time())
        return Reply(answer.meta.status, answer.body or b"", retry_after)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


def _tls(tls: ClientTls) -> dict[str, Any]:
    return {
        "verify_certs": not tls.insecure_skip_verify,
        "ca_certs": str(tls.ca_file) if tls.ca_file else None,
        "client_cert": str(tls.cert_file) if tls.cert_file else None,
        "client_key": str(tls.key_file) if tls.key_file else None,
        "ssl_show_warn": False,
    }
