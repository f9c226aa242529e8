"""A log and a decoder for tests of the way in: what they answer is set by the test."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sidecar.decode.api import Check, Transcoded
from sidecar.journal.submission import Receipt, Submission
from sidecar.receive.ingest import Ingest, IngestOptions
from sidecar.telemetry import TABLE, Telemetry


class FakeLog:
    """Submissions in a list; `error` is raised by `submit`, `late_error` by its future, `gate` holds commits back."""

    id = "00000000000000aa"

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.error: Exception | None = None
        self.late_error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.submitted = 0
        self.forgotten: list[int] = []

    def submit(self, submission: Submission) -> asyncio.Future[Receipt]:
        self.submitted += 1
        if self.error is not None:
            raise self.error
        return asyncio.ensure_future(self._commit(submission))

    async def _commit(self, submission: Submission) -> Receipt:
        if self.gate is not None:
            await self.gate.wait()
        if self.late_error is not None:
            raise self.late_error
        self.submissions.append(submission)
        return Receipt(len(self.submissions))

    def append(self, submission: Submission) -> concurrent.futures.Future[Receipt]:
        raise NotImplementedError

    def acknowledged(self, digest: bytes, seqs: Sequence[int]) -> None:
        self.forgotten += seqs

    def checkpoints(self, prefix: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for submission in self.submissions:
            found.update({k: v for k, v in submission.checkpoints.items() if v is not None})
        return {k: v for k, v in found.items() if k.startswith(prefix)}

    def consumer(self, name: str, signals: frozenset[Any]) -> Any:
        raise NotImplementedError

    def head(self) -> int:
        return len(self.submissions)

    def retry_after(self) -> float:
        return 7.25

    def close(self) -> None:
        return None


class FakeDecoder:
    """Gives `check` for whatever it is asked, or raises `error`."""

    name = "native"

    def __init__(self, check: Check | None = None, error: Exception | None = None) -> None:
        self.check = check if check is not None else Check(items=2, events=1, timed=True)
        self.error = error
        self.digests: list[tuple[bytes, int]] = []

    def check_spans(self, payload: bytes) -> Check:
        if self.error is not None:
            raise self.error
        return self.check

    check_logs = check_spans

    def json_lines(self, body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
        return Transcoded(b"transcoded " + body, self.check_logs(body))

    def digest(self, payload: bytes, seed: int) -> bytes:
        self.digests.append((payload, seed))
        return seed.to_bytes(8, "big") + len(payload).to_bytes(8, "big")


class Counted:
    """The program's own metrics, readable."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values (in the order of the table; by name where a library measures) -> value or sum of a histogram."""
        labels = next((metric.labels for metric in TABLE if metric.name == name), None)
        return {
            tuple(sample.labels[label] for label in labels or sorted(sample.labels)): sample.value
            for family in self.telemetry.collect()
            for sample in family.samples
            if sample.name in (name, f"{name}_sum")
        }


@contextmanager
def ingest_of(
    log: Any = None, decoder: Any = None, max_in_flight_bytes: int = 64 << 20
) -> Iterator[tuple[Ingest, Counted]]:
    """An ingest with fakes where nothing else is given."""
    counted = Counted()
    options = IngestOptions(max_in_flight_bytes=max_in_flight_bytes)
    ingest = Ingest(decoder or FakeDecoder(), log or FakeLog(), counted.telemetry, options, seed=1)
    try:
        yield ingest, counted
    finally:
        ingest.close()
