"""The libraries of serving protocols at work: the golden files are what they make, and what they send is counted."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, status, total
from support.serving_libraries import HERE, MADE, golden, kserve_logger, make_all, serving_python

CALLS = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the libraries write today."""
    folder = tmp_path_factory.mktemp("made")
    make_all(folder)
    return folder


@pytest.mark.parametrize("name", [name for names in MADE.values() for name in names])
def test_golden_files_are_what_the_libraries_make(made: Path, name: str) -> None:
    assert json.loads((made / f"{name}.json").read_text()) == golden(name)


def counts(sidecar: SidecarProcess, model: str) -> tuple[float, dict[str, float]]:
    """(predictions, rows by class) of a model."""
    values = figures(sidecar.serve_url)
    classes = {
        key.partition('class="')[2].partition('"')[0]: value
        for key, value in values.items()
        if key.startswith("model_predictions_by_class_total") and f'model="{model}"' in key
    }
    return total(values, "model_predictions_total", f'model="{model}"', 'status="ok"'), classes


def test_the_sdk_of_kserves_logger() -> None:
    chosen = random.Random(4)
    expected: Counter[str] = Counter()
    with sidecar_process({"SIDECAR_DERIVE__PREDICTIONS__RESPONSE_TIMEOUT": "600"}) as sidecar:
        for n in range(CALLS):
            rows = chosen.randint(1, 5)
            answers = [chosen.choice(["fraud", "sound"]) for _ in range(rows)]
            expected.update(answers)
            request, response = {"instances": [[n, 0.5]] * rows}, {"predictions": answers}
            arguments = [f"{sidecar.otlp_url}/v1/cloudevents", f"id-{n}", json.dumps(request), json.dumps(response)]
            done = subprocess.run(
                [kserve_logger(), *arguments], capture_output=True, text=True, timeout=300, check=False
            )
            assert done.stdout.split() == ["200", "200"], done.stderr
        assert counts(sidecar, "fraud") == (sum(expected.values()), dict(expected))
        values = figures(sidecar.serve_url)
        assert total(values, "model_batch_size_count", 'model="fraud"') == CALLS
        assert total(values, "model_batch_size_sum", 'model="fraud"') == sum(expected.values())
        assert total(values, "model_inference_latency_seconds_count", 'model="fraud"') == CALLS
        assert 0 < total(values, "model_inference_latency_seconds_sum", 'model="fraud"') < 20
        assert total(values, "model_requests_unanswered_total") == 0


ROWS = [{"age": 30 + n, "class": ("no", "yes", "no")[n % 3]} for n in range(10)]
CLASSES = {"no": 7.0, "yes": 3.0}


def monitor(kind: str, where: str) -> None:
    command = [serving_python("bento"), HERE / "monitor.py", kind, where]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(
        command, input=json.dumps(ROWS), env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_bentos_otlp_monitor() -> None:
    with sidecar_process() as sidecar:
        monitor("otlp", f"{sidecar.otlp_url}/v1/logs")
        assert counts(sidecar, "iris") == (len(ROWS), CLASSES)


def test_bentos_default_monitor(tmp_path: Path) -> None:
    environ = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": f"{tmp_path}/watch/schema/*.log,{tmp_path}/watch/data/*.log",
        "SIDECAR_RECEIVE__FILE_TAIL__START_AT": "beginning",
    }
    with sidecar_process(environ) as sidecar:
        monitor("default", str(tmp_path))
        wait_for(lambda: status(sidecar.serve_url)["ledger"]["received"].get("logs") == len(ROWS) + 1, 30, "all lines")
        assert counts(sidecar, "iris") == (len(ROWS), CLASSES)
