"""Experiments from what apps send: variants, units, conversions, labels, bounds, crashes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import ValidationError
from support.crashes import derived
from support.experiment_data import Experiments, bought, shown
from support.outcome_data import SECOND, START, event, logged, posted

from sidecar.derive.experiments.deriver import memory
from sidecar.derive.experiments.options import ExperimentOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.series import Budget

DAY = 86_400


def test_exposures_and_conversions() -> None:
    experiments = Experiments()
    experiments.log(shown("A", "p-1", latency_ms=20), shown("B", "p-2"), shown("B", "p-3", error="x"))
    experiments.log(bought("p-2", revenue=12.5), bought("p-2", revenue=2.5), bought("p-1"))
    assert experiments.units("exposures") == {"A": 1, "B": 2}
    assert experiments.units("conversions") == {"A": 1, "B": 1}
    assert experiments.results("exposure") == {"kept": 3}
    assert experiments.results("conversion") == {"joined": 2, "repeated": 1}
    assert experiments.value("ab_test_value_sum", variant="B") == 15
    assert experiments.value("ab_test_value_mean", variant="B") == 7.5
    assert experiments.value("ab_test_latency_seconds_count", variant="A") == 1
    assert experiments.value("ab_test_latency_seconds_sum", variant="A") == 0.02


def test_failed_calls_were_shown_too() -> None:
    experiments = Experiments()
    experiments.log({**shown("A", "p-1"), "error.type": "KeyError"}, shown("A", "p-2"))
    attributes = {"ml.experiment": "ranking", "ml.variant": "B", "error.type": "KeyError", "ml.prediction.count": 0}
    experiments.feed(event({"rows": 4}, trace=7, attributes=attributes))
    assert experiments.units("exposures") == {"A": 2, "B": 4}
    calls = experiments.shown("ab_test_requests_total")
    assert {key.split("{")[1]: n for key, n in calls.items()} == {
        'experiment="ranking",variant="A",status="error"}': 1,
        'experiment="ranking",variant="A",status="ok"}': 1,
        'experiment="ranking",variant="B",status="error"}': 1,
    }


@pytest.mark.parametrize(
    "names",
    [
        ("ml.experiment", "ml.variant"),
        ("feature_flag.key", "feature_flag.result.variant"),
        ("feature_flag.key", "feature_flag.variant"),
        ("experiment", "variant"),
        ("inferenceservicename", "endpoint"),
    ],
)
def test_names_of_experiments(names: tuple[str, str]) -> None:
    experiments = Experiments()
    attributes = {names[0]: "ranking", names[1]: "B"}
    experiments.feed(event({"rows": 1, "class": ["yes"]}, trace=1, attributes=attributes))
    assert experiments.units("exposures") == {"B": 1}
    experiments.feed(event({"rows": 1, "class": ["yes"]}, trace=2, attributes={names[0]: "ranking"}))
    assert experiments.units("exposures") == {"B": 1}


def test_the_variant_of_a_pod() -> None:
    """It stands on the resource of all that the pod sends."""
    experiments = Experiments()
    request = ExportLogsServiceRequest.FromString(event({"rows": 2, "class": ["yes", "no"]}, trace=1))
    for key, value in (("ml.experiment", "ranking"), ("ml.variant", "canary")):
        request.resource_logs[0].resource.attributes.add(key=key).value.string_value = value
    request.resource_logs[0].scope_logs[0].log_records.add().body.string_value = "a line that is no prediction"
    experiments.feed(request.SerializeToString())
    assert experiments.units("exposures") == {"canary": 2}


def test_flags_and_their_predictions_are_one_exposure() -> None:
    experiments = Experiments()
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.event_name, record.trace_id = "feature_flag.evaluation", (7).to_bytes(16, "big")
    for key, value in (("feature_flag.key", "ranking"), ("feature_flag.result.variant", "B")):
        record.attributes.add(key=key).value.string_value = value
    experiments.feed(request.SerializeToString())
    attributes = {"ml.experiment": "ranking", "ml.variant": "B"}
    experiments.feed(event({"rows": 1, "class": ["yes"]}, trace=7, attributes=attributes))
    assert experiments.units("exposures") == {"B": 1}
    assert experiments.results("exposure") == {"kept": 1, "repeated": 1}
    experiments.feed(posted({"id": f"{7:032x}", "label": "yes"}))
    assert experiments.value("ab_test_labels_total", variant="B", result="correct") == 1


def test_rows_of_a_batch() -> None:
    experiments = Experiments(conversion_labels=["clicked"])
    attributes = {"ml.experiment": "ranking", "ml.variant": "A", "ml.prediction.id": "p", "ml.prediction.count": 8}
    body = {"rows": 8, "class": ["a", "b", "clicked", "d"], "one_in": 2, "first": 1}
    experiments.feed(event(body, attributes=attributes))
    assert experiments.units("exposures") == {"A": 8}  # Also the rows that the columns leave out.
    labels = [{"id": "p", "row": row, "label": name} for row, name in ((1, "a"), (3, "x"), (5, "clicked"), (1, "b"))]
    experiments.feed(posted(*labels))
    assert experiments.value("ab_test_labels_total", result="correct") == 2
    assert experiments.value("ab_test_labels_total", result="wrong") == 1
    assert experiments.units("conversions") == {"A": 1}
    assert experiments.results("conversion") == {"joined": 3, "repeated": 1}
    experiments.log(bought("p", row=7), bought("p", row=8))
    assert experiments.units("conversions") == {"A": 2}
    assert experiments.value("ab_test_waiting_events") == 1


def test_a_second_call_about_the_same_rows_counts_nothing() -> None:
    experiments = Experiments()
    attributes = {"ml.experiment": "ranking", "ml.variant": "A", "ml.prediction.count": 1}
    experiments.feed(event({"rows": 1, "score": []}, trace=1, attributes=attributes))
    again = {**attributes, "ml.prediction.count": 0}
    experiments.feed(event({"rows": 1, "class": ["yes"], "counted": False}, trace=1, attributes=again))
    experiments.feed(posted({"id": f"{1:032x}", "label": "yes"}))
    assert experiments.units("exposures") == {"A": 1}
    assert experiments.value("ab_test_labels_total", result="correct") == 1


def test_a_label_names_its_model() -> None:
    experiments = Experiments()
    experiments.log(shown("A", "p"))
    experiments.feed(posted({"id": "p", "label": "no", "model": "other"}))
    assert experiments.results("conversion") == {}
    experiments.feed(posted({"id": "p", "label": "yes", "model": "shop"}))
    assert experiments.value("ab_test_labels_total", result="correct") == 1


def test_without_ids_what_is_named_is_counted() -> None:
    experiments = Experiments()
    experiments.log(shown("A"), shown("B"), shown("B"), bought(experiment="ranking", variant="B", value=3))
    assert experiments.units("exposures") == {"A": 1, "B": 2}
    assert experiments.units("conversions") == {"B": 1}
    experiments.log(bought(), bought(experiment="other", variant="B"), bought(experiment="ranking", variant="C"))
    assert experiments.results("conversion") == {"anonymous": 1, "no_unit": 3}


def test_users_have_one_variant_and_convert_once() -> None:
    experiments = Experiments(unit="user", user_attributes=["customer"])
    experiments.log(shown("A", "p-1", customer="u-1"), shown("A", "p-2", customer="u-1"), shown("B", "p-3"))
    experiments.log(shown("B", "p-4", customer="u-1"), shown("B", "p-5", user_id=7))
    assert experiments.units("exposures") == {"A": 1, "B": 1}
    assert experiments.results("exposure") == {"kept": 2, "repeated": 1, "no_user": 1, "switched": 1}
    experiments.log(bought(customer="u-1", value=2), bought("p-2", value=3), bought("p-5"))
    assert experiments.units("conversions") == {"A": 1, "B": 1}
    assert experiments.value("ab_test_value_sum", variant="A") == 5
    # Each row is right or wrong for the variant that predicted it.
    experiments.feed(posted({"id": "p-4", "label": "yes"}, {"id": "p-1", "label": "no"}))
    assert experiments.value("ab_test_labels_total", variant="B", result="correct") == 1
    assert experiments.value("ab_test_labels_total", variant="A", result="wrong") == 1


def test_new_users_are_refused_where_there_is_no_room() -> None:
    experiments = Experiments(unit="user", max_units=1_000)
    for start in range(0, 1_500, 100):
        experiments.log(*[shown("AB"[n % 2], user_id=n) for n in range(start, start + 100)])
    assert experiments.results("exposure") == {"kept": 1_000, "refused": 500}
    experiments.log(shown("A", user_id=0), bought(user_id=0), bought(user_id=1_400))
    assert experiments.units("conversions") == {"A": 1}


def test_old_predictions_go_where_there_is_no_room() -> None:
    experiments = Experiments(max_units=1_000)
    for start in range(0, 2_000, 100):
        experiments.log(*[shown("A", f"p-{n}") for n in range(start, start + 100)])
    found = experiments.results("exposure")
    assert found["kept"] == 2_000
    assert 1_000 <= found["evicted"] <= 1_256
    assert experiments.value("ab_test_remembered_units") == 2_000 - found["evicted"]
    experiments.log(bought("p-1999"), bought("p-0"))
    assert experiments.results("conversion") == {"joined": 1}
    assert experiments.value("ab_test_waiting_events") == 1


def test_conversions_and_labels_that_come_first() -> None:
    experiments = Experiments(exposure_ttl=60)
    experiments.log(bought("p-1", revenue=4), bought("p-2", experiment="other"), bought("p-3"))
    experiments.feed(posted({"id": "p-1", "label": "no"}))
    assert experiments.value("ab_test_waiting_events") == 4
    experiments.log(shown("B", "p-1"), shown("B", "p-2"))
    assert experiments.results("conversion") == {"joined": 2}
    assert experiments.value("ab_test_value_sum", variant="B") == 4
    assert experiments.value("ab_test_labels_total", result="wrong") == 1
    experiments.log(shown("B", "p-3"), time=START + 60)
    assert experiments.results("conversion") == {"joined": 2, "orphan": 2}
    assert experiments.units("conversions") == {"B": 1}


def test_late_conversions_do_not_count() -> None:
    experiments = Experiments(conversion_window=DAY, exposure_ttl=60)
    experiments.log(shown("A", "p-1"), shown("A", "p-2"))
    experiments.log(bought("p-1"), time=START + DAY - 1)
    experiments.log(bought("p-2"), time=START + DAY)
    assert experiments.units("conversions") == {"A": 1}
    assert experiments.value("ab_test_remembered_units") == 0


def test_an_unknown_value_is_said() -> None:
    experiments = Experiments()
    experiments.log(
        shown("A", "p"), bought("p", revenue="much"), bought("p", revenue="2.5"), bought("p", revenue=1e200)
    )
    assert experiments.results("conversion") == {"joined": 1, "repeated": 2, "invalid_value": 2}
    assert experiments.value("ab_test_value_sum") == 2.5


def test_events_of_the_users() -> None:
    experiments = Experiments(conversion_events=["purchase"], id_attributes=["order"])
    experiments.log(shown("A", order="o-1"), {"event": "purchase", "order": "o-1"}, {"event": "refund", "order": "o-1"})
    assert experiments.units("conversions") == {"A": 1}


def test_records_that_are_no_exposures() -> None:
    experiments = Experiments()
    experiments.log(
        {"experiment": "ranking", "variant": "A", "message": "cache is warm"},
        {"experiment": "ranking", "model": "shop", "predicted_class": "yes"},
        {"variant": "A", "model": "shop", "predicted_class": "yes"},
        {"experiment": "ranking", "variant": "A", "event": "ml.label", "model": "shop", "label": "yes", "id": "p"},
    )
    assert experiments.units("exposures") == {}


def test_experiments_and_variants_are_bounded() -> None:
    experiments = Experiments(max_experiments=2, max_variants=2)
    experiments.log(*[shown("A", experiment=name) for name in ("x", "y", "z")])
    experiments.log(*[shown(variant, experiment="x") for variant in "BCA"])
    assert len(experiments.shown("ab_test_exposures_total")) == 3
    assert experiments.value("ab_test_exposure_events_total", experiment="__other__", result="refused") == 1
    assert experiments.value("ab_test_exposure_events_total", experiment="x", result="refused") == 1
    experiments.log(shown("A", experiment="x"), time=START + 20 * DAY)
    experiments.log(shown("A", experiment="z"), time=START + 31 * DAY)  # There is room: y is forgotten.
    assert set(experiments.deriver.assignments.experiments) == {"x", "z"}
    experiments.restart()
    assert set(experiments.deriver.assignments.experiments) == {"x", "z"}


def test_what_is_shown_of_small_numbers() -> None:
    experiments = Experiments()
    experiments.log(*[shown("A", f"p-{n}") for n in range(9)])
    assert experiments.value("ab_test_conversion_rate") is None
    assert experiments.value("ab_test_share") is None
    assert experiments.value("ab_test_sample_ratio_p_value") is None  # Of one variant: the other may be elsewhere.
    experiments.log(shown("B", "q"), shown("A", "p-9"), bought("p-9"))
    assert experiments.value("ab_test_conversion_rate", variant="A") == 0.1
    assert experiments.value("ab_test_share", variant="A") == 10 / 11
    assert experiments.value("ab_test_expected_share", variant="A") == 0.5
    assert experiments.value("ab_test_control", variant="A") == 1
    assert experiments.value("ab_test_p_value") is None


def test_a_difference_is_found() -> None:
    experiments = Experiments()
    for start in range(0, 2_000, 200):
        numbers = range(start, start + 200)
        experiments.log(*[shown("AB"[n % 2], f"p-{n}") for n in numbers])
        experiments.log(*[bought(f"p-{n}", value=10) for n in numbers if n % 20 in (0, 2, 1, 3, 5, 7)])
        experiments.feed(posted(*[{"id": f"p-{n}", "label": "no" if n % 5 == 0 else "yes"} for n in numbers]))
    assert experiments.value("ab_test_conversion_rate", variant="A") == 0.2
    assert experiments.value("ab_test_difference", outcome="conversion") == pytest.approx(0.2)
    assert experiments.value("ab_test_lift", outcome="conversion") == pytest.approx(1)
    assert experiments.value("ab_test_significant", outcome="conversion") == 1
    assert experiments.value("ab_test_significant", outcome="value") == 1
    assert experiments.value("ab_test_difference", outcome="value") == pytest.approx(2)
    assert experiments.value("ab_test_accuracy", variant="A") == 0.8
    assert experiments.value("ab_test_significant", outcome="accuracy") == 0
    assert experiments.value("ab_test_sample_ratio_p_value") == 1
    low, high = (experiments.value(f"ab_test_lift_{end}", outcome="conversion") for end in ("lower", "upper"))
    assert low is not None
    assert high is not None
    assert 0 < low < 1 < high


def test_users_own_control_and_shares() -> None:
    designs = {"ranking": {"control": "new", "shares": {"old": 9, "new": 1}}}
    experiments = Experiments(designs=designs)
    for start in range(0, 2_000, 200):
        experiments.log(*[shown("new" if n % 10 == 0 else "old") for n in range(start, start + 200)])
    assert experiments.value("ab_test_control", variant="new") == 1
    assert experiments.value("ab_test_expected_share", variant="new") == pytest.approx(0.1)
    assert experiments.value("ab_test_sample_ratio_p_value") == 1
    equal = Experiments()
    for start in range(0, 2_000, 200):
        equal.log(*[shown("new" if n % 10 == 0 else "old") for n in range(start, start + 200)])
    found = equal.value("ab_test_sample_ratio_p_value")
    assert found is not None
    assert found < 1e-100


def _story(seed: int) -> list[bytes]:
    """Payloads in which everything happens."""
    chosen = random.Random(seed)
    payloads = []
    for _ in range(40):
        records: list[dict[str, Any]] = []
        for _ in range(chosen.randrange(1, 50)):
            id_, user = f"p-{chosen.randrange(600)}", f"u-{chosen.randrange(150)}"
            if chosen.random() < 0.5:
                variant, experiment = chosen.choice("AAAB"), chosen.choice(["ranking", "ranking", "price"])
                more = {"user_id": user, "experiment": experiment, "latency_ms": chosen.random() * 100}
                records.append(shown(variant, id_, predicted_class=chosen.choice(["yes", "no"]), **more))
            elif chosen.random() < 0.7:
                named = {"prediction_id": id_} if chosen.random() < 0.5 else {"user_id": user}
                records.append(bought(**named, revenue=chosen.random() * 9))
            else:
                records.append({"event": "ml.label", "id": id_, "label": chosen.choice(["yes", "no"])})
        payloads.append(logged(*records))
    return payloads


@pytest.mark.parametrize("unit", ["prediction", "user"])
def test_after_a_restart_all_is_as_before(unit: str) -> None:
    """Restarts after every payload."""
    given: dict[str, Any] = {"unit": unit, "min_units": 10, "exposure_ttl": 40, "conversion_window": 300}
    one, other = Experiments(**given), Experiments(**given)
    for n, payload in enumerate(_story(3)):
        one.feed(payload, START + 10 * n)
        other.feed(payload, START + 10 * n)
        other.restart()
        if n % 6 == 0:
            assert other.shown() == one.shown()
    assert other.shown() == one.shown()
    names = {key.split("{")[0] for key in one.shown()}
    assert {"ab_test_value_mean", "ab_test_sample_ratio_p_value", "ab_test_accuracy"} <= names
    assert ("ab_test_p_value" in names) == (unit == "user")  # Of predictions too few come again.
    assert set(one.results("conversion")) >= {"joined", "repeated", "orphan"}


@pytest.mark.parametrize("seed", range(3))
def test_any_split_and_any_crash_give_the_same(seed: int) -> None:
    section = {"enabled": True, "min_units": 10, "unit": ("prediction", "user")[seed % 2]}
    options = DeriveOptions.model_validate({"experiments": section})
    payloads = [(payload, (START + n) * SECOND) for n, payload in enumerate(_story(seed))]

    def shown_after(cuts: random.Random | None) -> dict[str, str]:
        found = derived(options, payloads, START * SECOND, cuts)
        return {key: value for key, value in found.items() if key.startswith("ab_test")}

    whole = shown_after(None)
    assert len(whole) > 30
    for attempt in range(2):
        assert shown_after(random.Random(seed * 100 + attempt)) == whole


def test_state_that_is_not_from_here_is_left(caplog: pytest.LogCaptureFixture) -> None:
    experiments = Experiments()
    experiments.log(shown("A", "p"))
    experiments.restart()
    for key in experiments.kept:
        if key.startswith((b"experiments/p/", b"experiments/e/")):
            experiments.kept[key] = experiments.kept[key][:-3] + b"!"
    deriver = Experiments().deriver
    assert deriver.assignments.restore(experiments.kept) == {b"experiments/now"}
    assert not deriver.assignments.experiments
    assert len(deriver.assignments.rows) == 0


def test_it_is_off_unless_asked_for() -> None:
    assert not ExperimentOptions().enabled
    assert memory(ExperimentOptions(), Budget()) == 0
    by_user = memory(ExperimentOptions(enabled=True, unit="user"), Budget())
    assert by_user > memory(ExperimentOptions(enabled=True), Budget()) > 26_000_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"designs": {"x": {"shares": {"A": 1}}}}, "invalid shares of 'x': A alone; expected all variants"),
        ({"designs": {"x": {"shares": {"A": 1, "B": 0}}}}, "greater than 0"),
        ({"designs": {"x": {"control": "C", "shares": {"A": 1, "B": 1}}}}, "invalid control of 'x': 'C'"),
        ({"designs": {"x": {"shares": {"A": 1e308, "B": 1e308}}}}, "their sum is beyond"),
        ({"conversion_events": [""]}, "invalid name: ''"),
        ({"alpha": 0}, "greater than 0"),
    ],
)
def test_options_that_are_invalid(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExperimentOptions(**given)


def test_batches_of_one_variant_each_are_no_mismatch_once_all_have_come() -> None:
    experiments = Experiments()
    for batch in range(3):
        for variant in "AB":
            experiments.log(*(shown(variant, f"{variant}-{batch}-{n}") for n in range(150)))
    assert experiments.value("ab_test_sample_ratio_p_value") == 1
    experiments.log(*(shown("A", f"more-{n}") for n in range(600)))
    assert (experiments.value("ab_test_sample_ratio_p_value") or 0) < 1e-20
