"""What every receiver does with a body: check it, have it stored, and say what became of it.

`Ingest` is the only way into the journal from outside. It says `accepted` or `partial` only after the commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

import structlog
from pydantic import Field, field_validator

from sidecar.decode.api import Decoder, Transcoded
from sidecar.decode.otlp.repair import Repair
from sidecar.errors import DecodeError, Overloaded, TooLarge, Unauthenticated, Unavailable
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Receipt, Submission
from sidecar.options import Section, Size
from sidecar.pipeline import Signal
from sidecar.receive import encodings, replies
from sidecar.receive.acknowledgements import Acknowledgements, Exchange
from sidecar.receive.encodings import PYTHON_INLINE_BYTES, Encoding
from sidecar.receive.replies import Outcome, Refused
from sidecar.receive.resource_resolver import ResourceResolver
from sidecar.telemetry import Telemetry

P = ParamSpec("P")
R = TypeVar("R")
_THREADS = 2
RETRY_SECONDS = (0.1, 5.0)
"""Least and most between two tries of what could not be stored."""

_logger = structlog.get_logger("sidecar.receive")


class IngestOptions(Section):
    """Bounds on what all receivers together hold in memory."""

    max_in_flight_bytes: Size = Field(
        64 << 20,
        ge=1 << 20,
        description="Request bodies that may be in flight at once, in bytes (being read, checked or waiting for their "
        "commit), over all receivers. Requests beyond it are refused, to be retried later. One request is always let "
        "in, whatever its size.",
    )
    service_name: str = Field(
        "", description="Service of log lines that name none; OTEL_SERVICE_NAME where it is not set."
    )
    resource: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="Resource attributes of log lines that name no service, as a mapping or as `key=value,…`; "
        "OTEL_RESOURCE_ATTRIBUTES where it is not set.",
    )
    infer_resource: bool = Field(
        True,
        description="Log lines that name no service get the resource of the one service that has sent spans in the "
        "last ten minutes (in files of containers: of that container's).",
    )

    @field_validator("resource", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        """`key=value,…` with percent-encoded values, as OTEL_RESOURCE_ATTRIBUTES is written."""
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            return value
        pairs = [str(part).partition("=") for part in value]
        if not all(equals and key.strip() for key, equals, _ in pairs):
            raise ValueError("must be key=value pairs, separated by commas")
        return {key.strip(): unquote(text.strip()) for key, _, text in pairs}

    def anonymous(self) -> dict[str, str]:
        """Attributes of lines that name no service."""
        return {**self.resource, **({"service.name": self.service_name} if self.service_name else {})}


class Reservation:
    """One request's share of the in-flight budget; given back when the request is over."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Have `size` bytes in all. Raises `Overloaded` if they are not to be had."""
        more = size - self._bytes
        if more > 0:
            self._ingest.take(more, alone=self._ingest.in_flight_bytes == self._bytes)
            self._bytes = size

    def release(self) -> None:
        """Give back all of it. Harmless if repeated."""
        self._ingest.give(self._bytes)
        self._bytes = 0


Read = Callable[[Reservation], Awaitable[bytes]]
"""Gives a request's body, decompressed, and has the reservation grow to what it holds while it reads."""


