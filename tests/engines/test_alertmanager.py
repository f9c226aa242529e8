"""The shipped configuration of Alertmanager: its checkers, the route of every alert; a real one that gets alerts."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import monitoring_source as source
from support.engines import amtool, http_get, run_alertmanager, wait_for
from support.hook import CONFIG, FOLDER, receiving, shipped_for_here

from sidecar.drills.alert_routes import receivers

# The first run on a machine builds what is tested.

TEAMS = {"ml": "ml-team", "devops": "devops-team", "business": "business-metrics", "security": "security"}


def run(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run([amtool(), *arguments], capture_output=True, timeout=300, check=False, text=True)
    return done.returncode, done.stdout or done.stderr


def test_amtool_has_nothing_to_say() -> None:
    code, said = run("check-config", CONFIG)
    assert code == 0, said
    assert "7 receivers" in said
    assert "1 templates" in said


def test_amlint_has_nothing_to_say() -> None:
    tool = Path(sys.executable).with_name("amlint")
    done = subprocess.run([tool, "check", CONFIG], capture_output=True, timeout=300, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout


@pytest.mark.parametrize("alert", source.alerts(), ids=lambda a: a.name)
def test_the_route_of_an_alert(alert: Any) -> None:
    """Critical ones to those on call, all to their team; what is no team's to the default address."""
    labels = [f"{name}={value}" for name, value in alert.labels.items() if "{{" not in value]
    code, said = run("config", "routes", "test", f"--config.file={CONFIG}", f"alertname={alert.name}", *labels)
    assert code == 0, said
    wanted = ["hook"]
    if alert.labels["severity"] == "critical":
        wanted.append("critical")
    if alert.labels["team"] in TEAMS:
        wanted.append(TEAMS[alert.labels["team"]])
    elif alert.labels["severity"] != "critical":
        wanted.append("default-email")
    assert said.splitlines()[-1].split(",") == wanted
    assert receivers(None).expected(alert.labels) == sorted(wanted), "what `sidecar drill --verify` compares with"


def test_receivers_are_the_channels_that_teams_have() -> None:
    body = yaml.safe_load(CONFIG.read_text("utf-8"))
    receivers = {r["name"]: r for r in body["receivers"]}
    channels = {n: r["slack_configs"][0]["channel"] for n, r in receivers.items() if "slack_configs" in r}
    assert channels == {
        "critical": "#mlops-critical",
        "ml-team": "#ml-team",
        "devops-team": "#devops-team",
        "business-metrics": "#business-metrics",
        "security": "#security-alerts",
    }
    assert {"pagerduty_configs", "email_configs"} <= receivers["critical"].keys()
    assert "email_configs" in receivers["security"]
    assert (body["route"]["repeat_interval"], body["route"]["group_by"]) == ("4h", ["alertname", "cluster", "service"])


def fire(url: str, name: str, *, ended: bool = False, **labels: str) -> None:
    """Post the shipped alert of that name, as Prometheus does."""
    (alert,) = [a for a in source.alerts() if a.name == name]
    fixed = {k: v for k, v in alert.labels.items() if "{{" not in v}
    now = datetime.now(UTC)
    body = {
        "labels": {"alertname": name, "cluster": "c", **fixed, **labels},
        "annotations": dict(alert.annotations),
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        **({"endsAt": now.isoformat()} if ended else {}),
    }
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps([body]).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200


def states(url: str) -> dict[str, str]:
    """Alert name -> suppressed or active."""
    found = json.loads(http_get(f"{url}/api/v2/alerts")[1])
    return {a["labels"]["alertname"] + a["labels"].get("service", ""): a["status"]["state"] for a in found}


def test_what_a_real_one_does(tmp_path: Path) -> None:
    """Routes, inhibition, messages and resolution, in one run."""
    with receiving() as (hook, received), run_alertmanager(shipped_for_here(tmp_path, hook)) as manager:
        fire(manager.url, "LatencyP95Critical", service="wine")
        fire(manager.url, "LatencyP95AboveWarning", service="wine")
        fire(manager.url, "LatencyP95AboveWarning", service="shop")
        fire(manager.url, "ServiceDown", service="down", instance="down:8000")
        fire(manager.url, "ErrorRateHigh", service="down")
        fire(manager.url, "SidecarDown", service="side", instance="side:9464")
        fire(manager.url, "DeliveryStalled", instance="side:9464", consumer="elasticsearch")
        fire(manager.url, "ConfidenceLow", service="side", model="m", version="7")
        fire(manager.url, "PredictionErrorsHigh", service="wine", model="wine-model", version="7")
        wanted = {
            "LatencyP95AboveWarningwine": "suppressed",
            "LatencyP95AboveWarningshop": "active",
            "LatencyP95Criticalwine": "active",
            "ServiceDowndown": "active",
            "ErrorRateHighdown": "suppressed",
            "SidecarDownside": "active",
            "DeliveryStalled": "suppressed",
            "ConfidenceLowside": "suppressed",
            "PredictionErrorsHighwine": "active",
        }
        wait_for(lambda: states(manager.url) == wanted, 20, "every alert has its state")
        fire(manager.url, "PredictionErrorsHigh", service="wine", model="wine-model", version="7", ended=True)
        wait_for(lambda: "resolved" in {b["status"] for b in received.to("/hook")}, 20, "one is resolved")
        hooked = {a["labels"]["alertname"] for b in received.to("/hook") for a in b["alerts"]}
        assert hooked == {
            "LatencyP95AboveWarning", "LatencyP95Critical", "ServiceDown", "SidecarDown", "PredictionErrorsHigh",
        }  # fmt: skip
        slack = {(b["channel"], b["attachments"][0]["title"]): b["attachments"][0] for b in received.to("/slack")}
        said = slack["#ml-team", "[FIRING 1] WARNING PredictionErrorsHigh wine"]
        assert "model wine-model version 7" in said["text"]
        assert "silences/new?filter=%7Balertname%3D%22PredictionErrorsHigh%22%2Cservice%3D%22wine%22%7D" in said["text"]
        assert said["title_link"].endswith("/d/sidecar-model-performance")
        assert ("#mlops-critical", "[FIRING 1] CRITICAL LatencyP95Critical wine") in slack
        pages = {page["payload"]["summary"] for page in received.to("/pager")}
        assert "[FIRING 1] CRITICAL ServiceDown down" in pages


def test_the_email_is_rendered() -> None:
    text = '{{ template "sidecar.title" . }}|{{ template "sidecar.html" . }}'
    code, said = run("template", "render", f"--template.glob={FOLDER}/templates/*.tmpl", f"--template.text={text}")
    assert code == 0, said
    assert "<h3>" in said
    assert "Silence</a>" in said
