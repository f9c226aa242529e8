"""Metrics of models from payloads of serving protocols."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.derive_fakes import lines

from sidecar.decode.otlp import records
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.predictions.attribute_names import ALIASES
from sidecar.decode.protocols.cloudevents import transcode
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.deriver import DeriverContext
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver, PredictionOptions
from sidecar.derive.models.servings import ServingDeriver
from sidecar.derive.models.stored_bento_schemas import MAX_EARLY, MAX_EARLY_BYTES
from sidecar.derive.registry import DERIVERS, DeriveOptions
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.target_info import Targets
from sidecar.errors import DecodeError
from sidecar.telemetry import Telemetry

DECODER = ReferenceDecoder()
SECOND = 10**9
TTL = 1000


class Derived:
    """Both derivers of logs over one set of tables."""

    def __init__(self, attributes: bool = False) -> None:
        self.tables = ModelTables((0.1, 1.0), Budget())
        self.predictions = PredictionDeriver("logs", self.tables, ALIASES if attributes else None)
        self.servings = ServingDeriver(self.tables, Budget(), 60, ALIASES if attributes else None)

    def feed(self, *payloads: bytes, time: int = 5 * SECOND) -> None:
        counts = [sum(1 for _ in records.log_records(payload)) for payload in payloads]
        arrival = Arrival(np.cumsum(counts, dtype=np.int64), np.full(len(payloads), time, np.int64), time)
        for deriver in (self.predictions, self.servings):
            deriver.apply(deriver.decode(DECODER, payloads), arrival)

    def shown(self, *families: str) -> dict[str, str]:
        for table in (*self.predictions.kept, self.servings.unanswered):
            table.mark_exported()
        found = lines([*self.predictions.collect(), *self.servings.collect()])
        return {k: v for k, v in found.items() if k.partition("{")[0] in families}


def logged(*members: dict[str, Any]) -> bytes:
    return DECODER.json_lines("\n".join(map(json.dumps, members)).encode(), 1).payload


def event(kind: str, number: int, data: Any, time: str | None = None) -> bytes:
    reported = {
        "id": str(number),
        "source": "s",
        "specversion": "1.0",
        "type": f"org.kubeflow.serving.inference.{kind}",
        "inferenceservicename": "fraud",
        "data": data,
        **({"time": f"2026-01-02T03:04:{time}Z"} if time else {}),
    }
    return transcode(json.dumps([reported]).encode(), 1).payload


COUNTS = (
    "model_predictions_total",
    "model_predictions_by_class_total",
    "model_batch_size_sum",
    "model_batch_size_count",
    "model_inference_latency_seconds_count",
    "model_inference_latency_seconds_sum",
    "model_requests_unanswered_total",
)


def test_lines_with_request_and_response() -> None:
    derived = Derived()
    both = {"model": "m", "model_version": "2", "latency_ms": 250, "request": {"instances": [1, 2, 3]}}
    derived.feed(
        logged(
            {**both, "response": {"predictions": ["a", "b", "a"]}},
            {**both, "response": {"error": "broken"}},
            {"model": "m", "instances": [1, 2]},
            {"model": "m", "msg": "nothing"},
        )
    )
    assert derived.shown(*COUNTS) == {
        'model_predictions_total{model="m",version="2",status="ok"}': "3",
        'model_predictions_total{model="m",version="2",status="error"}': "3",
        'model_predictions_by_class_total{model="m",version="2",class="a"}': "2",
        'model_predictions_by_class_total{model="m",version="2",class="b"}': "1",
        'model_batch_size_sum{model="m",version="2"}': "3.0",
        'model_batch_size_count{model="m",version="2"}': "1",
        'model_inference_latency_seconds_count{model="m",version="2",stage="inference"}': "2",
        'model_inference_latency_seconds_sum{model="m",version="2",stage="inference"}': "0.5",
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_events_of_one_exchange(order: tuple[int, int], together: bool) -> None:
    derived = Derived()
    halves = [
        event("request", 1, {"instances": [1, 2]}, "05.250"),
        event("response", 1, {"predictions": ["a", "b"]}, "05.500"),
    ]
    payloads = [halves[n] for n in order]
    for one in [payloads] if together else [[payload] for payload in payloads]:
        derived.feed(*one)
    assert derived.shown(*COUNTS) == {
        'model_predictions_total{service="fraud",model="fraud",status="ok"}': "2",
        'model_predictions_by_class_total{service="fraud",model="fraud",class="a"}': "1",
        'model_predictions_by_class_total{service="fraud",model="fraud",class="b"}': "1",
        'model_batch_size_sum{service="fraud",model="fraud"}': "2.0",
        'model_batch_size_count{service="fraud",model="fraud"}': "1",
        'model_inference_latency_seconds_count{service="fraud",model="fraud",stage="inference"}': "1",
        'model_inference_latency_seconds_sum{service="fraud",model="fraud",stage="inference"}': "0.25",
    }
    assert len(derived.servings.matcher) == 0


def test_a_request_without_response_is_unanswered_and_no_prediction() -> None:
    derived = Derived()
    derived.feed(*(event("request", n, {"instances": [1]}) for n in range(3)))
    assert derived.shown(*COUNTS) == {}
    derived.feed(event("response", 1, {"predictions": ["a"]}), time=30 * SECOND)
    derived.feed(logged({"msg": "later"}), time=64 * SECOND)
    assert "model_requests_unanswered_total" not in {name.partition("{")[0] for name in derived.shown(*COUNTS)}
    derived.feed(logged({"msg": "later"}), time=65 * SECOND)
    assert derived.shown("model_requests_unanswered_total", "model_predictions_total") == {
        'model_requests_unanswered_total{service="fraud",model="fraud"}': "2",
        'model_predictions_total{service="fraud",model="fraud",status="ok"}': "1",
    }


def test_requests_are_given_up_when_nothing_more_comes() -> None:
    derived = Derived()
    derived.feed(event("request", 1, {"instances": [1]}), time=5 * SECOND)
    derived.servings.expire(64 * SECOND, TTL * SECOND)
    assert len(derived.servings.matcher) == 1
    derived.servings.expire(65 * SECOND, TTL * SECOND)
    assert derived.shown("model_requests_unanswered_total") == {
        'model_requests_unanswered_total{service="fraud",model="fraud"}': "1"
    }


def test_an_unpaired_response_counts_with_what_it_says() -> None:
    derived = Derived()
    derived.feed(event("response", 1, {"predictions": [1.5, 2.5]}), event("response", 2, {"what": "ever"}))
    assert derived.shown(*COUNTS) == {
        'model_predictions_total{service="fraud",model="fraud",status="ok"}': "3",
        'model_batch_size_sum{service="fraud",model="fraud"}': "3.0",
        'model_batch_size_count{service="fraud",model="fraud"}': "2",
    }
    derived.feed(logged({"msg": "later"}), time=100 * SECOND)
    assert derived.shown("model_requests_unanswered_total") == {}


def test_a_response_that_nobody_can_read_has_the_rows_of_its_request() -> None:
    derived = Derived()
    derived.feed(event("request", 1, {"instances": [1, 2, 3, 4]}), event("response", 1, {"what": "ever"}))
    assert derived.shown("model_predictions_total") == {
        'model_predictions_total{service="fraud",model="fraud",status="ok"}': "4"
    }


def test_times_that_contradict_each_other_are_no_latency() -> None:
    derived = Derived()
    derived.feed(event("request", 1, {}, "06"), event("response", 1, {}, "05"))
    derived.feed(event("response", 2, {}, "05"), event("request", 2, {}, "06"))
    assert derived.shown("model_inference_latency_seconds_count") == {}


REPORTED_TWICE = {"model": "m", "instances": [1, 2], "predictions": ["a", "b"]}


@pytest.mark.parametrize("attributes", [True, False])
def test_a_record_is_counted_once(attributes: bool) -> None:
    derived = Derived(attributes)
    derived.feed(logged(REPORTED_TWICE, {"request": REPORTED_TWICE, "model": "m", "response": {"predictions": ["a"]}}))
    assert derived.shown("model_predictions_total") == {'model_predictions_total{model="m",status="ok"}': "3"}


def test_a_body_of_its_own_is_counted_for_the_service_where_no_model_is_named() -> None:
    derived = Derived(True)
    derived.feed(
        logged({"service": "svc", "predictions": ["a"]}, {"service": "svc", "response": {"predictions": ["a"]}})
    )
    assert derived.shown("model_predictions_total") == {
        'model_predictions_total{service="svc",model="svc",status="ok"}': "1"
    }


def test_records_of_the_instrumentation_are_not_counted_again() -> None:
    derived = Derived()
    derived.feed(logged({**REPORTED_TWICE, "ml.framework": "sklearn"}))
    assert derived.shown("model_predictions_total") == {}


COLUMNS = [
    {"name": "age", "role": "feature", "type": "numerical"},
    {"name": "pred", "role": "prediction", "type": "categorical"},
]
SCHEMA = {"meta_data": {"bento_name": "iris", "bento_version": "v3"}, "columns": COLUMNS}
ROWS = [{"age": 39, "pred": "yes"}, {"age": 40, "pred": "no"}, {"pred": "no"}]


def test_a_monitor_and_what_is_kept_of_it() -> None:
    derived = Derived()
    derived.feed(logged(SCHEMA), logged(*ROWS))
    expected = {
        'model_predictions_total{model="iris",version="v3",status="ok"}': "2",
        'model_predictions_by_class_total{model="iris",version="v3",class="yes"}': "1",
        'model_predictions_by_class_total{model="iris",version="v3",class="no"}': "1",
    }
    assert derived.shown(*COUNTS) == expected
    derived.feed(event("request", 7, {"instances": [1]}, "05"))
    state = {k: v for kept in derived.servings.kept for k, v in kept.checkpoint() if v is not None}
    assert [value for kept in derived.servings.kept for value in kept.checkpoint()] == []

    again = Derived()
    used = set().union(*(kept.restore(state) for kept in again.servings.kept))
    assert used == state.keys()
    again.feed(logged(*ROWS), event("response", 7, {"predictions": ["a"]}, "06"))
    found = again.shown(*COUNTS, "model_inference_latency_seconds_sum")
    assert {k: v for k, v in found.items() if "iris" in k} == expected
    assert found['model_inference_latency_seconds_sum{service="fraud",model="fraud",stage="inference"}'] == "1.0"


def filed(path: str, *members: dict[str, Any]) -> bytes:
    resource = key_value(1, "log.file.path", path)[2:]
    return DECODER.json_lines("\n".join(map(json.dumps, members)).encode(), 1, put_bytes(1, resource)).payload


@pytest.mark.parametrize("restart", [False, True])
def test_lines_of_data_that_come_before_their_schema_wait_for_it(restart: bool) -> None:
    derived = Derived()
    derived.feed(filed("/m/watch/data/data.0.log", *ROWS, {"odd": 1}))
    assert derived.shown(*COUNTS) == {}
    if restart:
        state = {k: v for kept in derived.servings.kept for k, v in kept.checkpoint() if v is not None}
        derived = Derived()
        assert set().union(*(kept.restore(state) for kept in derived.servings.kept)) == state.keys()
    derived.feed(filed("/m/other/schema/schema.0.log", SCHEMA))
    assert derived.shown("model_predictions_total") == {}
    derived.feed(filed("/m/watch/schema/schema.0.log", SCHEMA))
    expected = {'model_predictions_total{model="iris",version="v3",status="ok"}': "2"}
    assert derived.shown("model_predictions_total") == expected
    derived.feed(filed("/m/watch/schema/schema.1.log", SCHEMA), filed("/m/watch/data/data.1.log", ROWS[0]))
    expected = {'model_predictions_total{model="iris",version="v3",status="ok"}': "3"}
    assert derived.shown("model_predictions_total") == expected


def test_a_payload_that_cannot_be_read_undoes_what_was_learnt_beside_it() -> None:
    derived = Derived()
    derived.feed(filed("/m/watch/data/data.0.log", ROWS[0]))
    good = [filed("/m/watch/data/data.0.log", ROWS[1]), filed("/m/watch/schema/schema.0.log", SCHEMA)]
    broken = logged({"model": "m", "instances": [1]})[:-3]
    with pytest.raises(DecodeError):
        derived.servings.decode(DECODER, [*good, broken])
    derived.feed(*good)
    assert derived.shown("model_predictions_total") == {
        'model_predictions_total{model="iris",version="v3",status="ok"}': "2"
    }


def test_lines_that_wait_are_bounded() -> None:
    derived = Derived()
    many = [{"age": n, "pred": "yes"} for n in range(MAX_EARLY + 50)]
    derived.feed(filed("/m/watch/data/data.0.log", {"age": "x" * MAX_EARLY_BYTES, "pred": "yes"}))
    derived.feed(filed("/m/watch/data/data.0.log", *many))
    derived.feed(filed("/m/watch/schema/schema.0.log", SCHEMA))
    assert derived.shown("model_predictions_total") == {
        'model_predictions_total{model="iris",version="v3",status="ok"}': str(MAX_EARLY)
    }


def test_a_schema_that_is_no_more_is_not_kept() -> None:
    derived = Derived()
    derived.feed(logged(SCHEMA))
    monitors = derived.servings.kept[2]
    (key,) = dict(monitors.checkpoint())
    derived.servings._bento_schemas.schemas.by_source.clear()
    assert dict(monitors.checkpoint()) == {key: None}


def test_payloads_without_a_mark_are_not_read() -> None:
    class Unread(ReferenceDecoder):
        def logs(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("read")

    deriver = Derived().servings
    assert deriver.decode(Unread(), [logged({"msg": "hello", "request_id": "1", "age": 3})]) == [[]]


@pytest.mark.parametrize(("payloads", "there"), [(True, 1), (False, 0)])
def test_it_can_be_turned_off(payloads: bool, there: int) -> None:
    options = DeriveOptions(predictions=PredictionOptions(payloads=payloads))
    context = DeriverContext(options.budget(), Targets(10), Telemetry())
    built = [d for kind in DERIVERS for d in kind.build(options.section(kind.name), context)]
    assert sum(isinstance(one, ServingDeriver) for one in built) == there
