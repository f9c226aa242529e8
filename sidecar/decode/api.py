"""What a decoder gives: checks, columns and document lines. Plain frozen values, no I/O.

A payload is always an OTLP protobuf `Export*ServiceRequest`: OTLP/JSON and JSON log lines are transcoded to it on
arrival (`otlp_json`, `json_log`), so that one shape is kept in the journal and leaves the sidecar.

Every function of a decoder refuses the same records of a payload, for the same reasons: what `check` accepted at
ingest is what every consumer sees later. Limits that decide about a record are therefore constants (`limits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sidecar.decode.predictions.feature_counter import CategoryCells, FeatureCounter, NumberCells
    from sidecar.decode.redaction.rules import Redactor, Rules

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]

#: Index = OTLP enum value; unknown values count as 0.
SPAN_KINDS = (
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
)
STATUS_CODES = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
UNKNOWN_SERVICE = "unknown_service"


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one payload before it is kept."""

    items: int
    """Records accepted (spans, log records, metric data points)."""
    events: int = 0
    """Span events inside the accepted spans; 0 for other signals."""
    rejected: int = 0
    """Records refused as invalid; the rest of the payload is kept."""
    errors: tuple[str, ...] = ()
    """At most five messages, each naming the record and the field by path, e.g.
    `resource_spans[0].scope_spans[0].spans[3].trace_id: 15 bytes, must be 16`."""
    timed: bool = False
    """Every accepted record carries a time of its own (span start; log time or observed time; point time), so
    that an identical payload may be a resend. False when there is no record."""
    suspect: bool = field(default=False, compare=False)
    """There may be something for `repair` to do."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A payload of another encoding as OTLP protobuf, with the check of it."""

    payload: bytes
    check: Check
    repairs: Mapping[str, int] = field(default_factory=dict)
    """What was made good or left out on the way, by reason (see `repair`)."""
    rows: tuple[tuple[int, int], ...] = ()
    """The log lines that gave more than one record: their number among the lines that are not blank, and how many."""


