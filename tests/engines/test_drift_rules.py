"""Drift of a fleet from the shipped rules, by a real Prometheus that scrapes two sidecars with different halves of the
data, beside what scipy says of the whole."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.spatial.distance import jensenshannon
from scipy.special import xlogy
from scipy.stats import chi2
from support import monitoring_source as source
from support.drift_data import event_request, numbers, reference
from support.engines import SidecarProcess, http_get, run_prometheus, sidecar_process, wait_for
from support.load import figures, total
from support.monitored import shortened

from sidecar.derive.drift.column_bins import ColumnBins

pytestmark = [pytest.mark.engine, pytest.mark.slow]
RNG = np.random.default_rng(28)
ROWS, TRAINED = 1_000, 20_000
COLUMNS: dict[str, Any] = {
    "age": np.concatenate([RNG.normal(38, 9, ROWS // 2), RNG.normal(46, 11, ROWS // 2)]),
    "income": RNG.lognormal(10, 1, ROWS),
    "plan": RNG.choice(["basic", "pro", "new"], ROWS, p=[0.6, 0.35, 0.05]).tolist(),
}
REFERENCE = reference(
    {
        "age": RNG.normal(40, 10, TRAINED),
        "income": RNG.lognormal(10, 1, TRAINED),
        "plan": RNG.choice(["basic", "pro"], TRAINED, p=[0.6, 0.4]).tolist(),
    },
    "churn",
)
BINS = {column.name: ColumnBins(column) for column in REFERENCE.columns}
ALPHA = 1 / (365.25 * 86_400 * len(BINS))
"""Checks are every second, one wrong detection a year."""


def rows(begin: int, end: int) -> bytes:
    return event_request({name: list(values[begin:end]) for name, values in COLUMNS.items()})


def send(sidecar: SidecarProcess, payload: bytes) -> None:
    request = urllib.request.Request(
        f"{sidecar.otlp_url}/v1/logs", payload, {"Content-Type": "application/x-protobuf"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def counts(name: str) -> tuple[Any, Any]:
    """Rows of the bins in which there is anything: of the union, and of the reference."""
    bins = BINS[name]
    if bins.numeric:
        cells = bins.observe(*numbers(COLUMNS[name]), []).cells
    else:
        found: dict[str, int] = {}
        for value in COLUMNS[name]:
            found[value] = found.get(value, 0) + 1
        cells = bins.counted(found).cells
    live = np.bincount(bins.bin_of_cell, cells, bins.bins)
    there = (live > 0) | (bins.bin_counts > 0)
    return live[there], bins.bin_counts[there]


def expected(name: str) -> dict[str, tuple[float, float]]:
    """Method -> (score, critical value) of the union."""
    live, trained = counts(name)
    n, m, bins = live.sum(), trained.sum(), len(live)
    p, q = (live + 0.5) / (n + 0.5 * bins), (trained + 0.5) / (m + 0.5 * bins)
    both = (live + trained) / (n + m)
    shares = live / n - trained / m
    ratio = 2 * float(xlogy(live, live / n / both).sum() + xlogy(trained, trained / m / both).sum())
    few = float((1 / np.maximum(both * min(n, m), 1)).sum()) / (bins - 1)
    few *= 1 + min(n, m) ** 2 / (max(n, m) * (n + m))
    certain = chi2.isf(ALPHA, bins - 1) * (1 + few / 3) / ratio
    scores = {
        "psi": float(((p - q) * np.log(p / q)).sum()),
        "jensen_shannon": float(jensenshannon(live, trained, base=2)),
        "chi_squared": float(np.sqrt((shares**2 / both).sum())),
    }
    return {name: (one, one * (certain if name == "psi" else np.sqrt(certain))) for name, one in scores.items()}


def checked(sidecar: SidecarProcess) -> bool:
    return total(figures(sidecar.serve_url), "data_drift_samples") > 0


def query(url: str, expr: str, at: float) -> dict[tuple[str, str], float]:
    """(feature, method) -> value at that time (Unix seconds)."""
    parameters = urllib.parse.urlencode({"query": expr, "time": at})
    body = json.loads(http_get(f"{url}/api/v1/query?{parameters}", timeout=60)[1])
    assert body["status"] == "success", body
    return {
        (one["metric"]["feature"], one["metric"].get("method", "")): float(one["value"][1])
        for one in body["data"]["result"]
    }


def settled(url: str, found: list[float]) -> bool:
    """Whether both sidecars were scraped, and all rules evaluated; `found` gets the time at which that was so: a scrape
    that a busy machine misses takes its rows out of the sums again."""
    at = time.time() - 2
    if query(url, "model:drift_samples:sum", at) != dict.fromkeys(((name, "") for name in COLUMNS), ROWS):
        return False
    found.append(at)
    return len(query(url, "model:drift_insufficient_data:bool", at)) == len(COLUMNS)


def config(folder: Path, targets: list[str]) -> str:
    rules = folder / "recording-drift.yml"
    rules.write_text(shortened((source.PROMETHEUS / "rules" / rules.name).read_text("utf-8"), {}, None))
    static = [{"targets": [one.removeprefix("http://") for one in targets], "labels": {"service": "churn"}}]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "model-sidecar", "static_configs": static}],
        }
    )


def test_two_halves_give_the_drift_of_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "reference.json"
    file.write_text(REFERENCE.dump())
    given = {"reference": str(file), "window": "1d", "check_interval": "1s", "warm_up": "0"}
    environ = {f"SIDECAR_DERIVE__DRIFT__{name.upper()}": value for name, value in given.items()}
    with sidecar_process(environ) as one, sidecar_process(environ) as other:
        send(one, rows(0, ROWS // 2))
        send(other, rows(ROWS // 2, ROWS))
        time.sleep(1.5)  # The next payload is of another interval of checks, and comes after the check.
        for sidecar in (one, other):
            send(sidecar, rows(0, 1))
            wait_for(partial(checked, sidecar), 60, "a check")
        with run_prometheus(config(tmp_path, [one.serve_url, other.serve_url])) as server:
            times: list[float] = []
            wait_for(partial(settled, server.url, times), 90, "the rules to have both halves")
            pod = one.serve_url.removeprefix("http://")
            scores, critical, detected, of_one = (
                query(server.url, expr, times[-1])
                for expr in (
                    "model:drift_score:union",
                    "model:drift_critical_value:union",
                    "model:drift_detected:bool",
                    f'data_drift_score{{instance="{pod}"}}',
                )
            )
    for name in COLUMNS:
        for method, (score, limit) in expected(name).items():
            assert scores[name, method] == pytest.approx(score, abs=1e-6), (name, method)
            assert critical[name, method] == pytest.approx(limit, rel=1e-6), (name, method)
            assert scores[name, method] != pytest.approx(of_one[name, method], abs=1e-6)
    assert detected == {
        (name, "psi"): float(expected(name)["psi"][0] > max(0.1, expected(name)["psi"][1])) for name in COLUMNS
    }
    assert set(detected.values()) == {0.0, 1.0}
