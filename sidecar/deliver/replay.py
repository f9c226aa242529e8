"""Dead letters as people read them, and sending them again after what made the destination refuse them was mended."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from sidecar.deliver.elasticsearch.bulk import Documents, EntryRef
from sidecar.deliver.otlp.requests import Part, Request
from sidecar.deliver.sink import SendResult
from sidecar.errors import Retryable
from sidecar.pipeline import DeadLetter, Signal

BATCH = 500
"""Letters sent as one request."""

_ANY_NUMBER = 1 << 40
"""Records of a payload, which the letter does not tell and nothing counts here."""

Send = Callable[[Any], SendResult[Any]]
"""`Sink.send` of the sink that the letters are of."""
Batches = Callable[[Sequence[DeadLetter]], Sequence[Any]]
"""Letters to what such a sink sends; a letter's row in the batch stands for its sequence number, as letters of several
journals may share one."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one batch of letters."""

    taken: Sequence[DeadLetter]
    """Kept by the destination now, or already before: delete them."""
    refused: Sequence[DeadLetter]
    """Refused again, with the reason of this time."""


def replay(letters: Iterable[DeadLetter], send: Send, batches: Batches | None = None) -> Iterator[Replayed]:
    """Send what the letters hold again, batch by batch, so that the caller can delete as it goes.

    Raises `Retryable` where the destination cannot take them now; what was not given before that is as it was.
    """
    remaining = iter(letters)
    while batch := list(islice(remaining, BATCH)):
        yield _replay_batch(batch, send, batches or document_batches)


def time_text(letter: DeadLetter) -> str:
    """When it was refused, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(letter.time_ns / 1e9))


def as_record(number: int, letter: DeadLetter) -> dict[str, Any]:
    """The letter as a JSON object: `document` is the document, or `payload` the OTLP payload in base64 where the sink
    delivers those."""
    record: dict[str, Any] = {
        "id": number,
        "time": time_text(letter),
        "sink": letter.consumer,
        "signal": letter.signal,
        "index": letter.index,
        "document_id": letter.doc_id,
        "reason": letter.reason,
        "entry": letter.seq,
    }
    action, _, source = letter.document.partition(b"\n")
    try:
        if not action.startswith(b'{"create":'):
            raise ValueError("not a line pair")
        return record | {"document": json.loads(source)}
    except (ValueError, RecursionError):
        return record | {"payload": base64.b64encode(letter.document).decode("ascii")}


def _replay_batch(batch: list[DeadLetter], send: Send, batches: Batches) -> Replayed:
    waiting = list(batches(batch))
    refused: dict[int, DeadLetter] = {}
    while waiting:
        verdict = send(waiting.pop())
        for settled in verdict.settled:
            for letter in settled.dead:
                refused[settled.seq] = letter
        if verdict.retry is not None:
            if not verdict.retry.immediately:
                raise Retryable(f"{verdict.retry.reason}: {verdict.retry.detail}", verdict.retry.retry_after)
            waiting += reversed(verdict.retry.batches)
    return Replayed(
        taken=[letter for row, letter in enumerate(batch) if row not in refused],
        refused=[_renewed(batch[row], again) for row, again in sorted(refused.items())],
    )


def document_batches(batch: Sequence[DeadLetter]) -> list[Documents]:
    """Letters that are line pairs as one request."""
    signals: dict[str, Signal] = {"spans": "spans", "span_events": "spans", "logs": "logs"}
    documents = Documents(
        body=b"".join(letter.document for letter in batch),
        ends=np.cumsum([len(letter.document) for letter in batch], dtype=np.uint32),
        entry=np.arange(len(batch), dtype=np.uint32),
        event=np.array([letter.signal == "span_events" for letter in batch], dtype=np.uint8),
        entries=tuple(EntryRef(row, signals[letter.signal]) for row, letter in enumerate(batch)),
    )
    return [documents]


def otlp_batches(batch: Sequence[DeadLetter]) -> list[Request]:
    """Letters that are OTLP payloads, each as a request of its own."""
    signals: dict[str, Signal] = {"spans": "spans", "logs": "logs", "metrics": "metrics"}
    return [
        Request(signals[letter.signal], letter.document, (Part(row, len(letter.document), _ANY_NUMBER, 0),))
        for row, letter in enumerate(batch)
    ]


def _renewed(letter: DeadLetter, retry: DeadLetter) -> DeadLetter:
    return DeadLetter(
        letter.consumer,
        letter.doc_id,
        letter.signal,
        letter.index,
        retry.reason,
        letter.document,
        letter.seq,
        retry.time_ns,
    )
