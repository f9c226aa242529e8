from __future__ import annotations

import errno
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.delivery import START, entry, logs_payload, sink_context, spans_payload, trace_id
from support.journals import disk_error

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.store import schema
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink
from sidecar.deliver.store.span_store import FILE, Block, Store, StoreUnavailable
from sidecar.deliver.store.trace_key import key_of, keys_of
from sidecar.deliver.store.trace_reader import StoredTraces
from sidecar.lookup.model import Trace
from sidecar.lookup.search import Search, search
from sidecar.lookup.store import MAX_SPANS, Deadline, StoreFailure, Window
from sidecar.lookup.traceql.evaluate import SpanSet
from sidecar.lookup.views import summary, trace_view
from sidecar.pipeline import Entry

DECODER = ReferenceDecoder()
HOUR = 3_600_000_000_000
JOURNAL_ID = "0123456789abcdef"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def opened(directory: Path, clock: Clock | None = None, **options: Any) -> Store:
    return Store(StoreOptions(**options), directory, clock or Clock())


def look(store: Store, trace: str, limit: int = MAX_SPANS) -> Trace | None:
    """What a look-up by id finds."""
    found = StoredTraces(store, DECODER).traces([trace.lower()], Deadline.after(60), limit)
    return found[0] if found else None


def recent(store: Store, limit: int = 20, service: str | None = None) -> list[Trace]:
    """The newest traces, of a service where one is named."""

    def judge(trace: Trace) -> list[SpanSet]:
        return [SpanSet(trace.spans)] if service in (None, *(s.service for s in trace.spans)) else []

    wanted = Search((), judge, Window(0, 1 << 62), limit)
    return [match.trace for match in search(StoredTraces(store, DECODER), wanted, Deadline.after(60)).matches]


def put(store: Store, *entries: Entry, log_id: str = "log") -> dict[tuple[str, str, str], int]:
    """Through the sink; gives the counts of all entries."""
    sink = StoreSink("store", store, sink_context(DECODER, log_id))
    total: dict[tuple[str, str, str], int] = {}
    for batch in sink.prepare(entries).batches:
        result = sink.send(batch)
        assert result.retry is None
        for settled in result.settled:
            for key, count in settled.counts.items():
                total[key] = total.get(key, 0) + count
    return total


def test_a_trace_is_put_together_from_several_payloads_with_its_logs(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(
        store,
        entry(1, spans_payload(2, events=2, **{"http.route": "/buy", "n": 3}), 2, 4),
        entry(2, spans_payload(1, first=7, trace=2), 1),
        entry(3, logs_payload("sold", "out", trace=1, user="u"), 2, signal="logs"),
        entry(4, spans_payload(1, first=5), 1),
        entry(5, logs_payload("without a trace"), 1, signal="logs"),
    )
    view = look(store, trace_id(1).hex().upper())
    assert view is not None
    answer = trace_view(view)
    assert (answer["traceId"], answer["rootName"], answer["rootService"]) == (trace_id(1).hex(), "step 1", "shop")
    assert [s["spanId"] for s in answer["spans"]] == [f"{n:016x}" for n in (1, 2, 5)]
    first, second, _ = answer["spans"]
    assert first["parentSpanId"] is None
    assert second["parentSpanId"] == f"{1:016x}"
    assert first["attributes"] == {"http.route": "/buy", "n": 3}
    assert first["resource"] == {"service.name": "shop"}
    assert first["scope"]["name"] == "test"
    assert (first["kind"], first["status"]["code"], first["durationNano"]) == ("Server", "Unset", 999_999 + 1)
    assert first["startTimeUnixNano"] == str(START + 1)
    assert first["events"] == [
        {"name": "event 0", "timeUnixNano": str(START + 1), "attributes": {}},
        {"name": "event 1", "timeUnixNano": str(START + 2), "attributes": {}},
    ]
    assert [(r["body"], r["severityText"], r["attributes"]) for r in answer["logs"]] == [
        ("sold", "INFO", {"user": "u"}),
        ("out", "INFO", {"user": "u"}),
    ]
    assert not answer["truncated"]
    assert look(store, trace_id(9).hex()) is None


def test_links_and_errors_are_shown(tmp_path: Path) -> None:
    request = ExportTraceServiceRequest.FromString(spans_payload(1))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.links.add(trace_id=trace_id(2), span_id=b"\x01" * 8)
    span.status.code = 2
    span.status.message = "broken"
    store = opened(tmp_path)
    put(store, entry(1, request.SerializeToString(), 1))
    view = look(store, trace_id(1).hex())
    assert view is not None
    assert trace_view(view)["spans"][0]["links"] == [
        {"traceId": trace_id(2).hex(), "spanId": "01" * 8, "traceState": "", "attributes": {}}
    ]
    assert trace_view(view)["spans"][0]["status"] == {"message": "broken", "code": "Error"}
    assert trace_view(view)["error"]
    # A link to another trace does not make the span a part of that one.
    assert look(store, trace_id(2).hex()) is None


def test_storing_again_changes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    entries = [entry(1, spans_payload(3, events=1), 3, 3), entry(2, logs_payload("a", trace=1), 1, signal="logs")]
    fresh = put(store, *entries)
    assert fresh == {("spans", "delivered", ""): 3, ("span_events", "delivered", ""): 3, ("logs", "delivered", ""): 1}
    size = store.size
    again = put(store, *entries)
    assert again == {
        ("spans", "already_there", ""): 3,
        ("span_events", "already_there", ""): 3,
        ("logs", "already_there", ""): 1,
    }
    assert (store.size, store.spans) == (size, 3)
    # Another journal's numbers are others; its spans are the same spans, and shown once.
    assert put(store, entries[0], log_id="other") == {
        ("spans", "delivered", ""): 3,
        ("span_events", "delivered", ""): 3,
    }
    view = look(store, trace_id(1).hex())
    assert view is not None
    assert (len(view.spans), len(view.spans[0].events)) == (3, 1)


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, entry(1, spans_payload(3), 3))
    size = store.size
    store.close()
    store = opened(tmp_path)
    assert (store.size, store.spans) == (size, 3)
    assert look(store, trace_id(1).hex()) is not None


