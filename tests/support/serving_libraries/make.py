"""Payloads as the libraries of serving protocols make them. Run by a Python that has some of them:
`python make.py FOLDER NAME...`.

Nothing here writes a payload by hand: each is what a library's own function returned, wrote or sent. Times and ids that
a library makes up are brought to fixed ones at the end, so that a run can be compared with the files that are kept.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

Case = dict[str, Any]
TABLE = {"age": [39, 52, 61], "income": [1200.5, 830.25, 410.0], "city": ["Bonn", "Ulm", "Hof"]}
MATRIX = np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]])


def version(*packages: str) -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def mlflow_cases(folder: Path) -> list[Case]:
    """Bodies made by `dump_input_data` (and pandas), answered by the scoring server's own `invocations`."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.pyfunc.scoring_server import CONTENT_TYPE_JSON, invocations
    from mlflow.utils.proto_json_utils import dump_input_data

    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if isinstance(self.answer, str):
                raise ValueError(self.answer)
            return self.answer

    frame = pd.DataFrame(TABLE)
    split, inputs = dump_input_data(frame), dump_input_data(MATRIX)
    records = json.dumps({"dataframe_records": frame.to_dict(orient="records")})
    instances = dump_input_data(MATRIX, inputs_key="instances")
    answers = {
        "numbers": np.array([0.25, 1.75, 3.5]),
        "labels": np.array(["no", "yes", "no"]),
        "probabilities": np.array([[0.9, 0.1], [0.25, 0.75], [0.6, 0.4]]),
        "table": pd.DataFrame({"label": ["no", "yes", "no"], "probability": [0.9, 0.75, 0.6]}),
    }
    cases = []
    for n, (about, answer) in enumerate([*answers.items(), ("error", "no such column")]):
        path = folder / f"model{n}"
        mlflow.pyfunc.save_model(path, python_model=Model(answer), pip_requirements=[])
        model = mlflow.pyfunc.load_model(str(path))
        request = (split, records, inputs, instances, split)[n]
        try:
            response = invocations(request, CONTENT_TYPE_JSON, model, None).response
        except mlflow.exceptions.MlflowException as error:
            response = error.serialize_as_json()
            found = json.loads(response)
            response = json.dumps({name: found[name] for name in ("error_code", "message")})
        cases.append(case(f"{about}, {version('mlflow-skinny')}", json.loads(request), json.loads(response)))
    return cases


def open_inference_cases(folder: Path) -> list[Case]:
    """Bodies made by KServe's `InferRequest` and `InferResponse`, and by Triton's client."""
    from kserve import InferInput, InferOutput, InferRequest, InferResponse
    from tritonclient import http as triton
    from tritonclient.http._utils import _get_inference_request

    def tensor(kind: Any, name: str, array: Any, datatype: str, binary: bool = False) -> Any:
        made = kind(name, list(array.shape), datatype)
        made.set_data_from_numpy(array, binary_data=binary)
        return made

    numbers = tensor(InferInput, "input-0", MATRIX.astype(np.float32), "FP32")
    request = InferRequest(model_name="fraud", request_id="42", infer_inputs=[numbers])
    labels = tensor(InferOutput, "label", np.array([1, 0, 1]), "INT64")
    shares = np.array([[0.25, 0.75], [0.875, 0.125], [0.5, 0.5]], np.float32)
    probabilities = tensor(InferOutput, "probabilities", shares, "FP32")
    response = InferResponse("42", "fraud", [labels, probabilities], model_version="7")

    columns = [
        tensor(InferInput, name, np.array(TABLE[name], kind), datatype)
        for name, kind, datatype in (("age", np.int64, "INT64"), ("income", float, "FP64"), ("city", object, "BYTES"))
    ]
    table = InferRequest(model_name="fraud", request_id="43", infer_inputs=columns)
    texts = tensor(InferOutput, "class", np.array(["no", "yes", "no"], object), "BYTES")
    texts_response = InferResponse("43", "fraud", [texts])

    regression = InferRequest(model_name="price", request_id="44", infer_inputs=[numbers])
    values = tensor(InferOutput, "output-0", np.array([[1.0], [2.0], [3.5]], np.float32), "FP32")
    values_response = InferResponse("44", "price", [values], model_version="1")

    made = f"InferRequest, InferResponse of {version('kserve')}"
    cases = [
        case(f"labels and probabilities, {made}", request.to_rest()[0], response.to_rest()[0]),
        case(f"columns of several types, {made}", table.to_rest()[0], texts_response.to_rest()[0]),
        case(f"one number a row, {made}", regression.to_rest()[0], values_response.to_rest()[0]),
    ]
    for binary in (False, True):
        given = triton.InferInput("INPUT0", [3, 2], "FP32")
        given.set_data_from_numpy(MATRIX.astype(np.float32), binary_data=binary)
        asked = triton.InferRequestedOutput("OUTPUT0", binary_data=binary)
        body, size = _get_inference_request([given], "45", [asked], 0, False, False, 0, None, None)
        sent = bytes(body)
        made = f"{'binary' if binary else 'JSON'} tensors, {version('tritonclient')}"
        whole = {"request_base64": base64.b64encode(sent).decode()} if binary else {}
        cases.append({**case(made, json.loads(sent[:size] if size else sent), None), **whole})
    return cases


