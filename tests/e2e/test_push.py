"""A batch job beside the sidecar: what it counted is somewhere else after both have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.batch_job import BATCHES, LEAVES, ROWS, SERVICE
from support.engines import sidecar_process, wait_for
from support.load import figures
from support.remote_write import Received, Said, read_v2, remote_write_receiver

TESTS = Path(__file__).parents[1]
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "grpc_proxy")
DEAD_PROXY = dict.fromkeys(PROXIES, "http://127.0.0.1:9")


def run_job(otlp_url: str) -> None:
    """The job, to its end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-m", "support.batch_job", otlp_url]
    subprocess.run(command, cwd=TESTS, env=inherited, check=True, timeout=120)


def test_over_grpc_past_a_proxy_that_is_not_meant_for_loopback() -> None:
    with sidecar_process() as gateway:
        pushing = {
            "SIDECAR_PUSH__OTLP__ENDPOINT": f"http://{gateway.grpc_target}",
            "SIDECAR_PUSH__INTERVAL": "1h",
            "SIDECAR_PUSH__LABELS": "team=risk",
            **DEAD_PROXY,
        }
        with sidecar_process(pushing) as sidecar:
            run_job(sidecar.otlp_url)
            assert sidecar.stop() == 0
        shown = figures(gateway.serve_url)
    for name, value in (
        ('traces_span_metrics_calls_total{job="model-sidecar"', BATCHES),
        ('model_predictions_total{job="model-sidecar"', BATCHES * ROWS),
        (f'rows_scored_total{{job="{SERVICE}",instance="run-1"', BATCHES * ROWS),
    ):
        series = {text: n for text, n in shown.items() if text.startswith(name) and 'team="risk"' in text}
        assert list(series.values()) == [value], (name, series)


def test_counters_go_on_after_a_kill_and_a_receiver_that_is_down_gets_them_later() -> None:
    down = True

    def answer(headers: dict[str, str], body: bytes) -> Said:
        return Said(503) if down else Said(204, sum(len(series.samples) for series in read_v2(body).values()))

    with remote_write_receiver(answer) as receiver:
        pushing = {"SIDECAR_PUSH__REMOTE_WRITE__ENDPOINT": receiver.url, "SIDECAR_PUSH__INTERVAL": "1s"}
        with sidecar_process(pushing) as sidecar:
            run_job(sidecar.otlp_url)
            wait_for(lambda: b"leaves" in b"".join(body for _, body in receiver.requests), 60, "a push of the counts")
            sidecar.kill9()
            first = _of_class(read_v2(_last_with(receiver.requests, b"leaves")))
            down = False
            sidecar.start()
            run_job(sidecar.otlp_url)
            assert sidecar.stop() == 0
            status = [line for line in sidecar.log.read_text("utf-8").splitlines() if "push_" in line]
        last = [_of_class(read_v2(body)) for _, body in receiver.requests if b"leaves" in body]
    values = [value for series in last for _, value in series.samples if value == value]
    assert values[-1] == 2 * BATCHES * LEAVES
    assert first.starts[-1] == last[-1].starts[-1] > 0
    assert any('"push_failed"' in line for line in status)
    assert not any('"push_incomplete"' in line for line in status)


def _last_with(requests: list[tuple[dict[str, str], bytes]], text: bytes) -> bytes:
    return next(body for _, body in reversed(requests) if text in body)


def _of_class(found: dict[str, Received]) -> Received:
    return next(s for name, s in found.items() if name.startswith("model_predictions_by_class") and '"leaves"' in name)
