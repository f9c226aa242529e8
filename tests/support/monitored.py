"""A sidecar, node-exporter and Prometheus with the shipped rules, and telemetry to see on them. Scraped and evaluated
every second; windows and `for` may be shortened."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.engines import (
    Child,
    SidecarProcess,
    answers,
    free_port,
    http_get,
    node_exporter,
    run_prometheus,
    sidecar_process,
)
from support.monitoring_source import PROMETHEUS

TOKEN = "a-token-of-the-test"
ENV = {
    "SIDECAR_RECEIVE__AUTH__TOKEN": TOKEN,
    "SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": "true",
    "SIDECAR_DERIVE__EXPERIMENTS__ENABLED": "true",
    "SIDECAR_DELIVER__STORE__ENABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs."""

    sidecar: SidecarProcess
    prometheus: str
    """Its address."""
    node: Child
    """node-exporter."""

    def query(self, expr: str) -> list[Any]:
        """The result of an instant query. AssertionError with Prometheus' words where it has an error."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        body = json.loads(http_get(url, timeout=60)[1])
        assert body["status"] == "success", (expr, body.get("error"))
        result: list[Any] = body["data"]["result"]
        return result

    def firing(self) -> set[str]:
        """Names of alerts that fire."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def post(self, path: str, body: Any, token: str = TOKEN) -> int:
        """Send JSON to the sidecar's ingest; the status of its answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.sidecar.otlp_url + path, data, headers), timeout=60
            ) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)


@contextmanager
def monitored(
    env: Mapping[str, str] | None = None,
    windows: Mapping[str, str] | None = None,
    hold: str | None = None,
    alertmanager: str | None = None,
    thresholds: Mapping[str, str] | None = None,
    node_flags: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
    beside: Sequence[str] = (),
) -> Iterator[Stack]:
    """The stack. `windows`: range in the rules -> shorter one; `hold`: every `for`; `alertmanager`: its address;
    `thresholds`: condition in the rules -> another one; `node_flags`: further ones of node-exporter;
    `more`: job of prometheus.yml -> address of a further target; `beside`: addresses of further sidecars."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="monitored-")))
        sidecar = stack.enter_context(sidecar_process({**ENV, **(env or {})}))
        node = f"127.0.0.1:{free_port()}"
        child = Child(
            "node-exporter", [node_exporter(), f"--web.listen-address={node}", *node_flags], folder / "node.log"
        )
        child.start()
        stack.callback(child.stop)
        child.wait_until(lambda: answers(f"http://{node}/metrics"), 30)
        (folder / "rules").mkdir()
        for path in (PROMETHEUS / "rules").glob("*.yml"):
            text = shortened(path.read_text("utf-8"), windows or {}, hold)
            for shipped, lowered in (thresholds or {}).items():
                text = text.replace(shipped, lowered)
            (folder / "rules" / path.name).write_text(text)
        jobs = {name: [address] for name, address in {"node": node, **(more or {})}.items()}
        config = configuration(folder, {"model-sidecar": [sidecar.serve_url, *beside], **jobs}, alertmanager)
        flags = ["--enable-feature=exemplar-storage"]
        server = stack.enter_context(run_prometheus(config, flags))
        yield Stack(sidecar, server.url, child)
        shutil.rmtree(folder / "rules", ignore_errors=True)


def shortened(rules: str, windows: Mapping[str, str], hold: str | None) -> str:
    """A rule file with other ranges and another `for`; every group is evaluated as often as the others."""
    rules = re.sub(r"(?m)^  interval: \S+\n", "", rules)
    rules = re.sub(r"\[(\w+)\]", lambda found: f"[{windows.get(found[1], found[1])}]", rules)
    return rules if hold is None else re.sub(r"(?m)^(\s+for:) \S+$", rf"\1 {hold}", rules)


def configuration(folder: Path, targets: Mapping[str, Sequence[str]], alertmanager: str | None) -> str:
    """The shipped prometheus.yml with those targets alone, every second."""
    body = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    body["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    body["rule_files"] = [f"{folder}/rules/*.yml"]
    body["alerting"] = {}
    if alertmanager is not None:
        body["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
        }
    jobs = [job for job in body["scrape_configs"] if job["job_name"] in targets]
    assert {job["job_name"] for job in jobs} == targets.keys()
    for job in jobs:
        del job["file_sd_configs"]
        addresses = [address.removeprefix("http://") for address in targets[job["job_name"]]]
        entry = {"targets": addresses, "labels": {"service": "wine"}}
        job["static_configs"] = [entry if job["job_name"] == "model-sidecar" else {"targets": entry["targets"]}]
    body["scrape_configs"] = jobs
    return yaml.safe_dump(body)


def spans(count: int, seconds: float = 0.03, failed: bool = False, service: str = "wine") -> dict[str, Any]:
    """An OTLP request with that many server spans of `POST /predict`."""
    now = time.time_ns()
    status = 500 if failed else 200
    attributes = [
        {"key": "http.route", "value": {"stringValue": "/predict"}},
        {"key": "http.response.status_code", "value": {"intValue": str(status)}},
    ]
    made = [
        {
            "traceId": f"{now + n:032x}",
            "spanId": f"{now + n:016x}",
            "name": "POST /predict",
            "kind": 2,
            "startTimeUnixNano": str(now - int(seconds * 1e9)),
            "endTimeUnixNano": str(now),
            "attributes": attributes,
            "status": {"code": 2} if failed else {},
        }
        for n in range(count)
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": made}]}]}


def prediction(**more: Any) -> bytes:
    """A JSON log line that reports a prediction."""
    line = {
        "service.name": "wine",
        "message": "predicted",
        "model": "wine",
        "model_version": "3",
        "predicted_class": "red",
        "confidence": 0.9,
        "latency_ms": 20,
        "batch_size": 1,
        **more,
    }
    return json.dumps(line).encode() + b"\n"


def experiment() -> bytes:
    """JSON log lines of an experiment whose variants differ in conversions, values and accuracy."""
    lines = []
    for n in range(600):
        id_, variant = f"order-{n}", "AB"[n % 2]
        lines.append(prediction(prediction_id=id_, experiment="ranking", variant=variant))
        right = n % 5 > n % 2
        lines.append(
            json.dumps({"event": "ml.label", "prediction_id": id_, "label": "red" if right else "white"}).encode()
        )
        if n % 10 in (0, 1, 2, 3, 5, 7):
            lines.append(json.dumps({"event": "conversion", "prediction_id": id_, "revenue": 10 + n % 7}).encode())
    return b"".join(line.rstrip() + b"\n" for line in lines)
