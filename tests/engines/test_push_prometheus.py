"""A real Prometheus with the receiver for remote write 1.0, Debian's, has a batch job's counts after the job and the
sidecar have ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.batch_job import BATCHES, LEAVES, ROWS
from support.engines import run_prometheus, sidecar_process
from support.promql import values

TESTS = Path(__file__).parents[1]


@pytest.mark.engine
def test_a_job_of_two_seconds_is_in_prometheus_once() -> None:
    with run_prometheus("{}", ["--web.enable-remote-write-receiver"]) as prometheus:
        pushing = {"SIDECAR_PUSH__REMOTE_WRITE__ENDPOINT": f"{prometheus.url}/api/v1/write"}
        with sidecar_process(pushing) as sidecar:
            command = [sys.executable, "-m", "support.batch_job", sidecar.otlp_url]
            subprocess.run(command, cwd=TESTS, check=True, timeout=120)
            assert sidecar.stop() == 0
            log = sidecar.log.read_text("utf-8")
        assert '"push_remote_write_1"' in log
        for name, value in (
            ("traces_span_metrics_calls_total", BATCHES),
            ("traces_span_metrics_duration_seconds_count", BATCHES),
            ('model_predictions_by_class_total{class="leaves"}', BATCHES * LEAVES),
            ("rows_scored_total", BATCHES * ROWS),
        ):
            assert values(prometheus.url, f"last_over_time({name}[10m])") == [value], name
            assert values(prometheus.url, f"min_over_time({name}[10m])") == [0], name
            assert values(prometheus.url, name) == [], f"{name} is shown after its end"
