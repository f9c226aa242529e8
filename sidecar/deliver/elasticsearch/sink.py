"""Spans and logs to Elasticsearch 8 and 9 or OpenSearch 2 and 3, by `_bulk`."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import structlog
from isal import igzip_lib
from pydantic import Field, SecretStr, field_validator, model_validator

from sidecar.deliver.common.documents import Documents, from_dead_letters, split
from sidecar.deliver.common.http import Http, Reply, Unreached
from sidecar.deliver.common.rendering import Renderer
from sidecar.deliver.elasticsearch import index_patterns
from sidecar.deliver.elasticsearch.bulk import ITEM_BUSY, ResponseClassifier
from sidecar.deliver.elasticsearch.templates import ensure_templates
from sidecar.deliver.sink import Finding, PreparedBatch, Retry, SendResult, SinkContext, SinkOptions
from sidecar.errors import Permanent
from sidecar.pipeline import DeadLetter, Entry, Signal

TARGET = "/_bulk?filter_path=errors,items.*.status,items.*.error"
"""The filter keeps a reply at some 30 bytes a document."""
GROWTH = 1.05
"""Factor by which requests grow back after an overload, with each that is taken and was half full at least."""
SMALLEST_BATCH = 64 << 10
"""However small the destination's limit on requests, batches are not made smaller than this (one document may be)."""

log = structlog.get_logger("deliver.elasticsearch")


