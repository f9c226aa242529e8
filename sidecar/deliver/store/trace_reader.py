"""The embedded store as a place where traces are looked up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from pydantic_core import from_json  # Three times as fast as `json` on documents, which repeat most of their texts.

from sidecar.decode.api import Decoder, Lines, SpanBatch
from sidecar.deliver.store.block_summary import bounds, filter_clause
from sidecar.deliver.store.column_filter import attribute_names, matching_rows, must_hold, number_names
from sidecar.deliver.store.span_store import Store, StoreUnavailable
from sidecar.deliver.store.trace_index import blocks_of
from sidecar.deliver.store.trace_key import key_of
from sidecar.errors import DecodeError
from sidecar.lookup.document_traces import TraceBuilder, span_of
from sidecar.lookup.model import Span, Trace
from sidecar.lookup.store import MAX_SPANS, Deadline, Needs, Operation, StoreFailure, Term, Window

MAX_BLOCKS = 2_000
"""Blocks of one trace that a look-up decodes at most."""
_SAMPLE_BLOCKS = 20
_SAMPLE_SPANS = 50
"""Of each sampled block, for the names of tags."""
_VALUE_BLOCKS = 200
"""Blocks that are read for the values of a tag, the newest."""
_ID_BYTES = 16
_NOTHING = Lines(b"", np.zeros(0, np.uint32), np.zeros(0, np.uint8), [])
_SEARCHED = "SELECT block FROM summary WHERE start_ns <= ? AND end_ns >= ? AND longest_ns >= ? AND failed >= ?"
_BLOCK = "SELECT log, seq, signal, payload FROM block WHERE id = ? AND time_ns >= ?"


@dataclass(frozen=True, slots=True)
class _Block:
    """A block as it was received."""

    journal_id: str
    seq: int
    signal: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Hit:
    """A block with spans that may be of interest, and which."""

    payload: bytes
    seq: int
    batch: SpanBatch
    rows: npt.NDArray[np.int64]


class StoredTraces:
    """See `lookup.store.TraceStore`."""

    def __init__(self, store: Store, decoder: Decoder) -> None:
        self._store, self._decoder = store, decoder

    def traces(self, trace_ids: Sequence[str], deadline: Deadline, limit: int = MAX_SPANS) -> list[Trace]:
        builders = {trace_id: TraceBuilder(trace_id, limit) for trace_id in trace_ids}
        keys = {trace_id: key_of(bytes.fromhex(trace_id)) for trace_id in builders}
        with self._reading() as db:
            found = blocks_of(db, list(keys.values()))
            wanted: dict[int, list[TraceBuilder]] = {}
            for trace_id, key in keys.items():
                if len(found[key]) > MAX_BLOCKS:
                    builders[trace_id].truncate()
                for block in found[key][:MAX_BLOCKS]:
                    wanted.setdefault(block, []).append(builders[trace_id])
            for block in sorted(wanted):
                deadline.check()
                open_ones = [b for b in wanted[block] if not b.full]
                if open_ones:
                    self._read_block(db, block, open_ones)
        return [trace for builder in builders.values() if (trace := builder.trace()) is not None]

    def candidates(
        self, needs: Sequence[Needs], window: Window, deadline: Deadline, companions: Sequence[Needs] = ()
    ) -> Iterator[Sequence[str]]:
        # Whether there are companions takes as much reading here as the traces do.
        seen: set[bytes] = set()
        for hit in self._hits(needs, window, deadline):
            ids = hit.batch.trace_ids
            newest_first = hit.rows[np.argsort(hit.batch.start[hit.rows], kind="stable")[::-1]]
            raw = dict.fromkeys(ids[n * _ID_BYTES : (n + 1) * _ID_BYTES] for n in newest_first.tolist())
            fresh = [trace_id for trace_id in raw if trace_id not in seen]
            seen.update(fresh)
            if fresh:
                yield [trace_id.hex() for trace_id in fresh]

    def spans(self, needs: Sequence[Needs], window: Window, deadline: Deadline) -> Iterator[Sequence[Span]]:
        for hit in self._hits(needs, window, deadline):
            yield [span_of(document) for document in self._documents(hit, hit.rows.tolist())]

    def services(self, deadline: Deadline) -> list[str]:
        with self._reading() as db:
            return [service for (service,) in db.execute("SELECT DISTINCT service FROM operation ORDER BY 1")]

    def operations(self, service: str, deadline: Deadline) -> list[Operation]:
        query = "SELECT service, name, kind FROM operation WHERE service = ? ORDER BY 2, 3"
        with self._reading() as db:
            return [Operation(*row) for row in db.execute(query, (service,))]

    def tag_names(self, window: Window, deadline: Deadline) -> dict[str, list[str]]:
        names: dict[str, set[str]] = {"span": set(), "resource": set()}
        for number, hit in enumerate(self._hits((), window, deadline)):
            if number >= _SAMPLE_BLOCKS:
                break
            step = max(1, len(hit.rows) // _SAMPLE_SPANS)
            for document in self._documents(hit, hit.rows[::step].tolist()):
                names["span"].update(document.get("attributes", {}))
                names["resource"].update(document.get("resource", {}).get("attributes", {}))
        return {scope: sorted(found) for scope, found in names.items()}

    def tag_values(
        self, term: Term, needs: Sequence[Needs], window: Window, limit: int, deadline: Deadline
    ) -> list[Any]:
        if term.scope == "intrinsic":
            return self._intrinsic_values(term.name, needs, window, limit, deadline)
        found: dict[str, Any] = {}
        for number, hit in enumerate(self._hits(needs, window, deadline, also=term)):
            if number >= _VALUE_BLOCKS or len(found) >= limit:
                break
            for value in self._values(hit, term):
                found.setdefault(f"{type(value).__name__} {value}", value)
        return sorted(found.values(), key=lambda value: (type(value).__name__, value))[:limit]

    def _intrinsic_values(
        self, name: str, needs: Sequence[Needs], window: Window, limit: int, deadline: Deadline
    ) -> list[Any]:
        """Services and names of spans: from the table of operations where nothing narrows them."""
        if name not in ("service", "name"):
            return []
        if not needs:
            with self._reading() as db:
                rows = db.execute(f"SELECT DISTINCT {name} FROM operation ORDER BY 1 LIMIT ?", (limit,)).fetchall()
            return [value for (value,) in rows]
        found: set[str] = set()
        for number, hit in enumerate(self._hits(needs, window, deadline)):
            if number >= _VALUE_BLOCKS or len(found) >= limit:
                break
            groups = {hit.batch.groups[n] for n in hit.batch.group[hit.rows].tolist()}
            found.update(group[0 if name == "service" else 1] for group in groups)
        return sorted(found)[:limit]

    # -- reading

    def _reading(self) -> Any:
        return _Translated(self._store)

    def _hits(
        self, needs: Sequence[Needs], window: Window, deadline: Deadline, also: Term | None = None
    ) -> Iterator[_Hit]:
        """Blocks with spans that may meet one of the needs within the window, newest first. `also`: an attribute that
        becomes a column as well."""
        clause, literals = filter_clause(needs), must_hold(needs)
        names, numbers = attribute_names(needs, also), number_names(needs)
        query = f"{_SEARCHED}{' AND ' if clause else ''}{clause} ORDER BY block DESC"
        with self._reading() as db:
            for (block,) in db.execute(query, (window.end_ns, window.start_ns, *bounds(needs))):
                deadline.check()
                read = self._block(db, block)
                if read is None or (literals and not any(text in read.payload for text in literals)):
                    continue
                try:
                    batch = self._decoder.spans([read.payload], names, numbers)
                except DecodeError as error:
                    self._store.unreadable(read.seq, error)
                    continue
                rows = matching_rows(batch, needs, window, names, numbers)
                if len(rows):
                    yield _Hit(read.payload, read.seq, batch, rows)

    def _block(self, db: sqlite3.Connection, block: int) -> _Block | None:
        """None where it is too old to be shown, or cannot be read."""
        row = db.execute(_BLOCK, (block, self._store.cutoff_ns)).fetchone()
        if row is None:
            return None
        journal_id, seq, signal, packed = row
        try:
            return _Block(journal_id, seq, signal, isal_zlib.decompress(packed))
        except isal_zlib.IsalError as error:  # type: ignore[misc]  # the stub takes the class for an instance
            self._store.unreadable(seq, error)
            return None

    def _documents(self, hit: _Hit, rows: list[int]) -> Iterator[dict[str, Any]]:
        """The documents of some spans of a block."""
        lines = self._lines(_Block("", hit.seq, "spans", hit.payload))
        own = np.flatnonzero(lines.event == 0)
        for row in rows:
            if row < len(own):
                yield _pair(lines, int(own[row]))[1]

    def _values(self, hit: _Hit, term: Term) -> Iterator[Any]:
        """A value for each distinct text of it in the block."""
        texts: dict[str, int] = {}
        column = len(hit.batch.groups[0]) - 1
        for row in hit.rows.tolist():
            texts.setdefault(hit.batch.groups[int(hit.batch.group[row])][column], row)
        for document in self._documents(hit, [row for text, row in texts.items() if text]):
            own, shared = document.get("attributes", {}), document.get("resource", {}).get("attributes", {})
            value = {"span": own, "resource": shared}.get(term.scope, {**shared, **own}).get(term.name)
            # A condition on an array holds for its elements.
            for one in value if isinstance(value, list) else (value,):
                if isinstance(one, (str, int, float)):
                    yield one

    def _read_block(self, db: sqlite3.Connection, block: int, builders: Sequence[TraceBuilder]) -> None:
        read = self._block(db, block)
        if read is None:
            return
        wanted = {builder.trace_id: builder for builder in builders}
        _gather(self._lines(read, bytes.fromhex("".join(wanted))), wanted, read.signal)

    def _lines(self, block: _Block, traces: bytes = b"") -> Lines:
        """The documents of a block. `traces`: see `decode.api`."""
        try:
            if block.signal == "spans":
                return self._decoder.span_lines([block.payload], traces)
            return self._decoder.log_lines([block.payload], [f"{block.journal_id}-{block.seq}"], (), traces)
        except DecodeError as error:
            self._store.unreadable(block.seq, error)
            return _NOTHING


class _Translated:
    """Reading, with the words of look-ups for what may go wrong."""

    def __init__(self, store: Store) -> None:
        self._context = store.reading()

    def __enter__(self) -> sqlite3.Connection:
        try:
            return self._context.__enter__()
        except StoreUnavailable as error:
            raise StoreFailure(error.reason) from error

    def __exit__(self, *raised: Any) -> bool | None:
        try:
            return self._context.__exit__(*raised)
        except StoreUnavailable as error:
            raise StoreFailure(error.reason) from error


def _pair(lines: Lines, row: int) -> tuple[bytes, dict[str, Any]]:
    """The action line and the document of a row."""
    begin, end = int(lines.ends[row - 1]) if row else 0, int(lines.ends[row])
    action, _, source = lines.body[begin:end].partition(b"\n")
    return action, from_json(source)


def _gather(lines: Lines, builders: Mapping[str, TraceBuilder], signal: str) -> None:
    """The documents of these traces (by their ids), which are all that there are."""
    for row in range(len(lines)):
        action, document = _pair(lines, row)
        builder, doc_id = builders[document["trace_id"]], from_json(action)["create"]["_id"]
        if signal == "logs":
            builder.add_log(doc_id, document)
        elif lines.event[row]:
            builder.add_event(doc_id, document)
        else:
            builder.add_span(doc_id, document)
