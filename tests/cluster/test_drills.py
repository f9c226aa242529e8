"""Drills against a real sidecar, Prometheus and Alertmanager with the shipped files: each alert fires from telemetry,
is routed to its receivers, reaches the webhook, and resolves. Windows and `for` are shortened, one threshold too."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import monitored as stack_of
from support.engines import free_port, run_alertmanager, sidecar_command, wait_for
from support.hook import Received, receiving, shipped_for_here
from support.monitored import TOKEN, Stack, monitored

from sidecar.drills import DRILLS

# The first run on a machine builds what is tested.
pytestmark = pytest.mark.timeout(1500)

WINDOWS = {"5m": "15s", "15m": "10s", "30m": "15s", "1h": "15s", "6h": "15s", "3d": "15s"}
RECEIVERS = {
    "ErrorRateHigh": "critical,hook",
    "LatencyP95Critical": "critical,hook",
    "InferenceLatencyHigh": "hook,ml-team",
    "ConfidenceLow": "hook,ml-team",
    "AccuracyCritical": "critical,hook,ml-team",
    "PredictionErrorsHigh": "hook,ml-team",
    "RefusedCredentials": "hook,security",
}


def hooked(received: Received, status: str) -> set[str]:
    """Names of alerts that the webhook got with that status."""
    return {a["labels"]["alertname"] for b in received.to("/hook") for a in b["alerts"] if a["status"] == status}


def each_second(action: Callable[[], Any], until: Callable[[], bool], what: str) -> None:
    def once() -> bool:
        action()
        return until()

    wait_for(once, 90, what, interval=1)


def names_of_spans(stack: Stack) -> None:
    """More span names than the budget of a label."""
    body = stack_of.spans(300)
    for number, span in enumerate(body["resourceSpans"][0]["scopeSpans"][0]["spans"]):
        span["name"] = f"GET /users/{number}-{time.monotonic_ns()}"
    assert stack.post("/v1/traces", body) == 200


def test_every_drill_fires_arrives_and_resolves(tmp_path: Path) -> None:
    with (
        receiving() as (hook, received),
        run_alertmanager(shipped_for_here(tmp_path, hook)) as manager,
        monitored({"SIDECAR_DERIVE__OUTCOMES__ENABLED": "true"}, WINDOWS, "1s", manager.url) as stack,
    ):
        arguments = ["--url", stack.sidecar.otlp_url, "--token", TOKEN, "--timeout", "120s"]
        arguments += ["--prometheus", stack.prometheus, "--alertmanager", manager.url]
        done = subprocess.run(
            [sidecar_command(), "drill", "--all", "--verify", *arguments],
            capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = {line.split()[2]: line.split()[-1] for line in done.stdout.splitlines()}
        assert rows == RECEIVERS
        assert {drill.alert for drill in DRILLS} == set(RECEIVERS)
        assert set(RECEIVERS) <= hooked(received, "firing")
        wait_for(lambda: set(RECEIVERS) <= hooked(received, "resolved"), 60, "the webhook has them as resolved")


def test_the_pipeline_is_alerted_on(tmp_path: Path) -> None:
    """A dead destination, a label with too many values, and a sidecar that is gone; each resolves."""
    env = {"SIDECAR_DELIVER__ELASTICSEARCH__URL": f"http://127.0.0.1:{free_port()}"}
    thresholds = {"sidecar_consumer_lag_seconds > 300": "sidecar_consumer_lag_seconds > 2"}
    with (
        receiving() as (hook, received),
        run_alertmanager(shipped_for_here(tmp_path, hook)) as manager,
        monitored(env, WINDOWS, "1s", manager.url, thresholds) as stack,
    ):
        wanted = {"DeliveryStalled", "LabelBudgetExceeded"}
        each_second(
            lambda: names_of_spans(stack), lambda: wanted <= hooked(received, "firing"), "the pipeline's alerts"
        )
        wait_for(lambda: "LabelBudgetExceeded" in hooked(received, "resolved"), 90, "labels are few again")
        stack.sidecar.kill9()
        wait_for(lambda: "SidecarDown" in hooked(received, "firing"), 90, "the sidecar is reported")
        stack.sidecar.start()
        wait_for(lambda: "SidecarDown" in hooked(received, "resolved"), 90, "the sidecar is back")
