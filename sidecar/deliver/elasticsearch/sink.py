"""Spans and logs to Elasticsearch 8 and 9 or OpenSearch 2 and 3, by `_bulk`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import structlog
from isal import igzip_lib

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.documents import Documents, from_dead_letters, split
from sidecar.deliver.common.http import FirstUse, Http, Reply, Unreached
from sidecar.deliver.common.rendering import Renderer
from sidecar.deliver.common.tls import missing_file
from sidecar.deliver.elasticsearch import index_patterns
from sidecar.deliver.elasticsearch.bulk import ITEM_BUSY, ResponseClassifier
from sidecar.deliver.elasticsearch.options import SMALLEST_BATCH, ElasticsearchOptions
from sidecar.deliver.elasticsearch.templates import ensure_templates
from sidecar.deliver.sink import Finding, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.errors import Permanent
from sidecar.pipeline import DeadLetter, Entry, Signal

TARGET = "/_bulk?filter_path=errors,items.*.status,items.*.error"
"""The filter keeps a reply at some 30 bytes a document."""
GROWTH = 1.05
"""Factor by which requests grow back after an overload, with each that is taken and was half full at least."""

log = structlog.get_logger("deliver.elasticsearch")


class ElasticsearchSink:
    """Renders entries to `_bulk` lines, sends them, and reads the response."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(self, name: str, options: ElasticsearchOptions, context: SinkContext, http: Http) -> None:
        self.name = name
        self._options, self._http = options, http
        self._classifier = ResponseClassifier(name, context.clock, options.on_conflict == "text")
        retarget = index_patterns.Namer(options.index).retarget if options.index else None
        self._renderer = Renderer(name, context.decoder, context.journal_id, retarget)
        self._target = TARGET + (f"&pipeline={quote(options.pipeline, safe='')}" if options.pipeline else "")
        self._lock = threading.Lock()
        self._ready = not options.bootstrap
        self._authorization = Authorization(options.auth)
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

    def prepare_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Documents]:
        return from_dead_letters(dead_letters)

    def send(self, batch: Documents) -> SendResult[Documents]:
        try:
            self._make_ready()
            reply = self._post(batch)
        except Unreached as error:
            self._ready = not self._options.bootstrap
            self._authorization.forget()
            level: Literal["warning", "error"] = "error" if error.reason == "credentials" else "warning"
            again = Retry([batch], error.reason, error.detail, False, error.retry_after, True, level)
            return SendResult(retry=again)
        except Permanent as error:
            return SendResult(retry=Retry([batch], "credentials", error.reason, level="error"))
        if reply.status in (401, 403):
            self._authorization.forget()
        result = self._classifier.classify_response(batch, reply)
        busy = result.retry is not None and result.retry.reason == ITEM_BUSY
        self._adapt(429 if busy else reply.status, len(batch.body))
        return result

    def status(self) -> Mapping[str, Any]:
        return {"nodes": list(self._options.hosts), "batch_bytes": self._batch_bytes}

    def close(self) -> None:
        self._http.close()

    def _post(self, batch: Documents) -> Reply:
        headers = {
            "content-type": "application/x-ndjson",
            "accept": "application/json",
            **self._authorization.headers(),
        }
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
        headers = {"accept": "application/json", **self._authorization.headers()}
        if body is not None:
            headers["content-type"] = "application/json"
        return self._http.request(method, target, body, headers)


def build(name: str, options: ElasticsearchOptions, context: SinkContext) -> ElasticsearchSink:
    """The sink with its connections (none is opened yet)."""
    if options.tls.insecure_skip_verify:
        log.warning("certificates_not_verified", sink=name)
    return ElasticsearchSink(name, options, context, FirstUse(lambda: _connections(options)))


def probe(options: ElasticsearchOptions) -> int:
    """HTTP status with which a node answers a question about its health. Raises `Unreached` if none answers, and
    `Permanent` where a secret cannot be read."""
    http = _connections(options)
    try:
        headers = {"accept": "application/json", **Authorization(options.auth).headers()}
        return http.request("GET", "/_cluster/health", None, headers).status
    finally:
        http.close()


def health_check(options: ElasticsearchOptions) -> Finding:
    """Whether a node answers, and what its answer says of delivery to come. Raises as `probe`."""
    missing = missing_file(options.tls)
    if missing is not None:
        return Finding("failed", f"{missing}: there is no such file")
    try:
        finding = classify_health(probe(options))
    except Unreached as error:
        finding = Finding("failed", f"{error.reason}: {error.detail}")
    return Finding(finding.state, f"{', '.join(options.hosts)}: {finding.detail}")


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


def _connections(options: ElasticsearchOptions) -> Http:
    from sidecar.deliver.common.http_client import HttpClient

    return HttpClient(options.hosts, options.tls, options.timeout, options.max_concurrency + 1)
