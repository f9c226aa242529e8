"""Flame graphs: by hand, and of any trace against time that is counted one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.lookup.model import Span, Trace
from sidecar.serve.pages.flame import MAX_FRAMES, Flame, flame, own_time
from sidecar.serve.pages.waterfall import waterfall

SPANS = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(0, 50), st.integers(0, 50), st.sampled_from("ab")),
    min_size=1,
    max_size=12,
)


def span(number: int, parent: int, start: int, end: int, name: str, status: str = "Unset") -> Span:
    ids = "t", str(number), str(parent) if parent else ""
    return Span(*ids, name, "Internal", start, end - start, status, "", "shop")


def drawn(*spans: Span) -> Flame:
    return flame(waterfall(Trace("t", list(spans))).rows)


@pytest.mark.parametrize(
    ("children", "own"),
    [([], 10), ([(0, 10)], 0), ([(2, 4), (6, 9)], 5), ([(2, 6), (4, 8)], 4), ([(-5, 2), (9, 20)], 7), ([(3, 3)], 10),
     ([(2, 8), (3, 4)], 4), ([(20, 30)], 10), ([(-9, -2)], 10)],
)  # fmt: skip
def test_own_time_is_that_without_children(children: list[tuple[int, int]], own: int) -> None:
    assert own_time(0, 10, children) == own


def test_spans_of_one_name_under_the_same_callers_are_one_frame() -> None:
    shown = drawn(
        span(1, 0, 0, 100, "GET"), span(2, 1, 10, 30, "load"), span(3, 1, 40, 60, "load", "Error"),
        span(4, 3, 45, 50, "db"),
    )  # fmt: skip
    found = [(f.name, f.depth, f.spans, f.failed, f.self_ns, f.total_ns, f.left, f.width) for f in shown.frames]
    assert found == [
        ("GET", 0, 1, 0, 60, 100, 0.0, 100.0),
        ("load", 1, 2, 1, 35, 40, 0.0, 40.0),
        ("db", 2, 1, 0, 5, 5, 0.0, 5.0),
    ]
    assert (shown.levels, shown.hidden, [f.name for f in shown.by_self_time]) == (3, 0, ["GET", "load", "db"])


def test_the_same_name_under_another_caller_is_another_frame() -> None:
    shown = drawn(
        span(1, 0, 0, 100, "GET"), span(2, 1, 0, 50, "a"), span(3, 1, 50, 100, "b"), span(4, 2, 0, 10, "db"),
        span(5, 3, 60, 90, "db"),
    )  # fmt: skip
    assert [(f.name, f.left, f.width) for f in shown.frames if f.name == "db"] == [
        ("db", 0.0, 10.0),
        ("db", 50.0, 30.0),
    ]


def test_what_nobody_would_see_is_counted_and_not_drawn() -> None:
    names = [span(n, 1, n, n + 1, f"s{n}") for n in range(2, 2000)]
    shown = drawn(span(1, 0, 0, 2000, "root"), *names)
    assert (len(shown.frames), shown.hidden) == (1, 1998)
    wide = [span(n, 1, n * 10, n * 10 + 10, f"s{n}") for n in range(2, 502)]
    shown = drawn(span(1, 0, 0, 5020, "root"), *wide)
    assert (len(shown.frames), shown.hidden) == (MAX_FRAMES, 501 - MAX_FRAMES)
    assert drawn().levels == 0


@settings(max_examples=150, deadline=None)
@given(SPANS)
def test_of_any_trace_frames_lie_within_their_callers_and_no_time_is_lost(
    shape: list[tuple[int, int, int, int, str]],
) -> None:
    rows = waterfall(
        Trace("t", [span(n, of, start, start + length, name) for n, of, start, length, name in shape])
    ).rows
    shown = flame(rows)
    everything = {id(f): f for f in [*shown.frames, *shown.by_self_time]}.values()
    own = 0
    for number, row in enumerate(rows):
        below = []
        for other in rows[number + 1 :]:
            if other.depth <= row.depth:
                break
            if other.depth == row.depth + 1:
                below.append(other.span)
        moments = range(row.span.start_ns, row.span.end_ns)
        own += sum(not any(s.start_ns <= at < s.end_ns for s in below) for at in moments)
    assert sum(f.self_ns for f in everything) == own
    for frame in shown.frames:
        if frame.caller is not None:
            assert frame.caller.left - 1e-6 <= frame.left
            assert frame.left + frame.width <= frame.caller.left + frame.caller.width + 1e-6
        assert frame.total_ns >= frame.self_ns
