"""Every name in the table of aliases of predictions: a record with just that name gives the metric that it stands
for. A name that is added is tested by being there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from pydantic import BaseModel, ValidationError
from support.derive_fakes import arrival, lines
from support.payloads import any_value

from sidecar.config import loader
from sidecar.decode.api import Decoder
from sidecar.decode.predictions.attribute_names import ALIASES, MAX_FURTHER, MEANINGS, aliases, marks, span_marks
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder
from sidecar.derive.models.alias_options import AdditionalNames
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver
from sidecar.derive.series import Budget
from sidecar.errors import ConfigError
from sidecar.pipeline import Signal

SECOND = 10**9
Names = Mapping[str, tuple[str, ...]]
DECODERS: dict[str, Decoder | None] = {"reference": ReferenceDecoder(), "native": native_decoder()}
RECORD: dict[str, Any] = {"ml.model.name": "m", "prediction": "x", "ml.prediction.duration": 0.5}
"""A record that describes a prediction in three names; each case leaves out the one that it tries another for."""

#: Concept -> what the record has beside the name, its values, and for each the series that follow and their figures.
CASES: dict[str, tuple[dict[str, Any], dict[Any, dict[str, float]]]] = {
    "model": (
        {"prediction": "x"},
        {"m-1": {'model_predictions_total{model="m-1",status="ok"}': 1}},
    ),
    "version": (RECORD, {"9": {'model_predictions_total{model="m",version="9",status="ok"}': 1}}),
    "class": (
        {"ml.model.name": "m"},
        {"cat": {'model_predictions_by_class_total{model="m",class="cat"}': 1}},
    ),
    "score": (
        {"ml.model.name": "m"},
        {
            0.93: {
                'model_confidence_score_sum{model="m"}': 0.93,
                'model_confidence_score_bucket{model="m",le="0.9"}': 0,
                'model_confidence_score_bucket{model="m",le="0.95"}': 1,
                'model_predictions_total{model="m",status="ok"}': 1,
            }
        },
    ),
    "value": (
        {"ml.model.name": "m"},
        {2.5: {'model_prediction_value_sum{model="m"}': 2.5, 'model_prediction_value_count{model="m"}': 1}},
    ),
    "prediction": (
        {"ml.model.name": "m"},
        {
            "cat": {'model_predictions_by_class_total{model="m",class="cat"}': 1},
            3: {'model_predictions_by_class_total{model="m",class="3"}': 1},
            2.5: {'model_prediction_value_sum{model="m"}': 2.5},
            ("cat", "dog", "cat"): {
                'model_predictions_by_class_total{model="m",class="cat"}': 2,
                'model_predictions_by_class_total{model="m",class="dog"}': 1,
                'model_batch_size_sum{model="m"}': 3,
            },
        },
    ),
    "rows": (
        RECORD,
        {4: {'model_predictions_total{model="m",status="ok"}': 4, 'model_batch_size_sum{model="m"}': 4}},
    ),
    "seconds": (
        {"ml.model.name": "m", "prediction": "x"},
        {0.25: {'model_inference_latency_seconds_sum{model="m",stage="inference"}': 0.25}},
    ),
    "milliseconds": (
        {"ml.model.name": "m", "prediction": "x"},
        {250: {'model_inference_latency_seconds_sum{model="m",stage="inference"}': 0.25}},
    ),
    "stage": (RECORD, {"postprocess": {'model_inference_latency_seconds_sum{model="m",stage="postprocess"}': 0.5}}),
    "error": (RECORD, {"KeyError": {'model_predictions_total{model="m",status="error"}': 1}}),
}
EVERY = [(concept, name) for concept, names in ALIASES.items() for name in names]


def log_payload(record: Mapping[str, Any]) -> bytes:
    return ReferenceDecoder().json_lines(json.dumps(record).encode(), SECOND).payload


def span_payload(record: Mapping[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    span = scope.spans.add(name="call", start_time_unix_nano=SECOND, end_time_unix_nano=2 * SECOND)
    span.trace_id, span.span_id = bytes(range(16)), bytes(range(8))
    for key, value in record.items():
        said = list(value) if isinstance(value, tuple) else value
        span.attributes.append(KeyValue(key=key, value=any_value(said)))
    return request.SerializeToString()


def metrics(decoder: Decoder, signal: Signal, record: Mapping[str, Any], names: Names = ALIASES) -> dict[str, float]:
    """The series that one record gives, shown as they are."""
    tables = ModelTables((0.1, 1.0), Budget())
    by_signal = {"logs": PredictionDeriver("logs", tables, names), "spans": PredictionDeriver("spans", tables, names)}
    deriver, payload = by_signal[signal], (log_payload if signal == "logs" else span_payload)(record)
    deriver.apply(deriver.decode(decoder, [payload]), arrival(1, 5 * SECOND))
    for kept in by_signal["logs"].kept:
        kept.mark_exported()
    return {series: float(value) for series, value in lines(list(by_signal["logs"].collect())).items()}


def test_every_concept_has_a_case_and_a_meaning() -> None:
    assert set(CASES) == set(ALIASES) == set(MEANINGS)


@pytest.mark.parametrize("signal", ["logs", "spans"])
@pytest.mark.parametrize("name_of_decoder", DECODERS)
@pytest.mark.parametrize(("concept", "name"), EVERY, ids=lambda x: x)
def test_each_name_alone_gives_its_metric(concept: str, name: str, name_of_decoder: str, signal: Signal) -> None:
    decoder = DECODERS[name_of_decoder]
    if decoder is None:
        pytest.skip("the native core is not installed")
    beside, values = CASES[concept]
    bare = {key: value for key, value in beside.items() if key not in ALIASES[concept]}
    without = metrics(decoder, signal, bare)
    for value, expected in values.items():
        got = metrics(decoder, signal, {**bare, name: value})
        assert {series: got.get(series, 0.0) for series in expected} == pytest.approx(expected, abs=1e-5)
        assert got != without, "it says nothing that was not said without it"


@pytest.mark.parametrize("concept", ALIASES)
def test_the_first_name_that_is_there_counts(concept: str) -> None:
    beside, values = CASES[concept]
    value, expected = next(iter(values.items()))
    other: Any = f"not {value}" if isinstance(value, str) else value * 2 if value != 0.93 else 0.1
    names = ALIASES[concept]
    for at, name in enumerate(names):
        record = {key: v for key, v in beside.items() if key not in names}
        record |= {name: value} | dict.fromkeys(names[at + 1 :], other)
        got = metrics(ReferenceDecoder(), "spans", record)
        assert {series: got.get(series, 0.0) for series in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("missing", ["model", "prediction"])
def test_without_a_model_or_an_answer_it_is_no_prediction(missing: str) -> None:
    record = {key: value for key, value in RECORD.items() if key not in ALIASES[missing]}
    assert metrics(ReferenceDecoder(), "spans", record) == {}


def test_the_line_of_the_how_to_gives_what_it_says() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "predictions.md"
    line = re.search(r"```json\n(.*)\n```", page.read_text("utf-8"))
    assert line
    got = metrics(ReferenceDecoder(), "logs", json.loads(line[1]))
    model = 'model="churn",version="7"'
    assert got[f'model_predictions_total{{{model},status="ok"}}'] == 1
    assert got[f'model_predictions_by_class_total{{{model},class="leaves"}}'] == 1
    assert got[f"model_confidence_score_sum{{{model}}}"] == pytest.approx(0.83, abs=1e-5)
    assert got[f'model_inference_latency_seconds_sum{{{model},stage="inference"}}'] == pytest.approx(0.0125, abs=1e-5)
    assert got[f"model_batch_size_sum{{{model}}}"] == got[f"model_info{{{model}}}"] == 1
    assert f"model_last_prediction_timestamp_seconds{{{model}}}" in got


def test_further_names_come_behind_the_built_in_ones() -> None:
    names = aliases({"class": ("decision", "label", "decision"), "score": ("sureness",)})
    assert names["class"] == (*ALIASES["class"], "decision")
    assert names["score"] == (*ALIASES["score"], "sureness")
    assert {k: v for k, v in names.items() if k not in ("class", "score")} == {
        k: v for k, v in ALIASES.items() if k not in ("class", "score")
    }
    assert aliases({}) == ALIASES
    payload = log_payload({"decision": "x"})
    assert any(mark in payload for mark in marks(names))
    assert not any(mark in payload for mark in marks(ALIASES))
    assert any(mark in span_payload({"sureness": 1.0}) for mark in span_marks(names))


@pytest.mark.parametrize("signal", ["logs", "spans"])
@pytest.mark.parametrize("concept", ALIASES)
def test_a_further_name_of_any_concept_gives_its_metric(concept: str, signal: Signal) -> None:
    beside, values = CASES[concept]
    bare = {key: value for key, value in beside.items() if key not in ALIASES[concept]}
    for value, expected in values.items():
        got = metrics(ReferenceDecoder(), signal, {**bare, "own.name": value}, aliases({concept: ("own.name",)}))
        assert {series: got.get(series, 0.0) for series in expected} == pytest.approx(expected, abs=1e-5)


def test_in_the_configuration(tmp_path: Path) -> None:
    environ = {
        "SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": "true",
        "SIDECAR_DERIVE__PREDICTIONS__ALIASES": '{"class": ["decision"], "model": "net"}',
    }
    assert loader.load(environ).derive.predictions.aliases == {"class": ("decision",), "model": ("net",)}
    file = tmp_path / "sidecar.yaml"
    file.write_text("derive:\n  predictions:\n    attributes: true\n    aliases:\n      class: [decision]\n")
    assert loader.load({}, file).derive.predictions.aliases == {"class": ("decision",)}


@pytest.mark.parametrize(
    ("attributes", "names", "said"),
    [
        ("false", '{"class": ["decision"]}', "only where derive.predictions.attributes is true"),
        ("true", '{"klass": ["decision"]}', "no concept is called 'klass'"),
        ("true", "decision", "SIDECAR_DERIVE__PREDICTIONS__ALIASES"),
    ],
)
def test_in_the_configuration_what_is_wrong_is_said_with_its_place(attributes: str, names: str, said: str) -> None:
    environ = {
        "SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": attributes,
        "SIDECAR_DERIVE__PREDICTIONS__ALIASES": names,
    }
    with pytest.raises(ConfigError) as caught:
        loader.load(environ)
    assert said in str(caught.value)
    assert "SIDECAR_DERIVE__PREDICTIONS__ALIASES" in str(caught.value)


class Options(BaseModel):
    aliases: AdditionalNames = {}


def test_the_option_takes_lists_and_a_single_name() -> None:
    given = Options.model_validate({"aliases": {"class": "decision", "model": ["net", "net.name"], "value": "a, b"}})
    assert given.aliases == {"class": ("decision",), "model": ("net", "net.name"), "value": ("a", "b")}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"klass": ["x"]}, "no concept is called 'klass'; there are model, version, class"),
        ({"class": [f"n{n}" for n in range(MAX_FURTHER + 1)]}, "class: 17 further names; at most 16 are read"),
        ({"class": [""]}, "class: '' is no attribute's name of 1 to 127 bytes"),
        ({"class": ["ü" * 64]}, "is no attribute's name of 1 to 127 bytes"),
        ({"value": ["confidence"]}, "'confidence' cannot be score and value"),
        ({"value": ["amount"], "score": ["amount"]}, "'amount' cannot be score and value"),
    ],
)
def test_what_cannot_be_a_name_is_an_error_that_says_what_can(given: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"aliases": given})
    assert said in str(caught.value)
