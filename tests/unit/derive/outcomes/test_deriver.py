"""Outcomes from what apps send: ids, rows, classes, numbers, windows, bounds, crashes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.crashes import derived
from support.outcome_data import DECODER, SECOND, START, Outcomes, event, logged, posted

from sidecar.derive.families import window_text
from sidecar.derive.outcomes.deriver import memory
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.series import Budget

SHOWN = ("model_outcome", "model_labels_total", "model_accuracy", "model_roc", "model_mean", "model_r2")


def predicted(id_: str, name: Any = "yes", **more: Any) -> bytes:
    return logged({"model": "churn", "model_version": "7", "prediction_id": id_, "predicted_class": name} | more)


def test_a_prediction_and_its_label() -> None:
    outcomes = Outcomes()
    outcomes.feed(predicted("p-1"))
    outcomes.feed(posted({"prediction_id": "p-1", "label": "no"}))
    shown = outcomes.shown()
    assert shown['model_outcomes_total{model="churn",version="7",predicted="yes",actual="no"}'] == 1
    assert shown['model_labels_total{model="churn",version="7",result="joined"}'] == 1
    assert shown['model_outcome_predictions_total{model="churn",version="7",result="kept"}'] == 1
    assert shown['model_outcome_samples{model="churn",version="7",window="24h"}'] == 1
    assert not any(key.startswith("model_accuracy") for key in shown)


def test_events_are_named_by_their_trace_or_their_id() -> None:
    outcomes = Outcomes()
    body = {"rows": 1, "class": ["yes"], "score": [0.9], "features": {"age": [1.0, 2.0]}}
    outcomes.feed(event(body, trace=0xAB))
    outcomes.feed(event(body, trace=0xCD, attributes={"ml.prediction.id": "p-1"}))
    outcomes.feed(event(body))  # Nothing names it.
    outcomes.feed(posted({"prediction_id": f"{0xAB:032X}", "label": "yes"}, {"prediction_id": "p-1", "label": "no"}))
    assert outcomes.matrix() == {("yes", "yes"): 1, ("yes", "no"): 1}
    assert outcomes.predicted() == {"kept": 2}


def test_rows_of_a_batch() -> None:
    outcomes = Outcomes()
    outcomes.feed(event({"rows": 8, "class": ["a", "b", "c", "d"], "one_in": 2, "first": 1}, trace=1))
    trace = f"{1:032x}"
    outcomes.feed(posted(*[{"id": trace, "row": row, "label": "a"} for row in (1, 3, 1, 2)]))
    assert outcomes.matrix() == {("a", "a"): 1, ("b", "a"): 1}
    assert outcomes.results() == {"joined": 2, "duplicate": 1}
    assert outcomes.shown("model_outcome_waiting_labels") == {"model_outcome_waiting_labels": 1}
    outcomes.feed(posted({"id": trace, "label": "d"}))  # Of all rows that have none yet.
    assert outcomes.matrix() == {("a", "a"): 1, ("b", "a"): 1, ("c", "d"): 1, ("d", "d"): 1}


def test_a_label_that_names_a_model() -> None:
    outcomes = Outcomes()
    for model, version in (("churn", "7"), ("churn", "8"), ("fraud", "1")):
        outcomes.feed(
            logged({"model": model, "model_version": version, "prediction_id": "p", "predicted_class": version})
        )
    assert outcomes.predicted() == {"kept": 3}
    outcomes.feed(posted({"id": "p", "label": "1", "model": "fraud"}))
    outcomes.feed(posted({"id": "p", "label": "7", "model": "churn", "model_version": "7"}))
    assert outcomes.matrix() == {("1", "1"): 1, ("7", "7"): 1}
    outcomes.feed(posted({"id": "p", "label": "9"}))
    assert outcomes.matrix() == {("1", "1"): 1, ("7", "7"): 1, ("8", "9"): 1}


@pytest.mark.parametrize(
    ("said", "true"), [("1", 1), (1, "1"), ("1.0", 1), (1, 1.0), (True, "true"), ("True", True), ("é", "é")]
)
def test_one_class_however_it_is_written(said: Any, true: Any) -> None:
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(predicted("p", said))
    outcomes.feed(posted({"id": "p", "label": true}))
    assert outcomes.figure("model_accuracy") == 1


def test_numbers() -> None:
    outcomes = Outcomes(min_rows=2)
    outcomes.feed(event({"rows": 3, "value": [1.0, 2, float("nan")]}, attributes={"ml.prediction.id": "p"}))
    outcomes.feed(posted({"id": "p", "row": 0, "label": 2}, {"id": "p", "row": 1, "label": "late"}))
    assert outcomes.results() == {"joined": 1, "invalid": 1}
    outcomes.feed(posted({"id": "p", "row": 1, "label": 4.0}))
    assert outcomes.predicted() == {"kept": 2, "unanswered": 1}
    assert outcomes.figure("model_mean_absolute_error") == 1.5
    assert outcomes.figure("model_mean_error") == -1.5
    assert outcomes.figure("model_mean_absolute_percentage_error") == 0.5
    assert outcomes.matrix() == {}


def test_no_figure_below_ten_rows() -> None:
    outcomes = Outcomes()
    for n in range(10):
        assert outcomes.figure("model_accuracy") is None
        outcomes.feed(predicted(f"p-{n}", "yes", score=0.5, confidence=0.75))
        outcomes.feed(posted({"id": f"p-{n}", "label": "yes" if n < 8 else "no"}))
    assert outcomes.figure("model_accuracy") == 0.8
    assert outcomes.figure("model_accuracy_lower") == pytest.approx(0.4902, abs=1e-4)
    assert outcomes.figure("model_accuracy_upper") == pytest.approx(0.9433, abs=1e-4)
    assert outcomes.figure("model_calibration_error") == pytest.approx(0.05)
    assert outcomes.figure("model_class_precision", **{"class": "yes"}) == 0.8
    assert outcomes.figure("model_class_recall", **{"class": "yes"}) is None  # Of eight rows.
    assert outcomes.figure("model_roc_auc") == 0.5


def test_windows_are_of_the_time_of_the_prediction() -> None:
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(predicted("p"))
    outcomes.feed(posted({"id": "p", "label": "yes"}), START + 2 * 3600)
    assert [outcomes.figure("model_outcome_samples", window) for window in ("1h", "24h", "7d")] == [0, 1, 1]
    outcomes.feed(predicted("q"), START + 8 * 86_400)
    assert [outcomes.figure("model_outcome_samples", window) for window in ("1h", "24h", "7d")] == [0, 0, 0]
    outcomes.feed(posted({"id": "q", "label": "no"}), START + 8 * 86_400 + 60)
    assert [outcomes.figure("model_accuracy", window) for window in ("1h", "24h", "7d")] == [0, 0, 0]
    outcomes.deriver.expire((START + 8 * 86_400 + 7200) * SECOND, 10**18)  # Without traffic time goes on all the same.
    assert [outcomes.figure("model_accuracy", window) for window in ("1h", "24h", "7d")] == [None, 0, 0]


def test_a_clock_that_is_ahead_counts_as_now() -> None:
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(event({"class": ["a"]}, trace=1, time=START + 10**7))
    outcomes.feed(posted({"id": f"{1:032x}", "label": "a"}), START + 60)
    assert outcomes.figure("model_accuracy") == 1


def test_records_that_are_no_predictions() -> None:
    outcomes = Outcomes()
    outcomes.feed(
        logged(
            {"prediction_id": "p", "predicted_class": "yes"},  # Names no model.
            {"prediction_id": "p", "model": "churn"},
            {"model": "churn", "predicted_class": "yes", "id": "p"},
            {"event": "ml.label", "prediction_id": "x", "label": "yes", "model": "churn"},
            {"prediction_id": "p", "model": "churn", "predicted_class": "yes", "error.type": "ValueError"},
        )
    )
    outcomes.feed(event({"class": ["a"]}, trace=1, attributes={"error.type": "ValueError"}))
    assert outcomes.predicted() == {}
    assert outcomes.shown("model_outcome_waiting_labels") == {"model_outcome_waiting_labels": 1}


@pytest.mark.parametrize("payloads", [True, False])
def test_payloads_of_serving_protocols(payloads: bool) -> None:
    outcomes = Outcomes(payloads=payloads)
    output = {"name": "y", "shape": [2], "datatype": "BYTES", "data": ["a", "a"]}
    outcomes.feed(logged({"model_name": "iris", "model_version": "1", "id": "r", "outputs": [output]}))
    outcomes.feed(posted({"id": "r", "row": 1, "label": "b"}))
    assert outcomes.matrix() == ({("a", "b"): 1} if payloads else {})


def test_an_id_of_the_users() -> None:
    outcomes = Outcomes(id_attributes=("order_id",))
    outcomes.feed(predicted("p", order_id=4711))
    outcomes.feed(posted({"id": "4711", "label": "yes"}))
    assert outcomes.matrix() == {("yes", "yes"): 1}


def test_an_id_that_comes_twice() -> None:
    outcomes = Outcomes()
    for name in ("yes", "no"):
        outcomes.feed(predicted("p", name))
    outcomes.feed(posted({"id": "p", "label": "yes"}))
    assert outcomes.matrix() == {("yes", "yes"): 1}
    assert outcomes.predicted() == {"kept": 1, "duplicate": 1}


def test_scores_of_a_second_call_about_the_same_rows() -> None:
    """An app asks for classes, then for probabilities."""
    outcomes = Outcomes(min_rows=1)
    outcomes.feed(event({"class": ["a", "b", "a"]}, trace=1))
    outcomes.restart()
    outcomes.feed(posted({"id": f"{1:032x}", "row": 2, "label": "a"}))
    outcomes.feed(event({"class": ["a", "a", "a"], "score": [0.75, 0.5, 0.5], "counted": False}, trace=1))
    outcomes.restart()
    assert outcomes.predicted() == {"kept": 3, "repeated": 3}
    outcomes.feed(posted({"id": f"{1:032x}", "label": "a"}))
    assert outcomes.matrix() == {("a", "a"): 2, ("b", "a"): 1}
    assert outcomes.figure("model_calibration_error") == 0.25  # Of the first row alone.


def test_labels_that_wait_are_bounded() -> None:
    outcomes = Outcomes(max_waiting_labels=3)
    outcomes.feed(posted(*[{"id": f"p-{n}", "label": 1, "model": "churn"} for n in range(5)]))
    assert outcomes.results() == {"orphan": 2}
    for n in range(5):
        outcomes.feed(predicted(f"p-{n}", "1"))
    assert outcomes.results() == {"orphan": 2, "joined": 3}


def test_models_beyond_the_bound_are_counted() -> None:
    outcomes = Outcomes(max_models=1, min_rows=1)
    for model in ("a", "b"):
        outcomes.feed(logged({"model": model, "prediction_id": model, "predicted_class": "x"}))
        outcomes.feed(posted({"id": model, "label": "x"}))
    assert sum(outcomes.matrix().values()) == 1  # Equal keys of two models.
    assert len(outcomes.shown("model_outcomes_total{")) == 2
    assert len(outcomes.shown('model_accuracy{model="a"')) == 3
    assert outcomes.shown('model_accuracy{model="b"') == {}


def test_an_idle_model_goes() -> None:
    outcomes = Outcomes()
    outcomes.feed(predicted("p"))
    outcomes.feed(posted({"id": "p", "label": "yes"}))
    outcomes.restart()
    later = START + 8 * 86_400
    outcomes.feed(predicted("q"), later)
    outcomes.deriver.expire(later * SECOND, 3600 * SECOND)
    assert outcomes.deriver.models == {}
    outcomes.restart()
    assert not any(key.startswith(b"outcomes/m/") for key in outcomes.kept)


def entries(seed: int) -> list[tuple[bytes, int]]:
    """Payloads over some days, with the seconds at which they came."""
    rng = random.Random(seed)
    now, found = START, []
    for n in range(150):
        now += rng.choice([0, 1, 300, 4000])
        number = rng.randrange(n // 3 + 2)
        match rng.choice(["batch", "line", "value", "label", "label", "label", "number"]):
            case "batch":
                body = {"class": rng.choices("abc", k=5), "score": [rng.random() for _ in range(5)]}
                payload = event(body, time=now - 5, attributes={"ml.prediction.id": f"p-{number}"})
            case "line":
                payload = predicted(f"p-{number}", rng.choice("ab"), model_version="8", confidence=rng.random())
            case "value":
                line = {"model": "price", "prediction_id": f"v-{number}", "predicted_value": rng.gauss(0, 1)}
                payload = logged(line)
            case "label":
                payload = posted({"id": f"p-{number}", "label": rng.choice("ab")})
            case _:
                payload = posted({"id": f"v-{number}", "label": rng.choice([0.5, 0, 1.5, "x"])})
        found.append((payload, now))
    return found


def test_after_a_restart_all_is_as_before() -> None:
    outcomes = Outcomes(label_ttl=86_400, min_rows=1)
    seen: set[str] = set()
    for payload, time in entries(9):
        outcomes.feed(payload, time)
        before = outcomes.shown()
        outcomes.restart()
        assert outcomes.shown() == before
        seen |= {key.split("{")[0] for key in before}
    assert {"model_accuracy", "model_roc_auc", "model_r2", "model_outcome_waiting_labels"} <= seen


@pytest.mark.parametrize("seed", range(4))
def test_any_split_and_any_crash_give_the_same(seed: int) -> None:
    given = {"enabled": True, "label_ttl": "1d", "min_rows": 1}
    options = DeriveOptions.model_validate({"outcomes": given, "series_ttl": "300d"})
    payloads = [(payload, time * SECOND) for payload, time in entries(seed)]
    expected = {
        key: value
        for key, value in derived(options, payloads, START * SECOND, None).items()
        if key.startswith(
            ("model_outcome", "model_labels_total", "model_accuracy", "model_roc", "model_mean", "model_r2")
        )
    }
    assert len(expected) > 20
    for attempt in range(2):
        found = derived(options, payloads, START * SECOND, random.Random(seed * 100 + attempt))
        assert {key: found.get(key) for key in expected} == expected


def test_without_ids_and_labels_nothing_is_read() -> None:
    outcomes = Outcomes()
    (read,) = outcomes.deriver.decode(DECODER, [logged({"message": "hello", "model": "churn"})])
    assert (read.predictions, read.labels) == ([], [])


def test_it_is_off_unless_asked_for() -> None:
    assert memory(OutcomeOptions(), Budget()) == 0
    assert 64 << 20 < memory(OutcomeOptions(enabled=True), Budget()) < 256 << 20


@pytest.mark.parametrize(
    "given", [{"windows": ["7m"]}, {"windows": ["7h30m"]}, {"windows": ["40d"]}, {"id_attributes": [""]}]
)
def test_options_that_are_invalid(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"invalid (window|attribute): .*; expected"):
        OutcomeOptions.model_validate(given)


def test_windows_as_labels() -> None:
    assert [window_text(s) for s in (300, 1800, 3600, 86_400, 172_800, 7 * 86_400)] == [
        "5m", "30m", "1h", "24h", "2d", "7d",
    ]  # fmt: skip