class Ingest:
    """The way into the journal. Used from one event loop.

    `seed` is of the log's own kind (stable over restarts, unknown outside), so that nobody can make two payloads with
    the same digest.
    """

    def __init__(self, decoder: Decoder, log: Journal, telemetry: Telemetry, options: IngestOptions, seed: int) -> None:
        self.decoder = decoder
        self.log = log
        self._telemetry = telemetry
        self.max_in_flight_bytes = options.max_in_flight_bytes
        self._seed = seed
        self._acknowledgements = Acknowledgements(log)
        self._seeds: dict[tuple[Signal, str], int] = {}
        self._stopping = False
        self._repairs_logged: set[tuple[str, Signal, str]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ingest")
        self._log_retry_after: Callable[[], float] | None = getattr(log, "retry_after", None)
        self.resource_resolver = ResourceResolver(time.time_ns, options.anonymous(), options.infer_resource)
        self.in_flight_bytes = 0
        telemetry.watch("sidecar_receiver_in_flight_bytes", lambda: [(self.in_flight_bytes, {})])

    def stop(self) -> None:
        """Answer `unavailable` from now on; requests already in flight are finished."""
        self._stopping = True

    def close(self) -> None:
        """Let go of the threads. Only after the receivers have stopped."""
        self._threads.shutdown(wait=True)

    def take(self, size: int, *, alone: bool) -> None:
        """Take from the budget. Raises `Overloaded` over it, unless the request is the only one in flight."""
        if self.in_flight_bytes + size > self.max_in_flight_bytes and not alone:
            raise self.overloaded()
        self.in_flight_bytes += size

    def give(self, size: int) -> None:
        """Give back to the budget."""
        self.in_flight_bytes -= size

    def overloaded(self) -> Overloaded:
        """What a request is refused with that would be over the budget."""
        return Overloaded(f"more than {self.max_in_flight_bytes} bytes of requests in flight", self._retry_after())

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run long work on a body outside the event loop. Few at once: each may make a body of the largest size."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    async def accept(
        self, receiver: str, signal: Signal, body: bytes, encoding: Encoding, exchange: Exchange | None = None
    ) -> Outcome:
        """`receive` for a body that is at hand, decompressed."""

        async def read(reservation: Reservation) -> bytes:
            reservation.grow(len(body))
            return body

        return await self.receive(receiver, signal, encoding, read, exchange)

    async def keep(self, receiver: str, body: bytes, encoding: Encoding, exchange: Exchange | None = None) -> None:
        """`accept` log records until they are stored or refused for good, for clients that are made to wait."""
        shortest, longest = RETRY_SECONDS
        while True:
            outcome = await self.accept(receiver, "logs", body, encoding, exchange)
            if outcome.kind not in ("overloaded", "unavailable"):
                return
            await asyncio.sleep(min(max(outcome.retry_after or 0, shortest), longest))

    async def receive(
        self, receiver: str, signal: Signal, encoding: Encoding, read: Read, exchange: Exchange | None = None
    ) -> Outcome:
        """Read the body, check it and have it stored; returns after the commit.

        Whatever `read` and the rest raise becomes an outcome of the reply table. Only cancellation comes through: a
        payload whose reply nobody waits for any more may still be stored. Without `exchange` an equal payload is a
        resend wherever it comes from.
        """
        arrived = time.perf_counter()
        reservation = Reservation(self)
        commit: asyncio.Future[Receipt] | None = None
        try:
            if self._stopping:
                raise Unavailable("stopping; another instance may take it")
            body = await read(reservation)
            self._telemetry.add("sidecar_receiver_bytes_total", len(body), receiver=receiver, signal=signal)
            done = await self._transcoded(signal, body, encoding)
            self._count_repairs(receiver, signal, done)
            submission, outcome = self._submission(signal, body, encoding, done, exchange)
            del done
            del body  # What is stored may be another form of it; no need to hold both until the commit.
            if submission is not None:
                if exchange is None or submission.digest is None or exchange.key or encoding.recognised(signal):
                    commit = self.log.submit(submission)
                else:
                    commit = self._acknowledgements.submit(submission, exchange)
                # A client that goes away must not cancel the commit that others may share.
                await asyncio.shield(commit)
        except Exception as error:  # noqa: BLE001 - every error becomes a row of the reply table
            outcome = self._refusal(error, receiver)
            # It names this call, which names the future that names the error: payloads would wait for the collector.
            error.__traceback__ = None
        finally:
            if commit is not None and not commit.done():
                commit.add_done_callback(lambda _: reservation.release())
            else:
                reservation.release()
        self._telemetry.record(
            "sidecar_receiver_request_duration_seconds", time.perf_counter() - arrived, receiver=receiver
        )
        self._telemetry.add("sidecar_receiver_requests_total", receiver=receiver, signal=signal, outcome=outcome.kind)
        if outcome.kind == "unauthenticated":
            self._telemetry.add("sidecar_receiver_auth_failures_total", receiver=receiver)
        return outcome

    async def _transcoded(self, signal: Signal, body: bytes, encoding: Encoding) -> Transcoded:
        if len(body) > encoding.inline_bytes(signal, self.decoder):
            done = await self.in_thread(self._transcode, signal, body, encoding)
        else:
            done = self._transcode(signal, body, encoding)
        if not done.check.suspect:
            return done
        if len(done.payload) > PYTHON_INLINE_BYTES:
            return await self.in_thread(self._repair, signal, done)
        return self._repair(signal, done)

    def _transcode(self, signal: Signal, body: bytes, encoding: Encoding) -> Transcoded:
        return encoding.transcode(self.decoder, signal, body, time.time_ns(), self.resource_resolver.anonymous)

    def _count_repairs(self, receiver: str, signal: Signal, done: Transcoded) -> None:
        for reason, count in done.repairs.items():
            labels = {"receiver": receiver, "signal": signal, "reason": reason}
            self._telemetry.add("sidecar_receiver_repaired_total", count, **labels)
            if (receiver, signal, reason) not in self._repairs_logged:
                self._repairs_logged.add((receiver, signal, reason))
                _logger.warning("records_repaired", **labels)

    def _submission(
        self, signal: Signal, body: bytes, encoding: Encoding, done: Transcoded, exchange: Exchange | None
    ) -> tuple[Submission | None, Outcome]:
        """What to store, and what to say once it is; (None, outcome) where there is nothing to store."""
        check = done.check
        if check.items == 0:
            if check.rejected == 0:
                return None, replies.ACCEPTED
            return None, replies.invalid(f"all {check.rejected} records refused: {'; '.join(check.errors)}")
        if signal == "spans":
            self.resource_resolver.learn(done.payload)
        key = exchange.key if exchange is not None else ""
        digest = None
        if encoding.dedupe != "never" and (check.timed or key):
            digest = self.decoder.digest(body, self._seed_of(signal, encoding, key))
        submission = Submission(signal, done.payload, check.items, check.events, check.rejected, digest)
        if check.rejected == 0:
            return submission, replies.accepted(check.items)
        total = check.items + check.rejected
        message = f"{check.rejected} of {total} records refused: {'; '.join(check.errors)}"
        return submission, replies.partial(check.rejected, message, check.items, check.errors)

    def _repair(self, signal: Signal, done: Transcoded) -> Transcoded:
        """The payload as it is stored, with the check of that. Records that got their time here are not `timed`: a
        resend of them has another."""
        repair = Repair(signal, time.time_ns())
        payload = repair.request(done.payload)
        if payload is done.payload:
            return done
        repairs = dict(+repair.counts)
        found = encodings.check(self.decoder, signal, payload)
        return Transcoded(payload, replace(found, timed=found.timed and "no_time" not in repairs), repairs)

    def _seed_of(self, signal: Signal, encoding: Encoding, key: str) -> int:
        """The same bytes mean another payload under another signal, encoding or key of the client's."""
        if key:
            return _hashed(f"{self._seed}/{signal}/{encoding.name}/{key}")
        seed = self._seeds.get((signal, encoding.name))
        if seed is None:
            seed = _hashed(f"{self._seed}/{signal}/{encoding.name}")
            self._seeds[signal, encoding.name] = seed
        return seed

    def _retry_after(self) -> float:
        return self._log_retry_after() if self._log_retry_after is not None else replies.MIN_RETRY_SECONDS

    def _refusal(self, error: Exception, receiver: str) -> Outcome:
        match error:
            case Refused():
                return error.outcome
            case Unauthenticated():
                return replies.unauthenticated(str(error))
            case TooLarge():
                return replies.too_large(str(error))
            case DecodeError():
                return replies.invalid(str(error))
            case Overloaded():
                return replies.overloaded(str(error), error.retry_after)
            case Unavailable():
                return replies.unavailable(str(error), error.retry_after)
        # A fault of ours: the client keeps the payload and sends it again, to this version or a fixed one.
        _logger.error("request_failed", receiver=receiver, exc_info=error)
        return replies.unavailable("internal fault; the program's log has it")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
