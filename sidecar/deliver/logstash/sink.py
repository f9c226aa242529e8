"""Spans and logs to Logstash 7, 8 and 9: lumberjack (its beats input) or HTTP (its http input).

The events are the documents that Elasticsearch would get, each with its `_id` in `@metadata`, so that a pipeline that
writes `document_id => "%{[@metadata][_id]}"` stores each once, however often it was sent. What Logstash acknowledged is
delivered; everything else is sent again under the same ids, to the next host where there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import structlog
from pydantic import Field, SecretStr, field_validator, model_validator

from sidecar.deliver.common.dead_letters import DeadLetterFactory
from sidecar.deliver.common.documents import Documents, from_dead_letters, pick, split
from sidecar.deliver.common.host_pool import HostPool
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.rendering import Renderer
from sidecar.deliver.logstash.lumberjack_client import Connections, Tls
from sidecar.deliver.logstash.transport import HttpTransport, LumberjackTransport, Transport
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext, SinkOptions
from sidecar.errors import Permanent
from sidecar.pipeline import DeadLetter, Entry, Signal

DEFAULT_PORT = 5044
"""Of the beats input."""
TOO_LARGE = "document_too_large"

log = structlog.get_logger("deliver.logstash")


class Options(SinkOptions):
    """Logstash."""

    kind: Literal["logstash"] = Field("logstash", description="Kind of the sink.")
    hosts: tuple[str, ...] = Field(
        (),
        description="Where Logstash is; several in a list or separated by commas. With lumberjack `host` or "
        "`host:port` (port 5044 if left out), with http addresses such as https://logstash:8080. Delivery is on when "
        "there is one.",
    )
    mode: Literal["lumberjack", "http"] = Field(
        "lumberjack", description="`lumberjack` for Logstash's beats input, `http` for its http input."
    )
    load_balance: bool = Field(
        False,
        description="Use the hosts in turn. Otherwise the first is used, and the next when it fails.",
    )
    tls: bool = Field(False, description="Lumberjack over TLS. With http the addresses say it: https.")
    ca_file: Path | None = Field(
        None, description="PEM file with the authorities that may sign the hosts' certificates."
    )
    client_cert: Path | None = Field(None, description="PEM file with the client certificate for mutual TLS.")
    client_key: Path | None = Field(None, description="PEM file with the key of the client certificate.")
    server_name: str | None = Field(
        None, description="Name that the hosts' certificates must have, where it is not the host's. Lumberjack only."
    )
    verify: bool = Field(True, description="Check the hosts' certificates. Off is for trials only.")
    username: str | None = Field(None, description="User of basic authentication. HTTP only.")
    password: SecretStr | None = Field(None, description="Password of basic authentication.")
    password_file: Path | None = Field(None, description="File with the password; read again when it is refused.")
    compression: bool = Field(True, description="Send compressed: zlib in lumberjack, gzip in HTTP.")
    timeout: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds. Lumberjack: without any progress; Logstash says every few seconds that it is alive "
        "while it is busy. HTTP: for a whole request, its reply included.",
    )
    batch_bytes: int = Field(
        4 << 20, ge=64 << 10, le=64 << 20, description="Most bytes of documents in one request, not compressed."
    )
    window: int = Field(2048, ge=1, le=65536, description="Most documents in one window. Lumberjack only.")
    pipelining: int = Field(
        2,
        ge=1,
        le=16,
        description="Windows under way on a connection before the first is acknowledged. Lumberjack only.",
    )
    max_document_bytes: int = Field(
        10 << 20, ge=1024, le=64 << 20, description="A larger document becomes a dead letter and is not sent."
    )

    @property
    def enabled(self) -> bool:
        """True where a host is set."""
        return bool(self.hosts)

    @field_validator("hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        return tuple(h.strip().rstrip("/") for h in value if h.strip()) if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _belong_together(self) -> Options:
        for host in self.hosts:
            _check_http(host) if self.mode == "http" else parse_host(host)
        if bool(self.client_cert) != bool(self.client_key):
            raise ValueError("client_cert and client_key belong together")
        if self.password and self.password_file:
            raise ValueError("set password or password_file, not both")
        if self.username and not (self.password or self.password_file):
            raise ValueError("username needs password or password_file")
        if self.mode == "http" and (self.server_name or self.tls):
            raise ValueError("tls and server_name are for lumberjack: with http write https:// addresses")
        if self.mode == "lumberjack" and self.username:
            raise ValueError("lumberjack has no users: use a client certificate, or mode http")
        if self.mode == "lumberjack" and not self.tls and (self.ca_file or self.client_cert or self.server_name):
            raise ValueError("ca_file, client_cert and server_name need tls: true")
        return self

    def credentials(self) -> tuple[str, str] | None:
        """(user, password) of basic authentication. Raises `Permanent` where the file cannot be read."""
        if self.username is None:
            return None
        if self.password_file is None:
            return self.username, self.password.get_secret_value() if self.password else ""
        try:
            return self.username, self.password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Permanent(f"{self.password_file}: secret cannot be read: {error}") from error


def parse_host(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[IPv6]:port`. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or "/" in text or "@" in text or parts.port == 0:
        raise ValueError(f"{text!r} is not a host: write it as host:port, an IPv6 address in brackets")
    return host, port


def _check_http(url: str) -> None:
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if "@" in url:
        raise ValueError("an address must not hold credentials: use username and password")
    if not well:
        raise ValueError(f"{url!r} is not an address: write it as http://host:port or https://host:port")


class LogstashSink:
    """Renders entries to documents, sends them as events by one of two ways, to one host or the other."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(
        self,
        name: str,
        options: Options,
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

    def prepare_dead_letters(self, letters: Sequence[DeadLetter]) -> Sequence[Documents]:
        return from_dead_letters(letters)

    def send(self, batch: Documents) -> SendResult[Documents]:
        settled: list[ItemResult] = []
        verdict: SendResult[Documents] = SendResult()
        for host in self._hosts.candidates(self._monotonic()):
            attempt = self._transport.deliver(host, batch)
            verdict = attempt.verdict
            settled += verdict.settled
            if not attempt.failed or verdict.retry is None:
                self._hosts.succeeded(host)
                break
            (batch,) = verdict.retry.batches
            self._blame(host, verdict.retry)
        return SendResult(settled, verdict.retry)

    def status(self) -> Mapping[str, Any]:
        resting = self._hosts.cooling_down(self._monotonic())
        return {
            "mode": self._options.mode,
            "hosts": list(self._options.hosts),
            "resting": [self._options.hosts[host] for host in resting if host < len(self._options.hosts)],
        }

    def close(self) -> None:
        self._transport.close()

    def _blame(self, host: int, retry: Retry[Documents]) -> None:
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


