"""Which acknowledgements may not have arrived: how a resend differs from an equal payload.

A program writes equal lines, with a clock of seconds in equal requests. A client sends a request again only if it did
not get the acknowledgement. So an equal payload is a resend only while an earlier one's acknowledgement may be missing
(docs/decisions/009-resends.md):

| earlier request | an equal one is |
|---|---|
| its call was cancelled, its connection broke or was closed before the reply was taken | a resend |
| on the same connection | another payload; a resend if the client retries and its deadline has passed |
| in flight or answered, on another connection that is whole | another payload; a resend if the client retries |
| answered, its connection closed at once by a client that took the reply | another payload; a resend if it retries |
| answered, its connection closed a second later or more | a resend: so does a client that waited in vain |
| not known any more (a restart), still remembered by the journal | a resend |

`the client retries`: it says by its User-Agent that it is an exporter or a shipper, which send again on another
connection what was not acknowledged, through proxies that hide from us what became of a reply. Their payloads carry
times so fine that they are not equal by chance.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sidecar.journal.journal import Journal
from sidecar.journal.submission import Receipt, Submission

KEY_HEADER = "idempotency-key"
"""A client's own name for a batch, in HTTP headers or gRPC metadata: the same key and bytes are the same batch."""
CAPACITY = 8192
"""Payloads whose acknowledgement is followed. Older ones are left to the journal, as after a restart."""
MOST_EQUAL = 64
LATE_SECONDS = 1.0
"""A reply that the peer's TCP has not taken for so long (it may delay its acknowledgement a little), or after which the
client closes so late, may be lost."""
EARLY_SECONDS = 0.5
"""A client counts its deadline from when it sends, we ours from when we have read: it gives up before we would. Of a
short one a quarter."""
_RETRY = re.compile(r"otel|opentelemetry|fluent-?bit|fluentd|vector/|manticore|logstash|grafana|alloy", re.IGNORECASE)


@functools.lru_cache(maxsize=64)
def retries(user_agent: str) -> bool:
    """Whether a client of this name sends again by itself what was not acknowledged."""
    return _RETRY.search(user_agent) is not None


class Exchange:
    """One request and what is known of its reply."""

    __slots__ = (
        "_arrived",
        "_backlog",
        "_on_arrival",
        "answered_at",
        "connection",
        "deadline",
        "key",
        "lost",
        "retries",
        "seq",
    )

    def __init__(
        self,
        connection: object,
        retries: bool = False,
        key: str = "",
        backlog: Callable[[], int] = lambda: 0,
        timeout: float = math.inf,
    ) -> None:
        """`connection`: equal for all requests of one. `backlog`: bytes that its peer has not taken yet. `timeout`:
        seconds for which the client waits for the reply, if it says so, before it gives up and keeps the connection."""
        self.connection = connection
        self.retries = retries
        self.key = key
        self.lost = False
        """The client may not have got the reply, and never will on this connection."""
        self.answered_at: float | None = None
        self.deadline = time.monotonic() + timeout - min(EARLY_SECONDS, timeout / 4)
        """When the client may have given up."""
        self.seq = 0
        """Of the entry that was acknowledged; 0 while it is not known."""
        self._backlog = backlog
        self._arrived = False
        self._on_arrival: Callable[[], None] | None = None

    def answered(self) -> None:
        """The reply is with the operating system."""
        self.answered_at = time.monotonic()

    def lose(self) -> None:
        """The connection or the call ended, and the reply may not have arrived."""
        if not self._arrived:
            self.lost = True

    def arrive(self) -> None:
        """The client has the reply."""
        if not self.lost:
            self._arrived = True
            if self._on_arrival is not None:
                self._on_arrival()

    def closed(self, whole: bool) -> None:
        """The connection has ended. A proxy may have taken the reply: then the client closes when it gives up waiting.
        Of a client that retries nothing is certain."""
        if not whole or self.answered_at is None or time.monotonic() - self.answered_at > LATE_SECONDS:
            self.lose()
        elif not self.retries:
            self.arrive()

    def when_arrived(self, then: Callable[[], None]) -> None:
        self._on_arrival = then
        if self._arrived:
            then()

    def may_be_sent_again_as(self, other: Exchange) -> bool:
        """Whether an equal payload in `other` may be this one's, sent again."""
        if self.lost:
            return True
        now = time.monotonic()
        if self.connection == other.connection:
            return self.retries and now > self.deadline
        return self.retries or self._stuck(now)

    def _stuck(self, now: float) -> bool:
        late = self.answered_at is not None and now - self.answered_at > LATE_SECONDS
        return late and self._backlog() > 0


@dataclass(slots=True)
class _Equal:
    """The requests with one digest."""

    open: list[Exchange] = field(default_factory=list)
    """Those whose acknowledgement is not known to have arrived."""
    arrived: list[int] = field(default_factory=list)
    """Entries of those whose has."""


class Acknowledgements:
    """Follows the acknowledgements of payloads that may be equal to others. Used from one event loop; bounded."""

    def __init__(self, log: Journal) -> None:
        self._log = log
        self._equal: OrderedDict[bytes, _Equal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._equal)

    def submit(self, submission: Submission, exchange: Exchange) -> asyncio.Future[Receipt]:
        """`log.submit`, of another payload where it is known not to be a resend. Raises what that raises."""
        digest = submission.digest
        assert digest is not None
        equal = self._equal.get(digest)
        again = None
        if equal is not None and equal.open:
            again = next((one for one in equal.open if one.may_be_sent_again_as(exchange)), None)
            if again is None:
                submission = replace(submission, distinct=True)
        commit = self._log.submit(submission)
        equal = self._equal.setdefault(digest, _Equal())
        equal.open.append(exchange)
        del equal.open[:-MOST_EQUAL]
        self._equal.move_to_end(digest)
        if len(self._equal) > CAPACITY:
            self._equal.popitem(last=False)
        settle = functools.partial(self._settled, digest, exchange, again)
        if commit.done():
            settle(commit)
        else:
            commit.add_done_callback(settle)
        return commit

    def _settled(
        self, digest: bytes, exchange: Exchange, again: Exchange | None, commit: asyncio.Future[Receipt]
    ) -> None:
        if commit.cancelled() or commit.exception() is not None:
            self._close(digest, exchange)
            return
        receipt = commit.result()
        exchange.seq = receipt.seq
        if again is not None and receipt.duplicate:  # From now on this one stands for both.
            exchange.seq = again.seq or receipt.seq
            self._close(digest, again)
        elif (equal := self._equal.get(digest)) is not None:
            for one in [e for e in equal.open if e is not exchange and not e.lost]:
                if one.connection == exchange.connection and one.seq:
                    self._close(digest, one, arrived=True)
        exchange.when_arrived(functools.partial(self._close, digest, exchange, arrived=True))

    def _close(self, digest: bytes, exchange: Exchange, arrived: bool = False) -> None:
        equal = self._equal.get(digest)
        if equal is None or exchange not in equal.open:
            return
        equal.open.remove(exchange)
        if arrived:
            equal.arrived.append(exchange.seq)
        if not equal.open:
            del self._equal[digest]
            if equal.arrived:
                self._log.acknowledged(digest, equal.arrived)
