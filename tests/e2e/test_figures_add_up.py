"""Figures of the installed program: several writers of one series, several scrapers, sums of small values, kills."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import pytest
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import samples, scrape

WORKER = """
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1]), export_interval_millis=3_600_000)
resource = Resource({"service.name": "shop", "service.instance.id": "pod-1"})
provider = MeterProvider([reader], resource)
meter = provider.get_meter("app")
requests, seconds = meter.create_counter("requests"), meter.create_histogram("wait", "s")
active = meter.create_up_down_counter("active")
for line in sys.stdin:
    for _ in range(int(line)):
        requests.add(1, {"route": "/"})
        seconds.record(0.01)
        active.add(1)
    provider.force_flush()
    print("sent", flush=True)
"""


class Worker:
    """A process with an SDK of its own that exports when it is asked to."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, f"{url}/v1/metrics"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serve(self, requests: int) -> None:
        """Serve so many more requests, and export."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{requests}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "sent\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def shown(sidecar: SidecarProcess) -> dict[str, float]:
    values = samples(scrape(sidecar.serve_url) or "")
    names = ("requests_total", "wait_seconds_count", "wait_seconds_sum", "active")
    return {name: value for series, value in values.items() for name in names if series.startswith(name + "{")}


def all_at(count: int) -> dict[str, float]:
    return {"requests_total": count, "wait_seconds_count": count, "wait_seconds_sum": count / 100, "active": count}


def test_two_workers_with_one_instance_id_add_up() -> None:
    with sidecar_process({}) as sidecar:
        workers = [Worker(sidecar.otlp_url) for _ in range(2)]
        try:
            workers[0].serve(23)
            workers[1].serve(18)
            workers[0].serve(0)
            wait_for(lambda: shown(sidecar) == pytest.approx(all_at(41)), 20, "both workers")
            for n, worker in enumerate([*workers, *workers], 1):
                worker.serve(1)
                wait_for(lambda n=n: shown(sidecar) == pytest.approx(all_at(41 + n)), 20, "another request")
            workers[0].kill()
            workers[0] = Worker(sidecar.otlp_url)
            workers[0].serve(5)
            wait_for(lambda: shown(sidecar).get("requests_total") == 50, 20, "the worker that replaces one")
            sidecar.kill9()
            sidecar.start()
            workers[1].serve(1)
            wait_for(lambda: shown(sidecar).get("requests_total") == 51, 20, "the same after a kill")
        finally:
            for worker in workers:
                worker.kill()


def post(sidecar: SidecarProcess, records: list[dict[str, object]]) -> None:
    body = "\n".join(map(json.dumps, records)).encode()
    request = urllib.request.Request(f"{sidecar.otlp_url}/v1/json", body, {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200


def get(sidecar: SidecarProcess, agent: str, series: str) -> float | None:
    request = urllib.request.Request(f"{sidecar.serve_url}/metrics", headers={"User-Agent": agent, "Accept": "*/*"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return samples(reply.read().decode()).get(series)


def test_each_scraper_sees_a_new_counter_at_zero_and_a_person_sees_it_as_it_is() -> None:
    series = 'log_records_total{service="unknown_service",severity="ERROR"}'
    with sidecar_process({}) as sidecar:
        for agent in ("Prometheus/3.5.0", "vm_promscrape"):
            assert get(sidecar, agent, series) is None
        post(sidecar, [{"level": "error", "msg": f"m{n}", "time": 1_800_000_000 + n} for n in range(3)])
        wait_for(lambda: get(sidecar, "curl/8.5.0", series) == 3, 20, "the three lines")
        seen = [get(sidecar, agent, series) for agent in ("Prometheus/3.5.0", "vm_promscrape") for _ in range(2)]
        assert seen == [0, 3, 0, 3]


def test_sums_of_small_values_are_exact_and_survive_kills() -> None:
    rules = [{"name": f"{kind}s", "kind": kind, "field": "v"} for kind in ("sum", "histogram")]
    options = {"SIDECAR_DERIVE__RULES": json.dumps(rules), "SIDECAR_DERIVE__CHECKPOINT_SECONDS": "0.2"}

    def figures() -> list[float | None]:
        values = samples(scrape(sidecar.serve_url) or "")
        return [values.get(name) for name in ("sums_total", "histograms_sum", "histograms_count")]

    with sidecar_process(options) as sidecar:
        for part in range(1, 3):
            lines = [{"v": 1.5e-7 if n % 2 else 0.01, "time": 1_800_000_000 + 500 * part + n} for n in range(500)]
            post(sidecar, lines)
            wait_for(lambda part=part: figures()[2] == 500 * part, 20, "the records")
            time.sleep(0.1 * part)
            sidecar.kill9()
            sidecar.start()
        wait_for(lambda: figures() == [5.000075, 5.000075, 1000], 20, "the exact sums")
