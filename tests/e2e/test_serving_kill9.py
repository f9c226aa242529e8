"""Requests and responses of KServe's logger around a kill -9: figures are those of an undisturbed run."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, samples, scrape, total, waiting

CALLS = 40
LATENCY = 0.25


def send(sidecar: SidecarProcess, kind: str, number: int) -> None:
    data: Any = {"instances": [[number, 0.5]] * 3} if kind == "request" else {"predictions": ["a", "b", "a"]}
    headers = {
        "ce-id": f"call-{number}",
        "ce-source": "test",
        "ce-specversion": "1.0",
        "ce-type": f"org.kubeflow.serving.inference.{kind}",
        "ce-time": f"2026-01-02T03:04:05.{'000' if kind == 'request' else '250'}Z",
        "ce-inferenceservicename": "fraud",
        "content-type": "application/json",
    }
    url = f"{sidecar.otlp_url}/v1/cloudevents"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(data).encode(), headers), timeout=60) as reply:
        assert reply.status == 200


def test_pairs_come_together_across_a_crash(tmp_path: Path) -> None:
    with sidecar_process({"SIDECAR_DERIVE__CHECKPOINT_SECONDS": "0.2"}, tmp_path) as sidecar:
        for number in range(CALLS):
            send(sidecar, "request", number)
        wait_for(lambda: not waiting(sidecar.serve_url), 30, "requests to be committed")
        for number in range(CALLS // 2):
            send(sidecar, "response", number)
        sidecar.kill9()
        sidecar.start()
        for number in range(CALLS // 2, CALLS):
            send(sidecar, "response", number)
        values = figures(sidecar.serve_url)
        model = 'model="fraud"'
        assert total(values, "model_predictions_total", model) == 3 * CALLS
        assert total(values, "model_predictions_by_class_total", model, 'class="a"') == 2 * CALLS
        assert total(values, "model_batch_size_count", model) == CALLS
        assert total(values, "model_inference_latency_seconds_count", model) == CALLS
        assert abs(total(values, "model_inference_latency_seconds_sum", model) - CALLS * LATENCY) < 1e-3
        assert total(values, "model_requests_unanswered_total") == 0


def test_requests_that_waited_before_a_crash_are_given_up_after_it(tmp_path: Path) -> None:
    options = {"SIDECAR_DERIVE__CHECKPOINT_SECONDS": "0.2", "SIDECAR_DERIVE__PREDICTIONS__RESPONSE_TIMEOUT": "1"}
    with sidecar_process(options, tmp_path) as sidecar:
        for number in range(3):
            send(sidecar, "request", number)
        wait_for(lambda: not waiting(sidecar.serve_url), 30, "requests to be committed")
        sidecar.kill9()
        sidecar.start()

        def unanswered() -> float:
            send(sidecar, "response", 1000)  # The time at which something comes is the clock.
            return total(samples(scrape(sidecar.serve_url) or ""), "model_requests_unanswered_total", 'model="fraud"')

        wait_for(lambda: unanswered() == 3, 30, "three requests to be given up")
