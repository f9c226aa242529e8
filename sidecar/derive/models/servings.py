"""Metrics of models, from payloads of serving protocols in log records (`decode.predictions.serving`).

What they say goes into the tables of all predictions. Requests and responses of KServe's logger, which are events of
their own, are brought together: the response counts its rows when it comes, the time between the two is the latency
when both are there. A request whose response does not come counts as unanswered, and never as a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.serving import bento, candidates, protocols
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record, first
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.models.model_tables import MODEL, ModelTables
from sidecar.derive.models.prediction_columns import PredictionRecord, columns_of, known_service
from sidecar.derive.models.request_matcher import Pending, RequestResponseMatcher
from sidecar.derive.models.stored_bento_schemas import BentoSchemas
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.tables import CounterTable
from sidecar.pipeline import Signal

MAX_WAITING = 10_000
"""Requests and responses that wait for the other one."""
MAX_BYTES = MAX_WAITING * 4000 + (20 << 20)
"""What they and what is kept of monitors can take at most, about: texts are cut at `limits.MAX_LABEL_CHARS`."""
_GATE = (*protocols.GATE, bento.FILE_MARK)
_TELLING = ("class", "score", "value", "prediction")

Names = Mapping[str, Sequence[str]]


class ServingDeriver:
    """Logs in; `tables` are those of the deriver of predictions, which keeps and shows them. The caller guards both
    with one lock; `decode` is called from one thread."""

    signal: Signal = "logs"

    def __init__(
        self,
        tables: ModelTables,
        budget: Budget,
        timeout: float,
        attributes: Names | None = None,
        events: PredictionEvents | None = None,
    ) -> None:
        """`timeout`: seconds that a request waits for its response. `attributes`: the names by which predictions are
        read from attributes of records elsewhere; None where they are not read. `events`: those of the instrumentation,
        among which no payloads are looked for."""
        self._tables = tables
        self._events = (events or PredictionEvents()).join()
        self._attributes = attributes
        self._bento_schemas = BentoSchemas()
        self.matcher = RequestResponseMatcher(MAX_WAITING, int(timeout * 1e9))
        self.unanswered = CounterTable("model_requests_unanswered_total", MODEL, budget)
        self.kept = (self.unanswered, self.matcher, self._bento_schemas)

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[list[Call]]:
        """The calls in each payload. Raises DecodeError, and has then learnt nothing."""
        with self._bento_schemas.undone_by_errors():
            others = self._events.others(payloads)
            found = zip(payloads, others, strict=True)
            return [self._calls(decoder, payload) if has_others else [] for payload, has_others in found]

    def _calls(self, decoder: Decoder, payload: bytes) -> list[Call]:
        schemas = self._bento_schemas.schemas
        if not protocols.contains_any(decoder, payload, _GATE, schemas):
            return []
        every = (b"",) if bento.FILE_MARK in payload else ()  # What says so is the resource, not the record.
        accepted = decoder.check_logs(payload).items
        calls: list[Call] = []
        for record in candidates.records(payload, lambda: protocols.MARKS + schemas.marks + every, accepted):
            if self._counted_elsewhere(record):
                continue
            known = schemas.version
            call = protocols.read(record, schemas)
            if call is not None:
                calls.append(call)
            elif bento.is_early(record, schemas):
                self._bento_schemas.hold(record)
            if schemas.version != known:
                calls += self._bento_schemas.read_again()
        return calls

    def _counted_elsewhere(self, record: Record) -> bool:
        """Whether attributes of the record tell of a prediction, and are read for one."""
        names, own = self._attributes, record.attributes
        if names is None or not any(own.get(name) for concept in _TELLING for name in names[concept]):
            return False
        return bool(first(own, tuple(names["model"])) or first(record.resource, tuple(names["model"])))

    def apply(self, batch: Sequence[Sequence[Call]], arrival: Arrival) -> None:
        """Add what payloads tell."""
        found: list[PredictionRecord] = []
        payloads: list[int] = []
        for n, (calls, time) in enumerate(zip(batch, arrival.times.tolist(), strict=True)):
            records = [one for call in calls if (one := self._record(call, time)) is not None]
            found += records
            payloads += [n] * len(records)
            self._expire_pending(time, arrival.now)
        if found:
            self._tables.add_columns(columns_of(found, payloads), arrival.times, arrival.now)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns), and requests that wait for too long."""
        self._expire_pending(now, now)
        self.unanswered.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        about = "Requests in KServe's log without a response in time."
        yield self.unanswered.snapshot(view, about)

    def _record(self, call: Call, received: int) -> PredictionRecord | None:
        """What is to be counted now; None for a request."""
        other = None
        if call.exchange:
            pending = Pending(
                call.part == "request",
                call.model,
                call.version,
                call.rows,
                call.time,
                received,
                known_service(call.service),
            )
            other = self.matcher.match(call.exchange, pending)
        if call.part != "request":
            return _of_response(call, other)
        return _latency(call, other) if other is not None else None

    def _expire_pending(self, time: int, now: int) -> None:
        for pending in self.matcher.expire(time):
            if pending.request:
                key = (pending.service, pending.model or "unknown", pending.version)
                arrival = Arrival(np.array([1]), np.array([time]), now)
                self.unanswered.count([key], np.zeros(1, np.intp), arrival)


def _of_response(call: Call, request: Pending | None) -> PredictionRecord:
    asked = request.rows if request is not None else 0
    rows = (max(call.rows, asked) if call.failed else call.rows or asked) or 1
    classes = dict(call.classes)
    rest = rows - sum(classes.values())
    if classes and rest > 0:
        classes[""] = rest
    return PredictionRecord(
        call.model or "unknown",
        call.version,
        call.time,
        rows=rows,
        status="error" if call.failed else "ok",
        classes={} if call.failed else classes,
        seconds=call.seconds if call.seconds is not None else _between(request, call),
        batch=0 if call.failed or call.protocol == "bento" else rows,
        scores=call.scores,
        values=call.values,
        service=known_service(call.service),
    )


def _latency(request: Call, response: Pending) -> PredictionRecord:
    """Of a request whose response came first and was counted then."""
    between = response.time - request.time if response.time and request.time else -1
    return PredictionRecord(
        response.model or request.model or "unknown",
        response.version or request.version,
        request.time,
        seconds=between / 1e9 if between >= 0 else None,
        service=response.service,
    )


def _between(request: Pending | None, response: Call) -> float | None:
    """Seconds between the times that both report; None where one does not, or they contradict each other."""
    if request is None or not request.time or not response.time or response.time < request.time:
        return None
    return (response.time - request.time) / 1e9
