"""Dashboards: against Grafana's published schema, and every query asked of a Prometheus that has seen telemetry."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support import monitoring_source as source
from support.drift_data import encode_value, event_request
from support.engines import need, npm_project, sidecar_command, wait_for
from support.engines.cache import command, entry
from support.engines.databases import postgres_exporter, redis_commands, redis_exporter
from support.monitored import Stack, experiment, monitored, prediction, spans
from support.quality_data import suite

from sidecar.outcomes.job import JOB

# The first run on a machine builds what is tested.

SCHEMA = {"@grafana/schema": "13.2.3", "ajv": "8.20.0", "ts-json-schema-generator": "2.4.0"}
FOREIGN = ("container_", "kube_")
"""Beginnings of metrics whose exporters are not run here."""
YESTERDAY = (
    "sidecar-data-quality: Rows, of the same hour yesterday",
    "sidecar-business: Revenue impact, of the day before",
)
"""Panels that compare with the day before, which there was none of."""
WHEN_SOMETHING_IS_WRONG = {
    "sidecar-overview: Firing alerts",
    "sidecar-ab-test: Differences that are certain",
    "sidecar-pipeline: Dropped",
    "sidecar-pipeline: Retries",
    "sidecar-pipeline: Dead letters",
    "sidecar-pipeline: Label budgets",
    "sidecar-pipeline: Redacted and filtered",
    "sidecar-pipeline: Rejected, duplicate and repaired",
    "sidecar-data-quality: Features left out",
    "sidecar-data-quality: Duplicate predictions",
    *YESTERDAY,
}
"""Panels of which a query may be empty while all is well."""


def schema(modules: Path) -> Path:
    """JSON Schema of Grafana's published type of a dashboard."""
    types = modules / "@grafana/schema/dist/types/raw/dashboard/x/types.gen.d.ts"

    def make(directory: Path) -> None:
        generator = modules / ".bin" / "ts-json-schema-generator"
        text = command(
            [generator, "--path", types, "--type", "Dashboard", "--no-type-check"],
            "Grafana's schema",
            120,
            cwd=directory,
        )
        (directory / "dashboard.json").write_text(text)

    return entry("grafana-schema-13.2.3", make) / "dashboard.json"


def test_dashboards_have_the_form_that_grafana_publishes() -> None:
    node = need("node")
    modules = npm_project(SCHEMA)
    boards = [json.loads(json.dumps(board)) for board in source.dashboards().values()]
    for board in boards:
        for annotation in board["annotations"]["list"]:
            # The type says of itself that it is wrong here: an annotation has its data source's query.
            assert annotation.pop("expr")
    script = (
        "const Ajv = require('ajv').default, fs = require('fs');"
        "const valid = new Ajv({strict: false, allErrors: true}).compile(JSON.parse(fs.readFileSync(process.argv[1])));"
        "const problems = b => valid(b) ? [] : valid.errors.map(e => e.instancePath + e.message);"
        "console.log(JSON.stringify(JSON.parse(fs.readFileSync(0)).map(problems)));"
    )
    broken = {**boards[0], "panels": "none"}
    done = subprocess.run(
        [node, "-e", script, schema(modules)],
        input=json.dumps([*boards, broken]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"NODE_PATH": str(modules)},
    )
    *problems, of_the_broken = json.loads(done.stdout)
    assert problems == [[] for _ in boards]
    assert of_the_broken


TRAINED = {"alcohol": [float(n) for n in range(100)], "color": ["red", "white"] * 50}
ODD = {"alcohol": [None, 500.0, "much", 3.0], "color": ["green", None, "red", "white"]}
"""A value of each kind that breaks a rule of data quality."""
EXPECTED = (
    ("expect_column_values_to_be_between", {"column": "alcohol", "max_value": 99}),
    ("expect_column_mean_to_be_between", {"column": "alcohol", "min_value": 1}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "alcohol", "column_B": "color"}),
)
"""What a suite expects: one that is met, one that is not, one that is not evaluated."""


