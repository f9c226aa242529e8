"""Outliers from environment variables and one mounted file: the mark leaves through every sink, the values do not, and
the counter says as many."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from sklearn.datasets import load_wine
from support.drift_data import event_request, reference
from support.engines import sidecar_process
from support.every_sink import every_sink, forms_of_number, leaks
from support.load import figures, total

WRONG = 48213.62517


def wine(path: Path) -> tuple[dict[str, str], dict[str, list[float]]]:
    """The environment of a sidecar that knows the wines, and the features of one of them."""
    found = load_wine()
    columns = dict(zip(found.feature_names, found.data.T, strict=True))
    (path / "reference.json").write_text(reference(columns, "wine").dump())
    environ = {"SIDECAR_DERIVE__DRIFT__REFERENCE": str(path / "reference.json")}
    return environ, {name: [float(column[7])] for name, column in columns.items()}


@pytest.mark.parametrize("keep", [False, True], ids=["features stay", "features leave"])
def test_through_every_sink(keep: bool, tmp_path: Path) -> None:
    environ, features = wine(tmp_path)
    wrong = {**features, "magnesium": [WRONG], "hue": [-WRONG]}
    further = {"SIDECAR_DELIVER__EXPORT_FEATURES": "true"} if keep else {}
    with every_sink(tmp_path, {**environ, **further}) as (sidecar, delivered):
        for columns in (features, wrong, features):
            send(sidecar.otlp_url, event_request(columns, "wine", "3"))
        found = delivered()
    logs_go_to = {sink for sink in found.bytes if sink not in ("log", "look-up")}
    for sink in logs_go_to:
        # Each record has the mark, and the number and names beside it.
        assert len(re.findall(rb"ml\.outlier(?![.\w])", found.bytes[sink])) == 1, sink
        assert b"ml.outlier_rows" in found.bytes[sink]
        assert b"magnesium" in found.bytes[sink]
    leaked = {sink for sink, _ in leaks(found.bytes, {"value": forms_of_number(WRONG)})}
    assert leaked == (logs_go_to if keep else set())
    assert b'model_outliers_total{model="wine",version="3"} 1\n' in found.served["/metrics"]
    assert found.ledger["problems"] == []


def test_counted_exactly_through_kill_9(tmp_path: Path) -> None:
    environ, features = wine(tmp_path)
    with sidecar_process(environ) as sidecar:
        for n in range(30):
            rows = {name: values * 3 for name, values in features.items()}
            rows["ash"] = [features["ash"][0] + n / 1e6] * 3  # The same bytes again would be a resend.
            rows["hue"] = [-WRONG, features["hue"][0], WRONG] if n % 3 == 0 else rows["hue"]
            send(sidecar.otlp_url, event_request(rows, "wine", "3"))
            if n % 10 == 9:
                sidecar.kill9()
                sidecar.start()
        values = figures(sidecar.serve_url)
    assert total(values, "model_outliers_total", 'model="wine"', 'version="3"') == 20


def send(url: str, payload: bytes) -> None:
    request = urllib.request.Request(f"{url}/v1/logs", payload, {"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