def test_old_blocks_are_neither_shown_nor_kept(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, clock, max_age=3600)
    put(store, entry(1, spans_payload(1, trace=1), 1, time_ns=START))
    clock.now += HOUR + 1_000_000_000
    assert look(store, trace_id(1).hex()) is None
    assert recent(store) == []
    put(store, entry(2, spans_payload(1, trace=2), 1, time_ns=clock.now))
    assert store.spans == 1
    assert look(store, trace_id(2).hex()) is not None


def test_the_oldest_are_deleted_over_the_quota(tmp_path: Path) -> None:
    store = opened(tmp_path, max_bytes=1 << 20)
    count = 250
    for seq in range(1, count + 1):
        put(store, entry(seq, spans_payload(1, trace=seq, noise=random.Random(seq).randbytes(6_000).hex()), 1))
        assert store.size <= 1 << 20
    assert 0 < store.spans < count
    assert look(store, trace_id(1).hex()) is None
    assert look(store, trace_id(count).hex()) is not None
    with sqlite3.connect(tmp_path / FILE) as db:
        (blocks,) = db.execute("SELECT count(*) FROM block").fetchone()
        assert db.execute("SELECT count(*), min(block) FROM trace_keys").fetchone() == (blocks, count - blocks + 1)
    db.close()


def test_a_look_up_is_bounded_and_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, entry(1, spans_payload(8), 8), entry(2, logs_payload(*"abcdef", trace=1), 6, signal="logs"))
    view = look(store, trace_id(1).hex(), limit=5)
    assert view is not None
    assert (len(view.spans), len(view.logs), view.truncated) == (5, 5, True)


def test_recent_lists_traces_newest_first(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, entry(1, spans_payload(3, trace=1), 3), entry(2, spans_payload(1, trace=2, start=START + 10), 1))
    put(store, entry(3, spans_payload(2, trace=3, start=START + 20), 2))
    listed = [summary(r) for r in recent(store)]
    assert [r["traceId"] for r in listed] == [trace_id(n).hex() for n in (3, 2, 1)]
    assert listed[2] == {
        "traceId": trace_id(1).hex(),
        "rootName": "step 1",
        "rootService": "shop",
        "startTimeUnixNano": str(START + 1),
        "durationNano": 1_000_002,
        "error": False,
        "spanCount": 3,
        "services": ["shop"],
    }
    assert len(recent(store, limit=1)) == 1
    assert recent(store, service="bank") == []
    assert len(recent(store, service="shop")) == 3


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all, whatever its name says" * 100)
    store = opened(tmp_path)
    put(store, entry(1, spans_payload(1), 1))
    assert look(store, trace_id(1).hex()) is not None
    (aside,) = tmp_path.glob(f"{FILE}.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")


