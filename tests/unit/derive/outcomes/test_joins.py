"""Labels and predictions in any order, beside a join by brute force, with crashes in between."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcome_data import START, BruteForce, Outcomes, event, logged, posted

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
    expected: BruteForce[str] = BruteForce(LABEL_TTL, PREDICTION_TTL)
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


class BatchesByBruteForce:
    """Events of several rows, and labels of one row or of all."""

    def __init__(self) -> None:
        self._rows: dict[str, list[bool]] = {}
        """Id -> whether each row has its label."""
        self._waiting: list[tuple[str, int | None]] = []
        self.results: Counter[str] = Counter()
        self.joined = 0

    def event(self, id_: str, rows: int) -> None:
        if id_ not in self._rows:
            self._rows[id_] = [False] * rows
            self._waiting = [one for one in self._waiting if not self._join(*one)]

    def label(self, id_: str, row: int | None) -> None:
        if not self._join(id_, row):
            self._waiting.append((id_, row))

    def _join(self, id_: str, row: int | None) -> bool:
        known = self._rows.get(id_, [])
        places = [n for n in range(len(known)) if row in (None, n)]
        if places:
            fresh = [n for n in places if not known[n]]
            self.results["joined" if fresh else "duplicate"] += 1
            self.joined += len(fresh)
            for n in fresh:
                known[n] = True
        return bool(places)


batch_step = st.tuples(
    st.sampled_from(["event", "label", "label", "label", "crash"]),
    st.sampled_from(["p", "q", "r"]),
    st.integers(1, 5),
    st.sampled_from([None, 0, 1, 2, 4]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(batch_step, max_size=30))
def test_batches_are_exact_against_brute_force(steps: list[tuple[str, str, int, int | None]]) -> None:
    expected, found = BatchesByBruteForce(), Outcomes()
    for what, id_, rows, row in steps:
        if what == "crash":
            found.restart()
        elif what == "event":
            expected.event(id_, rows)
            found.feed(event({"class": ["a"] * rows}, attributes={"ml.prediction.id": id_}))
        else:
            expected.label(id_, row)
            found.feed(posted({"id": id_, "label": "a", **({} if row is None else {"row": row})}))
    assert found.results() == dict(expected.results)
    assert sum(found.matrix().values()) == expected.joined
