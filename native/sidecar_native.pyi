"""The native core as `sidecar.decode.native` uses it. What the values mean is said in `sidecar.decode.api`.

Columns are `bytes` of native byte order: u32, u64 or f64 as the comment says. Every function that takes payloads raises
`Malformed` for one that is malformed as a whole, and TypeError for arguments of other types; nothing else is raised but
what is said here. The interpreter lock is released while a payload is read."""

from collections.abc import Sequence
from typing import Any, final

ABI_VERSION: int
"""Shape of what is below; the adapter uses no core of another one."""

class Malformed(ValueError):
    """`args` are (message: str, offset: int): what is wrong, and the first byte of the field that cannot be read."""

@final
class Check:
    items: int
    events: int
    rejected: int
    errors: list[str]
    timed: bool
    suspect: bool

@final
class Transcoded:
    payload: bytes
    check: Check
    rows: list[tuple[int, int]]

@final
class SpanColumns:
    start: bytes  # u64
    duration: bytes  # u64
    adjusted_count: bytes  # f64
    trace_ids: bytes  # 16 bytes a span
    span_ids: bytes  # 8 bytes a span
    parent_ids: bytes  # 8 bytes a span; zeros without a parent
    group: bytes  # u32
    groups: list[tuple[str, ...]]
    resource: bytes  # u32
    resources: list[tuple[tuple[str, str], ...]]
    repaired: int
    numbers: list[bytes]  # f64, a column for each name in `numbers`

@final
class LogColumns:
    time: bytes  # u64
    trace_ids: bytes  # 16 bytes a record
    span_ids: bytes  # 8 bytes a record
    group: bytes  # u32
    groups: list[tuple[str, ...]]
    resource: bytes  # u32
    resources: list[tuple[tuple[str, str], ...]]
    repaired: int
    numbers: list[bytes]  # f64, a column for each name in `numbers`

@final
class FeatureColumns:
    """What is asked for is that of the events from `first` to before `last`; numbers of events and ends
    of values count from there. Raises ValueError for events that are not there."""

    events: int
    names: list[str]  # each time made anew
    texts: list[str]
    left_out_names: list[str]
    def columns(self, first: int, last: int) -> tuple[bytes, bytes, bytes]:
        """u32 each: of each column its event, the row of `names`, and where its values end."""

    def kind(self, first: int, last: int) -> bytes: ...  # u8
    def number(self, first: int, last: int) -> bytes: ...  # f64
    def left_out(self, first: int, last: int) -> bytes: ...  # u32
    def beyond(self, first: int, group: Any, least: Any, greatest: Any, magnitude: float) -> FarValues:
        """Arrays of u32, f64 and f64, as `api.FeatureColumns.beyond` has them; as many events as `group` has elements.
        Raises ValueError where there are no limits for a column."""

@final
class FarValues:
    event: bytes  # u32
    name: bytes  # u32
    row: bytes  # u32

@final
class PredictionColumns:
    payload: bytes  # u32
    record: bytes  # u32
    ends: bytes  # u32
    time: bytes  # u64
    group: bytes  # u32
    groups: list[tuple[str, ...]]
    count: bytes  # u64
    rows: bytes  # u64
    one_in: bytes  # u64
    counted: bytes  # u8
    seconds: bytes  # f64
    class_event: bytes  # u32
    class_name: bytes  # u32
    class_names: list[str]
    class_rows: bytes  # u64
    score_event: bytes  # u32
    score: bytes  # f64
    value_event: bytes  # u32
    value: bytes  # f64
    features: FeatureColumns | None

@final
class DocumentLines:
    body: bytes
    ends: bytes  # u32
    event: bytes  # u8
    docs: list[int]

@final
class Redacted:
    payload: bytes | None
    """None where nothing changed."""
    items: int
    events: int
    ordinals: bytes | None  # u32
    """None where all accepted records are left."""
    changed: int

@final
class Redactor:
    """One set of rules made ready; thread-safe."""

    def __new__(
        cls,
        keys: Sequence[Any],
        values: Sequence[Any],
        *,
        hash_key: bytes,
        add: Sequence[tuple[str, str]],
        max_field_bytes: int,
        filter: Any,
        sampling_seed: int,
    ) -> Redactor:
        """`keys`, `values` and `filter` are read by attribute: those of `rules.KeyRule`, of `native.CompiledValueRule`
        and of `rules.Filter`. Raises ValueError for a pattern or an action that cannot be used, and for rules over
        their bounds; TypeError where an attribute is absent or of another type."""

    def spans(self, payload: bytes) -> Redacted: ...
    def logs(self, payload: bytes) -> Redacted: ...

@final
class Literals:
    """Byte strings, made ready to be looked for in many payloads."""

    def __new__(cls, literals: Sequence[bytes], fold: bool) -> Literals:
        """`fold`: in any ASCII case."""

    def any_in(self, payload: bytes) -> bool: ...

