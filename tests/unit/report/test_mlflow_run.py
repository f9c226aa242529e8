"""Runs of MLflow, as a tracking server is asked for them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from support.report_data import EVIL
from support.report_sources import PERIOD, FakeSource, joined, predictions

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.report.building import build
from sidecar.report.contents import Report
from sidecar.report.mlflow_run import Tracking, figures
from sidecar.serve.pages.metric_families import Metrics


def report(name: str = "churn") -> Report:
    now = {
        "model_predictions": predictions(100, 3, name),
        "model_outcomes": joined({("a", "a"): 20, ("a", "b"): 5}, name),
    }
    return build(FakeSource(Metrics(now)), PERIOD, 1.0)


class Server:
    """A tracking server without an experiment."""

    def __init__(self, uri: str = "mlflow-artifacts:/0/run-1/artifacts") -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.kinds: list[str | None] = []
        self.uri = uri
        self.refuses = ""

    def __call__(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append((method, path.partition("?")[0].removeprefix("/api/2.0/"), body))
        self.kinds.append(headers.get("content-type"))
        if self.refuses and self.refuses in path:
            return Reply(400, b'{"error_code":"INVALID_PARAMETER_VALUE"}')
        if "get-by-name" in path:
            return Reply(404, b'{"error_code":"RESOURCE_DOES_NOT_EXIST"}')
        made = {"run": {"info": {"run_id": "run-1", "artifact_uri": self.uri}}, "experiment_id": "7"}
        return Reply(200, json.dumps(made).encode())


def test_figures_and_page_become_a_finished_run() -> None:
    server = Server()
    assert Tracking(server, "http://mlflow").log(report(), "<html>", "models") == ("run-1", True)
    paths = [path for _, path, _ in server.asked]
    assert paths == [
        "mlflow/experiments/get-by-name",
        "mlflow/experiments/create",
        "mlflow/runs/create",
        "mlflow/runs/log-batch",
        "mlflow-artifacts/artifacts/0/run-1/artifacts/report.html",
        "mlflow/runs/update",
    ]
    json_, page = "application/json", "text/html; charset=utf-8"
    assert server.kinds == [None, json_, json_, json_, page, json_]
    assert [tag["key"] for tag in json.loads(server.asked[2][2])["tags"]] == ["sidecar.report.source"]
    logged = json.loads(server.asked[3][2])["metrics"]
    assert {one["key"]: one["value"] for one in logged}["shop/churn/7/accuracy"] == 0.8
    assert {one["timestamp"] for one in logged} == {round(PERIOD.end * 1000)}
    assert server.asked[4][2] == b"<html>"
    assert json.loads(server.asked[5][2])["status"] == "FINISHED"


def test_a_server_that_is_no_proxy_gets_no_page() -> None:
    assert Tracking(Server("s3://bucket/x"), "http://m").log(report(), "<html>", "models") == ("run-1", False)


def test_a_run_that_cannot_be_written_has_failed() -> None:
    server = Server()
    server.refuses = "log-batch"
    with pytest.raises(Permanent, match=r"refuses runs/log-batch \(HTTP 400\)"):
        Tracking(server, "http://m").log(report(), "<html>", "models")
    assert json.loads(server.asked[-1][2])["status"] == "FAILED"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_what_is_no_mlflow_is_named(body: bytes) -> None:
    with pytest.raises(Permanent, match="does not answer as MLflow does"):
        Tracking(lambda *asked: Reply(200, body), "http://m").log(report(), "", "models")


def test_nobody_answers() -> None:
    def send(*asked: object) -> Reply:
        raise Unreached("unreachable", "refused")

    with pytest.raises(Permanent, match="MLflow at http://m gives no answer: unreachable: refused"):
        Tracking(send, "http://m").log(report(), "", "models")


@pytest.mark.parametrize("name", [EVIL, "../../etc", "a//b", "x" * 400])
def test_keys_are_names_that_mlflow_takes(name: str) -> None:
    for key in figures(report(name)):
        assert re.fullmatch(r"[\w\-. /:]+", key)
        assert all(part.strip(".") for part in key.split("/"))
        assert len(key) <= 250
    assert len(figures(report(name))) == len(figures(report()))