def features(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """An event of the zero-code instrumentation with these features, as OTLP in JSON."""
    request = ExportLogsServiceRequest.FromString(event_request(columns, "wine", "3"))
    request.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = time.time_ns()
    return json_format.MessageToDict(request)


def loaded(importance: Mapping[str, float]) -> dict[str, Any]:
    """The event of a model's loading, with how much its features count."""
    request = ExportLogsServiceRequest.FromString(event_request({}, "wine", "3"))
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.event_name, record.time_unix_nano = "ml.model.loaded", time.time_ns()
    record.body.CopyFrom(encode_value({"features": importance}))
    return json_format.MessageToDict(request)


def of_the_app() -> dict[str, Any]:
    """Metrics of OpenTelemetry's HTTP and database instrumentations."""
    now = str(time.time_ns())

    def pool(state: str) -> list[dict[str, Any]]:
        named = {"db.client.connection.pool.name": "orders", **({"db.client.connection.state": state} if state else {})}
        return [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]

    def updown(name: str, *points: tuple[int, list[dict[str, Any]]]) -> dict[str, Any]:
        made = [{"timeUnixNano": now, "asInt": str(value), "attributes": at} for value, at in points]
        return {"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": False, "dataPoints": made}}

    metrics = [
        updown("http.server.active_requests", (3, [])),
        updown("db.client.connection.count", (4, pool("used")), (6, pool("idle"))),
        updown("db.client.connection.max", (10, pool(""))),
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "wine"}}]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}


def labelled_reference(folder: Path) -> Path:
    """The reference of another version, whose scores and labels say how often it is right at which score."""
    lines = [f"red,{0.6 + n % 4 / 10},{'red' if n % 5 else 'white'}" for n in range(400)]
    data, made = folder / "training.csv", folder / "reference.json"
    data.write_text("\n".join(["class,score,truth", *lines]) + "\n")
    named = ["--model", "wine", "--model-version", "4", "--prediction", "class", "--score", "score", "--label", "truth"]
    subprocess.run([sidecar_command(), "profile", str(data), *named, "--out", str(made)], check=True, timeout=60)
    return made


def outcomes(truth: str | float, version: str = "3", **columns: Any) -> dict[str, Any]:
    """An event with a prediction id and these columns, and a label about all of its rows."""
    request = ExportLogsServiceRequest.FromString(event_request({}, "wine", version, **columns))
    records = request.resource_logs[0].scope_logs[0].log_records
    now = time.time_ns()
    records[0].time_unix_nano = now
    records[0].attributes.add(key="ml.prediction.id").value.string_value = str(now)
    label = records.add(event_name="ml.label", time_unix_nano=now)
    label.attributes.add(key="ml.prediction.id").value.string_value = str(now)
    label.attributes.add(key="ml.label.value").value.CopyFrom(encode_value(truth))
    return json_format.MessageToDict(request)


def figures() -> bytes:
    """Lines that the rules of monitoring/sidecar/business-rules.yaml read."""
    lines = (
        {"kind": "order", "revenue_impact": 12.5},
        {"kind": "automation", "cost_savings": 2},
        {"kind": "cost", "cost": 1},
        {"kind": "survey", "score": 4.5},
        {"kind": "usage", "active_users": 120},
    )
    return b"".join(json.dumps({"service.name": "shop", "message": "m", **line}).encode() + b"\n" for line in lines)


