"""Who calls whom: requests between services, from pairs of a client's and a server's span.

Names and labels are those that the servicegraph connector of the Collector and Tempo have, which Grafana's service
graph queries. A client span (or a producer's) and the server span (or consumer's) that has it as parent are a request.
What only one span speaks of: a call to a database, and a root server span, whose caller is `user`. Any other span
waits for its other half; after `max_wait` a client span that names its peer is a request to a virtual node, and the
rest is counted as unpaired. What waits is committed with the counters.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from pydantic import Field

from sidecar.decode.api import Decoder, SpanBatch
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, Labels, pack_labels, unpack_labels
from sidecar.derive.tables import CounterTable, HistogramTable
from sidecar.options import Duration, Section
from sidecar.pipeline import Signal

log = structlog.get_logger("sidecar.derive")

PREFIX = "traces_service_graph_"
BUCKETS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 15.0)
"""Seconds; those of the connector."""
LABELS = ("client", "server", "connection_type")
DATABASE = ("db.namespace", "db.name", "db.system.name", "db.system")
"""Attributes of a client span that make it a call to a database; the first that is there names it."""
PEER = ("peer.service", "server.address", "net.peer.name", "net.sock.peer.addr", "rpc.service", "url.full", "http.url")
"""Attributes that name the other side of a client span which nobody answered for."""
USER = "user"

_ROLES = {
    "SPAN_KIND_CLIENT": ("client", ""),
    "SPAN_KIND_PRODUCER": ("client", "messaging_system"),
    "SPAN_KIND_SERVER": ("server", ""),
    "SPAN_KIND_CONSUMER": ("server", "messaging_system"),
}
_NO_PARENT = bytes(8)
_STATE = b"graph\0"
_HALF = struct.Struct("<??qdq")
_HALF_BYTES = 700
"""Of one that waits, in memory, about."""


class ServiceGraphOptions(Section):
    """Requests between services."""

    enabled: bool = Field(
        False,
        description="Derive traces_service_graph_* from spans. Of use where both sides of a call send their spans "
        "here; see docs/how-to/service-graph.md.",
    )
    max_wait: Duration = Field(
        10.0, gt=0, le=600, description="Time that a span waits for the span of the other side of its call."
    )
    max_waiting: int = Field(
        10_000, ge=1, le=1_000_000, description="Spans that may wait; more are left out, and counted."
    )


@dataclass(frozen=True, slots=True)
class Half:
    """One side of a call."""

    client: bool
    failed: bool
    duration: int
    """Nanoseconds."""
    weight: float
    """Calls that it stands for."""
    time: int
    """When it came; Unix ns."""
    service: str
    connection: str
    peer: str = ""
    """Of a client: what it calls the other side."""

    def pack(self) -> bytes:
        """As bytes that `unpacked` reads."""
        head = _HALF.pack(self.client, self.failed, self.duration, self.weight, self.time)
        return head + pack_labels((self.service, self.connection, self.peer))


def unpacked(kept: bytes) -> Half | None:
    """What `Half.pack` gave; None if it is not from there."""
    labels = unpack_labels(kept[_HALF.size :]) if len(kept) > _HALF.size else None
    if labels is None or len(labels) != 3:
        return None
    client, failed, duration, weight, time = _HALF.unpack_from(kept)
    service, connection, peer = labels
    return Half(client, failed, duration, weight, time, service, connection, peer)


class WaitingHalves:
    """The spans that wait for their other half, by trace id and the client's span id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[bytes, Half] = {}
        self._changed: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def match(self, key: bytes, half: Half) -> Half | None:
        """The other half of a call, which waits no longer."""
        found = self._waiting.get(key)
        if found is None or found.client == half.client:
            return None
        return self._take(key)

    def wait(self, key: bytes, half: Half) -> tuple[bool, Half | None]:
        """(whether there is room for it, one of the same side that waited under this key)."""
        former = self._waiting.pop(key, None)
        if former is None and len(self._waiting) >= self._limit:
            return False, None
        self._waiting[key] = half
        self._changed[key] = half.pack()
        return True, former

    def expired(self, before: int) -> Iterator[Half]:
        """Those that came before this time (Unix ns); they wait no longer."""
        for key in [key for key, half in self._waiting.items() if half.time < before]:
            yield self._take(key)

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for key, value in self._changed.items():
            yield _STATE + key, value
        self._changed.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what waited; the keys that were of use."""
        used = set()
        for key, value in state.items():
            half = unpacked(value) if key.startswith(_STATE) else None
            if half is not None and len(self._waiting) < self._limit:
                self._waiting[key.removeprefix(_STATE)] = half
                used.add(key)
        return used

    def _take(self, key: bytes) -> Half:
        self._changed[key] = None
        return self._waiting.pop(key)


@dataclass(slots=True)
class _Calls:
    """Calls of one batch that are whole."""

    keys: dict[Labels, int] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    """Index of the span that made each whole, ascending."""
    failed: list[bool] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    client: list[int] = field(default_factory=list)
    server: list[int] = field(default_factory=list)
    """Nanoseconds."""

    def add(self, record: int, client: Half, server: Half, weight: float) -> None:
        """A call, of which this record was the last to come."""
        connection = server.connection or client.connection
        key = client.service, server.service, connection
        self.codes.append(self.keys.setdefault(key, len(self.keys)))
        self.records.append(record)
        self.failed.append(client.failed or server.failed)
        self.weights.append(weight)
        self.client.append(client.duration)
        self.server.append(server.duration)


class ServiceGraphDeriver:
    """Spans in, the families of the graph out. The caller guards it with a lock."""

    signal: Signal = "spans"

    def __init__(self, options: ServiceGraphOptions, budget: Budget) -> None:
        self.waiting = WaitingHalves(options.max_waiting)
        self._max_wait = int(options.max_wait * 1e9)
        self.requests = CounterTable(f"{PREFIX}request_total", LABELS, budget)
        self.failures = CounterTable(f"{PREFIX}request_failed_total", LABELS, budget)
        self.server = HistogramTable(f"{PREFIX}request_server_seconds", LABELS, BUCKETS, budget)
        self.client = HistogramTable(f"{PREFIX}request_client_seconds", LABELS, BUCKETS, budget)
        self.unpaired = CounterTable(f"{PREFIX}unpaired_spans_total", LABELS, budget)
        self.dropped = CounterTable(f"{PREFIX}dropped_spans_total", LABELS, budget)
        self._tables = (self.requests, self.failures, self.server, self.client, self.unpaired, self.dropped)
        self.kept = (self.waiting, *self._tables)
        self._full = False

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> SpanBatch:
        """The columns that `apply` needs. Raises DecodeError."""
        return decoder.spans(payloads, (*DATABASE, *PEER))

    def apply(self, batch: SpanBatch, arrival: Arrival) -> None:
        """Add a batch of spans."""
        roles = np.array([group[2] in _ROLES for group in batch.groups], np.bool_)
        calls, alone = _Calls(), []
        for span in np.flatnonzero(roles[batch.group]).tolist() if len(batch) else ():
            alone += self._see(batch, span, arrival.at(span), calls)
        self._count(calls, arrival)
        self._give_up(alone, arrival.now)
        self.expire_halves(arrival.now)

    def expire_halves(self, now: int) -> None:
        """Give up those that waited for longer than they may at `now` (Unix ns)."""
        self._give_up(list(self.waiting.expired(now - self._max_wait)), now)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns), and what waited too long."""
        self.expire_halves(now)
        for table in self._tables:
            table.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families of one moment."""
        yield self.requests.snapshot(view, "Requests between two services.")
        yield self.failures.snapshot(view, "Requests of which either side failed.")
        yield self.server.snapshot(view, "Duration of requests as the server sees them.", "seconds")
        yield self.client.snapshot(view, "Duration of requests as the client sees them.", "seconds")
        yield self.unpaired.snapshot(view, "Spans whose other side did not come in time.")
        yield self.dropped.snapshot(view, "Spans that could not wait for their other side, because too many did.")

    def _see(self, batch: SpanBatch, span: int, time: int, calls: _Calls) -> list[Half]:
        """Take in one span; halves that nothing can pair any more."""
        half, key = _half(batch, span, time)
        if half.client and half.connection == "database":
            server = Half(False, False, half.duration, half.weight, time, half.peer, "database")
            calls.add(span, half, server, half.weight)
            return []
        if not half.client and key[16:] == _NO_PARENT:
            user = Half(True, False, half.duration, half.weight, time, USER, "virtual_node")
            calls.add(span, user, half, half.weight)
            return []
        other = self.waiting.match(key, half)
        if other is not None:
            client, server = (half, other) if half.client else (other, half)
            calls.add(span, client, server, max(client.weight, server.weight))
            return []
        room, former = self.waiting.wait(key, half)
        if not room:
            self._drop(half, time)
        return [] if former is None else [former]

    def _count(self, calls: _Calls, arrival: Arrival) -> None:
        if not calls.codes:
            return
        keys, codes = list(calls.keys), np.array(calls.codes, np.intp)
        picked = arrival.of(np.array(calls.records, np.intp))
        weights = np.array(calls.weights, np.float64)
        self.requests.count(keys, codes, picked, weights)
        # A pair that never failed has a series too, at 0, so that its first failure is an increase.
        self.failures.count(keys, codes, picked, weights * np.array(calls.failed, np.float64))
        self.server.observe(keys, codes, picked, np.array(calls.server, np.float64) / 1e9, weights)
        self.client.observe(keys, codes, picked, np.array(calls.client, np.float64) / 1e9, weights)

    def _give_up(self, halves: Sequence[Half], now: int) -> None:
        """These stay alone: a client that names its peer called a virtual node, the rest is counted as it is."""
        calls = _Calls()
        unpaired: list[Labels] = []
        for half in halves:
            if half.client and half.peer:
                server = Half(False, False, half.duration, half.weight, now, half.peer, "virtual_node")
                calls.add(len(calls.codes), half, server, half.weight)
            else:
                unpaired.append((half.service, "", "") if half.client else ("", half.service, ""))
        self._count(calls, _now(len(calls.codes), now))
        _count_each(self.unpaired, unpaired, now)

    def _drop(self, half: Half, time: int) -> None:
        if not self._full:
            self._full = True
            log.warning("service_graph_full", waiting=len(self.waiting))
        _count_each(self.dropped, [(half.service, "", "") if half.client else ("", half.service, "")], time)


def _half(batch: SpanBatch, span: int, time: int) -> tuple[Half, bytes]:
    """(the span as one side of a call, trace id and the client's span id)."""
    service, _, kind, status, *attributes = batch.groups[batch.group[span]]
    side, connection = _ROLES[kind]
    client = side == "client"
    trace, ids = batch.trace_ids[16 * span : 16 * span + 16], batch.span_ids if client else batch.parent_ids
    peer = ""
    if client:
        database = next(filter(None, attributes[: len(DATABASE)]), "")
        peer = database or next(filter(None, attributes[len(DATABASE) :]), "")
        connection = "database" if database else connection
    duration = int(batch.duration[span]) if batch.start[span] else 0
    half = Half(
        client,
        status == "STATUS_CODE_ERROR",
        min(duration, (1 << 62)),
        float(batch.adjusted_count[span]),
        time,
        service,
        connection,
        peer,
    )
    return half, trace + ids[8 * span : 8 * span + 8]


def _now(records: int, now: int) -> Arrival:
    return Arrival(np.array([records], np.int64), np.array([now], np.int64), now)


def _count_each(table: CounterTable, keys: Sequence[Labels], now: int) -> None:
    """Count one for each of these keys."""
    if keys:
        distinct = dict.fromkeys(keys)
        at = {key: i for i, key in enumerate(distinct)}
        table.count(list(distinct), np.array([at[key] for key in keys], np.intp), _now(len(keys), now))


def build(options: ServiceGraphOptions, context: DeriverContext) -> Sequence[Deriver[SpanBatch]]:
    """The deriver, unless it is off."""
    return [ServiceGraphDeriver(options, context.budget)] if options.enabled else []


def memory(options: ServiceGraphOptions, budget: Budget) -> int:
    """Bytes of its tables and of what waits, at most, about."""
    if not options.enabled:
        return 0
    return table_bytes(budget, 6) + 2 * budget.series * 8 * (len(BUCKETS) + 1) + options.max_waiting * _HALF_BYTES
