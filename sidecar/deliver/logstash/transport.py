"""The two ways into Logstash: lumberjack (its beats input) and HTTP (its http input). Both send a run of documents to
one host and say what became of it.

What Logstash's http input answers (its `MessageProcessor` and `RejectWhenBlockedInboundHandler`):

| Logstash says | what becomes of the documents |
|---|---|
| 200, 201, 202 with `ok`, or 204 | delivered |
| 429 busy, 408, 5xx | another host at once where there is one, else again after a back-off |
| 401, 403 | again after a back-off; ERROR, an operator has to act |
| 413 | cut in two and sent again at once; a single document becomes a dead letter |
| anything else | not Logstash (wrong address, a proxy): another host, else again after a back-off |
| no reply | the same; they may have been taken all the same, and are sent again under the same ids |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from isal import igzip_lib

from sidecar.decode.api import Decoder
from sidecar.decode.protocols.lumberjack import Sending, compressed_frame
from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.dead_letter_factory import DeadLetterFactory
from sidecar.deliver.common.documents import Documents, pick, pick_rows, results_for_all, split, split_in_half
from sidecar.deliver.common.http import Http, Reply, Unreached
from sidecar.deliver.logstash.lumberjack_client import Connections
from sidecar.deliver.sink import Retry, SendResult
from sidecar.errors import Permanent

WINDOW_BYTES = 1 << 20
"""Most bytes of documents in one window. Logstash keeps a window in one buffer and complains of it from 4 MiB on; and
what stays in the processor's cache from framing to compression costs less."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of the documents at one host."""

    result: SendResult[Documents]
    failed: bool = False
    """The host did not do what was asked: the one batch that is to be sent again may go to another host at once."""


class Transport(Protocol):
    """Sends documents to a host, by its number. Thread-safe."""

    def deliver(self, host: int, documents: Documents) -> Attempt: ...
    def close(self) -> None: ...


class LumberjackTransport:
    """Windows of data frames, several under way; what is acknowledged is settled."""

    def __init__(
        self, decoder: Decoder, connections: Connections, window: int, pipelining: int, compression: bool
    ) -> None:
        self._decoder, self._connections = decoder, connections
        self._window, self._pipelining, self._compression = window, pipelining, compression

    def deliver(self, host: int, documents: Documents) -> Attempt:
        acknowledged, error = self._connections.run(host, lambda: Sending(self._windows(documents), self._pipelining))
        if error is None:
            return Attempt(SendResult(results_for_all(documents, "delivered")))
        settled = results_for_all(pick_rows(documents, range(acknowledged)), "delivered")
        rest = pick(documents, range(acknowledged, len(documents))) if acknowledged else documents
        return Attempt(SendResult(settled, Retry([rest], error.reason, error.detail, backpressure=True)), failed=True)

    def close(self) -> None:
        self._connections.close()

    def _windows(self, documents: Documents) -> Iterator[tuple[int, bytes]]:
        for part in split(documents, WINDOW_BYTES, self._window):
            frames = self._decoder.data_frames(bytes(part.body), part.ends)
            yield len(part), compressed_frame(frames) if self._compression else frames


class HttpTransport:
    """JSON arrays to the http input."""

    def __init__(
        self,
        decoder: Decoder,
        hosts: Sequence[tuple[Http, str]],
        authorization: Authorization,
        compression: bool,
        dead_letters: DeadLetterFactory,
    ) -> None:
        """`hosts`: what sends requests to each, and the path there."""
        self._decoder, self._hosts, self._authorization = decoder, hosts, authorization
        self._compression, self._dead_letters = compression, dead_letters

    def deliver(self, host: int, documents: Documents) -> Attempt:
        try:
            reply = self._post(host, documents)
        except Unreached as error:
            retry = Retry([documents], error.reason, error.detail, retry_after=error.retry_after, backpressure=True)
            return Attempt(SendResult(retry=retry), failed=True)
        except Permanent as error:
            return Attempt(SendResult(retry=Retry([documents], "credentials", error.reason, level="error")))
        if reply.status == 413:
            return Attempt(self._too_large(documents))
        if reply.status == 204 or (200 <= reply.status < 203 and reply.body.strip() == b"ok"):
            return Attempt(SendResult(results_for_all(documents, "delivered")))
        return self._refused(documents, reply)

    def close(self) -> None:
        for http, _ in self._hosts:
            http.close()

    def _too_large(self, documents: Documents) -> SendResult[Documents]:
        if len(documents) > 1:
            return SendResult(retry=Retry(split_in_half(documents), "http_413", immediately=True))
        kind = "request_too_large"
        return SendResult([self._dead_letters.of(documents, 0, kind, f"{kind}: HTTP 413")])

    def _refused(self, documents: Documents, reply: Reply) -> Attempt:
        detail = f"HTTP {reply.status}: {reply.body[:300].decode('utf-8', 'replace')}"
        if reply.status in (401, 403):
            self._authorization.forget()
            return Attempt(SendResult(retry=Retry([documents], "credentials", detail, level="error")))
        if reply.is_temporary:
            reason = f"http_{reply.status}" if reply.status < 600 else "unreadable_reply"
            retry = Retry([documents], reason, detail, retry_after=reply.retry_after, backpressure=True)
        elif 200 <= reply.status < 300:
            retry = Retry([documents], "unreadable_reply", f"not a reply of Logstash: {detail}", level="error")
        else:
            retry = Retry([documents], f"http_{reply.status}", detail, level="error")
        return Attempt(SendResult(retry=retry), failed=True)

    def _post(self, host: int, documents: Documents) -> Reply:
        http, target = self._hosts[host]
        headers = {"content-type": "application/json", **self._authorization.headers()}
        body = self._decoder.event_array(bytes(documents.body), documents.ends)
        if self._compression:
            headers["content-encoding"] = "gzip"
            body = igzip_lib.compress(body, 1, igzip_lib.COMP_GZIP)
        return http.request("POST", target, body, headers)
