"""What the libraries themselves make (`support.serving_libraries`), read as calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.serving_libraries import golden

from sidecar.decode.otlp import records as otlp
from sidecar.decode.predictions.serving import candidates, protocols
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.decode.protocols import cloudevents

TABLE = {"age": [39, 52, 61], "income": [1200.5, 830.25, 410.0], "city": ["Bonn", "Ulm", "Hof"]}
MATRIX = {"f0": [0.5, 2.5, 4.5], "f1": [1.5, 3.5, 5.5]}
TENSOR = {"input-0.0": MATRIX["f0"], "input-0.1": MATRIX["f1"]}
NO_YES = {"no": 2, "yes": 1}


def logged(case: dict[str, Any]) -> Call:
    """Of a line that a logger wrote with the bodies in it."""
    bodies = {name: case[name] for name in ("request", "response") if case[name] is not None}
    call = protocols.read(Record("", 7, {"model": "m", **bodies}), Schemas())
    assert call is not None
    return call


def said(call: Call) -> tuple[Any, ...]:
    return call.protocol, call.rows, dict(call.classes), list(call.values), list(call.scores)


#: (file, number of the case) -> what it says.
EXPECTED: dict[tuple[str, int], tuple[Any, ...]] = {
    ("mlflow", 0): ("mlflow", 3, {}, [0.25, 1.75, 3.5], []),
    ("mlflow", 1): ("mlflow", 3, NO_YES, [], []),
    ("mlflow", 2): ("tensorflow", 3, {"0": 2, "1": 1}, [], [0.9, 0.75, 0.6]),
    ("mlflow", 3): ("tensorflow", 3, NO_YES, [], [0.9, 0.75, 0.6]),
    ("mlflow", 4): ("mlflow", 3, {}, [], []),
    ("open_inference", 0): ("open_inference", 3, {"1": 2, "0": 1}, [], [0.75, 0.875, 0.5]),
    ("open_inference", 1): ("open_inference", 3, NO_YES, [], []),
    ("open_inference", 2): ("open_inference", 3, {}, [1.0, 2.0, 3.5], []),
    ("open_inference", 3): ("open_inference", 3, {}, [], []),
    ("open_inference", 4): ("open_inference", 3, {}, [], []),
    ("kserve_v1", 0): ("tensorflow", 3, {"sound": 1, "fraud": 2}, [], []),
    ("torchserve", 0): ("tensorflow", 2, {"tabby": 1, "lynx": 1}, [], [0.5, 0.625]),
    ("torchserve", 1): ("tensorflow", 2, {"tabby": 1, "lynx": 1}, [], [0.5, 0.625]),
    ("torchserve", 2): ("torchserve", 1, {"tabby": 1}, [], [0.5]),
    ("tensorflow_serving", 0): ("tensorflow", 3, {}, [3.25, 3.75, 5.5], []),
    ("tensorflow_serving", 1): ("tensorflow", 2, {"1": 1, "0": 1}, [], [0.7, 0.6]),
    ("tensorflow_serving", 2): ("tensorflow", 2, {"cat": 1, "dog": 1}, [], [0.75, 0.875]),
    ("tensorflow_serving", 3): ("tensorflow", 2, {"x": 1, "y": 1}, [], [0.9, 0.8]),
    ("tensorflow_serving", 4): ("tensorflow", 2, {}, [0.25, 0.5], []),
    ("tensorflow_serving", 5): ("tensorflow", 1, {"4": 1}, [], []),
    ("tensorflow_serving", 6): ("tensorflow", 1, {}, [], []),
}
FEATURES: dict[tuple[str, int], Any] = {
    **dict.fromkeys([("mlflow", 0), ("mlflow", 1), ("mlflow", 4)], TABLE),
    **dict.fromkeys([("mlflow", 2), ("mlflow", 3), ("kserve_v1", 0)], MATRIX),
    ("open_inference", 0): TENSOR,
    ("open_inference", 1): TABLE,
    ("open_inference", 2): TENSOR,
    ("open_inference", 3): {"INPUT0.0": MATRIX["f0"], "INPUT0.1": MATRIX["f1"]},
    ("open_inference", 4): {},
    ("tensorflow_serving", 0): {"f0": [1.5, 2.5, 6.0]},
    ("tensorflow_serving", 1): {"tag": ["a", "b"]},
    ("tensorflow_serving", 3): {"tag": ["a", "b"], "signal.0": [1, 4], "signal.1": [2, 5], "signal.2": [3, 6]},
    ("tensorflow_serving", 4): {"f0": [1.5, 3.5], "f1": [2.5, 4.5]},
}
ERRORS = {("mlflow", 4), ("tensorflow_serving", 6)}


def test_every_payload_is_read() -> None:
    files = {name for name, _ in EXPECTED}
    assert {(name, n) for name in files for n in range(len(golden(name)))} == EXPECTED.keys()


@pytest.mark.parametrize("which", list(EXPECTED), ids=lambda which: f"{which[0]}-{which[1]}")
def test_bodies(which: tuple[str, int]) -> None:
    name, n = which
    case = golden(name)[n]
    call = logged(case)
    assert said(call) == EXPECTED[which]
    assert call.failed == (which in ERRORS)
    if which in FEATURES:
        assert call.features == FEATURES[which]
    assert call.part == ("request" if case["response"] is None else "response" if case["request"] is None else "both")


def test_names_of_model_version_and_id() -> None:
    found = []
    for case in golden("open_inference")[:3]:
        call = protocols.read(Record("", 7, {k: case[k] for k in ("request", "response")}), Schemas())
        assert call is not None
        found.append((call.model, call.version, call.id))
    assert found == [("fraud", "7", "42"), ("fraud", "", "43"), ("price", "1", "44")]


def test_a_body_with_binary_tensors_is_read_up_to_them() -> None:
    raw = base64.b64decode(golden("open_inference")[4]["request_base64"])
    headers = {f"ce-{k}": v for k, v in {"id": "1", "source": "s", "specversion": "1.0"}.items()}
    headers["ce-type"] = "org.kubeflow.serving.inference.request"
    call = _event(headers, "application/octet-stream", raw)
    assert (call.protocol, call.rows, call.id, call.features) == ("open_inference", 3, "1", {})


def _event(headers: dict[str, str], content_type: str, body: bytes) -> Call:
    (call,) = _calls(cloudevents.transcode(cloudevents.as_batch(headers, content_type, body), 1).payload)
    return call


def _calls(payload: bytes, schemas: Schemas | None = None) -> Iterator[Call]:
    known = schemas or Schemas()
    accepted = otlp.check_logs(payload).items
    for record in candidates.records(payload, lambda: protocols.MARKS + known.marks, accepted):
        call = protocols.read(record, known)
        if call is not None:
            yield call


def test_cloud_events_of_every_mode() -> None:
    seen = []
    for case in golden("cloudevents"):
        headers = case["headers"]
        batch = cloudevents.as_batch(headers, headers["content-type"], case["body"].encode())
        seen += list(_calls(cloudevents.transcode(batch, 1).payload))
    requests, responses = seen[:2] + seen[4:5], seen[2:4] + seen[5:]
    assert len(requests) == len(responses) == 3
    for request, response in zip(requests, responses, strict=True):
        assert request.exchange == response.exchange != ""
        assert (request.part, request.rows, request.features) == ("request", 3, MATRIX)
        assert (response.part, response.rows, response.classes) == ("response", 3, {"sound": 1, "fraud": 2})
        assert (request.model, response.model, response.time - request.time) == ("fraud", "fraud", 125_000_000)


def test_the_default_monitor() -> None:
    schemas = Schemas()
    files = golden("bento")[0]["files"]
    read = [
        protocols.read(Record("", 7, row, None, {"service.name": "iris", "log.file.path": f"/bento/{path}"}), schemas)
        for path in sorted(files, reverse=True)
        for row in files[path]
    ]
    assert read[0] is None, "the schema"
    _check_monitor([call for call in read if call is not None])


def test_the_otlp_monitor() -> None:
    schemas = Schemas()
    requests = [base64.b64decode(request) for request in golden("bento")[1]["requests"]]
    reported = b"".join(requests)
    assert reported.count(b"bento_meta") == 1, "the first record has the schema; the others refer to it"
    _check_monitor([call for request in requests for call in _calls(request, schemas)])


def _check_monitor(calls: list[Call]) -> None:
    assert [(c.model, c.version, c.protocol, c.part) for c in calls] == [("iris_classifier", "v3", "bento", "both")] * 3
    assert [dict(c.classes) for c in calls] == [{"no": 1}, {"yes": 1}, {"no": 1}]
    assert [list(c.scores) for c in calls] == [[0.9], [0.75], [0.6]]
    assert [c.features for c in calls] == [{k: [TABLE[k][n]] for k in TABLE} for n in range(3)]
    assert {c.id for c in calls} == {"6413930528999883196"}


def test_golden_files_are_json_of_no_machine() -> None:
    for name in ("mlflow", "open_inference", "kserve_v1", "cloudevents", "bento", "torchserve", "tensorflow_serving"):
        text = json.dumps(golden(name))
        assert "/tmp" not in text
        assert all(case["about"] for case in golden(name))
