"""The servers of `examples/`, unchanged, under environment variables alone: what a driver sent is what is recorded."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_wine
from support.engines import Child, answers, free_port, sidecar_process, wait_for
from support.frameworks import EXAMPLES, Recorded, environment, recording, run
from support.load import Samples, figures, samples, scrape, total

from sidecar.cli.main import main

pytestmark = [pytest.mark.engine, pytest.mark.slow]
BATCHES = [1, 1, 3, 10, 1, 2, 150]
MOVED = "f12"
DRIFT = {"WINDOW": "1h", "CHECK_INTERVAL": "1s", "WARM_UP": "0"}
BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096]
"""Upper bounds of model_batch_size."""


@contextlib.contextmanager
def _server(command: list[str | Path], env: Mapping[str, str], folder: Path, ready: str, log: Path) -> Iterator[None]:
    child = Child("model", command, log, env, folder)
    child.start()
    try:
        child.wait_until(lambda: answers(ready), 60)
        yield
    except BaseException as error:
        error.add_note(child.tail())
        raise
    finally:
        code = child.stop()
    assert "not captured" not in log.read_text(), log.read_text()
    assert code is not None


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def _batches(recorded: Recorded) -> Counter[int]:
    return Counter(event.body["rows"] for event in recorded.predictions())


@contextlib.contextmanager
def _watched() -> Iterator[tuple[Recorded, Callable[[], Samples]]]:
    """A recorder in front of a running sidecar, and the sidecar's figures of all that it was sent."""
    with (
        sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar,
        recording(sidecar.otlp_url) as recorded,
    ):
        yield recorded, lambda: figures(sidecar.serve_url)


def _metrics(values: Samples, model: str) -> dict[str, Any]:
    """What the sidecar shows of a model: rows, rows by class, calls, and calls by the buckets of their rows."""
    name = f'model="{model}"'
    classes = Counter[str]()
    for series, value in values.items():
        if series.startswith("model_predictions_by_class_total{") and name in series:
            classes[re.findall(r'class="([^"]*)"', series)[0]] += int(value)
    return {
        "rows": total(values, "model_predictions_total", name, 'status="ok"'),
        "errors": total(values, "model_predictions_total", name, 'status="error"'),
        "classes": +classes,
        "calls": total(values, "model_batch_size_count", name),
        "rows of calls": total(values, "model_batch_size_sum", name),
        "buckets": {b: total(values, "model_batch_size_bucket", name, f'le="{float(b)}"') for b in BUCKETS},
        "timed": total(values, "model_inference_latency_seconds_count", name, 'stage="inference"'),
    }


def _sent(sizes: Iterable[int], classes: Mapping[str, int]) -> dict[str, Any]:
    """The same of what a driver sent in calls of these sizes and was answered."""
    calls = list(sizes)
    return {
        "rows": sum(calls),
        "errors": 0,
        "classes": Counter(classes),
        "calls": len(calls),
        "rows of calls": sum(calls),
        "buckets": {bucket: sum(size <= bucket for size in calls) for bucket in BUCKETS},
        "timed": len(calls),
    }


