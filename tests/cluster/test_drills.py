"""Drills against a real sidecar, Prometheus, Alertmanager and node-exporter with the shipped files: each alert fires,
arrives at its receivers, reaches the webhooks of its team, and resolves. Windows, `for` and times among the thresholds
are shortened. The containers' two alerts are in tests/node."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import norm
from support.drift_data import event_request, reference
from support.engines import SidecarProcess, opensearch, run_alertmanager, sidecar_command, sidecar_process, wait_for
from support.engines.cache import ROOT
from support.engines.search import SearchEngine
from support.faults import faults_program
from support.hook import Received, receiving, shipped_for_here
from support.imitated_host import Host, imitated_host
from support.monitored import ENV, TOKEN, Stack, monitored
from support.monitoring_source import MONITORING, alerts

from sidecar.drills.catalog import DRILLS
from sidecar.drills.drill import Drill

# The first run on a machine builds what is tested.
pytestmark = pytest.mark.timeout(1500)

NOT_HERE = {"container-cpu", "container-memory"}
"""They need cAdvisor beside containers with limits."""
WINDOWS = {"5m": "15s", "15m": "10s", "30m": "15s", "1h": "15s", "6h": "15s", "3d": "15s", "1d": "20s"}
TIMES = {
    "offset 1d": "offset 20s",
    # The memory of ThroughputLow has to be longer than its drill.
    "max_over_time(service:requests:rate5m[20s])": "max_over_time(service:requests:rate5m[1h])",
    "model:last_prediction_timestamp_seconds:max > 900": "model:last_prediction_timestamp_seconds:max > 5",
    "sidecar_consumer_lag_seconds > 300": "sidecar_consumer_lag_seconds > 3",
}
CHANNELS = {
    "ml": "#ml-team",
    "devops": "#devops-team",
    "business": "#business-metrics",
    "security": "#security-alerts",
}
HOW_TO = ROOT / "docs" / "how-to" / "drills.md"
SUITE = re.compile(r"(?s)```json\n(.*?)```")
"""The suite that the page gives."""
TELEMETRY = [drill for drill in DRILLS if drill.fault is None]
FAULTS = [drill for drill in DRILLS if drill.fault is not None and drill.name not in NOT_HERE]
_TEMPLATE = {
    "index_patterns": ["traces-*", "logs-*"],
    "data_stream": {},
    "priority": 500,
    "template": {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"@timestamp": {"type": "date"}}}},
}


def verified(stack: Stack, manager: str, drills: Sequence[Drill], *more: str | Path) -> None:
    """Run the command; print its table. AssertionError where one drill failed."""
    arguments = ["--url", stack.sidecar.otlp_url, "--token", TOKEN, "--timeout", "120s", *more]
    arguments += ["--prometheus", stack.prometheus, "--alertmanager", manager]
    command = [sidecar_command(), "drill", *(drill.name for drill in drills), "--verify", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[1].rstrip(":") for line in done.stdout.splitlines()} == {d.name for d in drills}


def delivered(received: Received, wanted: Set[str]) -> None:
    """Every alert came to the hook, as firing and as resolved, to the pager where it is critical, and to its team."""
    labels = {a.name: a.labels for a in alerts()}

    def hooked(status: str) -> set[str]:
        return {a["labels"]["alertname"] for b in received.to("/hook") for a in b["alerts"] if a["status"] == status}

    wait_for(lambda: wanted <= hooked("resolved"), 60, "the webhook has them as resolved")
    assert wanted <= hooked("firing")
    slack = {(b["channel"], b["attachments"][0]["title"].split("] ")[1].split()[1]) for b in received.to("/slack")}
    pager = {page["payload"]["summary"].split("] ")[1].split()[1] for page in received.to("/pager")}
    critical = {name for name in wanted if labels[name]["severity"] == "critical"}
    assert critical <= pager
    assert {("#mlops-critical", name) for name in critical} <= slack
    teams = {(CHANNELS[labels[name]["team"]], name) for name in wanted if labels[name]["team"] in CHANNELS}
    assert teams <= slack


def test_drills_of_telemetry(tmp_path: Path) -> None:
    """Those without a fault, at the same time."""
    rules = yaml.safe_load((MONITORING / "sidecar" / "business-rules.yaml").read_text("utf-8"))["derive"]["rules"]
    values = np.random.default_rng(7)
    normal = reference({name: values.normal(0, 1, 2000) for name in ("width", "height", "depth")})
    (tmp_path / "reference.json").write_text(normal.dump())
    (tmp_path / "suite.json").write_text(SUITE.search(HOW_TO.read_text("utf-8"))[1])
    env = {
        "SIDECAR_DERIVE__RULES": json.dumps(rules),
        "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(tmp_path / "reference.json"),
        "SIDECAR_DERIVE__DRIFT__SUITES": str(tmp_path / "suite.json"),
        "SIDECAR_DERIVE__DRIFT__WINDOW": "20s",
        "SIDECAR_DERIVE__DRIFT__SUB_WINDOWS": "10",
        "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s",
        "SIDECAR_DERIVE__DRIFT__WARM_UP": "0s",
    }
    with (
        receiving() as (hook, received),
        run_alertmanager(shipped_for_here(tmp_path, hook)) as manager,
        monitored(env, WINDOWS, "1s", manager.url, TIMES) as stack,
    ):
        verified(stack, manager.url, TELEMETRY)
        delivered(received, {drill.alert for drill in TELEMETRY})


def faults_of(
    stack: Stack, engine: SearchEngine, host: Host
) -> Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """What breaks this stack."""

    def set_memory(used: float) -> Callable[[], None]:
        return lambda: host.memory(used)

    def set_busy(busy: bool) -> Callable[[], None]:
        return lambda: setattr(host, "busy", busy)

    hang = (lambda: os.kill(engine.pid, signal.SIGSTOP), lambda: os.kill(engine.pid, signal.SIGCONT))
    return {
        "sidecar-down": (stack.sidecar.kill9, stack.sidecar.start),
        "delivery-stalled": hang,
        "journal-filling": hang,
        "dead-letters": (lambda: refuse(engine, True), lambda: accept(engine, stack)),
        "service-down": (stack.node.stop, stack.node.start),
        "host-cpu": (set_busy(True), set_busy(False)),
        "host-memory": (set_memory(0.95), set_memory(0.3)),
        "host-disk": (host.fill, host.empty),
    }


def refuse(engine: SearchEngine, strict: bool) -> None:
    """Whether new documents have to have members that are known, from the next index of the stream on."""
    template = json.loads(json.dumps(_TEMPLATE))
    template["template"]["mappings"]["dynamic"] = "strict" if strict else "true"
    ask(f"{engine.url}/_index_template/drill", "PUT", template)
    for stream in json.loads(ask(f"{engine.url}/_data_stream", "GET"))["data_streams"]:
        ask(f"{engine.url}/{stream['name']}/_rollover", "POST", {})


def accept(engine: SearchEngine, stack: Stack) -> None:
    """The mapping is right again, and the dead letters are sent again."""
    refuse(engine, False)
    replay = [sidecar_command(), "journal", "dead-letters", "replay"]
    subprocess.run(replay, env={**os.environ, **delivery(engine), **journal(stack)}, check=True, timeout=120)


def ask(url: str, method: str, body: Any = None) -> bytes:
    """The body of a reply that is a success."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        found: bytes = reply.read()
    return found


