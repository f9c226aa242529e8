"""The `_bulk` protocol without I/O: documents to requests, replies to verdicts.

Source of the rules: the reference of the Bulk API (Elasticsearch 8 and 9, OpenSearch 2 and 3), section "Response
body", and the error types seen on those engines. Every document is sent as `create` with a deterministic `_id`, so
that sending it retry is always safe: what was already stored answers 409.

| the engine says | what becomes of the document |
|---|---|
| item 200, 201 | delivered |
| item 409 | already there: success |
| item 429 | sent again after a back-off, in halves, with fewer requests in flight |
| item 5xx, `cluster_block_exception`, no such pipeline | sent again, alone, after a back-off |
| item 400 for a field that does not fit the mapping | sent again at once with that field as text, if so wanted |
| item any other 4xx | dead letter, with the engine's reason |
| request 413, 400 | cut in two and sent again at once; a single document becomes a dead letter |
| request 429 | sent again after a back-off, in halves, with fewer requests in flight |
| request 408, 5xx | sent again after a back-off, with fewer requests in flight |
| request 401, 403 | sent again after a back-off; ERROR, an operator has to act |
| request anything else | not an answer of `_bulk` (wrong address, a proxy): as 401 |
| unreadable or short reply | sent again after a back-off |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sidecar.decode.api import U8, U32, Lines
from sidecar.deliver.elasticsearch import conflicts
from sidecar.deliver.sink import ItemResult, Retry, SendResult
from sidecar.errors import Retryable
from sidecar.pipeline import Clock, DeadLetter, Entry, Signal

Buffer = bytes | memoryview

SMALLEST_HALF = 32 << 10
"""A request that met 429 is not cut into halves smaller than this many bytes."""

MAX_REASON_CHARS = 2000
"""Characters kept of an engine's reason for a refusal."""

_ALL_WELL = re.compile(rb'\s*\{(?:\s*"took"\s*:\s*\d+\s*,)?\s*"errors"\s*:\s*false\b')
_NO_PIPELINE: Final = "pipeline with id ["
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

ITEM_BUSY = "item_429"
"""Reason of a retry: the engine is too busy for some of the documents."""
CONFLICT_AS_TEXT = "conflict_as_text"
"""Reason in the counts of documents that were delivered with a field moved to text."""

DELIVERED, ALREADY_THERE, RETRY, DEAD = range(4)


@dataclass(frozen=True, slots=True)
class EntryRef:
    """The entry that documents came from."""

    seq: int
    signal: Signal


