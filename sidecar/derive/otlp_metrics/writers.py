"""What the writers of one OTLP series say, brought together.

Processes that are one target to Prometheus (workers of a server with one instance id, pods without one) write the same
series, each counting from its own start time: what they say adds up. A process that is started again is a new writer,
and a counter goes on from what the one before it had counted. What adds up are sums and histograms; of gauges the
latest point counts.

Attribute sets that differ but become the same labels (`a.b` and `a_b`, 1 and "1") are writers of their own too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sidecar.decode.otlp.metrics import Data, Number
from sidecar.derive.otlp_metrics.points import added, amount, pack, size, summed, unpack, with_amount
from sidecar.derive.sums import plus, rounded

MAX_WRITERS = 64
"""Writers of one series that are kept apart. Of more the one that is silent for longest is folded into the rest."""
SILENT_NS = 120 * 10**9
"""A writer that has said something since is not folded: what it says next would count twice."""
GONE_NS = 300 * 10**9
"""After so long the value of a writer is no longer part of a sum that may fall, if others still write."""

_FORK = "/fork"

Key = tuple[str, int]
"""(attributes and scope as they were, start time in Unix ns)."""


@dataclass(slots=True)
class Writer:
    data: Data
    time: int
    """Of its latest point; Unix ns, 0 where the client sent none."""
    seen: int
    """When that came; Unix ns."""


@dataclass(slots=True)
class Writers:
    """The writers of one series whose values add up."""

    falls: bool
    """It is a sum that may fall."""
    by_key: dict[Key, Writer] = field(default_factory=dict)
    rest: Data | None = None
    """Delta points and writers that were folded, added up."""
    exactly: int | float = 0
    """The amount of the rest, see `sums`."""

    def data(self) -> Data:
        """What they say together. There has to be something."""
        rest = [] if self.rest is None else [self.rest]
        alive = [writer.data for key, writer in self.by_key.items() if not self._replaced(key, writer)]
        return summed([*rest, *alive])

    def key(self, stream: str, start: int, time: int, resource: str) -> Key:
        """The writer that a point is from. Without a start time (none, or the point's own time, as the specification
        has it where that is not known) it is the latest one of these attributes."""
        if start and start != time:
            return stream, start
        of_stream = [key for key in self.by_key if key[0] == stream] if start else []
        latest = max(of_stream, key=lambda key: self.by_key[key].time, default=None)
        key = (stream, start) if start else (f"{stream}/{resource}", 0)
        if latest is not None and latest != key:
            self.by_key[key] = self.by_key.pop(latest)
        return key

    def forked(self, key: Key, data: Data, time: int) -> Key:
        """The writer among those of one key. Processes forked after the first measurement have one start time; a count
        does not fall, so one that does is another process's. Which of them a count is from cannot be known: it is
        taken for the one that said the most of those that said no more, so that the sum never exceeds all that is
        said and does not fall."""
        lanes = [known for known in self.by_key if known[1] == key[1] and known[0].partition(_FORK)[0] == key[0]]
        if self.falls or not key[1] or not lanes:
            return key
        earlier = [known for known in lanes if not time or self.by_key[known].time <= time]
        fits = [known for known in earlier if not _less(data, self.by_key[known].data)]
        if fits:
            return max(fits, key=lambda known: _count(self.by_key[known].data))
        return (f"{key[0]}{_FORK}{len(lanes)}", key[1]) if earlier else key

    def room(self, now: int) -> bool:
        """Make room for another writer; whether there is some. Counts in `folded`."""
        if len(self.by_key) < MAX_WRITERS:
            return True
        oldest = min(self.by_key, key=lambda key: self.by_key[key].seen)
        if now - self.by_key[oldest].seen < SILENT_NS:
            return False
        self.fold(oldest)
        return True

    def take(self, key: Key, data: Data, time: int, now: int) -> None:
        """The latest word of a writer."""
        old = self.by_key.get(key)
        if old is not None and not self.falls and len(self.by_key) > 1 and _less(data, old.data):
            self.add(old.data)  # It was restarted; alone it is shown as it is, which Prometheus takes for a reset.
        self.by_key[key] = Writer(data, max(time, old.time if old is not None else 0), now)

    def fold(self, key: Key) -> None:
        """A writer says nothing any more: what it counted stays."""
        data = self.by_key.pop(key).data
        if not self.falls:
            self.add(data)

    def add(self, data: Data) -> bool:
        """Add to the rest; False where the rest had other buckets, and is this alone from now on."""
        total = None if self.rest is None else added(self.rest, data)
        begins = self.rest is None or total is None
        self.rest = data if total is None else total
        found = amount(data)
        if found is not None:
            self.exactly = plus(0 if begins else self.exactly, found)
            if not isinstance(amount(self.rest), int):
                exactly = self.exactly
                self.rest = with_amount(self.rest, rounded(exactly) if isinstance(exactly, int) else exactly)
        return not begins

    def expire(self, before: int, now: int) -> int:
        """Fold those that said nothing since `before` while others did; how many (Unix ns)."""
        limit = now - GONE_NS if self.falls else before
        latest = max((writer.seen for writer in self.by_key.values()), default=0)
        gone = [key for key, writer in self.by_key.items() if writer.seen < limit and writer.seen < latest]
        for key in gone:
            self.fold(key)
        return len(gone)

    def leave(self, stream: str, start: int) -> bool:
        """A writer says that it has no value any more; whether nothing is left."""
        gone = [key for key in self.by_key if key == (stream, start)] or [
            key for key in self.by_key if key[0].partition("/")[0] == stream
        ]
        for key in gone:
            if len(self.by_key) > 1:
                self.fold(key)
            else:
                del self.by_key[key]
        return not self.by_key

    def bytes(self) -> int:
        """What they take in memory, about."""
        parts = (100 + size(writer.data) for writer in self.by_key.values())
        return sum(parts) + (size(self.rest) if self.rest is not None else 0)

    def packed(self) -> dict[str, Any]:
        """As a JSON value that `unpacked` reads."""
        writers = [[*key, writer.time, writer.seen, pack(writer.data)] for key, writer in self.by_key.items()]
        rest = None if self.rest is None else [pack(self.rest), self.exactly]
        return {"falls": self.falls, "writers": writers, "rest": rest}

    def _replaced(self, key: Key, writer: Writer) -> bool:
        """Whether a writer of a sum that may fall has been followed by one that began after its last word."""
        return self.falls and any(
            other[0] == key[0] and other[1] >= writer.time for other in self.by_key if other != key and writer.time
        )


def _less(new: Data, old: Data) -> bool:
    return isinstance(new, Number) == isinstance(old, Number) and _count(new) < _count(old)


def _count(data: Data) -> int | float:
    return data.value if isinstance(data, Number) else data.count


def unpacked(kept: dict[str, Any]) -> Writers:
    """What `Writers.packed` gave. Raises ValueError, TypeError, KeyError or IndexError for anything else."""
    found = Writers(bool(kept["falls"]))
    for stream, start, time, seen, data in kept["writers"]:
        found.by_key[str(stream), int(start)] = Writer(unpack(data), int(time), int(seen))
    if kept["rest"] is not None:
        data, exactly = kept["rest"]
        found.rest, found.exactly = unpack(data), exactly
    if found.rest is None and not found.by_key:
        raise ValueError("nobody writes it")
    return found