def check_spans(payload: bytes) -> Check: ...
def check_logs(payload: bytes) -> Check: ...
def json_lines(body: bytes, observed: int, anonymous: bytes) -> Transcoded:
    """Raises OverflowError for an `observed` below 0 or past 64 bits; never `Malformed`."""

def spans(
    payloads: Sequence[bytes], dimensions: Sequence[str], numbers: Sequence[str], measures: Sequence[str]
) -> SpanColumns: ...
def logs(
    payloads: Sequence[bytes], dimensions: Sequence[str], numbers: Sequence[str], measures: Sequence[str]
) -> LogColumns: ...
def predictions(payloads: Sequence[bytes], names: Sequence[bytes], features: bool) -> PredictionColumns:
    """The accepted events of these names; `features`: with their columns."""

def logs_and_predictions(
    payloads: Sequence[bytes], names: Sequence[bytes], features: bool
) -> tuple[LogColumns, PredictionColumns]:
    """`logs` without dimensions and numbers, and `predictions`, in one walk."""

@final
class FeatureCounts:
    counts: bytes  # i64
    values: bytes  # u64
    last: bytes  # i64
    others: bytes  # u64

@final
class FeatureCounter:
    """Columns made ready to count many values; thread-safe."""

    def __new__(cls, columns: Sequence[Any]) -> FeatureCounter:
        """Read by attribute: those of `feature_counter.NumberCells` and `CategoryCells`. Raises ValueError where they
        contradict each other; TypeError where an attribute is absent or of another type."""

    def edges(self, place: int) -> bytes:  # f64
        """Of the column in this place. Raises ValueError where it is none of numbers."""

    def count_decoded(self, columns: FeatureColumns, first: int, last: int, wanted: Any) -> FeatureCounts:
        """The same of the events of `columns` from `first` to before `last`."""

    def count(self, columns: Any, wanted: Any) -> FeatureCounts:
        """`columns` is read by attribute: those of `api.FeatureColumns`. `wanted`: an array of u8, one of each event.
        Raises ValueError where they contradict each other."""

def span_lines(payloads: Sequence[bytes], traces: bytes) -> DocumentLines:
    """`traces`: ids of 16 bytes each, of the traces that are wanted; empty for all.

    Raises OverflowError where the documents do not fit 32-bit offsets."""

def log_lines(
    payloads: Sequence[bytes], id_prefixes: Sequence[str], ordinals: Sequence[bytes | None], traces: bytes
) -> DocumentLines:
    """`traces`: as of `span_lines`.

    `ordinals`: u32 for each record of each payload, or None; empty for none at all. Raises ValueError where there
    are not as many as payloads or records, OverflowError as `span_lines` does."""

def events(body: bytes, ends: bytes, framed: bool, begin: bytes, middle: bytes) -> bytes:
    """Line pairs as Logstash events. `ends`: u32. Raises ValueError for what is not a line pair; never `Malformed`."""

def span_terms(payload: bytes) -> bytes:  # u64
    """Distinct, in order."""

def digest(payload: bytes, seed: int) -> bytes:
    """xxh3-128, 16 bytes, big-endian."""

def tables() -> dict[str, Any]:
    """What is typed in Python too, by name; a contract test compares the two."""

@final
class GrpcRequest:
    """A unary request that has come, to be answered with `reply` or `refuse`."""

    stream: int
    method: int  # index of its path in `methods`
    message: bytes | None  # as on the wire; None where the request ended before a whole one, or is `overloaded`
    overloaded: bool
    encoding: str | None  # of a compressed message
    user_agent: str | None
    authorization: str | None
    idempotency_key: str | None
    timeout: float | None  # seconds that are left of the client's

@final
class GrpcEvents:
    requests: list[GrpcRequest]
    cancelled: list[int]  # streams of former requests, whose client waits for no reply any more

@final
class GrpcServer:
    def __new__(
        cls,
        methods: list[str],  # paths
        max_message: int,  # bytes on the wire
        max_streams: int,
        max_in_flight: int,  # bytes of requests, those of `others` included
        min_ping_interval: float,  # seconds; ValueError for a negative one
    ) -> GrpcServer: ...
    def connect(self) -> GrpcConnection: ...

@final
class GrpcConnection:
    """gRPC over HTTP/2 without input or output. Requests that are not for the server are answered by it."""

    held: int  # bytes of messages that are not whole yet
    closed: bool  # nothing more will be read; what is left is in `output`
    def receive(self, data: bytes, others: int) -> GrpcEvents: ...
    def reply(self, stream: int, body: bytes) -> None: ...
    def refuse(self, stream: int, status: int, text: str, trailers: list[tuple[str, bytes]]) -> None: ...
    def output(self) -> bytes: ...
    def drain(self) -> None: ...
    def ping(self) -> bool: ...  # False where the last one is not answered
    def expire(self) -> None: ...