@dataclass(frozen=True, slots=True)
class Documents:
    """A run of documents, ready to be sent as one request."""

    body: Buffer
    """`_bulk` line pairs."""
    ends: U32
    """End offset in `body` of each document."""
    entry: U32
    """Row of `entries` for each document."""
    event: U8
    """1 where the document is a span event."""
    entries: tuple[EntryRef, ...]
    before: Mapping[str, bytes] = field(default_factory=dict)
    """`_id` -> the line pair as it was, of documents with a field moved to text; where it is not empty, all are."""

    def __len__(self) -> int:
        return len(self.ends)

    def document(self, index: int) -> bytes:
        """The line pair of one document."""
        begin = int(self.ends[index - 1]) if index else 0
        return bytes(self.body[begin : int(self.ends[index])])

    def signal(self, index: int) -> str:
        """Ledger signal of one document."""
        return "span_events" if self.event[index] else self.entries[int(self.entry[index])].signal


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answered."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    """Seconds."""


class Unreached(Retryable):
    """No usable reply. `reason` is the label of the retry counter (one of a small set), `detail` says more."""

    def __init__(self, reason: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after)
        self.detail = detail


def collect(lines: Lines, entries: Sequence[Entry]) -> Documents:
    """The documents of `entries`, rendered as `lines` in the same order."""
    return Documents(
        body=lines.body,
        ends=lines.ends,
        entry=np.repeat(np.arange(len(entries), dtype=np.uint32), lines.docs),
        event=lines.event,
        entries=tuple(EntryRef(e.seq, e.signal) for e in entries),
    )


def split(documents: Documents, max_bytes: int, max_documents: int) -> list[Documents]:
    """Runs of at most `max_bytes` and `max_documents` each, without copying; one document may be larger alone."""
    count = len(documents)
    if count == 0:
        return []
    if count <= max_documents and int(documents.ends[-1]) <= max_bytes:
        return [documents]
    parts, first, begin = [], 0, 0
    while first < count:
        last = int(np.searchsorted(documents.ends, begin + max_bytes, side="right"))
        last = min(max(last, first + 1), first + max_documents, count)
        parts.append(_run(documents, first, last))
        begin, first = int(documents.ends[last - 1]), last
    return parts


def _run(documents: Documents, first: int, last: int) -> Documents:
    begin = int(documents.ends[first - 1]) if first else 0
    return Documents(
        body=memoryview(documents.body)[begin : int(documents.ends[last - 1])],
        ends=documents.ends[first:last] - np.uint32(begin),
        entry=documents.entry[first:last],
        event=documents.event[first:last],
        entries=documents.entries,
        before=documents.before,
    )


def split_in_half(documents: Documents) -> list[Documents]:
    """Two runs of as many documents each, without copying. There must be two documents at least."""
    half = len(documents) // 2
    return [_run(documents, 0, half), _run(documents, half, len(documents))]


def _smaller(documents: Documents) -> list[Documents]:
    """In halves, where the engine was busy: one request may be more than its whole budget for indexing (or, where it
    refuses the items, than what the same bytes leave of it), and as it is would never be taken."""
    large = len(documents) > 1 and len(documents.body) >= 2 * SMALLEST_HALF
    return split_in_half(documents) if large else [documents]


def pick(documents: Documents, indices: Sequence[int]) -> Documents:
    """Some of the documents as a request of their own (copied: what surrounded them can be let go)."""
    chosen = np.asarray(indices, dtype=np.intp)
    parts = [documents.document(i) for i in indices]
    return Documents(
        body=b"".join(parts),
        ends=np.cumsum([len(p) for p in parts], dtype=np.uint32),
        entry=documents.entry[chosen],
        event=documents.event[chosen],
        entries=documents.entries,
        before=documents.before,
    )


def _replaced(documents: Documents, replacements: Mapping[int, bytes]) -> Documents:
    """The documents at these places, each as it is to be sent now."""
    chosen = np.asarray(list(replacements), dtype=np.intp)
    before = {}
    for index in replacements:
        line_pair = documents.document(index)
        doc_id = address(line_pair)[1]
        before[doc_id] = documents.before.get(doc_id, line_pair)
    return Documents(
        body=b"".join(replacements.values()),
        ends=np.cumsum([len(pair) for pair in replacements.values()], dtype=np.uint32),
        entry=documents.entry[chosen],
        event=documents.event[chosen],
        entries=documents.entries,
        before=before,
    )


def results_for_all(documents: Documents, outcome: str, reason: str = "") -> list[ItemResult]:
    """Every document came to the same end."""
    rows = documents.entry.astype(np.int64) * 2 + documents.event
    counts = np.bincount(rows, minlength=2 * len(documents.entries)).tolist()
    settled = []
    for row, origin in enumerate(documents.entries):
        own: dict[tuple[str, str, str], int] = {}
        if counts[2 * row]:
            own[(origin.signal, outcome, reason)] = counts[2 * row]
        if counts[2 * row + 1]:
            own[("span_events", outcome, reason)] = counts[2 * row + 1]
        if own:
            settled.append(ItemResult(origin.seq, own))
    return settled


class ResponseClassifier:
    """Replies to verdicts, for one consumer (whose name the dead letters carry)."""

    def __init__(self, consumer: str, clock: Clock, conflicts_to_text: bool = False) -> None:
        """`conflicts_to_text`: send a document again with the field that the engine refuses moved to text."""
        self._consumer, self._clock, self._conflicts_to_text = consumer, clock, conflicts_to_text

    def classify_response(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        """What became of the documents of one request. Pure but for the time put on dead letters."""
        if 200 <= reply.status < 300:
            return self._items(documents, reply)
        if reply.status in (400, 413):
            return self._too_much(documents, reply)
        if reply.status == 429:
            return SendResult(retry=_again(_smaller(documents), reply, backpressure=True))
        if reply.status == 408 or reply.status >= 500:
            return SendResult(retry=_again([documents], reply, backpressure=True))
        return SendResult(retry=_again([documents], reply, level="error"))

    def _items(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        as_text = CONFLICT_AS_TEXT if documents.before else ""
        if _ALL_WELL.match(reply.body):
            return SendResult(settled=results_for_all(documents, "delivered", as_text))
        items = _read_items(reply.body)
        if items is None or len(items) != len(documents):
            detail = f"not a reply to {len(documents)} documents: {_text(reply.body)}"
            return SendResult(retry=Retry([documents], "unreadable_reply", detail))
        ends: list[list[int]] = [[], [], [], []]
        letters: list[tuple[int, str, str]] = []
        relieved: dict[int, bytes] = {}
        waiting: tuple[str, str] = ("", "")
        for index, item in enumerate(items):
            status, kind, reason = _read_item(item)
            end = _end(status, kind, reason)
            if end == DEAD and self._conflicts_to_text and status == 400:
                changed = conflicts.move_field(documents.document(index), reason)
                if changed is not None:
                    relieved[index] = changed
                    continue
            ends[end].append(index)
            if end == DEAD:
                letters.append((index, kind, reason))
            elif end == RETRY and not waiting[0]:
                waiting = (f"item_{status}" if 100 <= status < 600 else "unreadable_reply", reason)
        settled = results_for_all(pick_rows(documents, ends[DELIVERED]), "delivered", as_text)
        settled += results_for_all(pick_rows(documents, ends[ALREADY_THERE]), "already_there")
        settled += [self._dead(documents, *letter) for letter in letters]
        mended = [_replaced(documents, relieved)] if relieved else []
        if not ends[RETRY]:
            return SendResult(settled, Retry(mended, "mapping_conflict", immediately=True) if mended else None)
        left, busy = pick(documents, ends[RETRY]), waiting[0] == ITEM_BUSY
        batches = _smaller(left) if busy else [left]
        return SendResult(
            settled,
            Retry([*batches, *mended], waiting[0], waiting[1], retry_after=reply.retry_after, backpressure=busy),
        )

    def _too_much(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        """The request as a whole is too large (413) or holds something that cannot be read (400)."""
        kind, reason = _read_error(reply.body)
        if len(documents) > 1:
            return SendResult(retry=Retry(split_in_half(documents), f"http_{reply.status}", reason, immediately=True))
        kind = kind or ("request_too_large" if reply.status == 413 else "bad_request")
        return SendResult(settled=[self._dead(documents, 0, kind, reason or f"{kind}: HTTP {reply.status}")])

    def _dead(self, documents: Documents, index: int, kind: str, reason: str) -> ItemResult:
        origin = documents.entries[int(documents.entry[index])]
        line_pair = documents.document(index)
        name, doc_id = address(line_pair)
        line_pair = documents.before.get(doc_id, line_pair)
        signal = documents.signal(index)
        letter = DeadLetter(
            self._consumer, doc_id, signal, name, reason[:MAX_REASON_CHARS], line_pair, origin.seq, self._clock()
        )
        return ItemResult(origin.seq, {(signal, "dead_lettered", kind): 1}, [letter])


def pick_rows(documents: Documents, indices: Sequence[int]) -> Documents:
    """The columns of some of the documents without their bytes: enough for counting."""
    chosen = np.asarray(indices, dtype=np.intp)
    return Documents(b"", documents.ends[chosen], documents.entry[chosen], documents.event[chosen], documents.entries)


def address(line_pair: bytes) -> tuple[str, str]:
    """(`_index`, `_id`) of a `_bulk` line pair."""
    action = json.loads(line_pair[: line_pair.index(b"\n")])
    target = action["create"]
    return str(target["_index"]), str(target["_id"])


def _again(batches: Sequence[Documents], reply: Reply, **how: Any) -> Retry[Documents]:
    reason = "credentials" if reply.status in (401, 403) else f"http_{reply.status}"
    detail = _read_error(reply.body)[1] or _text(reply.body)
    return Retry(batches, reason, detail, retry_after=reply.retry_after, **how)


def _end(status: int, kind: str, reason: str) -> int:
    if status in (200, 201):
        return DELIVERED
    if status == 409:
        return ALREADY_THERE
    of_cluster = kind == "cluster_block_exception" or _NO_PIPELINE in reason
    if 400 <= status < 500 and status != 429 and not of_cluster:
        return DEAD
    return RETRY


def _read_items(body: bytes) -> list[Any] | None:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    items = reply.get("items") if isinstance(reply, dict) else None
    return items if isinstance(items, list) else None


def _read_item(item: Any) -> tuple[int, str, str]:
    """(status, error type, `type: reason`); status 0 where the item is not one."""
    outcome = next(iter(item.values()), None) if isinstance(item, dict) else None
    if not isinstance(outcome, dict) or not isinstance(outcome.get("status"), int):
        return 0, "", _text(repr(item).encode())
    return (outcome["status"], *_explain(outcome.get("error")))


def _read_error(body: bytes) -> tuple[str, str]:
    """(type, `type: reason`) of an error reply to a whole request; empty where it has none."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    return _explain(reply.get("error")) if isinstance(reply, dict) and reply.get("error") else ("", "")


def _explain(error: Any) -> tuple[str, str]:
    """An engine's error object as (label, text); the text goes down the chain of causes."""
    if not isinstance(error, dict):
        return "unknown", _text(str(error).encode())
    kind = str(error.get("type", ""))
    texts = list(_causes(error))
    return (kind if _TYPE.fullmatch(kind) else "unknown"), "; caused by ".join(texts)[:MAX_REASON_CHARS]


def _causes(error: dict[str, Any]) -> Iterable[str]:
    cause: Any = error
    for _ in range(4):
        if not isinstance(cause, dict):
            return
        yield f"{cause.get('type', 'unknown')}: {cause.get('reason', '')}"
        cause = cause.get("caused_by")


def _text(body: bytes) -> str:
    """The beginning of a reply, for the log."""
    return body[:300].decode("utf-8", "replace")