def send(stack: Stack, redis: int) -> None:
    """A little of everything."""
    assert stack.post("/v1/traces", spans(5)) == 200
    assert stack.post("/v1/traces", spans(1, failed=True)) == 200
    lines = prediction() + prediction(predicted_class="white", stage="preprocess")
    lines += prediction(predicted_class=None, prediction_value=3.5, level="ERROR", **{"exception.type": "ValueError"})
    assert stack.post("/v1/json", lines + figures()) == 200
    assert stack.post("/v1/json", prediction(), token="wrong") == 401
    assert stack.post("/v1/logs", features(TRAINED)) == 200
    assert stack.post("/v1/logs", features(ODD)) == 200
    assert stack.post("/v1/logs", loaded({"alcohol": 0.75, "color": 0.25})) == 200
    for truth in ("red", "white"):
        columns = {"class": ["red", truth, truth] * 4, "score": [0.6, 0.9, 0.8] * 4}
        assert stack.post("/v1/logs", outcomes(truth, **columns)) == 200
    scores = {"class": ["red"] * 12, "score": [0.6, 0.7, 0.8] * 4}
    assert stack.post("/v1/logs", outcomes("red", "4", **scores)) == 200
    assert stack.post("/v1/logs", outcomes(3.0, value=[2.5, 3.5, 3.2] * 4)) == 200
    assert stack.post("/v1/metrics", of_the_app()) == 200
    redis_commands(redis, "SET key 1", "EXISTS key", "EXISTS other")


def shown(stack: Stack) -> dict[str, list[Any]]:
    """Panel and expression -> what Prometheus answers."""
    return {f"{panel}|{expr}": stack.query(source.asked(expr)) for panel, _, expr in source.panels()}


def empty(found: dict[str, list[Any]]) -> set[str]:
    """Panels' queries without an answer that should have one."""
    return {
        key
        for key, result in found.items()
        if not result
        and key.partition("|")[0] not in WHEN_SOMETHING_IS_WRONG
        and not any(name.startswith(FOREIGN) for name in source.metrics_named(source.asked(key.partition("|")[2])))
    }


def unanswered(stack: Stack) -> list[str]:
    """Names of existing dashboards for which there is nothing, or nothing with the labels that these ask for."""
    asked = {name: ",".join(f'{label}!=""' for label in labels) for name, labels in source.LEGACY.items()}
    return [f"{name}{{{labels}}}" for name, labels in asked.items() if not stack.query(f"{name}{{{labels}}}")]


def test_every_query_of_every_panel_and_every_old_name_has_an_answer(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("a line\n")
    (tmp_path / "suite.json").write_text(suite(EXPECTED))
    rules = yaml.safe_load((source.MONITORING / "sidecar" / "business-rules.yaml").read_text("utf-8"))
    env = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": str(tmp_path / "*.log"),
        "SIDECAR_DERIVE__RULES": json.dumps(rules["derive"]["rules"]),
        "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
        "SIDECAR_DERIVE__DRIFT__LEARN": "100",
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(labelled_reference(tmp_path)),
        "SIDECAR_DERIVE__DRIFT__SUITES": str(tmp_path / "suite.json"),
        "SIDECAR_DERIVE__DRIFT__WINDOW": "10s",
        "SIDECAR_DERIVE__DRIFT__SUB_WINDOWS": "5",
        "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s",
    }
    with (
        postgres_exporter() as postgres,
        redis_exporter() as (redis, port),
        # Of MLflow only whether it answers is asked: any server does.
        monitored(env, more={"postgres": postgres, "redis": redis, "mlflow": postgres}) as stack,
    ):
        assert stack.post("/v1/json", experiment()) == 200

        def complete() -> bool:
            send(stack, port)
            return not empty(shown(stack)) and not unanswered(stack)

        try:
            wait_for(complete, 120, "every panel shows something, every old name too", interval=1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {sorted(empty(shown(stack)))}, {unanswered(stack)}") from None
        exprs = [alert.expr for alert in source.alerts()] + list(source.recorded().values())
        named = {one for expr in exprs for one in re.findall(r"(?:sidecar|model|traces)_\w+\{[^}]*\}", expr)}
        selectors = {one for one in named if JOB not in one}  # Nothing pushes the figures of `sidecar outcomes` here.
        assert len(selectors) > 5
        assert [one for one in sorted(selectors) if not stack.query(one)] == []
        (legacy,) = stack.query('sum by (service, endpoint, status, method) (http_requests_total{status="500"})')
        assert legacy["metric"] == {"service": "wine", "endpoint": "/predict", "status": "500", "method": "POST"}
