"""Labels of sets of classes that come hours and days after their prediction, beside a join by brute force."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.outcome_data import START, BruteForce, Outcomes, logged, posted
from support.set_figures import figures_of_sets

from sidecar.derive.outcomes.options import step_of

DAY = 86_400
LABEL_TTL, PREDICTION_TTL = DAY, 3600
WINDOWS = {"1h": 3600, "24h": DAY, "7d": 7 * DAY}
CLASSES = ("a", "b", "c")
Set = frozenset[str]
Step = tuple[str, int, str, Set]

step = st.tuples(
    st.sampled_from(["prediction", "prediction", "label", "label", "label", "crash"]),
    st.sampled_from([0, 1, 299, 300, 3599, 3600, 3601, 4 * 3600, DAY - 3601, DAY - 1, DAY, DAY + 1, 6 * DAY]),
    st.sampled_from([f"p-{n}" for n in range(4)]),
    st.frozensets(st.sampled_from(CLASSES)),
)


def play(steps: list[Step]) -> Outcomes:
    """The steps as payloads."""
    outcomes = Outcomes(label_ttl=LABEL_TTL, prediction_ttl=PREDICTION_TTL, min_rows=1)
    now = START
    for what, after, id_, classes in steps:
        if what == "crash":
            outcomes.restart()
            continue
        now += after
        if what == "label":
            # One class alone is a set of one.
            outcomes.feed(
                posted({"prediction_id": id_, "label": next(iter(classes)) if len(classes) == 1 else [*classes]}), now
            )
        else:
            outcomes.feed(logged({"model": "m", "prediction_id": id_, "predicted_class": [*classes]}), now)
    return outcomes


def within(rows: list[tuple[int, Set, Set]], window: int, now: int) -> list[tuple[Set, Set]]:
    """Those predicted in the window that ends `now`: the step at hand, and the steps before it."""
    size = step_of(window)
    last = (START + now) // size
    return [one for time, *one in rows if last - window // size < (START + time) // size]


def by_class(rows: list[tuple[int, Set, Set]]) -> Counter[tuple[str, str]]:
    """(class, what became of it) -> rows."""
    found: Counter[tuple[str, str]] = Counter()
    for _, predicted, actual in rows:
        found.update((name, "hit") for name in predicted & actual)
        found.update((name, "wrong") for name in predicted - actual)
        found.update((name, "missed") for name in actual - predicted)
    return found


def label(series: str, name: str) -> str:
    return series.split(f'{name}="')[1].split('"')[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=30))
@example([("prediction", 0, "p-0", Set("ab")), ("label", 4 * 3600, "p-0", Set("b"))])
@example([("prediction", 0, "p-0", Set("a")), ("label", DAY - 1, "p-0", Set("a")), ("label", 1, "p-0", Set("b"))])
@example([("prediction", 0, "p-0", Set("a")), ("crash", 0, "", Set()), ("label", DAY, "p-0", Set("a"))])
@example([("label", 0, "p-0", Set("a")), ("prediction", 3599, "p-0", Set("a")), ("label", 1, "p-1", Set())])
def test_exact_against_brute_force(steps: list[Step]) -> None:
    """What becomes of each label, the counters that a fleet adds up, and the figures of each window, in which a row
    stands by the time of its prediction: hours later its label may be of the longer windows only."""
    expected: BruteForce[Set] = BruteForce(LABEL_TTL, PREDICTION_TTL)
    for what, after, id_, classes in steps:
        if what != "crash":
            expected.step(what, after, id_, classes)
    found = play(steps)
    assert found.results() == {result: n for result, n in expected.results.items() if n}
    for table in (found.deriver.sets, found.deriver.classes):
        table.mark_exported()
    sets = {label(series, "result"): n for series, n in found.shown("model_outcome_sets_total{").items()}
    assert sets == Counter("exact" if predicted == actual else "other" for _, predicted, actual in expected.rows)
    classes = found.shown("model_outcome_classes_total{")
    assert {(label(one, "class"), label(one, "result")): n for one, n in classes.items()} == by_class(expected.rows)
    for window, seconds in WINDOWS.items():
        rows = within(expected.rows, seconds, expected.now)
        assert (found.figure("model_outcome_samples", window) or 0) == len(rows), window
        occurs = any(predicted or actual for predicted, actual in rows)
        for name, value in figures_of_sets(rows).items() if occurs else ():
            assert found.figure(name, window) == pytest.approx(value), (name, window)
        if not occurs:
            assert found.figure("model_subset_accuracy", window) is None
