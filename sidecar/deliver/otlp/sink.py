"""Forwarding the very bytes received over OTLP: to a Collector, Tempo, Jaeger, Elastic or another sidecar."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from sidecar.decode.api import Check
from sidecar.decode.otlp.metrics import check_metrics
from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.headers import plain
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.deliver.otlp import requests as otlp_requests
from sidecar.deliver.otlp.options import SMALLEST_REQUEST, OtlpOptions
from sidecar.deliver.otlp.requests import Part, Request, from_dead_letters
from sidecar.deliver.otlp.responses import ExportResult
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.errors import DecodeError, Permanent
from sidecar.pipeline import DeadLetter, Entry, Signal, entry_counts, item_counts

GROWTH = 1.05
"""Factor by which requests grow back after one was too large, with each that is taken and was half full at least."""
REPEAT_SECONDS = 30.0
"""Least time between two log lines about partial success."""
PROBE_SECONDS = 5.0

log = structlog.get_logger("deliver.otlp")


class Client(Protocol):
    """The way to the receiver; see `grpc_exporter.OtlpGrpcClient` and `http_exporter.OtlpHttpClient`."""

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> ExportResult:
        """Send one request; whatever comes of it is the result."""
        ...

    def close(self) -> None: ...


class OtlpSink:
    """Joins payloads to requests, sends them, and does what the result says."""

    signals: frozenset[Signal] = OtlpOptions.supported_signals

    def __init__(self, name: str, options: OtlpOptions, context: SinkContext, client: Client) -> None:
        self.name = name
        self._options, self._client, self._clock = options, client, context.clock
        self._journal_id = context.journal_id
        """The beginning of the ids of dead letters."""
        decoder = context.decoder
        self._check = {"spans": decoder.check_spans, "logs": decoder.check_logs, "metrics": check_metrics}
        self._addresses = options.endpoints
        self._authorization = Authorization(options.auth)
        self._headers = plain(options.headers)
        self._request_bytes = options.max_request_bytes
        self._lock = threading.Lock()
        self._rejected = 0
        """Records rejected and not in the log yet."""
        self._logged_ns = 0

    @property
    def target_batch_bytes(self) -> int:
        return self._request_bytes

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Request]:
        batches: list[Request] = []
        settled: list[ItemResult] = []
        for signal in sorted(self.signals):
            own = [e for e in entries if e.signal == signal and e.items + e.events]
            if signal in self._addresses:
                batches += otlp_requests.join(own, self._request_bytes, self._checker(signal))
            else:
                settled += [ItemResult(e.seq, entry_counts(e, "filtered", "no_endpoint")) for e in own]
        return PreparedBatch(batches, {e.seq: e.items + e.events for e in entries}, settled)

    def prepare_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Request]:
        return from_dead_letters(dead_letters)

    def send(self, batch: Request) -> SendResult[Request]:
        if not batch.items:  # A piece that holds nothing but records refused at ingest.
            return SendResult([ItemResult(part.seq, _delivered(batch.signal, part)) for part in batch.parts])
        try:
            headers = {**self._headers, **self._authorization.headers()}
        except Permanent as error:
            return SendResult(retry=Retry([batch], "credentials", error.reason, level="error"))
        key = {"Idempotency-Key": f"{self._journal_id}-{batch.name}"}
        result = self._client.export(batch.signal, batch.body, {**key, **headers})
        if result.status == "accepted":
            return self._accepted(batch, result)
        if result.status == "rejected":
            return self._rejected_by_receiver(batch, result)
        if result.reason == "credentials":
            self._authorization.forget()
        return SendResult(
            retry=Retry(
                [batch],
                result.reason,
                result.detail,
                retry_after=result.retry_after,
                backpressure=result.overload,
                level="error" if result.status == "blocked" else "warning",
            )
        )

    def status(self) -> Mapping[str, Any]:
        return {"endpoints": dict(self._addresses), "request_bytes": self._request_bytes}

    def close(self) -> None:
        self._client.close()

    def _checker(self, signal: Signal) -> otlp_requests.Checker:
        def check(payload: bytes) -> Check:
            try:
                return self._check[signal](payload)
            except (
                DecodeError
            ):  # As it is in the journal it was whole once; the destination may say what it thinks of it.
                return Check(0)

        return check

    def _accepted(self, request: Request, result: ExportResult) -> SendResult[Request]:
        most = self._options.max_request_bytes
        if 2 * len(request.body) >= self._request_bytes < most:
            self._request_bytes = min(most, int(self._request_bytes * GROWTH))
        left = 0
        if result.rejected:
            # Those that were rejected when they came in are in none of our counters any more.
            known = otlp_requests.rejected_on_receipt(request, self._checker(request.signal))
            left = min(request.items, max(0, result.rejected - known))
        if result.rejected or result.detail:
            self._log_partial_success(request.signal, left, result.detail)
        settled = []
        for part in request.parts:
            # The response does not say which; the sums are what is known.
            dropped = min(left, part.items)
            left -= dropped
            counts = _delivered(request.signal, part, dropped)
            if dropped:
                counts[(request.signal, "dropped", "rejected_by_receiver")] = dropped
            settled.append(ItemResult(part.seq, counts))
        return SendResult(settled)

    def _rejected_by_receiver(self, request: Request, result: ExportResult) -> SendResult[Request]:
        check = self._checker(request.signal)
        if result.whole_signal:
            return SendResult([self._dead(request, row, result) for row in range(len(request.parts))])
        if result.too_large:
            self._request_bytes = min(self._request_bytes, max(SMALLEST_REQUEST, len(request.body) // 2))
        pieces: list[Request] = []
        if len(request.parts) > 1 or result.too_large:
            pieces = otlp_requests.split_in_half(request, check)
        elif purged := otlp_requests.purge(request, check):
            pieces = [purged]
        if pieces:
            return SendResult(retry=Retry(pieces, result.reason, result.detail, immediately=True))
        return SendResult([self._dead(request, 0, result)])

    def _dead(self, request: Request, row: int, result: ExportResult) -> ItemResult:
        part = request.parts[row]
        counts = item_counts(request.signal, part.items, part.events, "dead_lettered", result.reason)
        if not counts:
            return ItemResult(part.seq, counts)
        piece = f".{part.piece}" if part.piece else ""
        dead_letter = DeadLetter(
            consumer=self.name,
            doc_id=f"{self._journal_id}-{part.seq}{piece}",
            signal=request.signal,
            index=self._addresses[request.signal],
            reason=result.detail,
            document=request.payload(row),
            seq=part.seq,
            time_ns=self._clock(),
            items=part.items,
            events=part.events,
        )
        return ItemResult(part.seq, counts, [dead_letter])

    def _log_partial_success(self, signal: Signal, rejected: int, message: str) -> None:
        """One line for what a receiver did not take or warns of, then at most one in `REPEAT_SECONDS`."""
        with self._lock:
            self._rejected += rejected
            now = self._clock()
            if now - self._logged_ns < REPEAT_SECONDS * 1e9:
                return
            count, self._rejected, self._logged_ns = self._rejected, 0, now
        level = logging.ERROR if count else logging.WARNING
        log.log(level, "partial_success", sink=self.name, signal=signal, rejected=count, message=message)


def _delivered(signal: Signal, part: Part, less: int = 0) -> dict[tuple[str, str, str], int]:
    return item_counts(signal, part.items - less, part.events, "delivered", "")


def build(name: str, options: OtlpOptions, context: SinkContext) -> OtlpSink:
    """The sink with its connections (none is opened yet)."""
    if options.tls.insecure_skip_verify:
        log.warning("certificates_not_verified", sink=name)
    return OtlpSink(name, options, context, _client(options, options.timeout))


def health_check(options: OtlpOptions) -> Finding:
    """Whether the receiver takes an empty request of each signal, which adds nothing there. Raises `Permanent` where a
    file cannot be read."""
    headers = {**plain(options.headers), **Authorization(options.auth).headers()}
    client = _client(options, min(options.timeout, PROBE_SECONDS))
    try:
        results = {signal: client.export(signal, b"", headers) for signal in sorted(options.selected_signals)}
    finally:
        client.close()
    return classify_health(options.endpoints, results)


def classify_health(addresses: Mapping[Signal, str], results: Mapping[Signal, ExportResult]) -> Finding:
    """What the results to empty requests say of delivery to come; signals with the same result are named together."""
    words_of: dict[str, list[str]] = {}
    for signal, result in results.items():
        if result.status == "accepted":
            words = "accepted"
        elif result.whole_signal:
            words = f"not served at {addresses[signal]} ({result.detail})"
        else:
            words = result.detail
        words_of.setdefault(words, []).append(signal)
    detail = "; ".join(f"{', '.join(signals)}: {words}" for words, signals in words_of.items())
    others = [result for result in results.values() if result.status != "accepted"]
    if not others:
        return Finding("ok", detail)
    # A receiver of some signals may be meant to be one: what it does not accept becomes dead letters.
    partly = len(others) < len(results) and all(result.whole_signal for result in others)
    return Finding("warning" if partly else "failed", detail)


def _client(options: OtlpOptions, timeout: float) -> Client:
    if options.protocol == "grpc":
        from sidecar.deliver.otlp.grpc_exporter import OtlpGrpcClient

        return OtlpGrpcClient(
            options.endpoints,
            gzip=options.gzip,
            timeout=timeout,
            tls=options.tls,
            user_agent=USER_AGENT,
        )
    from sidecar.deliver.otlp.http_exporter import OtlpHttpClient

    return OtlpHttpClient(
        options.endpoints,
        gzip=options.gzip,
        timeout=timeout,
        tls=options.tls,
        user_agent=USER_AGENT,
        connections=options.max_concurrency,
    )
