from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError
from support.delivery import entry, ids, logs_payload, sink_context, spans_payload
from support.journals import Clock

from sidecar.decode.select import decoder
from sidecar.deliver.file.options import FileOptions
from sidecar.deliver.file.sink import FileSink, build, health_check
from sidecar.deliver.file.writer import Block, StreamWriter
from sidecar.errors import Permanent
from sidecar.pipeline import Entry

DECODER = decoder()
ENTRIES = [
    entry(1, spans_payload(2, events=1), 2, 2),
    entry(2, logs_payload("a", "b"), 2, signal="logs"),
    entry(3, spans_payload(1, first=50), 1),
]


class Memory:
    """A target that keeps what it is given."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.blocks: list[Block] = []
        self.size = 0

    def append(self, blocks: Sequence[Block]) -> frozenset[int]:
        if self.failures:
            raise OSError(self.failures.pop(0), "no")
        there = {b.seq for b in self.blocks} & {b.seq for b in blocks}
        self.blocks += [b for b in blocks if b.seq not in there]
        return frozenset(there)

    def close(self) -> None:
        """Nothing is open."""

    def lines(self) -> list[bytes]:
        return b"".join(b.lines for b in self.blocks).splitlines()


def sink(writer: Memory, **options: Any) -> FileSink:
    return FileSink("out", FileOptions.model_validate({"path": "x", **options}), sink_context(DECODER, "log"), writer)


def write(far: FileSink, entries: Sequence[Entry]) -> Counter[tuple[str, str, str]]:
    prepared = far.prepare(entries)
    left, counts = dict(prepared.expected), Counter[tuple[str, str, str]]()
    settled = list(prepared.settled)
    for batch in prepared.batches:
        result = far.send(batch)
        assert result.retry is None
        settled += result.settled
    for part in settled:
        left[part.seq] -= sum(part.counts.values())
        counts.update(part.counts)
    assert not any(left.values())
    return counts


def test_documents_with_their_ids_in_the_order_of_the_journal() -> None:
    writer = Memory()
    counts = write(sink(writer), ENTRIES)
    assert counts == {
        ("spans", "delivered", ""): 3,
        ("span_events", "delivered", ""): 2,
        ("logs", "delivered", ""): 2,
    }
    documents = [json.loads(line) for line in writer.lines()]
    expected = [*ids(DECODER.span_lines([ENTRIES[0].payload])), "log-2-0", "log-2-1"]
    expected += ids(DECODER.span_lines([ENTRIES[2].payload]))
    assert [d.pop("_id") for d in documents] == expected
    sources = DECODER.span_lines([ENTRIES[0].payload]).body.splitlines()[1::2]
    assert documents[:4] == [json.loads(s) for s in sources]


def test_lines_without_ids_are_the_very_documents() -> None:
    writer = Memory()
    write(sink(writer, id_field=""), ENTRIES[:1])
    assert writer.lines() == DECODER.span_lines([ENTRIES[0].payload]).body.splitlines()[1::2]


def test_lines_for_bulk() -> None:
    writer = Memory()
    write(sink(writer, format="bulk"), ENTRIES[:1])
    assert b"".join(b.lines for b in writer.blocks) == DECODER.span_lines([ENTRIES[0].payload]).body


def test_otlp_json_is_one_request_a_line_without_what_was_refused() -> None:
    bad = ExportTraceServiceRequest.FromString(spans_payload(3))
    bad.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    writer = Memory()
    counts = write(sink(writer, format="otlp_json"), [*ENTRIES, entry(4, bad.SerializeToString(), 2)])
    assert counts["spans", "delivered", ""] == 5
    first, logs, _, last = (json.loads(line) for line in writer.lines())
    assert [s["name"] for s in first["resourceSpans"][0]["scopeSpans"][0]["spans"]] == ["step 1", "step 2"]
    assert "resourceLogs" in logs
    assert [s["name"] for s in last["resourceSpans"][0]["scopeSpans"][0]["spans"]] == ["step 1", "step 3"]


def test_what_cannot_be_decoded_is_counted_in_every_format() -> None:
    for name in ("ndjson", "bulk", "otlp_json"):
        counts = write(sink(Memory(), format=name), [entry(1, b"\xff\xff\xff", 2)])
        assert counts == {("spans", "dropped", "not_decodable"): 2}


def test_what_was_there_is_told_apart() -> None:
    writer = Memory()
    far = sink(writer)
    write(far, ENTRIES[:1])
    counts = write(far, ENTRIES)
    assert counts["spans", "already_there", ""] == 2
    assert counts["spans", "delivered", ""] == 1


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "disk_full"), (errno.EACCES, "unwritable")])
def test_a_failure_is_tried_again(number: int, reason: str) -> None:
    far = sink(Memory(number))
    (batch,) = far.prepare(ENTRIES).batches
    retry = far.send(batch).retry
    assert retry is not None
    assert (retry.reason, retry.level, retry.batches) == (reason, "error", [batch])
    assert far.send(batch).retry is None


def test_metrics_only_where_they_can_be_written() -> None:
    assert FileOptions.model_validate({"path": "x"}).selected_signals == {"spans", "logs"}
    assert FileOptions.model_validate({"path": "x", "format": "otlp_json"}).selected_signals == {
        "spans",
        "logs",
        "metrics",
    }
    counts = write(sink(Memory()), [entry(1, b"", 4, signal="metrics")])
    assert counts == {("metrics", "filtered", "format"): 4}


@pytest.mark.parametrize(
    "wrong",
    [{"path": "/var/"}, {"path": "."}, {"max_concurrency": 2}, {"signals": ["metrics"]}, {"id_field": 'a"b'}],
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileOptions.model_validate({"path": "x", **wrong})


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a" / "spans.ndjson"
    assert health_check(FileOptions(path=str(file))).state == "ok"
    assert list(tmp_path.iterdir()) == []
    assert health_check(FileOptions(path="-")).detail == "standard output"
    with pytest.raises(Permanent):
        health_check(FileOptions(path=str(tmp_path)))
    file.parent.write_text("in the way")
    with pytest.raises(Permanent, match="is no directory"):
        health_check(FileOptions(path=str(file)))
    with pytest.raises(Permanent, match="name too long"):
        health_check(FileOptions(path=str(tmp_path / ("x" * 300))))


@pytest.mark.parametrize("name", ["-", "stdout", "/dev/stdout"])
def test_names_of_standard_output(name: str) -> None:
    assert FileOptions(path=name).stdout
    assert isinstance(build("out", FileOptions(path=name), sink_context(DECODER, "log", Clock()))._writer, StreamWriter)


def test_a_built_sink_writes_a_file(tmp_path: Path) -> None:
    far = build("out", FileOptions(path=str(tmp_path / "spans.ndjson")), sink_context(DECODER, "log", Clock()))
    write(far, ENTRIES)
    far.close()
    assert len((tmp_path / "spans.ndjson").read_bytes().splitlines()) == 7
    assert not FileOptions().is_enabled
