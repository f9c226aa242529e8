"""Rows of a waterfall and the critical path, on made traces and on any."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.lookup.model import LogRecord, Span, Trace
from sidecar.serve.pages.compare import compare
from sidecar.serve.pages.waterfall import critical_path, waterfall


def span(number: int, parent: int, start: int, end: int, status: str = "Unset", name: str = "") -> Span:
    ids = "t", str(number), str(parent) if parent else ""
    return Span(*ids, name or f"s{number}", "Internal", start, end - start, status, "", "shop")


def path(*spans: Span) -> list[tuple[str, int, int]]:
    """In the order of time."""
    parts = [(s.span_id, begin, end) for s, begin, end in critical_path(Trace("t", list(spans)))]
    return sorted(parts, key=lambda part: part[1])


def test_a_span_waits_for_the_child_that_ends_last() -> None:
    spans = [span(1, 0, 0, 100), span(2, 1, 10, 40), span(3, 1, 50, 90)]
    assert path(*spans) == [("1", 0, 10), ("2", 10, 40), ("1", 40, 50), ("3", 50, 90), ("1", 90, 100)]


def test_what_ran_beside_a_longer_child_is_not_on_the_path() -> None:
    assert {p[0] for p in path(span(1, 0, 0, 100), span(2, 1, 0, 60), span(3, 1, 10, 90))} == {"1", "3"}


def test_a_child_that_outlives_its_parent_counts_up_to_the_parents_end() -> None:
    assert path(span(1, 0, 0, 50), span(2, 1, 20, 500)) == [("1", 0, 20), ("2", 20, 50)]


def test_spans_that_are_each_others_parents_are_shown_once() -> None:
    rows = waterfall(Trace("t", [span(1, 2, 0, 10), span(2, 1, 0, 10), span(3, 3, 5, 6)])).rows
    assert sorted(r.span.span_id for r in rows) == ["1", "2", "3"]


def test_spans_that_share_an_id_are_both_shown() -> None:
    client, server = span(1, 0, 0, 10), span(1, 1, 2, 8)
    assert len(waterfall(Trace("t", [client, server])).rows) == 2


def test_logs_stand_at_their_span_and_the_rest_by_themselves() -> None:
    logs = [LogRecord(1, None, "", 9, "t", of, "", "x", "shop") for of in ("1", "9", "")]
    shown = waterfall(Trace("t", [span(1, 0, 0, 10)], logs))
    assert (shown.rows[0].logs, shown.logs) == (logs[:1], logs[1:])
    assert waterfall(Trace("t", [], logs)).logs == logs


SPANS = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(SPANS)
def test_of_any_trace_every_span_is_a_row_and_the_path_is_the_whole_of_the_root(
    shape: list[tuple[int, int, int, int]],
) -> None:
    trace = Trace("t", [span(n, parent, start, start + length) for n, parent, start, length in shape])
    rows = waterfall(trace).rows
    assert sorted(map(id, (r.span for r in rows))) == sorted(map(id, trace.spans))
    assert trace.root is not None
    at = trace.root.start_ns
    for _, begin, end in sorted(critical_path(trace), key=lambda part: part[1]):
        assert begin == at < end
        at = end
    assert at == trace.root.end_ns


def test_a_comparison_has_the_operations_of_both_and_what_differs_most_first() -> None:
    a = Trace("a", [span(1, 0, 0, 10, name="x"), span(2, 1, 0, 4, name="y")])
    b = Trace("b", [span(1, 0, 0, 12, name="x"), span(2, 1, 0, 5, name="z"), span(3, 1, 0, 9, "Error", "z")])
    found = [(d.name, d.a.spans, d.b.spans, d.change_ns, d.b.failed) for d in compare(a, b)]
    assert found == [("z", 0, 2, 14, 1), ("y", 1, 0, -4, 0), ("x", 1, 1, 2, 0)]
