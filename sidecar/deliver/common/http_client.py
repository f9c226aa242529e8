"""HTTP to several nodes that do the same: requests go to them in turn, and to another where one cannot be reached."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sidecar.deliver.common.host_pool import HostPool
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.common.http_origin import HttpOrigin
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.options import ClientTls

MAX_REPLY_BYTES = 32 << 20
"""A reply is about 40 bytes a document, and a few hundred for one that was refused."""
_MAX_LOCATION = 300


class HttpClient:
    """Requests to whichever node is alive. Used from several threads."""

    def __init__(self, urls: Sequence[str], tls: ClientTls, timeout: float, connections: int) -> None:
        """`connections`: that are kept to each node. Opens none. Raises `Permanent` where a file of the connection
        cannot be used."""
        shuffled = random.sample(urls, len(urls))  # Many sidecars do not begin with the same node.
        self._origins = [HttpOrigin(url, tls, timeout, connections, MAX_REPLY_BYTES) for url in shuffled]
        self._prefixes = [urlsplit(url).path.rstrip("/") for url in shuffled]
        self._nodes = HostPool(len(urls), spread=True)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """The reply of a node, whatever its status. Raises `Unreached` (`timeout`, `tls`, `too_large`, `unreachable`)
        where there was none; the request may have been carried out nevertheless."""
        awake = self._nodes.candidates(time.monotonic())
        nodes = [*awake, *(node for node in range(len(self._origins)) if node not in awake)]
        for node in nodes:
            try:
                return self._ask(node, method, target, body, {**headers, "user-agent": USER_AGENT})
            except Unreached as error:
                self._nodes.failed(node, time.monotonic())
                if error.reason in ("timeout", "too_large") or node == nodes[-1]:
                    raise
        raise AssertionError("there is no node")

    def _ask(self, node: int, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        answer = self._origins[node].request(method, self._prefixes[node] + target, body, headers)
        if answer.status == 429 or answer.status >= 500:
            self._nodes.failed(node, time.monotonic())
        else:
            self._nodes.succeeded(node)
        where = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
        # Redirects are not followed. Their bodies are pages for browsers, and what helps is where they lead.
        said = f"redirects to {where[:_MAX_LOCATION]}; expected the address itself".encode() if where else answer.body
        return Reply(answer.status, said, answer.retry_after)

    def close(self) -> None:
        """Close all connections."""
        for origin in self._origins:
            origin.close()