def test_http_server_with_xgboost(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    port, benign = free_port(), 0
    folder, url = EXAMPLES / "http_xgboost", f"http://127.0.0.1:{port}/"
    with _watched() as (recorded, shown):
        env = environment(agent, recorded.url, {"SIDECAR_MODEL_VERSION": "3"})
        with _server([frameworks, "server.py", str(port)], env, folder, url, tmp_path / "log"):
            for number, size in enumerate(BATCHES):
                rows = [[20.0 - (number * 7 + i) % 15] * 30 for i in range(size)]
                benign += sum(p > 0.5 for p in _post(url, rows)["benign"])
            wait_for(lambda: len(recorded.predictions()) >= len(BATCHES), 20, "every request to be recorded")
            wait_for(
                lambda: {"process.cpu.time", "process.memory.usage", "ml.model.loaded"} <= set(recorded.metrics),
                10,
                "saturation and the model that is loaded",
            )
        classes = {"0": sum(BATCHES) - benign, "1": benign}
        assert _metrics(shown(), "XGBClassifier") == _sent(BATCHES, classes)
        assert recorded.rows() == sum(BATCHES)
        assert _batches(recorded) == Counter(BATCHES)
        assert recorded.classes() == classes
        assert {e.attributes["ml.model.version"] for e in recorded.predictions()} == {"3"}
        assert all(len(e.body["features"]) == 30 for e in recorded.predictions())
        assert max(e.body["kept"] for e in recorded.predictions()) <= 2000 // 30, "150 rows are thinned"


def test_gunicorn_with_two_workers_and_lightgbm(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    port, workers = free_port(), Counter[int]()
    url, sums = f"http://127.0.0.1:{port}", 0.0
    command = [frameworks.with_name("gunicorn"), "--workers", "2", "--bind", f"127.0.0.1:{port}", "server:app"]
    with _watched() as (recorded, shown):
        env = environment(
            agent,
            recorded.url,
            {
                "OTEL_TRACES_SAMPLER": "sidecar_ratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
                "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,process",
            },
        )
        with _server(command, env, EXAMPLES / "gunicorn_lightgbm", f"{url}/health", tmp_path / "log"):
            sent = BATCHES * 4
            while len(workers) < 2 or len(sent) > sum(workers.values()):
                size = sent[sum(workers.values()) % len(sent)]
                row = {"rooms": 0.5, "area": 0.3, "age": 0.1, "distance": 0.9}
                answer = _post(f"{url}/price", [row] * size)
                workers[answer["worker"]] += 1
                sums += sum(answer["prices"])
                assert sum(workers.values()) < 500, "both workers answer"
        sizes = Counter(sent[n % len(sent)] for n in range(sum(workers.values())))
        values = shown()
        assert _metrics(values, "LGBMRegressor") == _sent(sizes.elements(), {})
        assert _batches(recorded) == sizes, "the last ones are flushed when the workers end"
        assert Counter(e.resource["process.pid"] for e in recorded.predictions()) == workers
        kept = [(e.body["value"][0], e.body["rows"]) for e in recorded.predictions()]
        assert sum(value * rows for value, rows in kept) == pytest.approx(sums, rel=1e-3)
        assert set(recorded.predictions()[0].body["features"]) == {"rooms", "area", "age", "distance"}
        spans = [span for span, _ in recorded.spans if span.name.startswith("predict ")]
        assert len(spans) < sum(workers.values()) / 2, "head sampling thins the traces, not the predictions"
        calls = total(values, "traces_span_metrics_calls_total", 'span_name="predict LGBMRegressor"')
        assert calls == 10 * len(spans), "each span that is left counts ten"


def test_onnxruntime_batch_script(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    folder = EXAMPLES / "onnx_script"
    model, table = tmp_path / "iris.onnx", tmp_path / "rows.csv"
    run(frameworks, ["train.py", str(model)], {"PATH": "/usr/bin:/bin"}, folder)
    table.write_text("".join(f"5.{n % 9},3.1,{1 + n % 5}.4,0.{n % 7}\n" for n in range(103)))
    with _watched() as (recorded, shown):
        env = environment(agent, recorded.url)
        out = run(frameworks, ["score.py", str(model), str(table), "25"], env, folder)
        assert _metrics(shown(), "iris") == _sent([25, 25, 25, 25, 3], Counter(out.split()))
    assert recorded.classes() == Counter(out.split())
    assert _batches(recorded) == Counter([25, 25, 25, 25, 3])
    assert {e.attributes["ml.model.name"] for e in recorded.predictions()} == {"iris"}
    first = recorded.predictions()[0].body
    assert first["features"]["f2"][:3] == pytest.approx([1.4, 2.4, 3.4])


def test_mlflow_models_serve(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "PATH": f"{frameworks.parent}:/usr/bin:/bin", "GIT_PYTHON_REFRESH": "quiet"}
    run(frameworks, [str(EXAMPLES / "mlflow_serve" / "train.py"), str(tmp_path / "wine")], home, tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [frameworks.with_name("mlflow"), "models", "serve", "--model-uri", str(tmp_path / "wine")]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    answered: Counter[str] = Counter()
    with _watched() as (recorded, shown):
        env = environment(agent, recorded.url, {**home, "SIDECAR_MODEL_NAME": "wine"})
        with _server(command, env, tmp_path, f"{url}/health", tmp_path / "log"):
            for size in BATCHES:
                rows = [
                    [13.0 + i % 2, 1.7, 2.4, 15.6, 100 + i, 2.8, 3.0, 0.3, 2.3, 5.6, 1.0, 3.9, 1065]
                    for i in range(size)
                ]
                answered.update(str(p) for p in _post(f"{url}/invocations", {"inputs": rows})["predictions"])
            wait_for(lambda: len(recorded.predictions()) >= len(BATCHES), 20, "every request to be recorded")
        assert _metrics(shown(), "wine") == _sent(BATCHES, answered)
    assert _batches(recorded) == Counter(BATCHES)
    assert recorded.classes() == answered
    assert {e.attributes["ml.framework"] for e in recorded.predictions()} == {"mlflow"}


@pytest.mark.parametrize("workers", [1, 2])
def test_fastapi_with_scikit_learn_under_uvicorn(agent: Path, frameworks: Path, tmp_path: Path, workers: int) -> None:
    """Nothing is sent before the end but what fills a batch; all else is sent when the server is asked to stop."""
    waiting = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BLRP_SCHEDULE_DELAY": "60000"}
    port, answered = free_port(), Counter[str]()
    url = f"http://127.0.0.1:{port}"
    command = [frameworks, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers)] if workers > 1 else []
    names = {"class_0": "0", "class_1": "1", "class_2": "2"}
    with _watched() as (recorded, shown):
        env = environment(agent, recorded.url, {"SIDECAR_MODEL_NAME": "wine", **waiting})
        with _server(command, env, EXAMPLES / "fastapi_sklearn", f"{url}/health", tmp_path / "log"):
            for number, size in enumerate(BATCHES):
                rows = [
                    [13.0, 1.7, 2.4, 15.6, 127, 2.8, 3.0, 0.3, 2.3, 5.6, 1.0, 3.9, 1065.0 - 40 * (number + i)]
                    for i in range(size)
                ]
                answered.update(names[name] for name in _post(f"{url}/predict", {"rows": rows})["predictions"])
        values = shown()
        assert _metrics(values, "wine") == _sent(BATCHES, answered)
        calls = total(values, "traces_span_metrics_calls_total", 'span_name="POST /predict"', "SPAN_KIND_SERVER")
        assert calls == len(BATCHES)


def test_the_moved_feature_of_a_fastapi_server(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    data: Any = load_wine().data
    table, file = tmp_path / "train.csv", tmp_path / "reference.json"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([[f"f{n}" for n in range(data.shape[1])], *data.tolist()])
    made = CliRunner().invoke(main, ["profile", str(table), "--out", str(file), "--model", "wine"])
    assert made.exit_code == 0, made.output

    drift = {f"SIDECAR_DERIVE__DRIFT__{name}": value for name, value in DRIFT.items()}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [frameworks, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    with sidecar_process({"SIDECAR_DERIVE__DRIFT__REFERENCE": str(file), **drift}) as sidecar:
        env = environment(
            agent,
            sidecar.otlp_url,
            {"SIDECAR_MODEL_NAME": "wine", "OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_BSP_SCHEDULE_DELAY": "100"},
        )
        with _server(command, env, EXAMPLES / "fastapi_sklearn", f"{url}/health", tmp_path / "log"):

            def shown() -> Samples:
                """Without waiting for all to be derived: metrics are sent all the time."""
                return samples(wait_for(lambda: scrape(sidecar.serve_url), 20, "a scrape"))

            def drifted(shift: float) -> set[str]:
                rows = data[rng.integers(0, len(data), 100)].copy()
                rows[:, 12] += shift
                _post(f"{url}/predict", {"rows": rows.tolist()})
                time.sleep(0.4)
                values = shown()
                return {n for n in (f"f{i}" for i in range(13)) if total(values, "data_drift_detected", f'"{n}"') == 1}

            for _ in range(8):
                assert drifted(0) == set()
            before = total(shown(), "data_drift_samples", f'feature="{MOVED}"')
            assert before >= 100
            sidecar.kill9()
            sidecar.start()
            assert total(shown(), "data_drift_samples", f'feature="{MOVED}"') >= before
            wait_for(lambda: drifted(900) == {MOVED}, 60, "the moved feature, and no other, to be detected")


def test_a_response_names_its_prediction_for_a_label(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    """Labels by the ids in the headers of the answers, those of a batch by its rows: all are joined."""
    data: Any = load_wine().data
    port, header = free_port(), "X-Prediction-Id"
    url = f"http://127.0.0.1:{port}"
    command = [frameworks, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    labels: list[dict[str, Any]] = []
    right = 0

    def ask(rows: Any) -> None:
        nonlocal right
        body = json.dumps({"rows": rows.tolist()}).encode()
        request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            (id_,) = response.headers.get_all(header)
            answers = [name.removeprefix("class_") for name in json.load(response)["predictions"]]
        for row, name in enumerate(answers):
            is_right = len(labels) % 3 != 0
            right += is_right
            truth = name if is_right else "another"
            labels.append({"prediction_id": id_, "label": truth, **({"row": row} if len(answers) > 1 else {})})

    with sidecar_process({"SIDECAR_DERIVE__OUTCOMES__ENABLED": "true"}) as sidecar:
        env = environment(agent, sidecar.otlp_url, {"SIDECAR_MODEL_NAME": "wine", "SIDECAR_RESPONSE_HEADER": header})
        with _server(command, env, EXAMPLES / "fastapi_sklearn", f"{url}/health", tmp_path / "log"):
            for n in range(20):
                ask(data[n : n + 1])
            ask(data[20:30])
        assert len({label["prediction_id"] for label in labels}) == 21
        _post(f"{sidecar.otlp_url}/v1/labels", labels)
        values = figures(sidecar.serve_url)
        results = {k: v for k, v in values.items() if k.startswith("model_labels_total{") and v}
        assert list(results.values()) == [30]
        assert 'model="wine"' in next(iter(results))
        assert 'result="joined"' in next(iter(results))
        accuracy = {v for k, v in values.items() if k.startswith("model_accuracy{") and 'window="1h"' in k}
        assert accuracy == {right / 30}
