"""promtool on what monitoring/ ships: the configuration, the rules, and a unit test of every alert in each way."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support import monitoring_source as source
from support.engines import Child, answers, free_port, http_get, node_exporter, promtool

TESTS = sorted((source.PROMETHEUS / "tests").glob("*.yml"))
WAYS = (
    "fires",
    "does not fire just under its threshold",
    "resolves",
    "does not fire without data",
    "does not fire where a counter restarts",
    "does not fire where there never was data",
)


def run(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run([promtool(), *arguments], capture_output=True, timeout=120, check=False, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid() -> None:
    code, said = run("check", "config", "--lint=all", "--lint-fatal", source.PROMETHEUS / "prometheus.yml")
    assert code == 0, said


def test_rules_are_clean() -> None:
    rules = sorted((source.PROMETHEUS / "rules").glob("*.yml"))
    assert len(rules) >= 9
    code, said = run("check", "rules", "--lint=all", "--lint-fatal", *rules)
    assert code == 0, said


@pytest.mark.parametrize("path", sorted((source.PROMETHEUS / "examples").glob("*.yml")), ids=lambda p: p.name)
def test_examples_are_valid(path: Path) -> None:
    code, said = run("check", "config", "--syntax-only", path)
    assert code == 0, said


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_alerts_do_what_they_say(path: Path) -> None:
    code, said = run("test", "rules", path)
    assert code == 0, said


def test_every_alert_is_tested_in_every_way() -> None:
    names = {test["name"] for path in TESTS for test in yaml.safe_load(path.read_text("utf-8"))["tests"]}
    assert {f"{a.name} {way}" for a in source.alerts() for way in WAYS} - names == set()


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda text: text.replace("0.8", "0.78"), "HostCpuHigh does not fire just under its threshold"),
        (lambda text: text.replace("[5m]", "[5m]").replace("> 0.8\n", "> 8\n"), "HostCpuHigh fires"),
        (lambda text: text.replace("up{job!", "absent(x) + on () group_right () up{job!"), "ServiceDown fires"),
    ],
    ids=["lower", "higher", "other labels"],
)
def test_a_changed_rule_fails_its_test(change: source.Any, broken: str, tmp_path: Path) -> None:
    shutil.copytree(source.PROMETHEUS / "rules", tmp_path / "rules")
    (tmp_path / "tests").mkdir()
    shutil.copy(source.PROMETHEUS / "tests" / "alerts-infrastructure.yml", tmp_path / "tests")
    rules = tmp_path / "rules" / "alerts-infrastructure.yml"
    rules.write_text(change(rules.read_text("utf-8")))
    code, said = run("test", "rules", tmp_path / "tests" / "alerts-infrastructure.yml")
    assert code == 1
    assert broken in said


def test_the_host_metrics_are_those_of_the_exporter(tmp_path: Path) -> None:
    port = free_port()
    child = Child("node-exporter", [node_exporter(), f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log")
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/metrics"), 30)
        text = http_get(f"http://127.0.0.1:{port}/metrics")[1].decode()
    finally:
        child.stop()
    shown = set(re.findall(r"(?m)^([a-z_A-Z0-9]+)", text))
    assert set(source.exporters()["node-exporter"]) - shown == set()
