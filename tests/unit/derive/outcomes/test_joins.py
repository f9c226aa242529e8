"""Labels and predictions in any order, beside a join by brute force, with crashes in between."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcome_data import START, BruteForce, Outcomes, logged, posted

LABEL_TTL, PREDICTION_TTL = 100, 40
CLASSES = ("a", "b", "c")

step = st.tuples(
    st.sampled_from(["prediction", "label", "label", "crash"]),
    st.sampled_from([0, 0, 1, 5, 39, 40, 41, 99, 100, 101, 250]),
    st.sampled_from([f"p-{n}" for n in range(4)]),
    st.sampled_from(CLASSES),
)


def play(steps: list[tuple[str, int, str, str]], **options: object) -> Outcomes:
    """The steps as payloads."""
    outcomes = Outcomes(label_ttl=LABEL_TTL, prediction_ttl=PREDICTION_TTL, **options)
    now = START
    for what, after, id_, name in steps:
        if what == "crash":
            outcomes.restart()
            continue
        now += after
        if what == "label":
            outcomes.feed(posted({"prediction_id": id_, "label": name}), now)
        else:
            outcomes.feed(logged({"model": "churn", "prediction_id": id_, "predicted_class": name}), now)
    return outcomes


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=40))
def test_exact_against_brute_force(steps: list[tuple[str, int, str, str]]) -> None:
    expected = BruteForce(LABEL_TTL, PREDICTION_TTL)
    for what, after, id_, name in steps:
        if what != "crash":
            expected.step(what, after, id_, name)
    found = play(steps)
    assert found.results() == {result: n for result, n in expected.results.items() if n}
    assert found.matrix() == dict(expected.matrix)


@settings(max_examples=60, deadline=None)
@given(st.permutations([(what, n) for n in range(12) for what in ("prediction", "label")]))
def test_the_order_does_not_matter_within_the_times(order: list[tuple[str, int]]) -> None:
    steps = [(what, 0, f"p-{n}", CLASSES[n % 3] if what == "prediction" else CLASSES[n % 2]) for what, n in order]
    found = play(steps)
    assert found.results() == {"joined": 12}
    assert found.matrix() == {("a", "a"): 2, ("b", "b"): 2, ("c", "a"): 2, ("a", "b"): 2, ("b", "a"): 2, ("c", "b"): 2}
    assert found.figure("model_accuracy") == 4 / 12
