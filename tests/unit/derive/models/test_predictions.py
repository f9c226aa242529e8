"""Metrics of models, from events made by the SDK, from JSON lines and from spans."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from support.derive_fakes import arrival, lines

from sidecar.decode.predictions.attribute_names import ALIASES
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver, Read
from sidecar.derive.series import Arrival, Budget

DECODER = ReferenceDecoder()
SECOND = 10**9


def derivers(budget: Budget | None = None) -> tuple[PredictionDeriver, PredictionDeriver]:
    tables = ModelTables((0.01, 0.1), budget or Budget())
    return PredictionDeriver("logs", tables), PredictionDeriver("spans", tables)


def shown(logs: PredictionDeriver, only: str = "") -> dict[str, str]:
    for kept in logs.kept:
        kept.mark_exported()
    return {k: v for k, v in lines(list(logs.collect())).items() if k.startswith(only)}


def feed(deriver: PredictionDeriver, payload: bytes) -> None:
    deriver.apply(deriver.decode(DECODER, [payload]), arrival(1, 12 * SECOND))


def event_payload(*made: tuple[str, dict[str, Any], Any]) -> bytes:
    """A request with these events: (event name, attributes, body)."""
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    for name, attributes, body in made:
        provider.get_logger("test").emit(
            timestamp=7 * SECOND,
            severity_number=SeverityNumber.INFO,
            body=body,
            attributes=attributes,
            event_name=name,
        )
    return encode_logs(memory.get_finished_logs()).SerializeToString()


def prediction(rows: int, **more: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    attributes = {
        "ml.model.name": "churn",
        "ml.model.version": "7",
        "ml.framework": "sklearn",
        "ml.stage": "inference",
        "ml.prediction.count": more.pop("count", rows),
        "ml.prediction.duration": 0.05,
    }
    attributes.update(more.pop("attributes", {}))
    return "ml.prediction", attributes, {"schema": 1, "rows": rows, "counted": True, **more}


def test_an_event_of_the_instrumentation() -> None:
    logs, _ = derivers()
    body = {
        "features": {"age": [1.0, 2.0, 3.0]},
        "class": ["no", "yes", "no"],
        "class_counts": {"no": 2, "yes": 1},
        "score": [0.5, 0.93, 1.0],
        "one_in": 1,
    }
    feed(logs, event_payload(prediction(3, **body), prediction(1, value=[2.5])))
    got = shown(logs)
    assert float(got.pop('model_confidence_score_sum{model="churn",version="7"}')) == pytest.approx(2.43, abs=1e-5)
    assert got == {
        'model_predictions_total{model="churn",version="7",status="ok"}': "4",
        'model_predictions_by_class_total{model="churn",version="7",class="no"}': "2",
        'model_predictions_by_class_total{model="churn",version="7",class="yes"}': "1",
        'model_inference_latency_seconds_bucket{model="churn",version="7",stage="inference",le="0.01"}': "0",
        'model_inference_latency_seconds_bucket{model="churn",version="7",stage="inference",le="0.1"}': "2",
        'model_inference_latency_seconds_bucket{model="churn",version="7",stage="inference",le="+Inf"}': "2",
        'model_inference_latency_seconds_count{model="churn",version="7",stage="inference"}': "2",
        'model_inference_latency_seconds_sum{model="churn",version="7",stage="inference"}': "0.1",
        **{
            f'model_batch_size_bucket{{model="churn",version="7",le="{le}"}}': "1" if float(le) < 4 else "2"
            for le in ("1.0", "2.0", "4.0", "8.0", "16.0", "32.0", "64.0", "128.0", "256.0", "512.0", "1024.0")
        },
        'model_batch_size_bucket{model="churn",version="7",le="4096.0"}': "2",
        'model_batch_size_bucket{model="churn",version="7",le="+Inf"}': "2",
        'model_batch_size_count{model="churn",version="7"}': "2",
        'model_batch_size_sum{model="churn",version="7"}': "4.0",
        **{
            f'model_confidence_score_bucket{{model="churn",version="7",le="{n / 20}"}}': str(
                0 if n < 10 else 1 if n < 19 else 2
            )
            for n in range(1, 20)
        },
        'model_confidence_score_bucket{model="churn",version="7",le="+Inf"}': "3",
        'model_confidence_score_count{model="churn",version="7"}': "3",
        'model_prediction_value_count{model="churn",version="7"}': "1",
        'model_prediction_value_sum{model="churn",version="7"}': "2.5",
        'model_info{model="churn",version="7"}': "1",
        'model_last_prediction_timestamp_seconds{model="churn",version="7"}': "7.0",
    }


def test_a_call_that_raised_a_repeat_and_a_loading() -> None:
    logs, _ = derivers()
    feed(
        logs,
        event_payload(
            prediction(5, count=0, attributes={"error.type": "ValueError"}),
            prediction(2, count=0, counted=False, score=[0.2, 0.4]),
            ("ml.model.loaded", {"ml.model.name": "churn", "ml.model.version": "8"}, None),
        ),
    )
    assert shown(logs, "model_predictions") == {
        'model_predictions_total{model="churn",version="7",status="error"}': "5"
    }
    assert shown(logs, "model_batch_size") == {}
    assert shown(logs, "model_confidence_score_count") == {
        'model_confidence_score_count{model="churn",version="7"}': "2"
    }
    assert shown(logs, "model_loaded") == {'model_loaded{model="churn",version="8"}': "1"}


def test_kept_rows_stand_for_those_that_were_not() -> None:
    logs, _ = derivers()
    feed(logs, event_payload(prediction(100, one_in=10, score=[0.5] * 10, class_counts={"a": 90})))
    assert shown(logs, "model_confidence_score_count") == {
        'model_confidence_score_count{model="churn",version="7"}': "100"
    }
    assert shown(logs, "model_predictions_by_class") == {
        'model_predictions_by_class_total{model="churn",version="7",class="a"}': "90",
        'model_predictions_by_class_total{model="churn",version="7"}': "10",
    }


def test_columns_with_numbers_that_are_none() -> None:
    payload = event_payload(prediction(4, score=[0.5, math.nan, math.inf, 1], value=["a", None, True, 2]))
    batch = DECODER.predictions([payload])
    assert (batch.score.tolist(), batch.value.tolist()) == ([0.5, 1.0], [2.0])


def test_a_body_that_is_no_map_counts_all_the_same() -> None:
    logs, _ = derivers()
    feed(logs, event_payload(("ml.prediction", {"ml.model.name": "m", "ml.prediction.count": 2}, "text")))
    assert shown(logs, "model_predictions_total") == {'model_predictions_total{model="m",status="ok"}': "2"}


def test_refused_records_are_left_out() -> None:
    request = ExportLogsServiceRequest.FromString(event_payload(prediction(1), prediction(2), prediction(3)))
    request.resource_logs[0].scope_logs[0].log_records[1].trace_id = b"short"
    logs, _ = derivers()
    feed(logs, request.SerializeToString())
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="churn",version="7",status="ok"}': "4"
    }


def json_lines(records: Sequence[dict[str, Any]]) -> bytes:
    return DECODER.json_lines("\n".join(map(json.dumps, records)).encode(), 1).payload


def test_json_lines() -> None:
    logs, _ = derivers()
    records: list[dict[str, Any]] = [
        {"model": "churn", "prediction": "yes", "confidence": 0.8, "latency_ms": 5, "prediction_id": "a"},
        {"model": "churn", "prediction": "yes", "confidence": 0.8, "latency_ms": 5},
        {"model": "churn", "prediction": 1, "level": "error"},
        {"model": "price", "prediction": 12.5, "version": 3},
        {"model": "price", "predictions": [1.5, 2.5], "batch_size": 2},
        {"model": "tags", "predictions": ["a", "b", "a"]},
        {"model": "churn", "message": "loaded"},
        {"prediction": "nobody's"},
    ]
    feed(logs, json_lines(records))
    assert shown(logs, "model_predictions") == {
        'model_predictions_total{model="churn",status="ok"}': "2",
        'model_predictions_total{model="churn",status="error"}': "1",
        'model_predictions_total{model="price",version="3",status="ok"}': "1",
        'model_predictions_total{model="price",status="ok"}': "2",
        'model_predictions_total{model="tags",status="ok"}': "3",
        'model_predictions_by_class_total{model="churn",class="yes"}': "2",
        'model_predictions_by_class_total{model="churn",class="1"}': "1",
        'model_predictions_by_class_total{model="tags",class="a"}': "2",
        'model_predictions_by_class_total{model="tags",class="b"}': "1",
    }
    assert shown(logs, "model_prediction_value") == {
        'model_prediction_value_count{model="price",version="3"}': "1",
        'model_prediction_value_sum{model="price",version="3"}': "12.5",
        'model_prediction_value_count{model="price"}': "2",
        'model_prediction_value_sum{model="price"}': "4.0",
    }


@pytest.mark.parametrize(
    ("value", "times"), [(1.5e-7, 1000), (0.01, 10_000), (1e-300, 7), (1e15 + 0.5, 3), (-2.5e-9, 64)]
)
def test_sums_are_exact_however_small_the_values(value: float, times: int) -> None:
    """Confidences and latencies below a microsecond likewise."""
    logs, _ = derivers()
    record = {"model": "m", "prediction": value, "confidence": abs(value) % 1, "latency_ms": abs(value)}
    for _ in range(2):
        feed(logs, json_lines([record] * (times // 2)))
    feed(logs, json_lines([record] * (times % 2)))
    got = shown(logs)
    assert float(got['model_prediction_value_sum{model="m"}']) == math.fsum([value] * times)
    confidence = got['model_confidence_score_sum{model="m"}']
    assert float(confidence) == pytest.approx(math.fsum([abs(value) % 1] * times), rel=1e-15)
    latency = next(float(n) for name, n in got.items() if name.startswith("model_inference_latency_seconds_sum"))
    assert latency == pytest.approx(math.fsum([abs(value) / 1000] * times), rel=1e-12)


@pytest.mark.parametrize(
    ("reported", "classes", "values"),
    [
        ([1, 2.5, 3], {}, ("3", "6.5")),
        (["1", 2.5, "-3"], {}, ("3", "0.5")),
        ([1, 2, 3], {"1": "1", "2": "1", "3": "1"}, None),
        ([True, 2.5], {"true": "1", "": "1"}, None),
        ([1.5, None, 2.5], {}, ("2", "4.0")),
        (["spam", 3.5, "ham"], {"spam": "1", "": "1", "ham": "1"}, None),
        (["spam", 0.93], {"spam": "1"}, None),
        ([["__label__a"], [0.93]], {"__label__a": "1"}, None),
        ([[1.5], [2]], {}, ("2", "3.5")),
        ([[0.1, 0.9], [0.8, 0.2]], {"": "2"}, None),
        ([None, {"label": "a"}, "b"], {"": "2", "b": "1"}, None),
        ('["\\ud800", "b"]', {"?": "1", "b": "1"}, None),
        ("[" * 1000, None, None),
        ("['a', 'b']", None, None),
        ("[" + "7" * 1000 + "]", {"7" * 1000: "1"}, None),
    ],
)
def test_arrays_of_predictions_by_their_elements(
    reported: Any, classes: dict[str, str] | None, values: tuple[str, str] | None
) -> None:
    logs, _ = derivers()
    feed(logs, json_lines([{"model": "m", "prediction": reported}]))
    named = {f',class="{name}"' if name else "": n for name, n in (classes or {}).items()}
    assert shown(logs, "model_predictions_by_class") == {
        f'model_predictions_by_class_total{{model="m"{name}}}': n for name, n in named.items()
    }
    figures = zip(("count", "sum"), values or (), strict=False)
    assert shown(logs, "model_prediction_value") == {
        f'model_prediction_value_{what}{{model="m"}}': n for what, n in figures
    }
    counted = sum(map(int, (classes or {}).values())) + int((values or "0")[0])
    expected = {'model_predictions_total{model="m",status="ok"}': str(counted)} if counted else {}
    assert shown(logs, "model_predictions_total") == expected
    for kept in logs.kept:
        assert all(len(key) for key, _ in kept.checkpoint())


@pytest.mark.parametrize("text", [False, True])
def test_of_an_array_that_is_cut_the_whole_elements_count_and_the_rows_that_are_reported(text: bool) -> None:
    logs, _ = derivers()
    # 1,024 characters: the bracket, then 9 for each element and comma (10 with a blank); the last of them is cut.
    answers = json.dumps(["leaves"] * 300) if text else ["leaves"] * 300
    feed(logs, json_lines([{"model": "m", "predictions": answers, "batch_size": 300}]))
    feed(logs, json_lines([{"model": "n", "predictions": answers}]))
    feed(logs, json_lines([{"model": "o", "predictions": [n + 0.5 for n in range(300)], "batch_size": 300}]))
    feed(logs, json_lines([{"model": "p", "predictions": ["a, b" * 200] * 2}]))
    whole = "102" if text else "113"
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="m",status="ok"}': "300",
        'model_predictions_total{model="n",status="ok"}': whole,
        'model_predictions_total{model="o",status="ok"}': "300",
        'model_predictions_total{model="p",status="ok"}': "1",
    }
    by_class = shown(logs, "model_predictions_by_class")
    assert by_class['model_predictions_by_class_total{model="m",class="leaves"}'] == whole
    assert by_class['model_predictions_by_class_total{model="n",class="leaves"}'] == whole


def test_the_last_prediction_is_not_later_than_it_was_received() -> None:
    logs, _ = derivers()
    feed(logs, json_lines([{"model": "m", "prediction": "a", "time": "2100-01-01T00:00:00Z"}]))
    series = 'model_last_prediction_timestamp_seconds{model="m"}'
    assert shown(logs)[series] == "12.0"
    logs.apply(
        logs.decode(DECODER, [json_lines([{"model": "m", "prediction": "a", "time": "1970-01-01T00:00:20.5Z"}])]),
        arrival(1, 30 * SECOND),
    )
    assert shown(logs)[series] == "20.5"


def test_a_label_is_no_prediction_though_it_names_a_model_and_a_class() -> None:
    label = {"event": "ml.label", "prediction_id": "p-1", "label": "yes", "model": "churn"}
    named = {"event.name": "ml.label", "prediction_id": "p-2", "label": "no", "prediction": "yes", "model": "churn"}
    reported = {"model": "churn", "label": "yes", "message": "about ml.label"}
    logs, _ = derivers()
    payloads = [json_lines([reported, label, reported]), json_lines([reported]), json_lines([named, label, reported])]
    logs.apply(logs.decode(DECODER, payloads), Arrival(np.array([3, 4, 7]), np.full(3, 5 * SECOND), 5 * SECOND))
    assert shown(logs, "model_predictions") == {
        'model_predictions_total{model="churn",status="ok"}': "4",
        'model_predictions_by_class_total{model="churn",class="yes"}': "4",
    }


def test_labels_are_told_apart_beside_refused_records() -> None:
    request = ExportLogsServiceRequest.FromString(json_lines([{"model": "m", "label": "a"}]))
    records = request.resource_logs[0].scope_logs[0].log_records
    records.add(trace_id=b"short", event_name="x")
    label = records.add(event_name="ml.label")
    label.CopyFrom(records[0])
    label.event_name = "ml.label"
    logs, _ = derivers()
    feed(logs, request.SerializeToString())
    assert shown(logs, "model_predictions_total") == {'model_predictions_total{model="m",status="ok"}': "1"}


WORKS = {
    "model": ("m", 'model_predictions_total{model="m",status="ok"}'),
    "version": ("9", 'model_predictions_total{model="a",version="9",status="ok"}'),
    "class": ("c", 'model_predictions_by_class_total{model="a",class="c"}'),
    "score": (0.5, 'model_confidence_score_count{model="a"}'),
    "value": (2.5, 'model_prediction_value_count{model="a"}'),
    "prediction": ("c", 'model_predictions_by_class_total{model="a",class="c"}'),
    "rows": (1, 'model_batch_size_bucket{model="a",le="1.0"}'),
    "seconds": (0.001, 'model_inference_latency_seconds_bucket{model="a",stage="inference",le="0.01"}'),
    "milliseconds": (1, 'model_inference_latency_seconds_bucket{model="a",stage="inference",le="0.01"}'),
    "stage": ("queue", 'model_inference_latency_seconds_count{model="a",stage="queue"}'),
    "error": ("E", 'model_predictions_total{model="a",status="error"}'),
}


@pytest.mark.parametrize(("concept", "alias"), [(c, alias) for c, names in ALIASES.items() for alias in names])
def test_every_alias_is_understood(concept: str, alias: str) -> None:
    value, series = WORKS[concept]
    record = {"ml.model.name": "a", "ml.prediction.class": "x", "ml.prediction.duration": 1.0}
    if concept == "model":
        del record["ml.model.name"]
    if concept in ("class", "prediction", "value"):
        del record["ml.prediction.class"]
    if concept in ("seconds", "milliseconds"):
        del record["ml.prediction.duration"]
    record[alias] = value
    logs, _ = derivers()
    feed(logs, json_lines([record]))
    assert shown(logs)[series] == "1"


def span_payload(*spans: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n, fields in enumerate(spans, 1):
        span = scope.spans.add(trace_id=n.to_bytes(16, "big"), span_id=n.to_bytes(8, "big"), name=fields["name"])
        span.start_time_unix_nano, span.trace_state = 10 * SECOND, fields.get("state", "")
        span.end_time_unix_nano = 10 * SECOND + fields.get("duration", 0)
        span.status.code = fields.get("status", 0)
        for key, value in fields.get("attributes", {}).items():
            span.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def test_spans_and_their_sampling() -> None:
    logs, spans = derivers()
    own = {"ml.model.name": "churn", "ml.prediction.class": "yes"}
    feed(
        spans,
        span_payload(
            {"name": "predict", "attributes": own, "duration": SECOND // 100, "state": "ot=th:8"},
            {"name": "predict", "attributes": own, "duration": SECOND, "status": 2},
            {"name": "preprocess", "attributes": {"ml.model.name": "churn"}, "duration": SECOND // 100},
            {"name": "predict churn", "attributes": {**own, "ml.framework": "sklearn"}, "duration": 1},
            {"name": "GET /", "attributes": {"http.route": "/predict"}, "duration": 1},
        ),
    )
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="churn",status="ok"}': "2",
        'model_predictions_total{model="churn",status="error"}': "1",
    }
    assert shown(logs, "model_inference_latency_seconds_count") == {
        'model_inference_latency_seconds_count{model="churn",stage="inference"}': "3",
        'model_inference_latency_seconds_count{model="churn",stage="preprocess"}': "1",
    }
    assert shown(logs, "model_last")['model_last_prediction_timestamp_seconds{model="churn"}'] == "11.0"


def test_classes_keep_to_the_budget() -> None:
    logs, _ = derivers(Budget(values=3))
    feed(logs, json_lines([{"model": "m", "prediction": f"c{n}"} for n in range(10)]))
    got = shown(logs, "model_predictions_by_class")
    assert got['model_predictions_by_class_total{model="m",class="__other__"}'] == "7"
    assert logs.kept[1].overflowed["class"] == 7


def test_events_alone_are_read_where_attributes_are_not_asked_for() -> None:
    logs = PredictionDeriver("logs", ModelTables((0.01,), Budget()), aliases=None)
    feed(logs, json_lines([{"model": "churn", "prediction": "yes"}]))
    feed(logs, event_payload(prediction(3)))
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="churn",version="7",status="ok"}': "3"
    }


def test_payloads_without_a_prediction_are_not_read() -> None:
    logs, spans = derivers()
    assert logs.decode(DECODER, [b"\xff no request at all"]) == Read(None, None)
    assert spans.decode(DECODER, [b"\xff"]) == Read(None, None)


def test_records_of_several_payloads_have_the_time_of_theirs() -> None:
    logs, _ = derivers()
    payloads = [
        json_lines([{"model": "a", "message": "nothing reported"}, {"model": "a", "prediction": "x"}]),
        json_lines([{"model": "b", "prediction": "x"}]),
    ]
    sent = [event_payload(prediction(1, attributes={"ml.model.name": name})) for name in ("c", "d")]
    times = np.array([3, 4, 5, 6], np.int64) * SECOND
    logs.apply(logs.decode(DECODER, [*payloads, *sent]), Arrival(np.array([2, 3, 4, 5], np.int64), times, 9 * SECOND))
    [points] = next(iter(logs.collect())).blocks
    assert [label[7] for label in points.labels] == ["c", "d", "a", "b"]
    assert points.created == [5, 6, 3, 4]


def test_a_number_is_a_value_by_its_type_not_by_its_digits() -> None:
    logs, _ = derivers()
    feed(logs, json_lines([{"model": "price", "prediction": p} for p in (3.0, 2.5, 0.125)]))
    assert shown(logs, "model_prediction_value") == {
        'model_prediction_value_count{model="price"}': "3",
        'model_prediction_value_sum{model="price"}': "5.625",
    }
    assert shown(logs, "model_predictions") == {'model_predictions_total{model="price",status="ok"}': "3"}


def test_an_event_that_was_counted_is_not_counted_again_by_its_attributes() -> None:
    logs, _ = derivers()
    own = {"ml.prediction.class": "x", "ml.framework": ""}
    attributes = {"ml.model.name": "m", "ml.prediction.class": "x"}
    feed(logs, event_payload(prediction(2, attributes=own), ("ml.prediction", attributes, None)))
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="churn",version="7",status="ok"}': "2",
        'model_predictions_total{model="m",status="ok"}': "1",
    }


def test_numbers_of_an_event_may_be_of_either_type() -> None:
    logs, _ = derivers()
    attributes = {"ml.prediction.count": 3.0, "ml.prediction.duration": 1}
    feed(
        logs,
        event_payload(prediction(3, attributes=attributes), prediction(1, attributes={"ml.prediction.count": 1.5})),
    )
    assert shown(logs, "model_predictions_total") == {
        'model_predictions_total{model="churn",version="7",status="ok"}': "3"
    }
    assert shown(logs, "model_inference_latency_seconds_count") == {
        'model_inference_latency_seconds_count{model="churn",version="7",stage="inference"}': "2"
    }
