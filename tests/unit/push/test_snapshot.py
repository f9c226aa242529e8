from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from sidecar.derive.families import Exemplar, FamilySnapshot, Histograms, Points, Summaries, label_text, read_labels
from sidecar.push.snapshot import Series, Snapshots
from sidecar.serve.exposition import Family, from_client, merge
from sidecar.serve.flat_series import Buckets, Quantiles

BEGAN = 1_000.0


def counter(*series: tuple[str, float, float], name: str = "calls") -> FamilySnapshot:
    """(label text, value, created) of each series."""
    texts, values, created = zip(*series, strict=True) if series else ((), (), ())
    return FamilySnapshot(name, "counter", "Calls.", "", (Points(texts, values, created),))


def histogram(exemplar: Exemplar | None) -> FamilySnapshot:
    exemplars = {} if exemplar is None else {(0, 0): exemplar}
    block = Histograms(['a="1"'], (0.5, 1.0), [[1, 2, 3]], [4.5], [1_001.0], exemplars)
    return FamilySnapshot("seconds", "histogram", "Time.", "seconds", (block,))


def taken(snapshots: Snapshots, now: float, *families: Family) -> Sequence[Series]:
    return snapshots.take(merge(families), now).series


def test_labels_are_read_back_as_they_were() -> None:
    names, values = ["a", "b", "c"], ['x"y', "back\\slash", "two\nlines, c=\\n"]
    assert read_labels(label_text(names, values)) == dict(zip(names, values, strict=True))
    assert read_labels("") == {}


def test_series_get_the_targets_labels_but_keep_their_own() -> None:
    snapshots = Snapshots({"job": "model-sidecar", "instance": "pod-1", "namespace": ""}, BEGAN)
    found = taken(snapshots, 1_001, counter(('service="x"', 1, 0), ('instance="run-1",job="app"', 2, 0)))
    assert [one.labels for one in found] == [
        (("instance", "pod-1"), ("job", "model-sidecar"), ("service", "x")),
        (("instance", "run-1"), ("job", "app")),
    ]


def test_a_counter_that_began_since_is_pushed_with_its_beginning_once() -> None:
    snapshots = Snapshots({}, BEGAN)
    restored = ('a="old"', 7.0, 900.0)
    first = taken(snapshots, 1_010, counter(restored, ('a="new"', 2.0, 1_005.0)))
    assert [(one.begins, one.start) for one in first] == [(False, 900.0), (True, 1_005.0)]
    second = taken(snapshots, 1_020, counter(restored, ('a="new"', 3.0, 1_005.0)))
    assert [one.begins for one in second] == [False, False]


def test_a_beginning_that_receivers_would_refuse_is_not_pushed() -> None:
    snapshots = Snapshots({}, BEGAN)
    assert not taken(snapshots, 1_400, counter(('a="1"', 2.0, 1_005.0)))[0].begins


def test_what_is_gone_is_pushed_as_stale_once_and_may_begin_again_only_later() -> None:
    snapshots = Snapshots({}, BEGAN)
    taken(snapshots, 1_010, counter(('a="1"', 2.0, 1_005.0)))
    gone = taken(snapshots, 1_020)
    assert [(one.stale, dict(one.labels)) for one in gone] == [(True, {"a": "1"})]
    assert taken(snapshots, 1_030) == ()
    again = taken(snapshots, 1_040, counter(('a="1"', 2.0, 1_015.0), ('a="2"', 1.0, 1_015.0)))
    assert [one.begins for one in again] == [False, True]


def test_at_the_end_everything_is_stale_and_later_than_before() -> None:
    snapshots = Snapshots({}, BEGAN)
    before = snapshots.take(merge([counter(('a="1"', 2.0, 0.0)), histogram(None)]), 1_010)
    last = snapshots.last(1_009)
    assert last.time_ms > before.time_ms
    assert [(one.head.name, one.stale) for one in last.series] == [("calls", True), ("seconds", True)]
    assert snapshots.last(1_011).series == ()


def test_an_exemplar_is_pushed_once_and_never_one_that_is_older() -> None:
    snapshots = Snapshots({}, BEGAN)
    later, earlier = Exemplar("aa", "bb", 0.1, 1_002), Exemplar("cc", "dd", 0.2, 1_001)
    newest = Exemplar("ee", "ff", 0.3, 1_003)
    pushed = []
    for now, exemplar in ((1_010, later), (1_020, later), (1_030, earlier), (1_040, None), (1_050, newest)):
        (one,) = taken(snapshots, now, histogram(exemplar))
        assert isinstance(one.value, Buckets)
        pushed.append(one.value.exemplars)
    assert pushed == [{0: later}, {}, {}, {}, {0: newest}]


def test_histograms_with_other_bounds_are_other_series() -> None:
    def with_bounds(*bounds: float) -> FamilySnapshot:
        counts = [[*range(1, len(bounds) + 2)]]
        return FamilySnapshot("seconds", "histogram", "", "", (Histograms(["x"], bounds, counts, [1.0]),))

    snapshots = Snapshots({}, BEGAN)
    taken(snapshots, 1_010, with_bounds(1.0, 2.0))
    found = taken(snapshots, 1_020, with_bounds(1.0))
    assert [(one.stale, one.samples) for one in found] == [(False, 4), (True, 5)]


def test_the_programs_own_metrics_and_summaries_are_taken_too() -> None:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["receiver"], registry=registry).labels("otlp").inc(3)
    Histogram("took", "Time.", ["sink"], buckets=(0.5, 1), registry=registry).labels("store").observe(0.7)
    summary = FamilySnapshot("size", "summary", "", "", (Summaries([""], [[(0.5, 2.0)]], [3], [6.0]),))
    own = from_client(registry.collect())
    found = {one.head.name: one for one in taken(Snapshots({}, BEGAN), 1_010, *own, summary)}
    assert (found["requests"].labels, found["requests"].value) == ((("receiver", "otlp"),), 3)
    assert (found["took"].labels, found["took"].value) == ((("sink", "store"),), Buckets((0.5, 1.0), [0, 1, 1], 0.7))
    assert (found["size"].value, found["size"].samples) == (Quantiles([(0.5, 2.0)], 3, 6.0), 3)
