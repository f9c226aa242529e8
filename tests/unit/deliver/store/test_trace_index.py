"""Segments of keys, summaries of blocks, and what retention does to them."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.delivery import START, entry, sink_context, spans_payload, trace_id

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.store import schema, trace_index
from sidecar.deliver.store.block_summary import bounds, filter_clause, summarise
from sidecar.deliver.store.operations import MAX_OPERATIONS, OperationTable
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink
from sidecar.deliver.store.span_store import FILE, Store
from sidecar.deliver.store.trace_index import OpenBlocks, blocks_of
from sidecar.lookup.store import Condition, Deadline, Needs, Pieces, Term, Window

DECODER = ReferenceDecoder()
ALWAYS = Window(0, 1 << 62)


def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.prepare(db)
    return db


def keys(*numbers: int) -> bytes:
    return np.array(numbers, np.uint64).tobytes()


def key(number: int) -> bytes:
    return keys(number)


@pytest.mark.parametrize("ids", ["random", "counting up", "alike"])
def test_every_block_of_a_key_is_found_in_segments_and_outside(monkeypatch: pytest.MonkeyPatch, ids: str) -> None:
    monkeypatch.setattr(trace_index, "SEGMENT_KEYS", 600)
    monkeypatch.setattr(trace_index, "_BUCKET_KEYS", 16)
    rng = random.Random(ids)
    pool = {
        "random": [rng.getrandbits(64) for _ in range(900)],
        "counting up": list(range(1, 901)),
        # Keys whose bytes hold each other at places that are no multiple of eight.
        "alike": sorted({n << 8 | 0x0100000000010001 for n in range(1, 1801)})[:900],
    }[ids]
    db = database()
    opened, expected = OpenBlocks(db), {number: [] for number in pool}
    for block in range(1, 121):
        own = sorted(rng.sample(pool, 40))
        opened.add(db, block, keys(*own))
        for number in own:
            expected[number].append(block)
        opened.close_segment(db)
    (segments,) = db.execute("SELECT count(*) FROM segment").fetchone()
    assert segments == 8
    assert (opened.blocks, opened.keys) == (OpenBlocks(db).blocks, OpenBlocks(db).keys) == (0, 0)
    found = blocks_of(db, [key(number) for number in pool])
    assert {number: found[key(number)] for number in pool} == expected
    assert blocks_of(db, [key(2**63 + 5)]) == {key(2**63 + 5): []}


def test_a_segment_closes_at_many_small_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_index, "SEGMENT_BLOCKS", 10)
    db = database()
    opened = OpenBlocks(db)
    for block in range(1, 26):
        opened.add(db, block, keys(block))
        opened.close_segment(db)
    assert db.execute("SELECT first, last FROM segment ORDER BY id").fetchall() == [(1, 10), (11, 20)]
    assert [blocks_of(db, [key(n)])[key(n)] for n in (1, 10, 11, 25)] == [[1], [10], [11], [25]]


def test_retention_deletes_segments_whose_blocks_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_index, "SEGMENT_BLOCKS", 10)
    db = database()
    opened = OpenBlocks(db)
    for block in range(1, 36):
        opened.add(db, block, keys(block))
        opened.close_segment(db)
    opened.deleted(db, 15)
    assert db.execute("SELECT first, last FROM segment").fetchall() == [(11, 20), (21, 30)]
    assert db.execute("SELECT count(DISTINCT id >> 16) FROM segment_keys").fetchone() == (2,)
    opened.deleted(db, 33)
    assert db.execute("SELECT count(*) FROM segment_keys").fetchone() == (0,)
    assert (opened.blocks, opened.keys) == (2, 2)


def test_a_file_of_version_1_is_read_and_written_on(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / FILE)
    old.executescript(
        "CREATE TABLE block (id INTEGER PRIMARY KEY, log TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL,"
        " time_ns INTEGER NOT NULL, items INTEGER NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL,"
        " UNIQUE (log, seq)); CREATE TABLE trace_keys (block INTEGER PRIMARY KEY, keys BLOB NOT NULL);"
        "PRAGMA user_version = 1;"
    )
    sink = StoreSink("store", Store(StoreOptions(), tmp_path / "new", lambda: START), sink_context(DECODER, "log"))
    ((batch),) = sink.prepare([entry(1, spans_payload(3, trace=1), 3)]).batches
    (block, _) = batch[0]
    row = ("log", 1, "spans", START, 3, 100, block.payload)
    old.execute("INSERT INTO block (log, seq, signal, time_ns, items, size, payload) VALUES (?,?,?,?,?,?,?)", row)
    old.execute("INSERT INTO trace_keys VALUES (1, ?)", (block.keys,))
    old.commit()
    old.close()
    sink = StoreSink("store", Store(StoreOptions(), tmp_path, lambda: START), sink_context(DECODER, "log"))
    sink.send(sink.prepare([entry(2, spans_payload(2, trace=2), 2)]).batches[0])
    assert sink.store.spans == 5
    found = sink.traces.traces([trace_id(n).hex() for n in (1, 2)], Deadline.after(60))
    assert [len(trace.spans) for trace in found] == [3, 2]
    # A search reads summaries, which the first block has none of.
    ids = [i for some in sink.traces.candidates((), ALWAYS, Deadline.after(60)) for i in some]
    assert ids == [trace_id(2).hex()]


def test_filters_of_a_file_of_version_2_leave_no_pattern_out(tmp_path: Path) -> None:
    def opened() -> StoreSink:
        return StoreSink("store", Store(StoreOptions(), tmp_path, lambda: START), sink_context(DECODER, "log"))

    def found(sink: StoreSink, *texts: str) -> list[str]:
        needs = (Needs((Condition(Term("span", "user"), pieces=Pieces(texts)),)),)
        return [i for some in sink.traces.candidates(needs, ALWAYS, Deadline.after(60)) for i in some]

    sink = opened()
    sink.send(sink.prepare([entry(1, spans_payload(1, trace=1, user="anna"), 1)]).batches[0])
    sink.store._db.executescript("UPDATE summary SET terms = x'0000'; PRAGMA user_version = 2;")
    sink.close()
    sink = opened()
    sink.send(sink.prepare([entry(2, spans_payload(1, trace=2, user="anton"), 1)]).batches[0])
    assert found(sink, "an", "") == [trace_id(n).hex() for n in (2, 1)]
    assert found(sink, "x", "") == []
    sink.close()
    assert found(opened(), "ann", "") == [trace_id(1).hex()]


def test_giving_space_back_takes_a_few_blocks_at_a_time(tmp_path: Path) -> None:
    now = START
    store = Store(StoreOptions(max_age=3600), tmp_path, lambda: now)
    sink = StoreSink("store", store, sink_context(DECODER, "log"))
    for first in range(1, 1200, 100):
        entries = [entry(n, spans_payload(1, trace=n), 1, time_ns=now) for n in range(first, first + 100)]
        sink.send(sink.prepare(entries).batches[0])
    assert store.spans == 1200
    now += 2 * 3600 * 10**9
    left = []
    for n in range(2000, 2008):
        sink.send(sink.prepare([entry(n, spans_payload(1, trace=n), 1, time_ns=now)]).batches[0])
        left.append(store.spans)
    assert left == [1200 + 1 - 256, 1202 - 512, 1203 - 768, 1204 - 1024, 5, 6, 7, 8]
    with sqlite3.connect(tmp_path / FILE) as db:
        for table, column in (("block", "id"), ("summary", "block")):
            assert db.execute(f"SELECT count(*) FROM {table} WHERE {column} <= 1200").fetchone() == (0,)
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    db.close()


def test_free_pages_go_back_to_the_file_system(tmp_path: Path) -> None:
    now = START
    store = Store(StoreOptions(max_age=3600), tmp_path, lambda: now)
    sink = StoreSink("store", store, sink_context(DECODER, "log"))
    noise = random.Random(5)
    for first in range(1, 200, 50):
        entries = [
            entry(n, spans_payload(1, trace=n, blob=noise.randbytes(20_000).hex()), 1, time_ns=now)
            for n in range(first, first + 50)
        ]
        sink.send(sink.prepare(entries).batches[0])
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / FILE).stat().st_size
    now += 2 * 3600 * 10**9
    for n in range(300, 330):
        sink.send(sink.prepare([entry(n, spans_payload(1, trace=n), 1, time_ns=now)]).batches[0])
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / FILE).stat().st_size < before / 2


def batch_of(*payloads: bytes) -> tuple[object, object]:
    batch = DECODER.spans(list(payloads), ())
    terms = np.unique(np.concatenate([DECODER.span_terms(p) for p in payloads]))
    return batch, summarise(batch, 0, len(batch), terms, sum(map(len, payloads)))


def test_a_summary_holds_what_is_there_and_little_else() -> None:
    rng = random.Random(7)
    values = [f"user-{rng.getrandbits(40):x}" for _ in range(500)]
    payloads = [spans_payload(1, first=n, trace=n, user=v, code=200) for n, v in enumerate(values, 1)]
    _, summary = batch_of(*payloads)

    db = database()
    db.execute("INSERT INTO summary VALUES (1, 0, 0, 0, 0, ?)", (summary.terms,))  # type: ignore[attr-defined]

    def may(scope: str, name: str, *wanted: object) -> bool:
        clause = filter_clause((Needs((Condition(Term(scope, name), wanted),)),))
        (found,) = db.execute(f"SELECT {clause} FROM summary").fetchone()
        return bool(found)

    assert all(may("span", "user", value) for value in values)
    assert may("", "code", 200)
    assert may("", "code", 200.0)
    assert may("resource", "service.name", "shop")
    assert may("intrinsic", "service", "shop")
    assert may("intrinsic", "name", "step 1")
    assert may("intrinsic", "kind", "server")
    assert may("intrinsic", "service", "bank", "shop")
    wrong = sum(may("span", "user", f"nobody-{n}") for n in range(2000))
    assert wrong < 2000 * 0.04
    assert (summary.start_ns, summary.end_ns, summary.failed_ns) == (START + 1, START + 500, 0)  # type: ignore[attr-defined]


def test_a_summary_holds_how_texts_begin() -> None:
    rng = random.Random(9)
    values = [rng.randbytes(12).hex() for _ in range(200)]
    _, summary = batch_of(*(spans_payload(1, first=n, trace=n, user=v, code=200) for n, v in enumerate(values, 1)))
    db = database()
    db.execute("INSERT INTO summary VALUES (1, 0, 0, 0, 0, ?)", (summary.terms,))  # type: ignore[attr-defined]

    def may(scope: str, name: str, *texts: str) -> bool:
        clause = filter_clause((Needs((Condition(Term(scope, name), pieces=Pieces(texts)),)),))
        (found,) = db.execute(f"SELECT {clause or 1} FROM summary").fetchone()
        return bool(found)

    assert all(may("span", "user", value[:n], "") for value in values for n in range(len(value) + 1))
    assert may("span", "user", "", "x")
    assert may("intrinsic", "name", "step 1", "")
    assert may("intrinsic", "name", "ste", "p", "")
    assert may("intrinsic", "service", "s", "op")
    assert not may("span", "user", "x", "")
    assert not may("span", "user", "größe", "")
    assert not may("intrinsic", "name", "go", "")
    assert not may("span", "code", "2", ""), "patterns match texts only"
    wrong = sum(may("span", "user", rng.randbytes(6).hex(), "") for _ in range(2000))
    assert wrong < 2000 * 0.04


def test_a_long_name_is_found_as_columns_have_it() -> None:
    name = "n" * 3000
    message = ExportTraceServiceRequest.FromString(spans_payload(1))
    message.resource_spans[0].scope_spans[0].spans[0].name = name
    _, summary = batch_of(message.SerializeToString())
    db = database()
    db.execute("INSERT INTO summary VALUES (1, 0, 0, 0, 0, ?)", (summary.terms,))  # type: ignore[attr-defined]
    clause = filter_clause((Needs((Condition(Term("intrinsic", "name"), (name,)),)),))
    assert db.execute(f"SELECT {clause} FROM summary").fetchone() == (1,)


def test_a_summary_says_how_long_spans_in_error_are() -> None:
    message = ExportTraceServiceRequest.FromString(spans_payload(3))
    spans = message.resource_spans[0].scope_spans[0].spans
    for span, milliseconds in zip(spans, (5, 40, 7), strict=True):
        span.end_time_unix_nano = span.start_time_unix_nano + milliseconds * 1_000_000
    assert batch_of(message.SerializeToString())[1].failed_ns == 0  # type: ignore[attr-defined]
    for span in (spans[0], spans[2]):
        span.status.code = 2  # type: ignore[assignment]  # an enum's number
    _, summary = batch_of(message.SerializeToString())
    assert (summary.longest_ns, summary.failed_ns) == (40_000_000, 7_000_001)  # type: ignore[attr-defined]


def test_bounds_are_those_that_all_needs_have() -> None:
    slow = Condition(Term("intrinsic", "duration"), low=5e9)
    error = Condition(Term("intrinsic", "status"), ("error",))
    endless = Condition(Term("intrinsic", "duration"), low=1e30)
    assert bounds(()) == (0, 0)
    assert bounds((Needs((slow, error)),)) == (5_000_000_000, 5_000_000_001)
    assert bounds((Needs((error,)),)) == (0, 1)
    assert bounds((Needs((slow,)), Needs((error,)))) == (0, 0)
    assert bounds((Needs((endless, error)),)) == ((1 << 63) - 2, (1 << 63) - 1)
    assert filter_clause(()) == ""
    assert filter_clause((Needs((slow,)), Needs((error,)))) == ""
    many = Condition(Term("span", "a"), tuple(f"v{n}" for n in range(1000)))
    assert filter_clause((Needs((many,)),)) == ""


def test_operations_are_bounded_and_forgotten() -> None:
    db = database()
    table = OperationTable(db)
    table.seen(db, [("shop", f"GET /{n}", "server") for n in range(MAX_OPERATIONS + 1)], START)
    (count,) = db.execute("SELECT count(*) FROM operation").fetchone()
    assert count == MAX_OPERATIONS * 3 // 4
    table.seen(db, [("shop", "new", "server")], START + 10**12)
    table.forget(db, START + 10**12)
    assert db.execute("SELECT name FROM operation").fetchall() == [("new",)]
    assert OperationTable(db)._last == {("shop", "new", "server"): START + 10**12}


def test_a_block_that_cannot_be_unpacked_is_left_out(tmp_path: Path) -> None:
    sink = StoreSink("store", Store(StoreOptions(), tmp_path, lambda: START), sink_context(DECODER, "log"))
    entries = [entry(n, spans_payload(1, trace=n), 1) for n in (1, 2)]
    sink.send(sink.prepare(entries).batches[0])
    sink.store._db.execute("UPDATE block SET payload = x'00' WHERE seq = 1")
    found = sink.traces.traces([trace_id(n).hex() for n in (1, 2)], Deadline.after(60))
    assert [trace.trace_id for trace in found] == [trace_id(2).hex()]
    ids = [i for some in sink.traces.candidates((), ALWAYS, Deadline.after(60)) for i in some]
    assert ids == [trace_id(2).hex()]
