"""Spans and logs to Logstash 7, 8 and 9: lumberjack (its beats input) or HTTP (its http input).

The events are the documents that Elasticsearch would get, each with its `_id` in `@metadata`, so that a pipeline that
writes `document_id => "%{[@metadata][_id]}"` stores each once, however often it was sent. What Logstash acknowledged is
delivered; everything else is sent again under the same ids, to the next host where there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import structlog

from sidecar.deliver.common.auth import Authorization, authorization
from sidecar.deliver.common.dead_letter_factory import DeadLetterFactory
from sidecar.deliver.common.documents import Documents, from_dead_letters, pick, split
from sidecar.deliver.common.host_pool import HostPool
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.rendering import Renderer
from sidecar.deliver.common.tls import missing_file
from sidecar.deliver.logstash.lumberjack_client import Connections
from sidecar.deliver.logstash.options import LogstashOptions, parse_host
from sidecar.deliver.logstash.transport import HttpTransport, LumberjackTransport, Transport
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.options import ClientTls
from sidecar.pipeline import DeadLetter, Entry, Signal

TOO_LARGE = "document_too_large"

log = structlog.get_logger("deliver.logstash")


class LogstashSink:
    """Renders entries to documents, sends them as events by one of two ways, to one host or the other."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(
        self,
        name: str,
        options: LogstashOptions,
        context: SinkContext,
        transport: Transport,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._options, self._transport, self._monotonic = options, transport, monotonic
        self._dead_letters = DeadLetterFactory(name, context.clock)
        self._renderer = Renderer(name, context.decoder, context.journal_id)
        self._hosts = HostPool(max(1, len(options.hosts)), options.load_balance)

    @property
    def target_batch_bytes(self) -> int:
        return self._renderer.payload_bytes(self._options.batch_bytes)

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Documents]:
        rendered = self._renderer.render(entries)
        batches: list[Documents] = []
        for documents in rendered.documents:
            fitting = self._without_large(documents, rendered.settled)
            batches += split(fitting, self._options.batch_bytes, len(fitting) or 1)
        return PreparedBatch(batches, rendered.expected, rendered.settled)

    def prepare_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Documents]:
        return from_dead_letters(dead_letters)

    def send(self, batch: Documents) -> SendResult[Documents]:
        settled: list[ItemResult] = []
        result: SendResult[Documents] = SendResult()
        for host in self._hosts.candidates(self._monotonic()):
            attempt = self._transport.deliver(host, batch)
            result = attempt.result
            settled += result.settled
            if not attempt.failed or result.retry is None:
                self._hosts.succeeded(host)
                break
            (batch,) = result.retry.batches
            self._note_failure(host, result.retry)
        return SendResult(settled, result.retry)

    def status(self) -> Mapping[str, Any]:
        resting = self._hosts.cooling_down(self._monotonic())
        return {
            "mode": self._options.mode,
            "hosts": list(self._options.hosts),
            "resting": [self._options.hosts[host] for host in resting if host < len(self._options.hosts)],
        }

    def close(self) -> None:
        self._transport.close()

    def _note_failure(self, host: int, retry: Retry[Documents]) -> None:
        if self._hosts.failed(host, self._monotonic()) and len(self._options.hosts) > 1:
            log.warning(
                "delivery_host_failed",
                sink=self.name,
                host=self._options.hosts[host],
                reason=retry.reason,
                detail=retry.detail,
            )

    def _without_large(self, documents: Documents, settled: list[ItemResult]) -> Documents:
        """The documents that are not too large; the others become dead letters."""
        sizes = np.diff(documents.ends, prepend=np.uint32(0))
        large = np.flatnonzero(sizes > self._options.max_document_bytes).tolist()
        if not large:
            return documents
        most = self._options.max_document_bytes
        for index in large:
            reason = f"{TOO_LARGE}: {sizes[index]} bytes, max_document_bytes is {most}"
            settled.append(self._dead_letters.of(documents, index, TOO_LARGE, reason))
        return pick(documents, np.flatnonzero(sizes <= most).tolist())


def build(name: str, options: LogstashOptions, context: SinkContext) -> LogstashSink:
    """The sink with its connections (none is opened yet)."""
    if options.tls.insecure_skip_verify:
        log.warning("certificates_not_verified", sink=name)
    make = _http_transport if options.mode == "http" else _lumberjack_transport
    return LogstashSink(name, options, context, make(name, options, context))


def health_check(options: LogstashOptions) -> Finding:
    """Whether the hosts can be connected to. Nothing is sent: Logstash would make an event of it."""
    missing = missing_file(options.tls)
    if missing is not None:
        return Finding("failed", f"{missing}: there is no such file")
    authorization(options.auth)
    failures = []
    connections = Connections(*_endpoints(options), min(options.timeout, 5.0))
    for number, host in enumerate(options.hosts):
        try:
            connections.open(number).close()
        except Unreached as error:
            failures.append(f"{host}: {error.reason}: {error.detail}")
    if not failures:
        return Finding("ok", f"{', '.join(options.hosts)}: can be connected to")
    return Finding("failed" if len(failures) == len(options.hosts) else "warning", "; ".join(failures))


def _lumberjack_transport(name: str, options: LogstashOptions, context: SinkContext) -> LumberjackTransport:
    connections = Connections(*_endpoints(options), options.timeout)
    return LumberjackTransport(context.decoder, connections, options.window, options.pipelining, options.compression)


def _endpoints(options: LogstashOptions) -> tuple[list[tuple[str, int]], list[ClientTls | None]]:
    """Host, port and TLS of each host, of either mode."""
    tls = options.tls
    if options.mode == "lumberjack":
        return [parse_host(h) for h in options.hosts], [tls if tls.enabled else None for _ in options.hosts]
    urls = [urlsplit(h) for h in options.hosts]
    ports = {"http": 80, "https": 443}
    return (
        [(u.hostname or "", u.port or ports[u.scheme]) for u in urls],
        [tls if u.scheme == "https" else None for u in urls],
    )


def _http_transport(name: str, options: LogstashOptions, context: SinkContext) -> HttpTransport:
    from sidecar.deliver.common.http_client import HttpClient

    hosts = []
    for url in options.hosts:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        base = f"{parts.scheme}://{parts.netloc}"
        hosts.append((HttpClient([base], options.tls, options.timeout, options.max_concurrency + 1), target))
    dead_letters = DeadLetterFactory(name, context.clock)
    return HttpTransport(context.decoder, hosts, Authorization(options.auth), options.compression, dead_letters)
