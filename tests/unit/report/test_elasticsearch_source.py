"""Figures from documents: what is asked of an engine, and what is made of its replies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.delivery import attribute
from support.report_traffic import CLASSES, END, SPLIT, Call, label, prediction

from sidecar.decode.select import decoder
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.derive.registry import DeriveOptions
from sidecar.errors import Permanent
from sidecar.report.building import build
from sidecar.report.contents import ModelReport, Report
from sidecar.report.elasticsearch_source import ElasticsearchSource, Places
from sidecar.report.period import Period

WEEK = Period(SPLIT, END)
PLACES = Places("logs-*", "traces-*", "figures")
DECODER = decoder()
SERVICES = [
    {
        "key": "churn-api",
        "doc_count": 200,
        "failed": {"doc_count": 10},
        "sampled": {"doc_count": 3},
        "durations": {"values": {"50.0": 2e7, "95.0": 9e7, "99.0": 9e7}},
    },
    {
        "key": "idle",
        "doc_count": 0,
        "failed": {"doc_count": 0},
        "sampled": {"doc_count": 0},
        "durations": {"values": {"50.0": None, "95.0": None, "99.0": None}},
    },
]


class Engine:
    """Gives the documents that it has to any query for them, by the index that is asked."""

    def __init__(self, documents: Mapping[str, Sequence[Any]], services: Sequence[Any] = SERVICES) -> None:
        self.documents, self.services = documents, services
        self.first_ms = (SPLIT - 7 * 86_400 + 60) * 1000.0
        self.asked: list[Any] = []

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        given = json.loads(body) if body else {}
        index = target.split("/")[1]
        self.asked.append(given)
        if "_count" in target:
            return _ok({"_shards": {"total": int(index in self.documents)}})
        if method == "DELETE" or "_pit?" in target:
            return _ok({"id": index})
        if "aggs" in given:
            return self._aggregated(given)
        hits = list(self.documents[given["pit"]["id"]]) if "search_after" not in given else []
        return _ok({"hits": {"total": {"value": len(hits)}, "hits": hits}})

    def _aggregated(self, given: Any) -> Reply:
        if "first" in given["aggs"]:
            return _ok({"aggregations": {"first": {"value": self.first_ms}}})
        return _ok({"aggregations": {"services": {"buckets": self.services}}})


def _ok(body: Any) -> Reply:
    return Reply(200, json.dumps(body).encode())


def hits(body: bytes, signal: str = "logs") -> list[dict[str, Any]]:
    """The documents of a payload, as an engine gives them back."""
    lines = DECODER.log_lines([body], ["log-1"]) if signal == "logs" else DECODER.span_lines([body])
    rows = [json.loads(line) for line in lines.body.splitlines()]
    found = []
    for action, document in zip(rows[::2], rows[1::2], strict=True):
        (about,) = action.values()
        milliseconds, _, below = document["@timestamp"].partition(".")
        found.append(
            {"_id": about["_id"], "_source": document, "sort": [int(milliseconds) * 10**6 + int(below or 0), 1]}
        )
    return found


def call(time: int, number: int = 1, failed: bool = False) -> Call:
    classes = () if failed else (CLASSES[number % 2],) * 2
    return Call(time, "churn-api", "churn", "7", number, failed, 0.02, classes, (0.75,) * len(classes), "A")


def predictions(*calls: Call) -> list[dict[str, Any]]:
    return [hit for one in calls for hit in hits(prediction(one, "default"))]


def report(engine: Engine, options: DeriveOptions | None = None, models: Sequence[str] = ()) -> Report:
    source = ElasticsearchSource(engine, "http://es", PLACES, DECODER, options or DeriveOptions(), WEEK, models)
    return build(source, WEEK, 1.0)


def only(found: Report) -> ModelReport:
    (one,) = found.models
    return one


def figures(time: int, window: str, right: int, **more: Any) -> dict[str, Any]:
    confusion = [{"predicted": "a", "actual": "a", "rows": right}, {"predicted": "a", "actual": "b", "rows": 10}]
    document = {"model": "churn", "version": "7", "window": window, "confusion": confusion, **more}
    return {"_id": f"{window}{time}", "_source": document, "sort": [time * 1000, 1]}


def test_records_are_counted_by_their_time() -> None:
    calls = [call(SPLIT - 5), call(SPLIT, 2), call(SPLIT + 1, 3), call(END - 7, 4), call(END, 5, failed=True)]
    found = report(Engine({"logs-*,traces-*": predictions(*calls)}))
    one = only(found)
    assert (one.rates.predictions, one.before and one.before.predictions) == (5, 4)
    assert one.rates.errors is not None
    assert one.rates.errors.value == 1 / 5
    assert {c.name: c.predictions for c in one.classes} == {CLASSES[1]: 2, CLASSES[0]: 2}
    assert (one.rates.confidence_rows, one.points[-1].predictions, one.points[0].predictions) == (4, 3, 2)
    (experiment,) = found.experiments
    assert [(v.variant.name, v.variant.exposures, v.requests) for v in experiment.variants] == [("A", 9, 3)]


def test_requests_have_the_percentiles_of_the_engine() -> None:
    (shown,) = report(Engine({"logs-*,traces-*": predictions(call(END))})).services
    assert (shown.name, shown.requests, shown.errors.value) == ("churn-api", 200, 0.05)
    assert (shown.p50, shown.p95, shown.p99) == pytest.approx((2e7, 9e7, 9e7))


def test_services_alone_are_a_report() -> None:
    found = report(Engine({"logs-*,traces-*": []}))
    assert ([one.name for one in found.services], found.models) == (["churn-api"], [])


def test_outcomes_are_the_last_of_the_window_that_is_nearest_to_the_period() -> None:
    classes = [{"class": "a", "model_class_precision": 0.5}]
    documents = [
        figures(SPLIT - 60, "7d", 50),
        figures(SPLIT + 60, "7d", 60),
        figures(END - 60, "7d", 70, metrics={"model_roc_auc": 0.8, "model_outcome_samples": 80}, classes=classes),
        figures(END - 30, "24h", 11),
        figures(END - 30, "30d", 12),
    ]
    found = report(Engine({"logs-*,traces-*": predictions(call(SPLIT - 5), call(END)), "figures": documents}))
    one = only(found)
    assert (one.outcomes.rows, one.outcomes.correct, one.auc) == (80, 70, 0.8)
    assert one.outcomes_before is not None
    assert one.outcomes_before.rows == 60
    assert found.source.notes[0].startswith("Labels were joined up to 2026-09-21 13:59.")
    assert not found.lacks("accuracy, precision, recall and AUC")


def test_without_the_job_there_is_no_accuracy() -> None:
    found = report(Engine({"logs-*,traces-*": predictions(call(END))}))
    assert found.lacks("accuracy, precision, recall and AUC")
    assert "has put no figures of this time into figures" in found.source.notes[0]


def test_what_was_sampled_and_what_cannot_be_read_is_said() -> None:
    strange = [
        {"_id": "1", "_source": {"event_name": "ml.prediction", "trace_id": "xyz"}, "sort": [END * 10**9, 1]},
        {"_id": "2", "_source": {"duration": 5}, "sort": [END * 10**9, 1]},
    ]
    engine = Engine({"logs-*,traces-*": [*predictions(call(END)), *strange]})
    found = report(engine)
    assert only(found).rates.predictions == 2
    assert found.source.notes[1:] == (
        "3 requests of the period were sampled: those of services count what was delivered.",
        "2 documents cannot be read, and are in no figure.",
    )


def test_labels_and_events_of_spans_are_no_predictions() -> None:
    one = call(END - 60)
    event = {"_id": f"{'a' * 49}e0", "_source": {"event_name": "ml.prediction"}, "sort": [END * 10**9, 1]}
    documents = [*predictions(one), *hits(label(one, 0, CLASSES[1], END - 5, "default")), event]
    found = report(Engine({"logs-*,traces-*": documents}))
    assert only(found).rates.predictions == 2
    ((variant,),) = [e.variants for e in found.experiments]
    assert found.source.notes[1:] == (
        "3 requests of the period were sampled: those of services count what was delivered.",
    )
    assert variant.variant.exposures == 2


def test_spans_that_say_what_was_predicted() -> None:
    message = ExportTraceServiceRequest()
    part = message.resource_spans.add()
    part.resource.attributes.append(attribute("service.name", "shop"))
    span = part.scope_spans.add().spans.add(trace_id=b"1" * 16, span_id=b"2" * 8, name="predict", kind=2)
    span.start_time_unix_nano, span.end_time_unix_nano = (END - 2) * 10**9, (END - 1) * 10**9
    span.attributes.extend([attribute("model_name", "price"), attribute("predicted_class", "dear")])
    documents = {"logs-*,traces-*": hits(message.SerializeToString(), "spans")}
    options = DeriveOptions.model_validate({"predictions": {"attributes": True}})
    one = only(report(Engine(documents), options))
    assert (one.model.service, one.model.name, one.rates.predictions) == ("shop", "price", 1)
    assert one.rates.inference is not None
    assert one.rates.inference.p50 == pytest.approx(1e9, rel=0.02)
    assert report(Engine(documents)).models == []


def test_what_did_not_fit_a_mapping_is_taken_back() -> None:
    (hit,) = predictions(call(END))
    body = hit["_source"]["body"]["structured"]
    counts = body.pop("class_counts")
    hit["_source"]["attributes"]["sidecar.conflicts"] = json.dumps({"body.structured.class_counts": counts})
    one = only(report(Engine({"logs-*,traces-*": [hit]})))
    assert [(c.name, c.predictions) for c in one.classes] == [(CLASSES[1], 2)]


def test_data_that_begins_late() -> None:
    engine = Engine({"logs-*,traces-*": predictions(call(SPLIT - 5), call(END))})
    engine.first_ms = (SPLIT + 86_400) * 1000.0
    found = report(engine)
    assert (found.data_from, found.compared, only(found).before) == (SPLIT + 86_400, False, None)


def test_one_model_only() -> None:
    engine = Engine({"logs-*,traces-*": predictions(call(END))})
    assert [one.name for one in report(engine, models=["churn"]).services] == ["churn-api"]
    with pytest.raises(Permanent, match=r"has nothing about models in this time; expected documents of predictions"):
        report(engine, models=["nobody"])


def test_no_index_matches() -> None:
    with pytest.raises(Permanent, match=r"no index at http://es matches logs-\* or traces-\*; expected those that"):
        report(Engine({}))


def test_an_engine_that_is_away() -> None:
    def away(method: str, target: str, body: bytes | None) -> Reply:
        raise Unreached("timeout", "5 s")

    with pytest.raises(Unreached):
        report(away)  # type: ignore[arg-type]  # a request, as the engine is