Resource = tuple[tuple[str, str], ...]
"""Resource attributes as text, sorted by key, duplicates removed (first wins), empty values left out."""


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """The spans of one or more payloads as columns of equal length n (payload order, then wire order)."""

    start: U64
    """Unix time in nanoseconds; 0 where the client sent none."""
    duration: U64
    """Nanoseconds; 0 where end < start. Meaningless where start is 0 (the caller leaves those out of histograms)."""
    adjusted_count: F64
    """How many spans this one stands for: 1 / sampling probability from tracestate `ot=th:`; 1 without."""
    trace_ids: bytes
    """16 n bytes."""
    span_ids: bytes
    """8 n bytes."""
    parent_ids: bytes
    """8 n bytes; zeros for a span without a parent."""
    group: U32
    """Row of `groups` for each span."""
    groups: list[tuple[str, ...]]
    """Distinct (service.name, span name, kind name, status code name, *dimensions) as text. An absent dimension is
    the empty text. Dimension values: span attribute beats resource attribute, first of a duplicate key wins."""
    resource: U32
    """Row of `resources` for each span."""
    resources: list[Resource]
    """Distinct resources."""
    repaired: int = 0
    """Group texts in which bytes that are not UTF-8 became U+FFFD (counted once a span or resource text read)."""
    numbers: tuple[F64, ...] = ()
    """A column for each attribute that was asked for as a number (own beats resource; see `text.number`)."""

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The log records of one or more payloads as columns of equal length n."""

    time: U64
    """Unix nanoseconds; time, else observed time, else 0."""
    trace_ids: bytes
    """16 n bytes, zeros where there is none."""
    span_ids: bytes
    """8 n bytes, zeros where there is none."""
    group: U32
    groups: list[tuple[str, ...]]
    """Distinct (service.name, severity, exception.type, *dimensions) as text. Severity is one of TRACE DEBUG INFO
    WARN ERROR FATAL by number (1-4, 5-8, ...), by text where the number is 0, else UNSPECIFIED. exception.type is
    empty where the record has none."""
    resource: U32
    resources: list[Resource]
    repaired: int = 0
    numbers: tuple[F64, ...] = ()
    """As in `SpanBatch`."""

    def __len__(self) -> int:
        return len(self.time)


class FeatureKind(IntEnum):
    """What a feature's value is."""

    MISSING = 0
    """Nothing, or NaN."""
    NUMBER = 1
    """Perhaps infinite."""
    TEXT = 2
    BOOL = 3
    OTHER = 4
    """An array, a map or bytes."""


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """The features of n events: c columns, each of one event and one feature, with v values in all."""

    event: U32
    """Event of each column, ascending."""
    name: U32
    """Row of `names` for each column."""
    names: list[str]
    """At most `MAX_FEATURE_CHARS` characters each."""
    ends: U32
    """End of each column's values in `kind` and `number`."""
    kind: U8
    """FeatureKind of each value."""
    number: F64
    """The value where it is a number; 0 or 1 where it is a bool; row of `texts` where it is a text; else 0."""
    texts: list[str]
    """Cut at `MAX_FEATURE_CHARS` characters."""
    left_out: U32
    """For each event the columns that its sender, or `MAX_FEATURES` and `MAX_FEATURE_VALUES`, left out."""
    left_out_names: list[str]
    """Of the first `MAX_LEFT_OUT_NAMES` that the limits left out."""

    def beyond(self, group: U32, least: F64, greatest: F64, magnitude: float) -> FarValues:
        """Numbers and bools below `least` or above `greatest`. `group`: of each event; limits: by group and name, of
        each of them. A number of this magnitude or more is none. Raises ValueError where limits are absent."""
        if least.shape != greatest.shape or least.shape[1] != len(self.names) or group.max(initial=0) >= len(least):
            raise ValueError("no limits for a column")
        of = group[self.event], self.name
        lengths = np.diff(self.ends, prepend=np.uint32(0))
        low, high = np.repeat(least[of], lengths), np.repeat(greatest[of], lengths)
        places = np.flatnonzero((self.number < low) | (self.number > high))
        kind = self.kind[places]
        numeric = (kind == FeatureKind.NUMBER) | (kind == FeatureKind.BOOL)
        places = places[numeric & (np.abs(self.number[places]) < magnitude)]
        column = np.searchsorted(self.ends, places, side="right")
        row = places - (self.ends[column] - lengths[column])
        return FarValues(self.event[column], self.name[column], row.astype(np.uint32))

    def between(self, first: int, last: int) -> FeatureColumns:
        """The columns of the events from `first` to before `last`."""
        a, b = np.searchsorted(self.event, [first, last]).tolist()
        begin, end = (int(self.ends[at - 1]) if at else 0 for at in (a, b))
        return replace(
            self,
            event=self.event[a:b] - np.uint32(first),
            name=self.name[a:b],
            ends=self.ends[a:b] - np.uint32(begin),
            kind=self.kind[begin:end],
            number=self.number[begin:end],
            left_out=self.left_out[first:last],
        )


@dataclass(frozen=True, slots=True)
class FarValues:
    """Values of feature columns beyond their limits, ascending by event and column."""

    event: U32
    name: U32
    """Row of `FeatureColumns.names`."""
    row: U32
    """Place of the value in its column."""


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """The accepted events `ml.prediction` and `ml.model.loaded` of one or more payloads of log records, as columns of
    equal length n. What the members of an event mean stands with the instrumentation
    (`model_sidecar_instrumentation.event`)."""

    payload: U32
    """Index of the payload of each event."""
    record: U32
    """Place of each event among the accepted records of all payloads, as `logs` gives them."""
    ends: U32
    """How many records of each payload, and of those before it, were accepted."""
    time: U64
    """Unix nanoseconds; time, else observed time, else 0."""
    group: U32
    groups: list[tuple[str, ...]]
    """Distinct (event name, model, version, error type, stage, service) as text."""
    count: U64
    """Rows to be counted: 0 for a call that raised, and for one that repeats another."""
    rows: U64
    """Rows given to the model; 0 where that is not known."""
    one_in: U64
    """One row in so many is kept in the columns of numbers; at least 1."""
    counted: U8
    """0 where the event says that it repeats another, else 1."""
    seconds: F64
    """Duration of the call; NaN where it is not given."""
    class_event: U32
    """Event of each of the m pairs of an event and a class; the rows of an event's classes are `count` at most."""
    class_name: U32
    """Row of `class_names` for each pair."""
    class_names: list[str]
    class_rows: U64
    score_event: U32
    """Event of each score, in order."""
    score: F64
    """Finite."""
    value_event: U32
    value: F64
    features: FeatureColumns | None = None
    """None where they were not asked for: they are stepped over then."""

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Lines:
    """Documents as `_bulk` line pairs (`{"create":{...}}` newline, source, newline)."""

    body: bytes
    ends: U32
    """End offset in `body` of each document's pair of lines."""
    event: U8
    """1 where the document is a span event (a document of its own beside its span), else 0."""
    docs: list[int] = field(default_factory=list)
    """Number of documents that each payload gave, in payload order."""

    def __len__(self) -> int:
        return len(self.ends)


