"""Sets of classes: figures beside scikit-learn's, joins beside brute force, and what comes in as a set."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcome_data import Outcomes, event, logged, posted
from support.set_figures import figures_of_sets

from sidecar.derive.outcomes.deriver import _KIND_BYTES
from sidecar.derive.outcomes.figures import of_sets
from sidecar.derive.outcomes.kinds import Kind, _packed, _unpacked
from sidecar.derive.outcomes.label_sets import MAX_LABELS, SetTally
from sidecar.derive.outcomes.tally import TALLY_BYTES, Tally

NAMES = [f"c{n:02d}" for n in range(30)]


def some(rng: random.Random, classes: int, share: float) -> list[str]:
    return [name for name in NAMES[:classes] if rng.random() < share]


def pairs(seed: int, classes: int, rows: int = 400) -> list[tuple[list[str], list[str]]]:
    rng = random.Random(seed)
    found = []
    for _ in range(rows):
        actual = some(rng, classes, 0.3)
        predicted = [name for name in NAMES[:classes] if (name in actual) ^ (rng.random() < 0.1)]
        found.append((predicted, actual))
    return found


@pytest.mark.parametrize("classes", [1, 3, 20, 30])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(classes: int, seed: int) -> None:
    found = pairs(seed, classes)
    outcomes = Outcomes()
    for n, (predicted, actual) in enumerate(found):
        outcomes.feed(logged({"model": "m", "prediction_id": f"p-{n}", "predicted_class": predicted}))
        outcomes.feed(posted({"prediction_id": f"p-{n}", "label": actual[::-1]}))
    assert outcomes.results() == {"joined": len(found)}
    for name, value in figures_of_sets(found).items():
        assert outcomes.figure(name) == pytest.approx(value, abs=1e-12), name
    assert outcomes.figure("model_outcome_samples") == len(found)
    # There is no accuracy of one class, by which alerts of models with one class would go.
    assert outcomes.figure("model_accuracy") is None
    of_class = outcomes.shown("model_class_precision{")
    assert len({key.split('class="')[1].split('"')[0] for key in of_class}) == min(classes, 20)


def test_counters_add_up_to_the_figures() -> None:
    """What a fleet adds up: hits, wrong and missed classes."""
    found = pairs(9, 12)
    outcomes = Outcomes()
    outcomes.feed(event({"class": [p for p, _ in found]}, attributes={"ml.prediction.id": "b"}))
    for row, (_, actual) in enumerate(found):
        outcomes.feed(posted({"id": "b", "label": actual, "row": row}))
    for table in (outcomes.deriver.sets, outcomes.deriver.classes):
        table.mark_exported()
    by_result: Counter[str] = Counter()
    for key, value in outcomes.shown("model_outcome_classes_total{").items():
        by_result[key.split('result="')[1].split('"')[0]] += int(value)
    hits, wrong, missed = (by_result[name] for name in ("hit", "wrong", "missed"))
    figures = figures_of_sets(found)
    assert hits / (hits + wrong) == pytest.approx(figures["model_precision_micro"])
    assert hits / (hits + missed) == pytest.approx(figures["model_recall_micro"])
    sets = outcomes.shown("model_outcome_sets_total{")
    exact = next(value for key, value in sets.items() if 'result="exact"' in key)
    assert exact / sum(sets.values()) == pytest.approx(figures["model_subset_accuracy"])


step = st.tuples(
    st.sampled_from(["prediction", "label", "label", "crash"]),
    st.sampled_from([f"p-{n}" for n in range(4)]),
    st.sets(st.sampled_from(["a", "b", "c"])),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(step, max_size=30))
def test_exact_against_brute_force(steps: list[tuple[str, str, set[str]]]) -> None:
    """In any order, twice, before their prediction, with crashes in between: the first prediction and the first label
    of an id count."""
    found = Outcomes(min_rows=1)
    predicted: dict[str, set[str]] = {}
    actual: dict[str, set[str]] = {}
    for what, id_, classes in steps:
        if what == "crash":
            found.restart()
        elif what == "prediction":
            found.feed(logged({"model": "m", "prediction_id": id_, "predicted_class": list(classes)}))
            predicted.setdefault(id_, classes)
        else:
            found.feed(posted({"prediction_id": id_, "label": list(classes)}))
            if id_ not in predicted or id_ not in actual:
                actual.setdefault(id_, classes)
    joined = [(sorted(predicted[n]), sorted(actual[n])) for n in predicted if n in actual]
    assert found.results().get("joined", 0) == len(joined)
    occurs = any(p or a for p, a in joined)
    for name, value in figures_of_sets(joined).items() if occurs else ():
        assert found.figure(name) == pytest.approx(value), name


def figures_of(tally: Tally, labels: list[str]) -> Any:
    return of_sets(tally.sets, labels)


def test_added_up_and_packed_the_same() -> None:
    rng = random.Random(4)
    whole, parts = Tally(), [Tally() for _ in range(3)]
    for _ in range(300):
        predicted, actual = (tuple(sorted(rng.sample(range(40), rng.randrange(6)))) for _ in range(2))
        given = predicted, actual, set(predicted) & set(actual), predicted == actual
        whole.sets.add(*given)
        rng.choice(parts).sets.add(*given)
    total = Tally()
    for part in parts:
        total.plus(Tally.unpack(part.pack()))
    labels = [f"{n}" for n in range(40)]
    assert figures_of(total, labels) == figures_of(whole, labels)


def test_beyond_the_bound_classes_are_counted_together() -> None:
    """Micro and subset accuracy stay exact; there is no macro figure."""
    outcomes = Outcomes(min_rows=1)
    found = [([f"k{n}", f"k{n + 1}"], [f"k{n}"]) for n in range(MAX_LABELS + 50)]
    outcomes.feed(event({"class": [p for p, _ in found]}, attributes={"ml.prediction.id": "b"}))
    for row, (_, actual) in enumerate(found):
        outcomes.feed(posted({"id": "b", "label": actual, "row": row}))
    assert outcomes.figure("model_precision_micro") == 0.5
    assert outcomes.figure("model_recall_micro") == 1
    assert outcomes.figure("model_f1_macro") is None
    assert outcomes.figure("model_subset_accuracy") == 0
    (state,) = outcomes.deriver.models.values()
    assert len(state.labels) == MAX_LABELS
    outcomes.restart()
    assert outcomes.figure("model_precision_micro") == 0.5


def test_sets_without_any_class() -> None:
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(logged({"model": "m", "prediction_id": "p", "predicted_class": []}))
    outcomes.feed(posted({"prediction_id": "p", "label": []}))
    assert outcomes.results() == {"joined": 1}
    assert outcomes.figure("model_subset_accuracy") is None
    assert outcomes.figure("model_outcome_samples") == 1


@pytest.mark.parametrize(
    ("predicted", "label", "result", "exact"),
    [
        (["a", "b"], ["b", "a", "a"], "joined", 1),
        (["1", "2"], [1, 2.0], "joined", 1),
        (["true"], [True], "joined", 1),
        (["a"], "a", "joined", 1),
        (["a"], ["b"], "joined", 0),
        ("a", ["a"], "invalid", None),
        (2.5, ["a"], "invalid", None),
    ],
    ids=str,
)
def test_what_is_the_same_set(predicted: Any, label: Any, result: str, exact: float | None) -> None:
    outcomes = Outcomes(min_rows=1)
    name = "prediction_value" if isinstance(predicted, float) else "predicted_class"
    outcomes.feed(logged({"model": "m", "prediction_id": "p", name: predicted}))
    outcomes.feed(posted({"prediction_id": "p", "label": label}))
    assert outcomes.results() == {result: 1}
    assert outcomes.figure("model_subset_accuracy") == exact


def test_a_batch_of_sets_in_prediction() -> None:
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(logged({"model": "m", "prediction_id": "p", "predictions": [["a"], ["a", "b"]]}))
    for row, label in enumerate((["a"], ["b"])):
        outcomes.feed(posted({"prediction_id": "p", "label": label, "row": row}))
    assert outcomes.figure("model_subset_accuracy") == 0.5


def test_rows_of_numbers_in_a_batch_are_no_sets() -> None:
    outcomes = Outcomes()
    outcomes.feed(logged({"model": "m", "prediction_id": "p", "predictions": [[0, 1, 1], [1, 0, 0]]}))
    assert outcomes.predicted() == {"unanswered": 2}


@pytest.mark.parametrize(
    "classes", [[0.25, 0.75], [["a"]], [{"a": 1}], ["a"] * 50 + list(map(str, range(101)))], ids=len
)
def test_what_is_no_set_is_no_answer(classes: list[Any]) -> None:
    outcomes = Outcomes()
    outcomes.feed(event({"class": [classes]}, attributes={"ml.prediction.id": "p"}))
    assert outcomes.predicted() == {"unanswered": 1}


def test_kinds_are_kept_and_bounded() -> None:
    for kind in (
        Kind("m", "1", None, ()),
        Kind("m", "", None, ("a", "set")),
        Kind("m", "", "set"),
        Kind("m", "", None),
    ):
        assert _unpacked(_packed(kind)) == kind
    largest = Kind("m", "1", None, tuple(f"{n:09d}" for n in range(100)))
    assert len(json.dumps(largest)) < _KIND_BYTES
    tally = Tally()
    rng = np.random.default_rng(1)
    for _ in range(500):
        codes = rng.choice(MAX_LABELS + 1, 100).tolist()
        tally.sets.add(codes, codes, codes, True)
    assert tally.sets.counts.nbytes < TALLY_BYTES
    assert SetTally.unpacked(json.loads(json.dumps(tally.sets.packed()))).counts.tolist() == tally.sets.counts.tolist()
