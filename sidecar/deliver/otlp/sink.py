"""Forwarding the very bytes received over OTLP: to a Collector, Tempo, Jaeger, Elastic or another sidecar."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import urlsplit

import structlog
from pydantic import Field, SecretStr, field_validator, model_validator

from sidecar.decode.api import Check
from sidecar.decode.otlp.metrics import check_metrics
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.deliver.otlp import requests as otlp_requests
from sidecar.deliver.otlp.requests import Part, Request, from_dead_letters
from sidecar.deliver.otlp.responses import Answer
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext, SinkOptions
from sidecar.errors import DecodeError, Permanent
from sidecar.pipeline import DeadLetter, Entry, Signal, entry_counts, item_counts

SMALLEST_REQUEST = 64 << 10
"""However small the destination's limit on requests, several payloads are not kept from sharing this many bytes."""
GROWTH = 1.05
"""Factor by which requests grow back after one was too large, with each that is taken and was half full at least."""
SAY_AGAIN_SECONDS = 30.0
"""Least time between two log lines about partial success."""
PROBE_SECONDS = 5.0

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"content-type", "content-encoding", "content-length", "host", "te", "connection", "user-agent"})

log = structlog.get_logger("deliver.otlp")


class Options(SinkOptions):
    """Forwarding over OTLP."""

    supported_signals: ClassVar[frozenset[Signal]] = frozenset(("spans", "logs", "metrics"))

    kind: Literal["otlp"] = Field("otlp", description="Kind of the sink.")
    endpoint: str | None = Field(
        None,
        description="Address for all signals, such as http://collector:4317, or https:// for TLS. Over HTTP the "
        "signals' paths (/v1/traces, /v1/logs, /v1/metrics) are put behind it. Delivery is on where there is one.",
    )
    traces_endpoint: str | None = Field(
        None, description="Address for spans in place of `endpoint`; over HTTP the whole URL, path included."
    )
    logs_endpoint: str | None = Field(None, description="The same for logs.")
    metrics_endpoint: str | None = Field(None, description="The same for metrics.")
    protocol: Literal["grpc", "http/protobuf"] = Field("grpc", description="How to speak to the receiver.")
    headers: dict[str, SecretStr] = Field(
        default={},
        description="Headers (gRPC: metadata) of every request, such as a tenant or a key: a mapping, or "
        "name=value,name=value.",
    )
    token_file: Path | None = Field(
        None,
        description="File with a token that is sent as `authorization: Bearer`; read again when it is refused.",
    )
    compression: Literal["gzip", "none"] | None = Field(
        None,
        description="Of requests. Without a value gzip over HTTP, and none over gRPC, whose library compresses at "
        "about ten times the cost.",
    )
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for a whole request, its reply included.")
    ca_file: Path | None = Field(
        None, description="PEM file with the authorities that may sign the receiver's certificate."
    )
    client_cert: Path | None = Field(None, description="PEM file with the client certificate for mutual TLS.")
    client_key: Path | None = Field(None, description="PEM file with the key of the client certificate.")
    server_name: str | None = Field(
        None, description="Name that the receiver's certificate must be for, where it is not the address's host."
    )
    verify: bool = Field(
        True, description="Check the receiver's certificate. Off is for trials only, and over HTTP only."
    )
    max_request_bytes: int = Field(
        2 << 20,
        ge=SMALLEST_REQUEST,
        le=64 << 20,
        description="Most bytes of payloads in one request, not compressed. Many receivers refuse more than 4 MiB.",
    )

    @property
    def enabled(self) -> bool:
        """True where an address is set."""
        return bool(self.endpoints)

    @property
    def endpoints(self) -> dict[Signal, str]:
        """Signal -> address (over HTTP the whole URL); signals that have none are left out."""
        own: dict[Signal, str | None] = {
            "spans": self.traces_endpoint,
            "logs": self.logs_endpoint,
            "metrics": self.metrics_endpoint,
        }
        found: dict[Signal, str] = {}
        for signal, address in own.items():
            if address:
                found[signal] = address
            elif self.endpoint:
                found[signal] = self.endpoint + (_path(signal) if self.protocol == "http/protobuf" else "")
        return found

    @property
    def selected_signals(self) -> frozenset[Signal]:
        """The signals that the sink is to have: of those that were chosen the ones that have an address."""
        served = frozenset(self.endpoints)
        return super().selected_signals & served if served else super().selected_signals

    @property
    def gzip(self) -> bool:
        """Whether requests are compressed."""
        if self.compression is None:
            return self.protocol == "http/protobuf"
        return self.compression == "gzip"

    @field_validator("endpoint", "traces_endpoint", "logs_endpoint", "metrics_endpoint", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        return (value.strip().rstrip("/") or None) if isinstance(value, str) else value

    @field_validator("endpoint", "traces_endpoint", "logs_endpoint", "metrics_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "@" in value:
            raise ValueError("an address must not hold credentials: use headers or token_file")
        if not value.startswith(("http://", "https://")) or not _has_host(value):
            raise ValueError(f"{value!r} is not an address: write it as http://host:port or https://host:port")
        return value

    @field_validator("headers", mode="before")
    @classmethod
    def _headers_as_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list):
            pairs = [str(pair).partition("=") for pair in value if str(pair).strip()]
            if not all(sep for _, sep, _ in pairs):
                raise ValueError("write them as name=value,name=value")
            value = {name.strip(): text.strip() for name, _, text in pairs}
        if isinstance(value, dict):
            return {name: str(text) if isinstance(text, int | float) else text for name, text in value.items()}
        return value

    @field_validator("headers")
    @classmethod
    def _header_names(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, text in value.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("grpc-"):
                raise ValueError(f"{name!r} cannot be a header of a request")
            secret = text.get_secret_value()
            if not (secret.isascii() and secret.isprintable()):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Options:
        missing = sorted(set(self.signals) - set(self.endpoints)) if self.endpoints else []
        if missing:
            raise ValueError(f"there is no address for {', '.join(missing)}")
        if bool(self.client_cert) != bool(self.client_key):
            raise ValueError("client_cert and client_key belong together")
        if self.token_file and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("set token_file or the header authorization, not both")
        if self.protocol == "grpc":
            if not self.verify:
                raise ValueError("verify cannot be off over gRPC: give ca_file, or server_name where only that differs")
            if any(urlsplit(address).path for address in self.endpoints.values()):
                raise ValueError("an address for gRPC has no path: write it as http://host:port or https://host:port")
            if any(name.lower().endswith("-bin") for name in self.headers):
                raise ValueError("headers whose names end in -bin are binary over gRPC, and cannot be set")
        elif (self.endpoint or "").endswith(tuple(map(_path, sorted(self.supported_signals)))):
            raise ValueError("the signals' paths are put behind endpoint: write it without, or set traces_endpoint")
        return self


def _path(signal: Signal) -> str:
    return {"spans": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}[signal]


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or past 65535, an IPv6 address without its bracket
        return False


class Client(Protocol):
    """The way to the receiver; see `otlp_grpc_client.OtlpGrpcClient` and `otlp_http_client.OtlpHttpClient`."""

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request; whatever comes of it is the answer."""
        ...

    def close(self) -> None: ...


def read_headers(options: Options) -> dict[str, str]:
    """The headers of a request. Raises `Permanent` where the token's file cannot be read."""
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    if options.token_file is not None:
        try:
            headers["authorization"] = f"Bearer {options.token_file.read_text('ascii').strip()}"
        except (OSError, UnicodeDecodeError) as error:
            raise Permanent(f"{options.token_file}: token cannot be read: {error}") from error
    return headers


class OtlpSink:
    """Joins payloads to requests, sends them, and does what the answer says."""

    signals: frozenset[Signal] = Options.supported_signals

    def __init__(self, name: str, options: Options, context: SinkContext, client: Client) -> None:
        self.name = name
        self._options, self._client, self._clock = options, client, context.clock
        self._journal_id = context.journal_id
        """The beginning of the ids of dead letters."""
        decoder = context.decoder
        self._check = {"spans": decoder.check_spans, "logs": decoder.check_logs, "metrics": check_metrics}
        self._addresses = options.endpoints
        self._headers: dict[str, str] | None = None
        self._request_bytes = options.max_request_bytes
        self._lock = threading.Lock()
        self._rejected = 0
        """Records rejected and not yet told of in the log."""
        self._said_ns = 0

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

    def prepare_dead_letters(self, letters: Sequence[DeadLetter]) -> Sequence[Request]:
        return from_dead_letters(letters)

    def send(self, batch: Request) -> SendResult[Request]:
        if not batch.items:  # A piece that holds nothing but records refused at intake.
            return SendResult([self._settle(part, batch.signal, "delivered", "") for part in batch.parts])
        try:
            headers = self._headers
            if headers is None:
                headers = self._headers = read_headers(self._options)
        except Permanent as error:
            return SendResult(retry=Retry([batch], "credentials", error.reason, level="error"))
        key = {"Idempotency-Key": f"{self._journal_id}-{batch.name}"}
        answer = self._client.export(batch.signal, batch.body, {**key, **headers})
        if answer.kind == "taken":
            return self._taken(batch, answer)
        if answer.kind == "refused":
            return self._refused(batch, answer)
        if answer.reason == "credentials":
            self._headers = None
        return SendResult(
            retry=Retry(
                [batch],
                answer.reason,
                answer.detail,
                retry_after=answer.retry_after,
                backpressure=answer.overload,
                level="error" if answer.kind == "held" else "warning",
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

    def _taken(self, request: Request, answer: Answer) -> SendResult[Request]:
        most = self._options.max_request_bytes
        if 2 * len(request.body) >= self._request_bytes < most:
            self._request_bytes = min(most, int(self._request_bytes * GROWTH))
        left = 0
        if answer.rejected:
            # Those that were refused when they came in are in no figure of ours any more.
            known = otlp_requests.rejected_on_receipt(request, self._checker(request.signal))
            left = min(request.items, max(0, answer.rejected - known))
        if answer.rejected or answer.detail:
            self._tell(request.signal, left, answer.detail)
        settled = []
        for part in request.parts:
            # The answer does not say which; the sums are what is known.
            dropped = min(left, part.items)
            left -= dropped
            counts = item_counts(request.signal, part.items - dropped, part.events, "delivered", "")
            if dropped:
                counts[(request.signal, "dropped", "rejected_by_receiver")] = dropped
            settled.append(ItemResult(part.seq, counts))
        return SendResult(settled)

    def _refused(self, request: Request, answer: Answer) -> SendResult[Request]:
        check = self._checker(request.signal)
        if answer.whole_signal:
            return SendResult([self._dead(request, row, answer) for row in range(len(request.parts))])
        if answer.too_large:
            self._request_bytes = min(self._request_bytes, max(SMALLEST_REQUEST, len(request.body) // 2))
        pieces: list[Request] = []
        if len(request.parts) > 1 or answer.too_large:
            pieces = otlp_requests.split_in_half(request, check)
        elif purged := otlp_requests.purge(request, check):
            pieces = [purged]
        if pieces:
            return SendResult(retry=Retry(pieces, answer.reason, answer.detail, immediately=True))
        return SendResult([self._dead(request, 0, answer)])

    def _dead(self, request: Request, row: int, answer: Answer) -> ItemResult:
        part = request.parts[row]
        counts = item_counts(request.signal, part.items, part.events, "dead_lettered", answer.reason)
        if not counts:
            return ItemResult(part.seq, counts)
        piece = f".{part.piece}" if part.piece else ""
        letter = DeadLetter(
            consumer=self.name,
            doc_id=f"{self._journal_id}-{part.seq}{piece}",
            signal=request.signal,
            index=self._addresses[request.signal],
            reason=answer.detail,
            document=request.payload(row),
            seq=part.seq,
            time_ns=self._clock(),
            items=part.items,
            events=part.events,
        )
        return ItemResult(part.seq, counts, [letter])

    def _settle(self, part: Part, signal: Signal, outcome: Literal["delivered"], reason: str) -> ItemResult:
        return ItemResult(part.seq, item_counts(signal, part.items, part.events, outcome, reason))

    def _tell(self, signal: Signal, rejected: int, message: str) -> None:
        """One line for what a receiver did not take or warns of, then at most one in `SAY_AGAIN_SECONDS`."""
        with self._lock:
            self._rejected += rejected
            now = self._clock()
            if now - self._said_ns < SAY_AGAIN_SECONDS * 1e9:
                return
            count, self._rejected, self._said_ns = self._rejected, 0, now
        emit = log.error if count else log.warning
        emit("partial_success", sink=self.name, signal=signal, rejected=count, message=message)


def build(name: str, options: Options, context: SinkContext) -> OtlpSink:
    """The sink with its connections (none is opened yet)."""
    if not options.verify:
        log.warning("certificates_not_verified", sink=name)
    return OtlpSink(name, options, context, _client(options, options.timeout))


def health_check(options: Options) -> Finding:
    """Whether the receiver takes an empty request of each signal, which adds nothing there. Raises `Permanent` where a
    file cannot be read."""
    headers = read_headers(options)
    client = _client(options, min(options.timeout, PROBE_SECONDS))
    try:
        answers = {signal: client.export(signal, b"", headers) for signal in sorted(options.selected_signals)}
    finally:
        client.close()
    return classify_health(options.endpoints, answers)


def classify_health(addresses: Mapping[Signal, str], answers: Mapping[Signal, Answer]) -> Finding:
    """What the answers to empty requests say of delivery to come; signals with the same answer are named together."""
    told: dict[str, list[str]] = {}
    for signal, answer in answers.items():
        if answer.kind == "taken":
            words = "taken"
        elif answer.whole_signal:
            words = f"not served at {addresses[signal]} ({answer.detail})"
        else:
            words = answer.detail
        told.setdefault(words, []).append(signal)
    detail = "; ".join(f"{', '.join(signals)}: {words}" for words, signals in told.items())
    others = [answer for answer in answers.values() if answer.kind != "taken"]
    if not others:
        return Finding("ok", detail)
    # A receiver of some signals may be meant to be one: what it does not take becomes dead letters.
    partly = len(others) < len(answers) and all(answer.whole_signal for answer in others)
    return Finding("warning" if partly else "failed", detail)


def _client(options: Options, timeout: float) -> Client:
    if options.protocol == "grpc":
        from sidecar.deliver.otlp.grpc_client import OtlpGrpcClient

        return OtlpGrpcClient(
            options.endpoints,
            gzip=options.gzip,
            timeout=timeout,
            ca_file=options.ca_file,
            client_cert=options.client_cert,
            client_key=options.client_key,
            server_name=options.server_name,
            user_agent=USER_AGENT,
        )
    from sidecar.deliver.otlp.http_client import OtlpHttpClient

    return OtlpHttpClient(
        options.endpoints,
        gzip=options.gzip,
        timeout=timeout,
        ca_file=options.ca_file,
        client_cert=options.client_cert,
        client_key=options.client_key,
        server_name=options.server_name,
        verify=options.verify,
        user_agent=USER_AGENT,
        connections=options.max_concurrency,
    )
