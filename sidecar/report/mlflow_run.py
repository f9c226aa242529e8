"""Figures of a report as a run of MLflow, with the page as its artifact.

MLflow's REST API: https://mlflow.org/docs/latest/rest-api.html (`experiments/get-by-name`, `experiments/create`,
`runs/create`, `runs/log-batch`: 1,000 metrics at most; `runs/update`), and the tracking server's artifact proxy
(`PUT /api/2.0/mlflow-artifacts/artifacts/PATH`), which there is where the run's `artifact_uri` is `mlflow-artifacts:`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sidecar.deliver.common.http import Reply, Send, Unreached
from sidecar.errors import Permanent
from sidecar.report.contents import ModelReport, Report

MAX_METRICS = 1_000
_JSON = "application/json"
_ILLEGAL = re.compile(r"[^\w\-. /:]", re.ASCII)
_MAX_KEY = 250


def figures(report: Report) -> dict[str, float]:
    """`model/version/figure` -> value. What there is nothing to say of has no figure."""
    found: dict[str, float] = {}
    for one in report.models:
        name = "/".join(filter(None, (one.model.service, one.model.name, one.model.version)))
        for figure, value in _of_model(one):
            if value is not None and value - value == 0:
                found[_key(name or "model", figure)] = float(value)
    return found


def _of_model(one: ModelReport) -> Iterator[tuple[str, float | None]]:
    rates, outcomes = one.rates, one.outcomes
    yield "predictions", rates.predictions
    yield "error_share", rates.errors.value if rates.errors else None
    if rates.inference:
        for name, ns in (("p50", rates.inference.p50), ("p95", rates.inference.p95), ("p99", rates.inference.p99)):
            yield f"latency_{name}_seconds", None if ns is None else ns / 1e9
    yield "labelled_rows", outcomes.rows or None
    if outcomes.accuracy:
        yield "accuracy", outcomes.accuracy.value
        yield "accuracy_lower", outcomes.accuracy.lower
        yield "accuracy_upper", outcomes.accuracy.upper
    if outcomes.averages:
        yield "precision", outcomes.averages.precision
        yield "recall", outcomes.averages.recall
        yield "f1", outcomes.averages.f1
    estimated = one.model.quality.estimated if one.model.quality else None
    if estimated is not None:
        yield "accuracy_estimated", estimated.accuracy.value
    for figure, value in one.window.figures if one.window else ():
        if figure not in ("precision", "recall", "F1"):
            yield figure, value
    yield "features_drifted", one.drifted if one.features else None
    for feature in one.model.features:
        for score in feature.scores:
            yield f"drift/{feature.name}/{score.method}", score.score


def _key(name: str, figure: str) -> str:
    """A name that MLflow takes for a metric, which must be a clean relative path too. What is too long is cut in the
    middle, with a digest of it, so that no two are one."""
    parts = (_ILLEGAL.sub("_", part) for part in f"{name}/{figure}".split("/"))
    key = "/".join(part if part.strip(". ") else "_" for part in parts)
    if len(key) <= _MAX_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{key[:100]}_{digest}_{key[-100:]}".replace("/.", "/_")


class Tracking:
    """One tracking server."""

    def __init__(self, send: Send, address: str) -> None:
        self._send, self._address = send, address

    def log(self, report: Report, page: str, experiment: str) -> tuple[str, bool]:
        """(id of the run, whether the page was uploaded: False where the server is no proxy of its artifacts). Raises
        `Permanent`."""
        end = report.period.end if report.period else report.made
        start = report.period.start if report.period else report.made
        run = self._call(
            "POST",
            "runs/create",
            {
                "experiment_id": self._experiment(experiment),
                "start_time": round(start * 1000),
                "run_name": "sidecar report",
                "tags": [{"key": "sidecar.report.source", "value": report.source.description[:5000]}],
            },
        )
        try:
            assert run is not None
            run_id, uri = str(run["run"]["info"]["run_id"]), str(run["run"]["info"].get("artifact_uri", ""))
        except (KeyError, TypeError):
            raise self._foreign(200) from None
        try:
            self._figures(run_id, report, round(end * 1000))
            uploaded = self._upload(uri, page)
        except Permanent:
            with suppress(Permanent):
                self._finished(run_id, "FAILED", end)
            raise
        self._finished(run_id, "FINISHED", end)
        return run_id, uploaded

    def _figures(self, run_id: str, report: Report, time_ms: int) -> None:
        metrics = [
            {"key": key, "value": value, "timestamp": time_ms, "step": 0} for key, value in figures(report).items()
        ]
        for at in range(0, len(metrics), MAX_METRICS):
            self._call("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics[at : at + MAX_METRICS]})

    def _finished(self, run_id: str, status: str, end: float) -> None:
        self._call("POST", "runs/update", {"run_id": run_id, "status": status, "end_time": round(end * 1000)})

    def _experiment(self, name: str) -> str:
        path = "experiments/get-by-name?" + urlencode({"experiment_name": name})
        found = self._call("GET", path, None, missing="RESOURCE_DOES_NOT_EXIST")
        if found is None:
            found = {"experiment": self._call("POST", "experiments/create", {"name": name})}
        experiment = (found or {}).get("experiment")
        if not isinstance(experiment, dict) or "experiment_id" not in experiment:
            raise self._foreign(200)
        if experiment.get("lifecycle_stage") == "deleted":
            raise Permanent(f"MLflow at {self._address}: the experiment {name!r} is deleted; expected another name")
        return str(experiment["experiment_id"])

    def _upload(self, uri: str, page: str) -> bool:
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            return False
        path = f"/api/2.0/mlflow-artifacts/artifacts/{quote(parts.path.strip('/'))}/report.html"
        reply = self._reached("PUT", path, page.encode(), "text/html; charset=utf-8")
        if not 200 <= reply.status < 300:
            raise Permanent(f"MLflow at {self._address} refuses the artifact (HTTP {reply.status}): {_excerpt(reply)}")
        return True

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, missing: str | None = None
    ) -> dict[str, Any] | None:
        """The answer; None where the server says that what is asked for is `missing`."""
        sent = None if body is None else json.dumps(body).encode()
        reply = self._reached(method, f"/api/2.0/mlflow/{path}", sent, _JSON)
        try:
            found = json.loads(reply.body)
            assert isinstance(found, dict)
        except (ValueError, AssertionError):
            raise self._foreign(reply.status) from None
        if reply.status == 200:
            return found
        if missing is not None and found.get("error_code") == missing:
            return None
        raise Permanent(
            f"MLflow at {self._address} refuses {path.split('?')[0]} (HTTP {reply.status}): {_excerpt(reply)}"
        )

    def _reached(self, method: str, path: str, body: bytes | None, kind: str) -> Reply:
        try:
            return self._send(method, path, body, {} if body is None else {"content-type": kind})
        except Unreached as error:
            raise Permanent(f"MLflow at {self._address} gives no answer: {error.reason}: {error.detail}") from error

    def _foreign(self, status: int) -> Permanent:
        return Permanent(
            f"{self._address} does not answer as MLflow does (HTTP {status}); expected the address of a tracking server"
        )


def _excerpt(reply: Reply) -> str:
    return reply.body[:300].decode("utf-8", "replace")
