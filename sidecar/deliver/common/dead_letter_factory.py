"""Documents that a destination refuses for good, as dead letters."""

from __future__ import annotations

from sidecar.deliver.common.documents import Documents, address
from sidecar.deliver.sink import ItemResult
from sidecar.pipeline import Clock, DeadLetter

MAX_REASON_CHARS = 2000
"""Characters kept of a destination's reason for a refusal."""


class DeadLetterFactory:
    """Makes the dead letters of one sink."""

    def __init__(self, sink: str, clock: Clock) -> None:
        self._sink, self._clock = sink, clock

    def of(self, documents: Documents, index: int, kind: str, reason: str) -> ItemResult:
        """One document as a dead letter, counted under the label `kind`; `reason` is for people. What is kept is the
        document as it was before any of its fields was moved."""
        entry = documents.entries[int(documents.entry[index])]
        line_pair = documents.document(index)
        name, doc_id = address(line_pair)
        line_pair = documents.before.get(doc_id, line_pair)
        signal = documents.signal(index)
        dead_letter = DeadLetter(
            self._sink, doc_id, signal, name, reason[:MAX_REASON_CHARS], line_pair, entry.seq, self._clock()
        )
        return ItemResult(entry.seq, {(signal, "dead_lettered", kind): 1}, [dead_letter])
