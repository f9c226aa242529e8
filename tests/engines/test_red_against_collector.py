"""Our RED figures against those of the real Collector on the same payloads, series by series, bucket by bucket.

`SIDECAR_WRITE_GOLDEN=1` also writes what the Collector gave to `tests/golden/red/`.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.request import Request

import pytest
from support.engines.peer import payload_dir, run_collector
from support.engines.ports import free_port
from support.engines.processes import http_get, wait_for
from support.red_cases import BOUNDS, CASES, DIMENSIONS, Figures, figures, ours
from support.red_golden import assert_same, expected, save

from sidecar.decode.python import ReferenceDecoder

pytestmark = pytest.mark.engine

CONFIG = """
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{ingest}}}}}}}
connectors:
  span_metrics:
    metrics_flush_interval: 200ms
    histogram: {{unit: s, explicit: {{buckets: [{buckets}]}}}}
    dimensions: [{dimensions}]
exporters:
  prometheus: {{endpoint: 127.0.0.1:{metrics}}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [span_metrics]}}
    metrics: {{receivers: [span_metrics], exporters: [prometheus]}}
"""


def collectors(payloads: list[bytes]) -> tuple[list[int], Figures]:
    """HTTP status of each payload, and the figures of a fresh Collector once they stand still."""
    ports = {name: free_port() for name in ("health", "ingest", "metrics")}
    config = CONFIG.format(
        **ports,
        buckets=", ".join(f"{b}ms" for b in BOUNDS),
        dimensions=", ".join(f"{{name: {d}}}" for d in DIMENSIONS),
    )
    last: list[str] = []

    def standing_still() -> bool:
        last.append(http_get(f"http://127.0.0.1:{ports['metrics']}/metrics")[1].decode("utf-8", "replace"))
        return len(last) > 4 and len(set(last[-4:])) == 1

    with run_collector(config, f"http://127.0.0.1:{ports['health']}/"):
        statuses = [_post(f"http://127.0.0.1:{ports['ingest']}/v1/traces", payload) for payload in payloads]
        # A new series' calls are 0 at the first flush: several flushes must agree.
        wait_for(standing_still, 30, "figures of the Collector that stand still", interval=0.3)
    return statuses, figures(last[-1])


def _post(url: str, payload: bytes) -> int:
    request = Request(url, payload, {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    payload = CASES[case]()
    statuses, theirs = collectors([payload])
    if os.environ.get("SIDECAR_WRITE_GOLDEN") == "1":
        save(case, payload, statuses[0], theirs)
    assert_same(ours(ReferenceDecoder(), [payload]), expected(case, theirs))


@pytest.mark.slow
def test_the_load_generators_payloads() -> None:
    files: list[Path] = sorted(payload_dir().glob("traces-*"))[:8]
    payloads = [file.read_bytes() for file in files]
    _, theirs = collectors(payloads)
    mine = ours(ReferenceDecoder(), payloads)
    assert sum(mine["calls"].values()) == 8 * 512
    assert_same(mine, theirs)