def test_damage_found_while_it_is_in_use_begins_it_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *[entry(seq, spans_payload(1, trace=seq), 1) for seq in range(1, 200)])
    store.close()
    content = bytearray((tmp_path / FILE).read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    (tmp_path / FILE).write_bytes(content)
    store = opened(tmp_path)
    assert put(store, entry(500, spans_payload(1, trace=500), 1)) == {("spans", "delivered", ""): 1}
    assert look(store, trace_id(500).hex()) is not None
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1


def test_damage_found_while_reading_is_fixed_by_the_next_write(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *[entry(seq, spans_payload(1, trace=seq), 1) for seq in range(1, 400)])
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray((tmp_path / FILE).read_bytes())
    content[32768:] = b"\xff" * (len(content) - 32768)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreFailure, match="malformed"):
        look(store, trace_id(399).hex())
    put(store, entry(500, spans_payload(1, trace=500), 1))
    assert look(store, trace_id(500).hex()) is not None
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1


@pytest.mark.parametrize(
    "error",
    [
        disk_error("database or disk is full", sqlite3.SQLITE_FULL),
        disk_error("disk I/O error", sqlite3.SQLITE_IOERR | 13 << 8),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_disk_without_room_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(_: sqlite3.Connection) -> None:
        raise error

    put(opened(tmp_path), entry(1, spans_payload(1, trace=1), 1))
    monkeypatch.setattr(schema, "prepare", full)
    store = opened(tmp_path)
    sink = StoreSink("store", store, sink_context(DECODER, "log"))
    batch = sink.prepare([entry(2, spans_payload(1, trace=2), 1)]).batches[0]
    refused = sink.send(batch).retry
    assert refused is not None
    assert refused.reason == "store_unavailable"
    assert look(store, trace_id(1).hex()) is not None, "what is there can be read"
    monkeypatch.undo()
    assert sink.send(batch).retry is None
    assert [look(store, trace_id(n).hex()) is not None for n in (1, 2)] == [True, True]
    sink.close()


def test_a_store_that_was_never_opened_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: sqlite3.Connection) -> None:
        raise disk_error("database or disk is full", sqlite3.SQLITE_FULL)

    monkeypatch.setattr(schema, "prepare", full)
    opened(tmp_path).close()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="file"):
        opened(tmp_path / "file" / "below")


def test_a_full_disk_keeps_the_batch_for_later(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    sink = StoreSink("store", store, sink_context(DECODER, "log"))
    entries = [entry(n, spans_payload(50, trace=n), 50) for n in range(1, 100)]
    (batch,) = sink.prepare(entries).batches
    result = sink.send(batch)
    assert result.retry is not None
    assert result.retry.reason == "store_unavailable"
    assert result.retry.batches == [batch]
    assert not result.settled
    store._db.execute("PRAGMA max_page_count = 100000")
    assert sum(s.counts["spans", "delivered", ""] for s in sink.send(batch).settled) == 99 * 50


def test_keys_tell_traces_apart_and_leave_out_the_absent() -> None:
    padded = b"\x00" * 8 + b"\x01" * 8
    timed = b"\x01\x02\x03\x04" + b"\x09" * 12
    absent = b"\x00" * 16
    assert keys_of(padded + absent + timed + padded) in (key_of(padded) + key_of(timed), key_of(timed) + key_of(padded))
    assert keys_of(absent) == b""
    assert keys_of(b"") == b""


def test_an_entry_without_records_is_not_stored(tmp_path: Path) -> None:
    sink = StoreSink("store", opened(tmp_path), sink_context(DECODER, "log"))
    prepared = sink.prepare([entry(1, b"", 0)])
    assert prepared.batches == []
    assert prepared.expected == {1: 0}


def test_a_payload_that_cannot_be_decoded_is_kept_all_the_same(tmp_path: Path) -> None:
    store = opened(tmp_path)
    counts = put(store, entry(1, b"\xff\xff\xff", 1), entry(2, spans_payload(1), 1))
    assert counts == {("spans", "delivered", ""): 2}
    assert look(store, trace_id(1).hex()) is not None


@pytest.mark.parametrize("sizes", [(50, 900), (3_000, 9_000), (9_000, 16_000), (15_000, 17_000), (16_000, 90_000)])
def test_the_size_is_what_the_file_has_in_use(tmp_path: Path, sizes: tuple[int, int]) -> None:
    source = random.Random(3)
    store = opened(tmp_path, max_bytes=1 << 30)
    seq = 0
    while store.size < 6 << 20:
        lengths = [source.randint(*sizes) for _ in range(40)]
        blocks = [
            Block(seq + n, "spans", START, 1, source.randbytes(length), source.randbytes(8 * max(1, length // 400)))
            for n, length in enumerate(lengths)
        ]
        seq += len(blocks)
        store.add(JOURNAL_ID, blocks)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        pages, free, page = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    assert 0.83 < store.size / ((pages - free) * page) < 1.25


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    put(opened(tmp_path), entry(1, spans_payload(3), 3))
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("store.db*")} == {0}