def build(name: str, options: Options, context: SinkContext) -> LogstashSink:
    """The sink with its connections (none is opened yet)."""
    if not options.verify:
        log.warning("certificates_not_verified", sink=name)
    make = _http_transport if options.mode == "http" else _lumberjack_transport
    return LogstashSink(name, options, context, make(name, options, context))


def health_check(options: Options) -> Finding:
    """Whether the hosts can be connected to. Nothing is sent: Logstash would make an event of it."""
    for file in (options.ca_file, options.client_cert, options.client_key):
        if file is not None and not file.is_file():
            return Finding("failed", f"{file}: there is no such file")
    options.credentials()
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


def _lumberjack_transport(name: str, options: Options, context: SinkContext) -> LumberjackTransport:
    connections = Connections(*_endpoints(options), options.timeout)
    return LumberjackTransport(context.decoder, connections, options.window, options.pipelining, options.compression)


def _endpoints(options: Options) -> tuple[list[tuple[str, int]], list[Tls | None]]:
    """Host, port and TLS of each host, of either mode."""
    tls = Tls(options.ca_file, options.client_cert, options.client_key, options.server_name, options.verify)
    if options.mode == "lumberjack":
        return [parse_host(h) for h in options.hosts], [tls if options.tls else None for _ in options.hosts]
    urls = [urlsplit(h) for h in options.hosts]
    ports = {"http": 80, "https": 443}
    return (
        [(u.hostname or "", u.port or ports[u.scheme]) for u in urls],
        [tls if u.scheme == "https" else None for u in urls],
    )


def _http_transport(name: str, options: Options, context: SinkContext) -> HttpTransport:
    from sidecar.deliver.common.http_client import HttpClient
    from sidecar.deliver.common.http_client import Tls as HttpTls

    tls = HttpTls(options.ca_file, options.client_cert, options.client_key, options.verify)
    hosts = []
    for url in options.hosts:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        base = f"{parts.scheme}://{parts.netloc}"
        hosts.append((HttpClient([base], tls, options.timeout, options.max_concurrency + 1), target))
    dead_letters = DeadLetterFactory(name, context.clock)
    return HttpTransport(context.decoder, hosts, options.credentials, options.compression, dead_letters)
