"""Drift in a pod's /metrics, beside a reference of its training data that an annotation mounts, and what a suite of
Great Expectations that another one mounts says of the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_wine
from support.engines import sidecar_command, wait_for
from support.engines.charts import run
from support.kubernetes.installation import Installation, create, example, metrics, predict, ready_pod
from support.kubernetes.node import Node
from support.load import Samples, total
from support.quality_data import suite

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE = "drift"
DATA = load_wine().data
CHECKS = {"derive": {"drift": {"check_interval": "1s", "warm_up": "0"}}}
"""So that a test need not wait for an hour."""
MOUNTED = {"reference": "wine-reference", "suite": "wine-suite", "config": "checks"}
HIGHEST = float(DATA[:, 0].max())
EXPECTED = (
    ("expect_column_values_to_be_between", {"column": "f0", "max_value": HIGHEST}),
    ("expect_column_values_to_be_between", {"column": "f1", "max_value": float(DATA[:, 1].max())}),
)
"""The first does not hold of rows that moved up."""


@pytest.fixture(scope="module")
def wine(cluster: Node, installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The pod of the example, with what `sidecar profile` makes of the data that the model was trained with."""
    folder: Path = tmp_path_factory.mktemp("reference")
    names = [f"f{number}" for number in range(DATA.shape[1])]
    # Ten times over: with so few rows chance explains much, and an app would have more.
    table = [",".join(names), *(",".join(map(str, row)) for row in np.tile(DATA, (10, 1)))]
    (folder / "train.csv").write_text("\n".join(table))
    made = run(sidecar_command(), "profile", folder / "train.csv", "--out", folder / "reference.json")
    assert made.returncode == 0, made.stderr
    create(
        cluster,
        SPACE,
        _config_map("wine-reference", "reference.json", (folder / "reference.json").read_text()),
        _config_map("checks", "sidecar.yaml", yaml.safe_dump(CHECKS)),
        _config_map("wine-suite", "suite.json", suite(EXPECTED)),
        *example(**{f"model-sidecar/{name}": value for name, value in MOUNTED.items()}),
    )
    yield ready_pod(cluster, SPACE, "app=wine")
    cluster.kubectl("delete", "namespace", SPACE, "--wait=false")


def _config_map(name: str, key: str, text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}}


def test_a_feature_that_moved_is_found_and_the_others_are_not(cluster: Node, wine: dict[str, Any]) -> None:
    rows = DATA.copy()
    rows[:, 0] = rows[:, 0] * 1.3
    address = f"http://{wine['status']['podIP']}:8000"

    def checked() -> Samples:
        """A check comes with the next predictions; each time all rows, so that the others are as they were."""
        cluster.inside(lambda: predict(address, rows.tolist()))
        found = metrics(cluster, wine)
        return found if total(found, "data_drift_samples", 'feature="f0"') >= 3 * len(rows) else {}

    found = wait_for(checked, 120, "a check of drift", interval=1.1)
    detected = {f"f{n}": total(found, "data_drift_detected", f'feature="f{n}"') for n in range(DATA.shape[1])}
    assert detected == {name: float(name == "f0") for name in detected}
    assert total(found, "data_drift_score", 'feature="f0"', 'method="psi"') > 0.1
    assert total(found, "data_drift_score", 'feature="f1"', 'method="psi"') < 0.1
    assert 0 < total(found, "data_drift_share") < 0.1
    met = {name: total(found, "data_quality_expectation_met", f'feature="{name}"') for name in ("f0", "f1")}
    assert met == {"f0": 0.0, "f1": 1.0}
    failures = 'rule="expect_column_values_to_be_between"'
    assert total(found, "data_quality_failures_total", failures, 'feature="f0"') >= int(
        (DATA[:, 0] * 1.3 > HIGHEST).sum()
    )
