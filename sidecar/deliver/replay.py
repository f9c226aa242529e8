"""Dead letters as people read them, and sending them again once what made the destination refuse them was fixed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sidecar.deliver.sink import ReplayableSink
from sidecar.errors import Retryable
from sidecar.journal.dead_letters import DeadLetters, StoredDeadLetter
from sidecar.pipeline import DeadLetter

MAX_BATCH = 500
"""Dead letters prepared at once."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one batch of dead letters."""

    accepted: Sequence[DeadLetter]
    """Stored by the destination now, or already before: delete them."""
    rejected: Sequence[DeadLetter]
    """Refused again, with the reason of this time."""


def replay(dead_letters: Iterable[DeadLetter], sink: ReplayableSink[Any]) -> Iterator[Replayed]:
    """Send what the dead letters hold again, batch by batch, so that the caller can delete as it goes.

    Raises `Retryable` where the destination cannot take them now; what was not given before that is as it was.
    """
    remaining = iter(dead_letters)
    while batch := list(islice(remaining, MAX_BATCH)):
        yield _replay_batch(batch, sink)


def replay_stored(dead_letters: DeadLetters, name: str, sink: ReplayableSink[Any]) -> Iterator[Replayed]:
    """Send the dead letters of the sink of that name again, oldest first, batch by batch: what is accepted is deleted,
    of the others the new reason is noted. Raises `Retryable` as `replay` does."""
    for stored in _batches(dead_letters.iterate(name)):
        numbers = {s.dead_letter.doc_id: s.id for s in stored}
        for batch in replay((s.dead_letter for s in stored), sink):
            dead_letters.delete(numbers[dead_letter.doc_id] for dead_letter in batch.accepted)
            for dead_letter in batch.rejected:
                dead_letters.renew(numbers[dead_letter.doc_id], dead_letter.reason)
            yield batch


def _batches(stored: Iterator[StoredDeadLetter]) -> Iterator[list[StoredDeadLetter]]:
    while batch := list(islice(stored, MAX_BATCH)):
        yield batch


def time_text(dead_letter: DeadLetter) -> str:
    """When it was refused, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(dead_letter.time_ns / 1e9))


def as_record(number: int, dead_letter: DeadLetter) -> dict[str, Any]:
    """The dead letter as a JSON object: `document` is the document, or `payload` the OTLP payload in base64 where the
    sink delivers those."""
    record: dict[str, Any] = {
        "id": number,
        "time": time_text(dead_letter),
        "sink": dead_letter.consumer,
        "signal": dead_letter.signal,
        "index": dead_letter.index,
        "document_id": dead_letter.doc_id,
        "reason": dead_letter.reason,
        "entry": dead_letter.seq,
    }
    action, _, source = dead_letter.document.partition(b"\n")
    try:
        if not action.startswith(b'{"create":'):
            raise ValueError("not a line pair")
        return record | {"document": json.loads(source)}
    except (ValueError, RecursionError):
        return record | {"payload": base64.b64encode(dead_letter.document).decode("ascii")}


def _replay_batch(dead_letters: list[DeadLetter], sink: ReplayableSink[Any]) -> Replayed:
    waiting = list(sink.prepare_dead_letters(dead_letters))
    rejected: dict[int, DeadLetter] = {}
    while waiting:
        result = sink.send(waiting.pop())
        for settled in result.settled:
            for dead_letter in settled.dead:
                rejected[settled.seq] = dead_letter
        if result.retry is not None:
            if not result.retry.immediately:
                raise Retryable(f"{result.retry.reason}: {result.retry.detail}", result.retry.retry_after)
            waiting += reversed(result.retry.batches)
    return Replayed(
        accepted=[dead_letter for row, dead_letter in enumerate(dead_letters) if row not in rejected],
        rejected=[_renewed(dead_letters[row], new) for row, new in sorted(rejected.items())],
    )


def _renewed(dead_letter: DeadLetter, new: DeadLetter) -> DeadLetter:
    return replace(dead_letter, reason=new.reason, time_ns=new.time_ns)