class Decoder(Protocol):
    """Bytes in, values out. Two implementations: `native.NativeDecoder` and `reference.ReferenceDecoder`.

    Any method may raise `DecodeError` (and nothing else) for a payload that is malformed as a whole; payloads that
    `check_*` accepted never raise later.
    """

    name: str
    """`native` or `reference`."""

    def check_spans(self, payload: bytes) -> Check: ...
    def check_logs(self, payload: bytes) -> Check: ...

    def json_lines(self, body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
        """NDJSON log lines to an OTLP logs request. `observed`: Unix ns put as observed_time of each record;
        `anonymous`: attributes of the resource of lines that name no service (see `encode.resource`).
        `Check.timed` is True only if every line carried a time of its own."""
        ...

    def spans(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> SpanBatch:
        """`dimensions` make groups, `numbers` columns. `measures`: those of the dimensions of which a double makes no
        group: its text is empty, whatever the resource says."""
        ...

    def logs(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> LogBatch:
        """As `spans`."""
        ...

    def predictions(self, payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
        """`features`: with their columns."""
        ...

    def logs_and_predictions(
        self, payloads: Sequence[bytes], features: bool = False
    ) -> tuple[LogBatch, PredictionBatch]:
        """`logs` without dimensions and numbers, and `predictions`: payloads are read once for both."""
        ...

    def feature_counter(self, columns: Sequence[NumberCells | CategoryCells]) -> FeatureCounter | None:
        """The columns made ready. None where values have to be counted column by column. Raises ValueError for columns
        whose parts contradict each other."""
        ...

    def span_lines(self, payloads: Sequence[bytes], traces: bytes = b"") -> Lines:
        """`_id` of a span: hex(trace id) + hex(span id) + kind digit; of its event: that + `e` + ordinal. `traces`: ids
        of 16 bytes each, of the traces whose documents are wanted; empty for all."""
        ...

    def log_lines(
        self,
        payloads: Sequence[bytes],
        id_prefixes: Sequence[str],
        ordinals: Sequence[U32 | None] = (),
        traces: bytes = b"",
    ) -> Lines:
        """`_id` of a log: id_prefix of its payload + `-` + ordinal of the accepted record in the payload (0-based).

        `ordinals`: for each payload (or not at all) the ordinals of its accepted records where they are others, as
        `Redacted.ordinals` has them. Raises ValueError if they are not as many as the records. `traces`: as of
        `span_lines`."""
        ...

    def data_frames(self, body: bytes, ends: U32) -> bytes:
        """Line pairs, as `Lines` has them, as Logstash events in lumberjack data frames, numbered from 1 (`events` says
        what an event is). Raises ValueError for what is not a line pair of a decoder."""
        ...

    def event_array(self, body: bytes, ends: U32) -> bytes:
        """The same events as one JSON array."""
        ...

    def redactor(self, rules: Rules) -> Redactor:
        """The rules made ready for many payloads. Raises ValueError for rules that cannot be applied."""
        ...

    def contains_any(self, payload: bytes, literals: tuple[bytes, ...], fold: bool = False) -> bool:
        """Whether any of `literals` is in the payload (`fold`: in any ASCII case). For a few sets that do not
        change."""
        ...

    def span_terms(self, payload: bytes) -> U64:
        """Hashes of what the accepted spans of a payload can be found by (see `decode.otlp.terms`): distinct, in
        order."""
        ...

    def digest(self, payload: bytes, seed: int) -> bytes:
        """xxh3-128 of the payload, 16 bytes big-endian (canonical)."""
        ...
