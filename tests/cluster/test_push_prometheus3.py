"""Prometheus 3.16 as the receiver of pushed metrics: remote write 2.0, 1.0 where it takes no other, and OTLP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.batch_job import BATCHES, LEAVES, ROWS
from support.engines import prometheus3, run_prometheus, sidecar_process, wait_for
from support.promql import exemplars, query, values

# The first run on a machine builds what is tested.
pytestmark = pytest.mark.timeout(1500)

TESTS = Path(__file__).parents[1]
REMOTE_WRITE = ("--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage")
OTLP = ("--web.enable-otlp-receiver", "--enable-feature=exemplar-storage")
ONLY_1 = "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest"
STARTS = "--enable-feature=created-timestamp-zero-ingestion"
CASES = {
    "remote write 2.0": ("remote_write", REMOTE_WRITE),
    "remote write 2.0, start times": ("remote_write", (*REMOTE_WRITE, STARTS)),
    "remote write 1.0": ("remote_write", (*REMOTE_WRITE, ONLY_1)),
    "OTLP": ("otlp", OTLP),
    "OTLP, start times": ("otlp", (*OTLP, STARTS)),
}


def pushing(kind: str, url: str) -> dict[str, str]:
    if kind == "remote_write":
        return {"SIDECAR_PUSH__REMOTE_WRITE__ENDPOINT": f"{url}/api/v1/write"}
    return {
        "SIDECAR_PUSH__OTLP__ENDPOINT": f"{url}/api/v1/otlp",
        "SIDECAR_PUSH__OTLP__PROTOCOL": "http/protobuf",
    }


def run_job(otlp_url: str) -> None:
    command = [sys.executable, "-m", "support.batch_job", otlp_url]
    subprocess.run(command, cwd=TESTS, check=True, timeout=120)


@pytest.mark.parametrize("case", CASES)
def test_a_job_of_two_seconds_is_there_once(case: str) -> None:
    kind, flags = CASES[case]
    with run_prometheus("{}", flags, binary=prometheus3("prometheus")) as prometheus:
        with sidecar_process(pushing(kind, prometheus.url)) as sidecar:
            run_job(sidecar.otlp_url)
            assert sidecar.stop() == 0
            log = sidecar.log.read_text("utf-8")
        assert ("push_remote_write_1" in log) == (case == "remote write 1.0")
        assert not [name for name in ("push_failed", "push_rejected", "push_incomplete") if name in log]
        for name, value in (
            ("traces_span_metrics_calls_total", BATCHES),
            ("traces_span_metrics_duration_seconds_count", BATCHES),
            ('traces_span_metrics_duration_seconds_bucket{le="+Inf"}', BATCHES),
            ("model_predictions_total", BATCHES * ROWS),
            ('model_predictions_by_class_total{class="leaves"}', BATCHES * LEAVES),
            ("rows_scored_total", BATCHES * ROWS),
        ):
            assert values(prometheus.url, f"last_over_time({name}[10m])") == [value], name
            assert values(prometheus.url, f"min_over_time({name}[10m])") == [0], name
            assert values(prometheus.url, f"resets({name}[10m])") == [0], name
            assert len(values(prometheus.url, name)) == (kind == "otlp"), name
        (rows,) = query(prometheus.url, "last_over_time(rows_scored_total[10m])")
        assert (rows["metric"]["job"], rows["metric"]["instance"]) == ("nightly-scoring", "run-1")
        assert {
            e["labels"]["trace_id"] for e in exemplars(prometheus.url, "traces_span_metrics_duration_seconds_bucket")
        }


def test_counters_of_a_sidecar_that_was_killed_go_on_without_a_reset() -> None:
    flags = (*REMOTE_WRITE, STARTS)
    with run_prometheus("{}", flags, binary=prometheus3("prometheus")) as prometheus:
        calls = "last_over_time(traces_span_metrics_calls_total[10m])"
        env = {**pushing("remote_write", prometheus.url), "SIDECAR_PUSH__INTERVAL": "1s"}
        with sidecar_process(env) as sidecar:
            run_job(sidecar.otlp_url)
            wait_for(lambda: values(prometheus.url, calls) == [BATCHES], 60, "the first job's counts")
            sidecar.kill9()
            sidecar.start()
            run_job(sidecar.otlp_url)
            assert sidecar.stop() == 0
        assert values(prometheus.url, calls) == [2 * BATCHES]
        assert values(prometheus.url, "resets(traces_span_metrics_calls_total[10m])") == [0]