class Options(SinkOptions):
    """Elasticsearch or OpenSearch."""

    kind: Literal["elasticsearch"] = Field("elasticsearch", description="Kind of the sink.")
    url: tuple[str, ...] = Field(
        (),
        description="Addresses of the nodes, such as https://es:9200; several in a list or separated by commas. "
        "Delivery is on when there is one.",
    )
    api_key: SecretStr | None = Field(None, description="API key in its encoded form (base64 of id:key).")
    api_key_file: Path | None = Field(None, description="File with the API key; read again when it is refused.")
    username: str | None = Field(None, description="User of basic authentication.")
    password: SecretStr | None = Field(None, description="Password of basic authentication.")
    password_file: Path | None = Field(None, description="File with the password; read again when it is refused.")
    ca_file: Path | None = Field(
        None, description="PEM file with the authorities that may sign the nodes' certificates."
    )
    client_cert: Path | None = Field(None, description="PEM file with the client certificate for mutual TLS.")
    client_key: Path | None = Field(None, description="PEM file with the key of the client certificate.")
    verify: bool = Field(True, description="Check the nodes' certificates. Off is for trials only.")
    compression: bool = Field(True, description="Send requests compressed with gzip.")
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for a whole request, its reply included.")
    batch_bytes: int = Field(
        4 << 20, ge=SMALLEST_BATCH, le=90 << 20, description="Most bytes of documents in one request, not compressed."
    )
    batch_documents: int = Field(20_000, ge=1, description="Most documents in one request.")
    bootstrap: bool = Field(
        True,
        description="At start-up put index templates for data streams (or for `index`) where the cluster has none.",
    )
    index: str | None = Field(
        None,
        description="Index to put documents into instead of data streams, such as {type}-%Y.%m.%d: %Y, %m, %d and %H "
        "are of the document's own time in UTC, {type} is logs or traces.",
    )
    pipeline: str | None = Field(None, description="Ingest pipeline that the documents are to go through.")
    ids: Literal["deterministic", "none"] = Field(
        "deterministic",
        description="`deterministic`: a document that is sent retry is the same document. `none`: the engine gives ids "
        "(it indexes faster), and what is sent again after an outage may be there twice.",
    )
    on_conflict: Literal["text", "dead_letter"] = Field(
        "text",
        description="A document with a field that does not fit the mapping: `text` moves the field's value to the "
        "attribute sidecar.conflicts, as JSON, and sends the document again; `dead_letter` keeps it for replay.",
    )

    @property
    def enabled(self) -> bool:
        """True where an address is set."""
        return bool(self.url)

    @field_validator("url", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        return tuple(u.strip().rstrip("/") for u in value if u.strip()) if isinstance(value, (list, tuple)) else value

    @field_validator("url")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if "@" in url:
                raise ValueError("an address must not hold credentials: use username and password, or api_key")
            if not url.startswith(("http://", "https://")) or not _has_host(url):
                raise ValueError(f"{url!r} is not an address: write it as http://host:port or https://host:port")
        return value

    @field_validator("index", "pipeline", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("index")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value and (problem := index_patterns.problem(value)):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Options:
        if self.api_key and self.api_key_file:
            raise ValueError("set api_key or api_key_file, not both")
        if self.password and self.password_file:
            raise ValueError("set password or password_file, not both")
        if (self.api_key or self.api_key_file) and self.username:
            raise ValueError("set an API key or a user, not both")
        if self.username and not (self.password or self.password_file):
            raise ValueError("username needs password or password_file")
        if bool(self.client_cert) != bool(self.client_key):
            raise ValueError("client_cert and client_key belong together")
        return self


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or past 65535, an IPv6 address without its bracket
        return False


def authorization(options: Options) -> str | None:
    """Value of the Authorization header, read from files where the options name them. Raises `Permanent` where a file
    cannot be read."""
    key = _secret(options.api_key, options.api_key_file)
    if key is not None:
        return f"ApiKey {key}"
    if options.username is None:
        return None
    pair = f"{options.username}:{_secret(options.password, options.password_file) or ''}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    if file is None:
        return value.get_secret_value() if value else None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"{file}: secret cannot be read: {error}") from error


class ElasticsearchSink:
    """Renders entries to `_bulk` lines, sends them, and reads the verdict."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(self, name: str, options: Options, context: SinkContext, http: Http) -> None:
        self.name = name
        self._options, self._http = options, http
        self._classifier = ResponseClassifier(name, context.clock, options.on_conflict == "text")
        retarget = index_patterns.Namer(options.index).retarget if options.index else None
        self._renderer = Renderer(name, context.decoder, context.journal_id, retarget)
        self._target = TARGET + (f"&pipeline={quote(options.pipeline, safe='')}" if options.pipeline else "")
        self._lock = threading.Lock()
        self._ready = not options.bootstrap
        self._authorization: str | None = None
        self._most_bytes = self._batch_bytes = options.batch_bytes

    @property
    def target_batch_bytes(self) -> int:
        return self._renderer.payload_bytes(self._batch_bytes)

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Documents]:
        rendered = self._renderer.render(entries)
        batches: list[Documents] = []
        for documents in rendered.documents:
            batches += split(documents, self._batch_bytes, self._options.batch_documents)
        return PreparedBatch(batches, rendered.expected, rendered.settled)

    def prepare_dead_letters(self, letters: Sequence[DeadLetter]) -> Sequence[Documents]:
        return from_dead_letters(letters)

    def send(self, batch: Documents) -> SendResult[Documents]:
        try:
            self._make_ready()
            reply = self._post(batch)
        except Unreached as error:
            self._ready = not self._options.bootstrap
            self._authorization = None
            return SendResult(
                retry=Retry([batch], error.reason, error.detail, retry_after=error.retry_after, backpressure=True)
            )
        except Permanent as error:
            return SendResult(retry=Retry([batch], "credentials", error.reason, level="error"))
        if reply.status in (401, 403):
            self._authorization = None
        verdict = self._classifier.classify_response(batch, reply)
        busy = verdict.retry is not None and verdict.retry.reason == ITEM_BUSY
        self._adapt(429 if busy else reply.status, len(batch.body))
        return verdict

    def status(self) -> Mapping[str, Any]:
        return {"nodes": list(self._options.url), "batch_bytes": self._batch_bytes}

    def close(self) -> None:
        self._http.close()

    def _post(self, batch: Documents) -> Reply:
        headers = {"content-type": "application/x-ndjson", "accept": "application/json", **self._authorize()}
        plain = index_patterns.without_ids(bytes(batch.body)) if self._options.ids == "none" else batch.body
        if self._options.compression:
            headers["content-encoding"] = "gzip"
            body = igzip_lib.compress(plain, 1, igzip_lib.COMP_GZIP)
        else:
            body = bytes(plain)
        return self._http.request("POST", self._target, body, headers)

    def _adapt(self, status: int, size: int) -> None:
        """Requests as large as the destination bears: 413 sets a bound for good, 429 halves for now, success grows."""
        smaller = max(SMALLEST_BATCH, size // 2)
        if status == 413:
            self._most_bytes = min(self._most_bytes, smaller)
        if status in (413, 429):
            self._batch_bytes = min(self._batch_bytes, smaller)
        elif status == 200 and 2 * size >= self._batch_bytes:
            self._batch_bytes = min(self._most_bytes, int(self._batch_bytes * GROWTH))

    def _authorize(self) -> dict[str, str]:
        value = self._authorization
        if value is None:
            value = self._authorization = authorization(self._options) or ""
        return {"authorization": value} if value else {}

    def _make_ready(self) -> None:
        """Index templates before the first request, and again after the cluster was away: it may be another one."""
        with self._lock:
            if self._ready:
                return
            try:
                for name in ensure_templates(self._request, self._options.index):
                    log.info("index_template_put", sink=self.name, template=name)
            except Permanent as error:
                log.warning("index_templates_not_put", sink=self.name, reason=error.reason)
            self._ready = True

    def _request(self, method: str, target: str, body: bytes | None) -> Reply:
        headers = {"accept": "application/json", **self._authorize()}
        if body is not None:
            headers["content-type"] = "application/json"
        return self._http.request(method, target, body, headers)


def build(name: str, options: Options, context: SinkContext) -> ElasticsearchSink:
    """The sink with its connections (none is opened yet)."""
    if not options.verify:
        log.warning("certificates_not_verified", sink=name)
    return ElasticsearchSink(name, options, context, _connections(options))


def probe(options: Options) -> int:
    """HTTP status with which a node answers a question about its health. Raises `Unreached` if none answers, and
    `Permanent` where a secret cannot be read."""
    http = _connections(options)
    value = authorization(options)
    try:
        headers = {"accept": "application/json", **({"authorization": value} if value else {})}
        return http.request("GET", "/_cluster/health", None, headers).status
    finally:
        http.close()


def health_check(options: Options) -> Finding:
    """Whether a node answers, and what its answer says of delivery to come. Raises as `probe`."""
    nodes = ", ".join(options.url)
    for file in (options.ca_file, options.client_cert, options.client_key):
        if file is not None and not file.is_file():
            return Finding("failed", f"{file}: there is no such file")
    try:
        finding = classify_health(probe(options))
    except Unreached as error:
        finding = Finding("failed", f"{error.reason}: {error.detail}")
    return Finding(finding.state, f"{nodes}: {finding.detail}")


def classify_health(status: int) -> Finding:
    """What the HTTP status of an answer to `GET /_cluster/health` says of delivery to come."""
    if status == 200:
        return Finding("ok", "answers")
    if status == 401:
        return Finding("failed", "the credentials are refused (HTTP 401)")
    if status == 403:  # Usual for an API key that may do nothing but write.
        detail = "answers, but the credentials may not ask for its health (HTTP 403): can they write?"
        return Finding("warning", detail)
    return Finding("warning", f"answers with HTTP {status}: is it Elasticsearch or OpenSearch, and is it well?")


def _connections(options: Options) -> Http:
    from sidecar.deliver.common.http_client import HttpClient, Tls

    tls = Tls(options.ca_file, options.client_cert, options.client_key, options.verify)
    return HttpClient(options.url, tls, options.timeout, options.max_concurrency + 1)