def delivery(engine: SearchEngine) -> dict[str, str]:
    return {
        **ENV,
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url,
        "SIDECAR_DELIVER__ELASTICSEARCH__TIMEOUT": "5s",
        "SIDECAR_DELIVER__ELASTICSEARCH__RETRY__MAX_INTERVAL": "2s",
        "SIDECAR_JOURNAL__QUOTA_BYTES": "16MiB",
    }


def journal(stack: Stack) -> dict[str, str]:
    return {"SIDECAR_JOURNAL__PATH": str(stack.sidecar.data_dir / "journal")}


def test_drills_with_faults(tmp_path: Path) -> None:
    """A killed sidecar, an engine that hangs or refuses, an exporter that is gone, a host in need: one by one."""
    with (
        receiving() as (hook, received),
        run_alertmanager(shipped_for_here(tmp_path, hook)) as manager,
        opensearch() as engine,
        imitated_host(tmp_path) as host,
        monitored(delivery(engine), WINDOWS, "1s", manager.url, TIMES, host.flags) as stack,
    ):
        refuse(engine, False)
        with faults_program(tmp_path, faults_of(stack, engine, host)) as program:
            verified(stack, manager.url, FAULTS, "--faults", program)
        delivered(received, {drill.alert for drill in FAULTS})


ROWS = norm.ppf((np.arange(190) + 0.5) / 190)
"""So few that a move by half a deviation is certain of two pods together, and of none by itself."""


def test_drift_that_no_pod_finds_by_itself(tmp_path: Path) -> None:
    """No drill can make it: it takes two sidecars."""
    trained = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    (tmp_path / "reference.json").write_text(reference({"width": trained}).dump())
    env = {
        "SIDECAR_RECEIVE__AUTH__TOKEN": TOKEN,
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(tmp_path / "reference.json"),
        "SIDECAR_DERIVE__DRIFT__WINDOW": "1d",
        "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s",
        "SIDECAR_DERIVE__DRIFT__WARM_UP": "0s",
    }
    with (
        receiving() as (hook, received),
        run_alertmanager(shipped_for_here(tmp_path, hook)) as manager,
        sidecar_process(env) as other,
        monitored(env, {}, "1s", manager.url, beside=[other.serve_url]) as stack,
    ):
        pods = (stack.sidecar, other)

        def sent(values: Any) -> None:
            for pod in pods:
                send_rows(pod, values)
                time.sleep(1.5)  # The next payload is of another interval of checks, and comes after the check.
                send_rows(pod, values[:1])

        sent(ROWS + 0.55)
        wait_for(lambda: "FleetDriftDetected" in stack.firing(), 60, "the alert of both")
        assert stack.query("sum(data_drift_detected)")[0]["value"][1] == "0"
        sent(np.tile(ROWS, 10))
        wait_for(lambda: "FleetDriftDetected" not in stack.firing(), 60, "the end of the alert")
        delivered(received, {"FleetDriftDetected"})


def send_rows(pod: SidecarProcess, values: Any) -> None:
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {TOKEN}"}
    body = event_request({"width": values.tolist()})
    with urllib.request.urlopen(urllib.request.Request(f"{pod.otlp_url}/v1/logs", body, headers), timeout=60) as reply:
        assert reply.status == 200


def test_every_alert_is_tried_here_but_those_of_containers() -> None:
    tried = {drill.alert for drill in (*TELEMETRY, *FAULTS)} | {"FleetDriftDetected"}
    containers = {drill.alert for drill in DRILLS if drill.name in NOT_HERE}
    assert tried | containers == {alert.name for alert in alerts()}
