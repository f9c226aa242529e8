"""Values that are none, features that come and go, and ten thousand of them, from events and from payloads of a serving
protocol: a counter names each, what is good beside it counts exactly, and nothing else stops."""

from __future__ import annotations

import json
import math
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.drift_data import event_request, reference
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, total

ODD = [30.0, math.nan, math.inf, -math.inf, "old", None, True, [1.0], 41.0]
"""Two numbers and a bool; two that are infinite, a text and an array; two that are missing."""
MANY = 10_000


def send(sidecar: SidecarProcess, payload: bytes) -> None:
    post(sidecar, "/v1/logs", payload, "application/x-protobuf")


def serve(sidecar: SidecarProcess, model: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A call of MLflow's protocol in a log line. Python writes NaN and Infinity as such."""
    asked = {"dataframe_split": {"columns": list(names), "data": [list(row) for row in rows]}}
    line = {"model": model, "model_version": "7", "request": asked, "response": {"predictions": [1.5] * len(rows)}}
    post(sidecar, "/v1/json", json.dumps(line).encode(), "application/x-ndjson")


def post(sidecar: SidecarProcess, path: str, body: bytes, kind: str) -> None:
    request = urllib.request.Request(sidecar.otlp_url + path, body, {"Content-Type": kind}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def environ(folder: Path) -> dict[str, str]:
    rng = np.random.default_rng(3)
    for model in ("churn", "served"):
        made = reference({"age": rng.normal(40, 10, 3000), "plan": rng.choice(["a", "b"], 3000).tolist()}, model)
        (folder / f"{model}.json").write_text(made.dump())
    given = {"reference": str(folder), "window": "1d", "check_interval": "1s", "warm_up": "0"}
    return {f"SIDECAR_DERIVE__DRIFT__{name.upper()}": value for name, value in given.items()}


def failures(values: Mapping[str, float], model: str, feature: str) -> dict[str, int]:
    rules = ("missing", "type_change", "out_of_range", "unseen_category", "unexpected", "absent")
    found = {
        rule: int(total(values, "data_quality_failures_total", f'model="{model}"', f'feature="{feature}"', f'"{rule}"'))
        for rule in rules
    }
    return {rule: n for rule, n in found.items() if n}


def flagged(values: Mapping[str, float], model: str, feature: str) -> dict[str, int]:
    return {
        name: int(
            total(values, "model_feature_observations_total", f'model="{model}"', f'"{feature}"', f'bin="{name}"')
        )
        for name in ("missing", "invalid", "below", "above")
    }


def counted(values: Mapping[str, float], model: str, feature: str) -> int:
    """Values in bins."""
    all_of_them = total(values, "model_feature_observations_total", f'model="{model}"', f'"{feature}"')
    return int(all_of_them - sum(flagged(values, model, feature).values()))


def test_each_is_counted_by_name_and_nothing_else_stops(tmp_path: Path) -> None:
    with sidecar_process(environ(tmp_path)) as sidecar:
        plans = ["a"] * len(ODD)
        send(sidecar, event_request({"age": ODD, "plan": plans}))
        serve(sidecar, "served", ["age", "plan"], list(zip(ODD, plans, strict=True)))
        many: dict[str, list[Any]] = {f"f{n:05d}": [1.0] for n in range(MANY)}
        send(sidecar, event_request({"age": [35.0], **many}))
        serve(sidecar, "served", ["age", *many], [[35.0] + [1.0] * MANY])
        # What is new is shown at 0 first.
        wait_for(lambda: failures(figures(sidecar.serve_url), "served", "__other__"), 30, "the counters to be shown")
        values = figures(sidecar.serve_url)
        for model in ("churn", "served"):
            # True is 1, which is below the ages of the reference; 35 came after the others.
            assert flagged(values, model, "age") == {"missing": 2, "invalid": 4, "below": 1, "above": 0}, model
            assert counted(values, model, "age") == 4, model
            assert failures(values, model, "age")["type_change"] == 4, model
            assert failures(values, model, "age")["missing"] == 2, model
            assert failures(values, model, "__other__")["unexpected"] > 100, model
        assert total(values, "model_features_left_out_total", 'model="churn"') == MANY + 1 - 1024
        assert total(values, "model_features_left_out_total", 'model="served"') == MANY + 1 - 256
        assert "features_left_out" in sidecar.log.read_text()

        # A feature that vanishes: no value of it in an interval of checks that had rows.
        for _ in range(2):
            send(sidecar, event_request({"age": [39.0] * 20}))
            serve(sidecar, "served", ["age"], [[39.0]] * 20)
            time.sleep(1.1)
        for model in ("churn", "served"):
            wait_for(lambda model=model: vanished(sidecar, model), 30, f"the plan of {model} to be absent")
        values = figures(sidecar.serve_url)
        assert total(values, "model_predictions_total", 'model="churn"') >= len(ODD) + 1 + 40
        assert total(values, "sidecar_series_overflow_total", "model_feature") == 0


def vanished(sidecar: SidecarProcess, model: str) -> bool:
    serve(sidecar, "served", ["age"], [[39.0]])
    send(sidecar, event_request({"age": [39.0]}))
    return "absent" in failures(figures(sidecar.serve_url), model, "plan")
