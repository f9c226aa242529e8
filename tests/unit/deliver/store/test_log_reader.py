"""Log records of the embedded store, in the order in which they came."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from support.delivery import entry, sink_context
from support.looking_up import put
from support.lookup_traces import START, payloads

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink, log_store
from sidecar.deliver.store.span_store import FILE, Store
from sidecar.lookup.store import Deadline, LookupTimeout, StoreFailure


def logs(*bodies: str) -> bytes:
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    records.extend(LogRecord(time_unix_nano=START, body=AnyValue(string_value=body)) for body in bodies)
    return message.SerializeToString()


@pytest.fixture
def sink(tmp_path: Path) -> StoreSink:
    store = Store(StoreOptions(max_age=3600), tmp_path, lambda: START)
    return StoreSink("store", store, sink_context(ReferenceDecoder(), "log"))


def add(sink: StoreSink, seq: int, *bodies: str, time_ns: int = START) -> None:
    put(sink, entry(seq, logs(*bodies), len(bodies), signal="logs", time_ns=time_ns))


def bodies(records: Any) -> list[str]:
    return [record.body for record in records]


def test_records_behind_a_position_come_once_and_in_order(sink: StoreSink) -> None:
    kept = log_store(sink)
    assert kept.position() == 0
    add(sink, 1, "a", "b")
    position = kept.position()
    assert kept.after(position, 10) == ([], position, 0)
    put(sink, entry(2, payloads()[0], 2, time_ns=START))
    add(sink, 3, "c", "d")
    add(sink, 4, "e")
    found, position, passed = kept.after(position, 10)
    assert (bodies(found), passed) == (["c", "d", "e"], 0)
    assert kept.after(position, 10) == ([], position, 0)


def test_more_than_the_limit_are_passed_over_and_counted(sink: StoreSink) -> None:
    for seq in range(1, 5):
        add(sink, seq, f"{seq}a", f"{seq}b", f"{seq}c")
    found, position, passed = log_store(sink).after(0, 4)
    assert (bodies(found), passed) == (["1a", "1b", "1c", "2a"], 8)
    assert position == log_store(sink).position()


def test_the_newest_come_first_and_those_past_retention_not(sink: StoreSink) -> None:
    kept = log_store(sink)
    add(sink, 1, "old", time_ns=START - 3601 * 10**9)
    add(sink, 2, "a", "b")
    add(sink, 3, "c")
    assert [bodies(some) for some in kept.newest(Deadline.after(60))] == [["c"], ["b", "a"]]
    with pytest.raises(LookupTimeout):
        list(kept.newest(Deadline(0.0, lambda: 1.0)))


def test_a_block_that_cannot_be_read_is_left_out(sink: StoreSink, tmp_path: Path) -> None:
    add(sink, 1, "a")
    add(sink, 2, "b")
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE block SET payload = x'00' WHERE seq = 1")
    found, _, _ = log_store(sink).after(0, 10)
    assert bodies(found) == ["b"]


def test_a_store_that_cannot_be_read_says_so(sink: StoreSink, tmp_path: Path) -> None:
    add(sink, 1, "a")
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("DROP TABLE block")
    for ask in (log_store(sink).position, lambda: log_store(sink).after(0, 1)):
        with pytest.raises(StoreFailure):
            ask()
    with pytest.raises(StoreFailure):
        list(log_store(sink).newest(Deadline.after(60)))
