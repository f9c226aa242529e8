"""Families read back by label, quantiles, rates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.derive.families import FamilySnapshot, Points, label_text
from sidecar.serve.pages.html import (
    MAX_DOCUMENT,
    write_bytes,
    write_duration,
    write_indented,
    write_number,
    write_time,
)
from sidecar.serve.pages.metric_families import Histogram, Metrics, labels_of, merged
from sidecar.serve.pages.overview import Rates


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=3, max_size=3))
def test_labels_are_read_as_they_were_written(values: list[str]) -> None:
    names = ("a", "b_c", "d")
    assert labels_of(label_text(names, values)) == dict(zip(names, values, strict=True))


def test_quantiles_are_prometheuss() -> None:
    histogram = Histogram((0.1, 0.5, 1.0), (10, 20, 20, 25))
    assert histogram.quantile(0.2) == pytest.approx(0.05)
    assert histogram.quantile(0.6) == pytest.approx(0.1 + 0.4 * 0.5)
    assert histogram.quantile(0.99) == 1.0
    assert Histogram((0.1,), (0, 0)).quantile(0.5) is None
    assert Histogram((), (3,)).quantile(0.5) is None
    assert histogram.shares() == [0.4, 0.4, 0.0, 0.2]


def test_histograms_with_other_bounds_are_not_added_up() -> None:
    one = Histogram((1.0,), (1, 2), 3.0, ((0, "a"),))
    both = merged([one, Histogram((1.0,), (2, 4), None, ((1, "b"), (0, "a")))])
    assert both == Histogram((1.0,), (3, 6), None, ((1, "b"), (0, "a"))), "the highest bucket's exemplar is first"
    assert merged([one, Histogram((2.0,), (1, 2))]) is None
    assert merged([]) is None


def test_families_of_the_same_name_are_one() -> None:
    parts = [FamilySnapshot("a", "gauge", "", "", (Points([f'x="{n}"'], [n]),)) for n in (1, 2)]
    metrics = Metrics.of(parts)
    assert [s.value for s in metrics["a"]] == [1, 2]
    assert (metrics.value("a", x="2"), metrics.value("a", x="3"), metrics.first("b", "a")[0].value) == (2, None, 1)


def test_rates_are_of_the_last_minute_and_never_below_zero() -> None:
    now = [100.0]
    rates = Rates(lambda: now[0])
    key = ("shop", "x", "")
    assert rates.of({key: 10}) == {}
    now[0] = 110.0
    assert rates.of({key: 30}) == {key: 2.0}
    now[0] = 165.0
    assert rates.of({key: 85}) == {key: 1.0}
    assert rates.of({key: 3}) == {}


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_500, "1.5 µs"), (12_345_678, "12.3 ms"), (2.5e9, "2.5 s"), (9e10, "1.5 min"),
     (7.2e12, "2 h"), (None, "–"), (-2e6, "-2 ms")],
)  # fmt: skip
def test_durations(ns: float | None, text: str) -> None:
    assert write_duration(ns) == text


def test_times_numbers_and_sizes() -> None:
    assert write_time(1_790_000_000_123_000_000) == "2026-09-21 14:13:20.123"
    assert (write_time(0), write_time(None), write_time(1 << 63)) == ("–", "–", "2262-04-11 23:47:16.854")
    assert (write_number(1234567), write_number(0.12345), write_number(float("nan"))) == (
        "1\u202f234\u202f567",
        "0.1235",
        "nan",
    )
    assert (write_bytes(10), write_bytes(1536)) == ("10 B", "1.5 KiB")


def test_documents_have_a_line_for_each_member() -> None:
    shown = '{\n  "create": {}\n}\n{\n  "größe": [\n    1,\n    "<b>"\n  ]\n}\nno JSON'
    assert write_indented('{"create":{}}\n{"größe":[1,"<b>"]}\nno JSON') == shown
    deep = "[" * 90_000 + "]" * 10_000
    assert write_indented(deep) == deep
    long = f'{{"a":"{"x" * MAX_DOCUMENT}"}}'
    assert write_indented(long) == long
    assert write_indented('{"a":"x\u2028y"}') == '{\n  "a": "x\u2028y"\n}'


@pytest.mark.parametrize("document", ['{"a":1e400}', '{"a":0.10}', '{"a":1,"a":2}'])
def test_what_may_be_wrong_with_a_document_is_shown_as_it_is(document: str) -> None:
    assert write_indented(document) == document