def kserve_v1_cases(folder: Path) -> list[Case]:
    """Bodies of protocol v1 through KServe's own data plane, answered by a model of its class."""
    from kserve import Model, ModelRepository
    from kserve.protocol.dataplane import DataPlane

    class Fraud(Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("fraud")
            self.ready = True

        def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            return {"predictions": ["fraud" if sum(row) > 5 else "sound" for row in payload["instances"]]}

    async def answered(request: bytes) -> Any:
        models = ModelRepository()
        models.update(Fraud())
        plane = DataPlane(models)
        headers = {"content-type": "application/json"}
        decoded, attributes = plane.decode(body=request, headers=headers)
        response, _ = await plane.infer("fraud", decoded, headers)
        return plane.encode("fraud", response, headers, attributes)[0]

    request = {"instances": MATRIX.tolist()}
    response = asyncio.run(answered(json.dumps(request).encode()))
    return [case(f"protocol v1, {version('kserve')}", request, response)]


def cloudevents_cases(folder: Path) -> list[Case]:
    """Events with the attributes of KServe's logger, in all modes of the HTTP binding."""
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent, to_json

    extensions = {"inferenceservicename": "fraud", "namespace": "bank", "component": "predictor", "endpoint": "default"}
    kinds = {
        "request": ("2026-01-02T03:04:05.250Z", {"instances": MATRIX.tolist()}),
        "response": ("2026-01-02T03:04:05.375Z", {"predictions": ["sound", "fraud", "fraud"]}),
    }
    cases: list[Case] = []
    events = []
    for kind, (time, data) in kinds.items():
        attributes = {
            "id": "0b8a7c1e-5f0e-4f6f-9a55-27c2f8a1d001",
            "source": "http://localhost:9081/",
            "type": f"org.kubeflow.serving.inference.{kind}",
            "time": time,
            "datacontenttype": "application/json",
            **extensions,
        }
        event = CloudEvent(attributes, data)
        events.append(event)
        for mode, made in (("binary", to_binary(event)), ("structured", to_structured(event))):
            headers, body = made
            about = f"{kind}, {mode}, {version('cloudevents')}"
            cases.append({"about": about, "headers": dict(headers), "body": bytes(body).decode()})
    batch = json.dumps([json.loads(to_json(event)) for event in events])
    headers = {"content-type": "application/cloudevents-batch+json"}
    cases.append({"about": f"both, batched, {version('cloudevents')}", "headers": headers, "body": batch})
    return cases


def bento_cases(folder: Path) -> list[Case]:
    """What both monitors write for the same three rows."""
    from bentoml._internal.context import server_context
    from bentoml._internal.monitoring.default import DefaultMonitor
    from bentoml._internal.monitoring.otlp import OTLPMonitor

    server_context.bento_name, server_context.bento_version = "iris_classifier", "v3"

    def log(monitor: Any) -> None:
        answers = (("no", 0.9), ("yes", 0.75), ("no", 0.6))
        rows = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
        for row, (label, score) in zip(rows, answers, strict=True):
            monitor.start_record()
            monitor.log(row["age"], name="age", role="feature", data_type="numerical")
            monitor.log(row["income"], name="income", role="feature", data_type="numerical")
            monitor.log(row["city"], name="city", role="feature", data_type="categorical")
            monitor.log(label, name="pred", role="prediction", data_type="categorical")
            monitor.log(score, name="pred_proba", role="prediction", data_type="numerical")
            monitor.stop_record()

    default = DefaultMonitor("iris_monitor", log_path=str(folder / "monitoring"))
    log(default)
    logging.shutdown()
    files = sorted((folder / "monitoring").rglob("*.log"))
    lines = {
        str(file.relative_to(folder)): [fixed(json.loads(line)) for line in file.read_text().splitlines()]
        for file in files
    }

    with Receiver() as receiver:
        otlp = OTLPMonitor("iris_monitor", endpoint=f"{receiver.url}/v1/logs", meta_sample_rate=0.0)
        log(otlp)
        otlp.logger_provider.force_flush()
    made = version("bentoml")
    return [
        {"about": f"default monitor, {made}", "files": lines},
        {"about": f"OTLP monitor, {made}", "requests": [fixed_logs(body) for body in receiver.bodies]},
    ]


def torchserve_cases(folder: Path) -> list[Case]:
    """Bodies through TorchServe's envelopes, and what its classifiers answer."""
    from ts.torch_handler.request_envelope.json import JSONEnvelope
    from ts.torch_handler.request_envelope.kserve import KServeEnvelope
    from ts.utils.util import map_class_to_label

    mapping = {"0": "tabby", "1": "tiger_cat", "2": "lynx"}
    top = map_class_to_label([[0.5, 0.25], [0.625, 0.125]], mapping, [[0, 1], [2, 0]])
    cases = []
    for envelope in (JSONEnvelope, KServeEnvelope):
        request = {"instances": MATRIX[:2].tolist()}
        (answer,) = envelope(lambda data, context: top).handle([{"body": request}], None)
        response = json.loads(answer) if isinstance(answer, str) else answer
        cases.append(case(f"{envelope.__name__}, {version('torchserve')}", request, response))
    cases.append(case(f"image classifier without envelope, {version('torchserve')}", None, top[0]))
    return cases


def case(about: str, request: Any, response: Any) -> Case:
    return {"about": about, "request": request, "response": response}


class Receiver:
    """An OTLP/HTTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        kept = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def fixed(line: Case) -> Case:
    """A line with the same time and ids in each run."""
    reported = {"timestamp": "2026-01-02T03:04:05.250000", "request_id": "6413930528999883196", "trace_id": "12345"}
    return {**line, **{name: value for name, value in reported.items() if name in line}}


def fixed_logs(body: bytes) -> str:
    """An OTLP request in base64, with the same times and ids in each run, and nothing of this machine."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest.FromString(body)
    for resource in request.resource_logs:
        kept = [pair for pair in resource.resource.attributes if pair.key == "service.name"]
        del resource.resource.attributes[:]
        resource.resource.attributes.extend(kept)
        for scope in resource.scope_logs:
            for record in scope.log_records:
                record.time_unix_nano = record.observed_time_unix_nano = 1_767_323_045_250_000_000
                del record.attributes[:]
                for pair in record.body.kvlist_value.values:
                    if pair.key == "timestamp":
                        pair.value.double_value = 1_767_323_045.25
                    elif pair.key in ("request_id", "trace_id"):
                        pair.value.string_value = "6413930528999883196"
    return base64.b64encode(request.SerializeToString(deterministic=True)).decode()


MAKERS = {
    "mlflow": mlflow_cases,
    "open_inference": open_inference_cases,
    "kserve_v1": kserve_v1_cases,
    "cloudevents": cloudevents_cases,
    "bento": bento_cases,
    "torchserve": torchserve_cases,
}


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        made = MAKERS[name](folder)
        (folder / f"{name}.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
