"""Feature values of a real model under real instrumentation: in no byte of any sink's wire unless that is asked for."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.every_sink import (
    Delivered,
    every_sink,
    forms_of,
    forms_of_number,
    forms_of_whole,
    leaks,
    ways_taken,
    ways_there_are,
)
from support.frameworks import environment
from support.frameworks import run as run_python

pytestmark = [pytest.mark.engine]
TEXT, NUMBER, WHOLE, WRONG = "feature-text-of-jane", 48213.62517, 7_310_529_846, "feature-that-is-no-number"
"""A category, a double, an integer, and a text where the model wants a number."""
SPAN = "feature-text-in-a-span"
ROWS, PREDICTED = 3, "leaves"

#: A model server as people write it: a DataFrame with texts and numbers, a call that fails because of a value, and
#: spans and a log record of its own that hold features under the names that mean features.
APP = """
import logging, sys
import pandas, sklearn.compose, sklearn.linear_model, sklearn.pipeline, sklearn.preprocessing
from opentelemetry import trace

text, number, whole, wrong, in_span, rows, predicted = sys.argv[1:8]
number, whole, rows = float(number), int(whole), int(rows)
frame = pandas.DataFrame(
    {"city": [text, "b", "c"] * 20, "income": [number, 2.5, 3.5] * 20, "account": [whole, 2, 3] * 20}
)
encoder = sklearn.compose.make_column_transformer(
    (sklearn.preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"
)
model = sklearn.pipeline.make_pipeline(encoder, sklearn.linear_model.RidgeClassifier())
model.fit(frame, [predicted, "stays", "stays"] * 20)
with trace.get_tracer("app").start_as_current_span("POST /predict") as span:
    span.set_attribute("ml.features.city", in_span)
    span.set_attribute("ml.features.income", number)
    span.add_event("scored", {"ml.features.city": in_span})
    logging.getLogger("app").warning("scored", extra={"ml.features.city": in_span, "ml.features.account": whole})
    assert model.predict(frame[:rows])[0] == predicted
    model.decision_function(frame[:1])
try:
    model.predict(frame[:1].assign(income=wrong))
except ValueError as error:
    assert wrong in str(error), error
else:
    raise AssertionError("the model took a text for a number")
"""
LITERALS = {
    "text": forms_of(TEXT),
    "number": forms_of_number(NUMBER),
    "whole": forms_of_whole(WHOLE),
    "wrong": forms_of(WRONG),
    "in a span": forms_of(SPAN),
}


@pytest.fixture
def run(agent: Path, frameworks: Path, tmp_path: Path) -> Callable[..., Delivered]:
    """(settings of the sidecar, environment of the app) -> what the sidecar delivered of a run of the app."""

    def run_app(settings: Mapping[str, str], more: Mapping[str, str]) -> Delivered:
        file = tmp_path / "app.py"
        file.write_text(textwrap.dedent(APP))
        given = [TEXT, repr(NUMBER), str(WHOLE), WRONG, SPAN, str(ROWS), PREDICTED]
        with every_sink(tmp_path, settings) as (sidecar, delivered):
            env = environment(agent, sidecar.otlp_url, {"SIDECAR_MODEL_NAME": "churn", **more})
            run_python(frameworks, [str(file), *given], env, tmp_path)
            return delivered()

    return run_app


def served_lines() -> dict[str, dict[str, Any]]:
    """Log lines with payloads of serving protocols, each with a marker of its own: name -> line."""

    def marked(name: str) -> str:
        return f"feature-of-{name}-jane"

    schema = {"age": {"name": "age", "role": "feature"}, "decision": {"name": "decision", "role": "prediction"}}
    return {
        "tensorflow": {"model": "m", "instances": [{"city": marked("tensorflow")}], "predictions": ["leaves"]},
        "split": {"model": "m", "dataframe_split": {"columns": ["c"], "data": [[marked("split")]]}, "predictions": [1]},
        "records": {"model": "m", "request": {"dataframe_records": [{"c": marked("records")}]}},
        "open-inference": {
            "model_name": "m",
            "request": {
                "inputs": [{"name": "c", "datatype": "BYTES", "shape": [1], "data": [marked("open-inference")]}]
            },
            "response": {"outputs": [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["leaves"]}]},
        },
        "bento": {"age": marked("bento"), "decision": "leaves", "bento_meta": {"bento_name": "m", "schema": schema}},
    }


CLOUD_EVENT = {
    "id": "1",
    "source": "http://kserve",
    "specversion": "1.0",
    "type": "org.kubeflow.serving.inference.request",
    "inferenceservicename": "m",
    "data": {"instances": [["feature-of-kserve-jane"]]},
}
SERVED = {name: forms_of(f"feature-of-{name}-jane") for name in (*served_lines(), "kserve")}


@pytest.mark.parametrize("keep", [False, True])
def test_feature_values_in_payloads_of_serving_protocols_leave_only_where_that_is_asked_for(
    tmp_path: Path, keep: bool
) -> None:
    body = "\n".join(json.dumps({"msg": "scored", **line}) for line in served_lines().values()).encode()
    with every_sink(tmp_path, {"SIDECAR_DELIVER__EXPORT_FEATURES": str(keep).lower()}) as (sidecar, delivered):
        post(f"{sidecar.otlp_url}/v1/json", body, "application/x-ndjson")
        post(f"{sidecar.otlp_url}/v1/cloudevents", json.dumps(CLOUD_EVENT).encode(), "application/cloudevents+json")
        seen = delivered()
    # Look-ups go by trace, and these lines are of none.
    sinks = {where: wire for where, wire in seen.bytes.items() if where not in ("log", "look-up")}
    found = set(leaks({**seen.bytes, **seen.served}, SERVED))
    assert found == ({(where, name) for where in sinks for name in SERVED} if keep else set())
    assert [where for where, wire in sinks.items() if b"scored" not in wire or b"leaves" not in wire] == []


def post(url: str, body: bytes, kind: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}), timeout=60) as reply:
        assert reply.status < 300


def test_every_kind_of_sink_and_every_wire_of_it_is_looked_at() -> None:
    assert ways_taken() == ways_there_are()


def test_no_feature_value_leaves(run: Callable[..., Delivered]) -> None:
    delivered = run({}, {})
    assert leaks({**delivered.bytes, **delivered.served}, LITERALS) == []
    for where, wire in delivered.bytes.items():
        # The events themselves arrived everywhere: their model, their class, the app's own log record.
        assert where == "log" or all(word in wire for word in (b"churn", PREDICTED.encode(), b"scored")), where
    assert f'class="{PREDICTED}"'.encode() in delivered.served["/metrics"]
    assert delivered.ledger["problems"] == []


def test_with_keep_features_all_of_them_leave_so_that_the_other_test_can_fail(
    run: Callable[..., Delivered],
) -> None:
    delivered = run({"SIDECAR_DELIVER__EXPORT_FEATURES": "true"}, {})
    found = set(leaks(delivered.bytes, LITERALS))
    kept = {(where, name) for where in delivered.bytes if where != "log" for name in LITERALS if name != "wrong"}
    assert found == kept, "the exception's message is nowhere, even so: the instrumentation does not send it"
    assert leaks(delivered.served, LITERALS) == []


def test_with_capture_of_predictions_they_do_not_even_leave_the_process(
    run: Callable[..., Delivered],
) -> None:
    delivered = run({"SIDECAR_DELIVER__EXPORT_FEATURES": "true"}, {"SIDECAR_CAPTURE": "predictions"})
    of_the_event = {"text": LITERALS["text"], "wrong": LITERALS["wrong"]}
    assert leaks(delivered.bytes, of_the_event) == [], "numbers are in the app's own span as well"
