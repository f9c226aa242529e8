"""Features in attributes of spans beside those of events and lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request
from support.drift_model import DECODER, DriftedModel
from support.payloads import event, resource, resource_spans, span, trace_payload

from sidecar.decode.select import decoder as own_decoder
from sidecar.derive.deriver import DeriverContext
from sidecar.derive.drift.deriver import DriftDeriver, build
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.span_deriver import SpanDeriver
from sidecar.derive.series import Budget
from sidecar.derive.target_info import Targets
from sidecar.telemetry import Telemetry

SAID = {"ml.model.name": "churn", "ml.model.version": "7", "ml.prediction.class": "stays"}


def spans_of(rows: dict[str, Any], as_json: bool = False, **said: Any) -> bytes:
    """A span for each row, as a program sets its attributes."""
    found = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    own = {**SAID, **said}
    return trace_payload(
        *(span(attributes={**own, "features": json.dumps(row)} if as_json else {**own, **flat(row)}) for row in found)
    )


def flat(row: dict[str, Any]) -> dict[str, Any]:
    return {f"ml.features.{name}": value for name, value in row.items()}


def feed(model: DriftedModel, decoder: Any, *payloads: bytes, hour: int = 0) -> None:
    spans = SpanDeriver(model.deriver)
    spans.apply(spans.decode(decoder, payloads), at(*[START + hour * HOUR] * len(payloads)))


@pytest.mark.parametrize("as_json", [False, True], ids=["flat", "json"])
@pytest.mark.parametrize("decoder", [DECODER, own_decoder()], ids=["reference", "own"])
def test_features_of_spans_count_as_those_of_events(tmp_path: Path, decoder: Any, as_json: bool) -> None:
    events, traced = DriftedModel(tmp_path), DriftedModel(tmp_path, attributes=True)
    for hour in range(3):
        rows = events.rows(300, shift=6)
        events.feed(hour, rows, **{"class": ["stays"] * 300})
        feed(traced, decoder, spans_of(rows, as_json), hour=hour)
    assert traced.shown() == events.shown()
    assert traced.value("data_drift_detected", feature="age", method="psi") == 1


@pytest.mark.parametrize("decoder", [DECODER, own_decoder()], ids=["reference", "own"])
def test_rules_of_quality_and_outliers(tmp_path: Path, decoder: Any) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    odd = [{"age": 4000.0, "plan": "gold"}, {"age": "old"}, {"age": 40.0, "plan": "pro", "x": 1}]
    feed(model, decoder, trace_payload(*(span(attributes={**SAID, **flat(row)}) for row in odd)))
    failures = model.shown("data_quality_failures_total{")
    assert {key.split(",", 2)[2]: n for key, n in failures.items()} == {
        'feature="age",rule="out_of_range"}': 1,
        'feature="age",rule="type_change"}': 1,
        'feature="plan",rule="unseen_category"}': 1,
        'feature="x",rule="unexpected"}': 1,
    }
    assert model.value("model_outliers_total", model="churn", version="7") == 1


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    cut = span(attributes={**SAID, "features": '{"age": 34, "pl'})
    feed(model, DECODER, trace_payload(cut, span(attributes={**SAID, "ml.features.age": 40.0})))
    assert model.value("model_features_left_out_total", model="churn", version="7") == 1


def test_each_span_counts_once_however_many_it_stands_for(tmp_path: Path) -> None:
    """What sampling left is compared as it is: more rows than there are would make chance look certain."""
    model = DriftedModel(tmp_path, attributes=True)
    sampled = span(attributes={**SAID, "ml.features.age": 40.0}, trace_state="ot=th:8")
    feed(model, DECODER, trace_payload(sampled))
    counted = model.shown('model_feature_observations_total{model="churn",version="7",feature="age"')
    assert sum(counted.values()) == 1


def test_logs_and_spans_of_one_model_add_up_in_any_order(tmp_path: Path) -> None:
    """A batch of the engine is given by signal: spans may be of before the logs that came first."""
    rows = DriftedModel(tmp_path).rows(50)
    logged, traced = event_request(rows, "churn", **{"class": ["stays"] * 50}), spans_of(rows)

    def feed_logs(model: DriftedModel) -> None:
        model.deriver.apply(model.deriver.decode(DECODER, [logged]), at(START + HOUR // 2))

    def feed_spans(model: DriftedModel) -> None:
        feed(model, DECODER, traced)

    shown = []
    for ways in ((feed_logs, feed_spans), (feed_spans, feed_logs)):
        model = DriftedModel(tmp_path, attributes=True)
        for way in ways:
            way(model)
        shown.append(model.shown("model_feature_observations_total{"))
    assert shown[0] == shown[1]
    assert sum(n for key, n in shown[0].items() if 'feature="plan"' in key and 'bin="unseen"' not in key) == 100


def test_learning_from_spans(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path)
    model.deriver = DriftDeriver(DriftOptions(learn=40, attributes=True), Budget())
    rows = model.rows(50)
    for _ in range(2):
        feed(model, DECODER, spans_of(rows))
    assert model.value("model_feature_reference_rows", feature="age") == 40


def test_spans_are_looked_at_where_attributes_are_asked_for_only(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    context = DeriverContext(Budget(), Targets(10), Telemetry())

    def signals(**options: Any) -> list[str]:
        return [one.signal for one in build(DriftOptions(**options), context)]

    assert signals(reference=model.path) == ["logs"]
    assert signals(reference=model.path, attributes=True) == ["logs", "spans"]
    assert signals(attributes=True) == []


def test_without_anything_to_compare_with_nothing_is_read(tmp_path: Path) -> None:
    deriver = DriftDeriver(DriftOptions(reference=tmp_path / "none.json", attributes=True), Budget())
    assert SpanDeriver(deriver).decode(DECODER, [b"\xff"]) == []
    assert not lines(list(SpanDeriver(deriver).collect()))


def test_models_of_several_resources_and_payloads(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    own = {"ml.prediction.class": "stays", "ml.features.age": 40.0}
    payloads = [
        trace_payload(resource_spans(span(attributes=own), of=resource("a", {"model": "churn", "model.version": "1"}))),
        trace_payload(span(attributes={"http.route": "/"}, events=[event("ml.prediction", attributes=own)])),
        trace_payload(resource_spans(span(attributes=own), of=resource("b", {"model": "churn", "model.version": "2"}))),
    ]
    feed(model, DECODER, *payloads)
    counted = model.shown("model_feature_observations_total{")
    for version in ("1", "2"):
        ages = [n for key, n in counted.items() if f'version="{version}",feature="age"' in key]
        assert sum(ages) == 1
