"""Feature values in payloads of serving protocols, as the libraries make them: in no byte of any sink's wire unless
that is asked for, and counted all the same."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.engines import SidecarProcess, wait_for
from support.every_sink import Delivered, every_sink, forms_of, forms_of_number, leaks
from support.load import status
from support.serving_libraries import golden

TEXT, NUMBER = "feature-text-of-jane", 48213.62517
OTLP_TEXT = "feature-text-of-john"
"""In place of the features of the golden files."""
BODIES = ("mlflow", "open_inference", "kserve_v1", "tensorflow_serving")
LITERALS = {"text": forms_of(TEXT), "number": forms_of_number(NUMBER), "over OTLP": forms_of(OTLP_TEXT)}


def secret(value: Any) -> Any:
    """A golden payload with features that can be recognized anywhere."""
    raw = json.dumps(value)
    for plain, reported in (('"Bonn"', f'"{TEXT}"'), ("1200.5", repr(NUMBER)), ("0.5, 1.5", f"{NUMBER!r}, 1.5")):
        raw = raw.replace(plain, reported).replace(plain.replace(", ", ","), reported)
    return json.loads(raw)


def lines() -> bytes:
    """Requests and responses as loggers write them: in members of their own, and among others."""
    cases = [secret(case) for name in BODIES for case in golden(name)]
    assert sum(TEXT in json.dumps(case) for case in cases) >= 3
    assert sum(repr(NUMBER) in json.dumps(case) for case in cases) >= 6
    wrapped = [{"msg": "scored", "request": case["request"], "response": case["response"]} for case in cases]
    flat = [{"msg": "asked", "model": "m", "n": 7, **case["request"]} for case in cases]
    plain = {"msg": "scored", "features": {"name": TEXT, "income": NUMBER}, "prediction": "kept-class"}
    return "\n".join(map(json.dumps, [*wrapped, *flat, plain])).encode()


def monitored() -> bytes:
    """What the OTLP monitor sent, with another text."""
    request = ExportLogsServiceRequest.FromString(base64.b64decode(golden("bento")[1]["requests"][0]))
    for record in request.resource_logs[0].scope_logs[0].log_records:
        for pair in record.body.kvlist_value.values:
            if pair.key == "city":
                pair.value.string_value = OTLP_TEXT
    return request.SerializeToString()


def monitor_files(folder: Path) -> None:
    """What the default monitor wrote."""
    for path, found in golden("bento")[0]["files"].items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(secret(line)) + "\n" for line in found))


def post(sidecar: SidecarProcess, path: str, body: bytes, headers: Mapping[str, str]) -> None:
    request = urllib.request.Request(sidecar.otlp_url + path, body, dict(headers))
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert (reply.status, reply.read()) in ((200, b"{}"), (200, b""))


def delivered_of(folder: Path, environ: Mapping[str, str]) -> Delivered:
    """All payloads through a sidecar with a sink of every kind and way."""
    monitor_files(folder / "bento")
    tail = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": f"{folder}/bento/**/*.log",
        "SIDECAR_RECEIVE__FILE_TAIL__START_AT": "beginning",
    }
    with every_sink(folder, {**tail, **environ}) as (sidecar, delivered):
        post(sidecar, "/v1/json", lines(), {"content-type": "application/x-ndjson"})
        for case in golden("cloudevents"):
            body = case["body"].replace("0.5, 1.5", f"{NUMBER!r}, 1.5").encode()
            post(sidecar, "/v1/cloudevents", body, case["headers"])
        post(sidecar, "/v1/logs", monitored(), {"content-type": "application/x-protobuf"})
        received = len(lines().splitlines()) + 6 + 3 + 4
        wait_for(lambda: _received(sidecar) == received, 30, f"{received} log records")
        return delivered()


def _received(sidecar: SidecarProcess) -> int:
    return int(status(sidecar.serve_url)["ledger"]["received"]["logs"])


@pytest.mark.parametrize("keep", [False, True])
def test_features_leave_only_where_that_is_asked_for(keep: bool, tmp_path: Path) -> None:
    found = delivered_of(tmp_path, {"SIDECAR_DELIVER__EXPORT_FEATURES": "true"} if keep else {})
    logs_go_to = {sink for sink in found.bytes if sink not in ("log", "look-up")}
    if keep:
        assert {(sink, name) for sink in logs_go_to for name in LITERALS} <= set(leaks(found.bytes, LITERALS))
        return
    assert leaks({**found.bytes, **found.served}, LITERALS) == []
    for sink in sorted(logs_go_to):
        for answer in (b"fraud", b"kept-class", b"iris_classifier"):
            assert answer in found.bytes[sink], f"{sink}: what is no feature stays: {answer!r}"
    assert found.ledger["problems"] == []
    assert b'model_predictions_total{model="iris_classifier",version="v3",status="ok"}' in found.served["/metrics"]
    assert b'model_predictions_by_class_total{service="fraud",model="fraud",class="fraud"}' in found.served["/metrics"]
