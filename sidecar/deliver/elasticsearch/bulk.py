"""What the replies of `_bulk` say of the documents. No I/O.

Source of the rules: the reference of the Bulk API (Elasticsearch 8 and 9, OpenSearch 2 and 3), section "Response
body", and the error types seen on those engines. Every document is sent as `create` with a deterministic `_id`, so
that sending it retry is always safe: what was already stored answers 409.

| the engine says | what becomes of the document |
|---|---|
| item 200, 201 | delivered |
| item 409 | already there: success |
| item 429 | sent again after a back-off, in halves, with fewer requests in flight |
| item `fail_processor_exception` (500) | dead letter: the ingest pipeline refuses this document |
| item any other 5xx, `cluster_block_exception`, no such pipeline | sent again, alone, after a back-off |
| item 400 for an array among attributes (OpenSearch 3) | sent again at once with its elements apart |
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
from typing import Any, Final

import numpy as np

from sidecar.deliver.common.dead_letter_factory import MAX_REASON_CHARS, DeadLetterFactory
from sidecar.deliver.common.documents import Documents, address, pick, pick_rows, results_for_all, split_in_half
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch import arrays, conflicts
from sidecar.deliver.sink import Retry, SendResult
from sidecar.pipeline import Clock

SMALLEST_HALF = 32 << 10
"""A request that met 429 is not cut into halves smaller than this many bytes."""

_ALL_WELL = re.compile(rb'\s*\{(?:\s*"took"\s*:\s*\d+\s*,)?\s*"errors"\s*:\s*false\b')
_NO_PIPELINE: Final = "pipeline with id ["
_REFUSED_BY_PIPELINE: Final = "fail_processor_exception"
"""By a processor `fail`, which somebody put there for such documents. Its status is 500."""
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

ITEM_BUSY = "item_429"
"""Reason of a retry: the engine is too busy for some of the documents."""
CONFLICT_AS_TEXT = "conflict_as_text"
"""Reason in the counts of documents that were delivered with a field moved to text."""

DELIVERED, ALREADY_THERE, RETRY, DEAD = range(4)


def _smaller(documents: Documents) -> list[Documents]:
    """In halves, where the engine was busy: one request may be more than its whole budget for indexing (or, where it
    refuses the items, than what the same bytes leave of it), and as it is would never be taken."""
    large = len(documents) > 1 and len(documents.body) >= 2 * SMALLEST_HALF
    return split_in_half(documents) if large else [documents]


def _without_fields(documents: Documents, moved: Mapping[int, bytes]) -> Documents:
    """The documents at these places with fields moved to text, and what they were before."""
    before = {}
    for index in moved:
        line_pair = documents.document(index)
        doc_id = address(line_pair)[1]
        before[doc_id] = documents.before.get(doc_id, line_pair)
    return _replaced(documents, moved, before)


def _replaced(documents: Documents, replacements: Mapping[int, bytes], before: Mapping[str, bytes]) -> Documents:
    """The documents at these places, each as it is to be sent now."""
    chosen = np.asarray(list(replacements), dtype=np.intp)
    return Documents(
        body=b"".join(replacements.values()),
        ends=np.cumsum([len(pair) for pair in replacements.values()], dtype=np.uint32),
        entry=documents.entry[chosen],
        event=documents.event[chosen],
        entries=documents.entries,
        before=before,
    )


class ResponseClassifier:
    """What became of documents, by the reply to the request that they were in."""

    def __init__(self, sink: str, clock: Clock, conflicts_to_text: bool = False) -> None:
        """`sink`: the name that dead letters carry. `conflicts_to_text`: send a document again with the field that the
        engine refuses moved to text."""
        self._dead_letters, self._conflicts_to_text = DeadLetterFactory(sink, clock), conflicts_to_text

    def classify_response(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        """What became of the documents of one request. Pure but for the time put on dead letters."""
        if 200 <= reply.status < 300:
            return self._items(documents, reply)
        if reply.status in (400, 413):
            return self._too_much(documents, reply)
        if reply.status == 429:
            return SendResult(retry=_retry(_smaller(documents), reply, backpressure=True))
        if reply.is_temporary:
            return SendResult(retry=_retry([documents], reply, backpressure=True))
        return SendResult(retry=_retry([documents], reply, level="error"))

    def _items(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        as_text = CONFLICT_AS_TEXT if documents.before else ""
        if _ALL_WELL.match(reply.body):
            return SendResult(settled=results_for_all(documents, "delivered", as_text))
        items = _read_items(reply.body)
        if items is None or len(items) != len(documents):
            detail = f"not a reply to {len(documents)} documents: {_text(reply.body)}"
            return SendResult(retry=Retry([documents], "unreadable_reply", detail))
        rows: list[list[int]] = [[], [], [], []]
        refused: list[tuple[int, str, str]] = []
        spread: dict[int, bytes] = {}
        moved: dict[int, bytes] = {}
        waiting: tuple[str, str] = ("", "")
        for index, item in enumerate(items):
            status, kind, reason = _read_item(item)
            end = _end(status, kind, reason)
            if end == DEAD and status == 400:
                line_pair = documents.document(index)
                if changed := arrays.spread_arrays(line_pair, reason):
                    spread[index] = changed
                    continue
                if self._conflicts_to_text and (changed := conflicts.move_field(line_pair, reason)):
                    moved[index] = changed
                    continue
            rows[end].append(index)
            if end == DEAD:
                refused.append((index, kind, reason))
            elif end == RETRY and not waiting[0]:
                waiting = (f"item_{status}" if 100 <= status < 600 else "unreadable_reply", reason)
        settled = results_for_all(pick_rows(documents, rows[DELIVERED]), "delivered", as_text)
        settled += results_for_all(pick_rows(documents, rows[ALREADY_THERE]), "already_there")
        settled += [self._dead_letters.of(documents, *one) for one in refused]
        changed_ones = [_replaced(documents, spread, documents.before)] if spread else []
        changed_ones += [_without_fields(documents, moved)] if moved else []
        if not rows[RETRY]:
            again = Retry(changed_ones, "mapping_conflict", immediately=True) if changed_ones else None
            return SendResult(settled, again)
        left, busy = pick(documents, rows[RETRY]), waiting[0] == ITEM_BUSY
        batches = _smaller(left) if busy else [left]
        return SendResult(
            settled,
            Retry([*batches, *changed_ones], waiting[0], waiting[1], retry_after=reply.retry_after, backpressure=busy),
        )

    def _too_much(self, documents: Documents, reply: Reply) -> SendResult[Documents]:
        """The request as a whole is too large (413) or holds something that cannot be read (400)."""
        kind, reason = _read_error(reply.body)
        if len(documents) > 1:
            return SendResult(retry=Retry(split_in_half(documents), f"http_{reply.status}", reason, immediately=True))
        kind = kind or ("request_too_large" if reply.status == 413 else "bad_request")
        return SendResult(settled=[self._dead_letters.of(documents, 0, kind, reason or f"{kind}: HTTP {reply.status}")])


def _retry(batches: Sequence[Documents], reply: Reply, **how: Any) -> Retry[Documents]:
    reason = "credentials" if reply.status in (401, 403) else f"http_{reply.status}"
    detail = _read_error(reply.body)[1] or _text(reply.body)
    return Retry(batches, reason, detail, retry_after=reply.retry_after, **how)


def _end(status: int, kind: str, reason: str) -> int:
    if status in (200, 201):
        return DELIVERED
    if status == 409:
        return ALREADY_THERE
    if kind == _REFUSED_BY_PIPELINE:
        return DEAD
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
