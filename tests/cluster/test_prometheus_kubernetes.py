"""The scrape configuration for Kubernetes in a Prometheus that has Kubernetes discovery (3.16), and the unit tests of
the alerts in its promtool. There is no cluster here: what it would find is not looked at."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support import certificates
from support import monitoring_source as source
from support.engines import http_get, prometheus3, run_prometheus

# The first run on a machine builds what is tested.
pytestmark = pytest.mark.timeout(1500)

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def promtool(*arguments: str | Path) -> tuple[int, str]:
    tool = prometheus3("promtool")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The configuration with a service account's files of the test's."""
    shutil.copytree(source.PROMETHEUS / "rules", tmp_path / "rules")
    (tmp_path / "token").write_text("token")
    shutil.copy(certificates.authority(tmp_path).cert, tmp_path / "ca.crt")
    file = tmp_path / "prometheus.yml"
    text = (source.PROMETHEUS / "prometheus-kubernetes.yml").read_text("utf-8")
    file.write_text(text.replace(ACCOUNT, str(tmp_path)).replace("rules/*.yml", f"{tmp_path}/rules/*.yml"))
    return file


def test_it_is_valid_with_its_rules(shipped: Path) -> None:
    code, said = promtool("check", "config", "--lint=all", "--lint-fatal", shipped)
    assert code == 0, said


@pytest.mark.parametrize("path", sorted((source.PROMETHEUS / "tests").glob("*.yml")), ids=lambda p: p.stem)
def test_alerts_do_what_they_say_in_version_3(path: Path) -> None:
    code, said = promtool("test", "rules", path)
    assert code == 0, said


def test_the_server_loads_it(shipped: Path) -> None:
    with run_prometheus(shipped.read_text("utf-8"), binary=prometheus3("prometheus")) as server:
        body = json.loads(http_get(f"{server.url}/api/v1/status/config")[1])
        loaded = {job["job_name"] for job in yaml.safe_load(body["data"]["yaml"])["scrape_configs"]}
        assert loaded == {"model-sidecar", "model-servers", "node", "cadvisor", "prometheus"}
        groups = json.loads(http_get(f"{server.url}/api/v1/rules?type=alert")[1])["data"]["groups"]
        assert sum(len(group["rules"]) for group in groups) == len(source.alerts())
