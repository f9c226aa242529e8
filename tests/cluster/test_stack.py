"""compose.yaml up, by Docker's own compose over podman, as docs/how-to/compose.md says: the programs are those of the
versions that it names, their images made here. Kibana, Logstash, Grafana and cAdvisor are not among them."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.engines import http_get, sidecar_command, wait_for
from support.engines.containers import Containers
from support.promql import values
from support.stack import images
from support.stack.running import Stack, stack

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(2400)]

T = TypeVar("T")
ASKED = ("model", "sidecar", "prometheus", "alertmanager", "elasticsearch")
"""Those that `sidecar health` asks and that are here."""
ONCE = {"bundle", "elasticsearch-volume", "elasticsearch-setup", "kibana-password"}
ROW = [13, 2, 2.4, 17, 100, 2.8, 3, 0.3, 1.9, 5, 1, 3, 1000]
PROMETHEUS, ELASTICSEARCH = "http://127.0.0.1:9090", "http://127.0.0.1:9200"
SPANS = "traces-*/_count?q=name:%22POST%20/predict%22"


@pytest.fixture(scope="module")
def up(own_images: Containers, stack_folder: Path) -> Iterator[Stack]:
    with stack(stack_folder, [own_images.home / "graph", images.model(), images.others()]) as made:
        made.compose("up", "--detach", "--no-build", "--pull", "never", timeout=2000)
        wait_for(lambda: health(made).returncode == 0, 120, "every service", interval=1)
        yield made


def health(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    """`sidecar health`, on the host that the ports are published on."""
    only = [word for name in ASKED for word in ("--only", name)]
    asked = ["--targets", ".stack/health-targets.yaml", "--timeout", "30s", *only, *options]
    return stack.namespaces.run("env", f"--chdir={stack.folder}", sidecar_command(), "health", *asked)


def predict(stack: Stack, times: int) -> None:
    def ask() -> None:
        for _ in range(times):
            body = json.dumps({"rows": [ROW]}).encode()
            request = urllib.request.Request(
                "http://127.0.0.1:8000/predict", body, {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                assert json.load(reply) == {"predictions": ["class_0"]}

    stack.namespaces.inside(ask)


def search(stack: Stack, path: str, method: str = "GET", body: Any = None, password: str = "") -> Any:
    """JSON of a request to Elasticsearch by `elastic`; AssertionError with its words where it is refused."""
    password = password or (stack.folder / ".stack" / "secrets" / "elastic-password").read_text()
    headers = {"authorization": f"Basic {b64encode(f'elastic:{password}'.encode()).decode()}"}
    data = None if body is None else json.dumps(body).encode()
    headers |= {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(f"{ELASTICSEARCH}/{path}", data, headers, method=method)

    def ask() -> Any:
        try:
            with urllib.request.urlopen(request, timeout=900) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{error.code}: {error.read().decode()[:1000]}") from None

    return stack.namespaces.inside(ask)


def documents(stack: Stack) -> int:
    search(stack, "_refresh", "POST")
    return int(search(stack, SPANS)["count"])


def scraped(stack: Stack, expression: str) -> float:
    return sum(stack.namespaces.inside(lambda: values(PROMETHEUS, expression)))


def test_every_service_answers(up: Stack) -> None:
    done = health(up)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {row[1] for row in rows if row[0] == "up"} == set(ASKED)
    assert done.stdout.splitlines()[-1] == f"{len(ASKED)} up, 0 down"


def test_health_checks_of_containers_succeed_and_what_ends_has_succeeded(up: Stack) -> None:
    """Checks are commands in the images: shells, promtool, amtool, curl and wget are there."""
    wait_for(lambda: {up.containers()[name]["State"] for name in ONCE} == {"exited"}, 120, "what ends", interval=1)
    services = up.containers()
    assert {name: services[name]["ExitCode"] for name in ONCE} == dict.fromkeys(ONCE, 0)
    checked = services.keys() - ONCE - {"pod"}

    def unwell() -> set[str]:
        return {name for name in checked if up.containers()[name]["Status"] != "healthy"}

    assert len(checked) == 6
    wait_for(lambda: not unwell(), 120, "healthy containers", interval=1)
    assert all(services[name]["State"] == "running" for name in checked | {"pod"})


def test_predictions_become_metrics_and_documents(up: Stack) -> None:
    before = documents(up)
    predict(up, 20)
    wait_for(lambda: documents(up) == before + 20, 60, "documents", interval=0.5)
    for metric in (
        'traces_span_metrics_calls_total{span_name="POST /predict"}',
        'model_predictions_total{status="ok"}',
    ):
        wait_for(lambda metric=metric: scraped(up, metric) >= 20, 60, metric, interval=0.5)
    with pytest.raises(AssertionError, match="401: "):
        search(up, SPANS, password="another")


def test_prometheus_sees_all_of_them(up: Stack) -> None:
    def state() -> dict[str, str]:
        found = json.loads(http_get(f"{PROMETHEUS}/api/v1/targets?state=active")[1])["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found if target["labels"]["job"] != "cadvisor"}

    jobs = ("model-sidecar", "node", "prometheus", "alertmanager")
    wait_for(lambda: up.namespaces.inside(state) == dict.fromkeys(jobs, "up"), 60, "targets", interval=0.5)
    assert scraped(up, 'node_filesystem_size_bytes{mountpoint="/"}') > 0, "node-exporter sees the host's file systems"
    found = up.namespaces.inside(lambda: json.loads(http_get(f"{PROMETHEUS}/api/v1/alertmanagers")[1]))
    assert [entry["url"] for entry in found["data"]["activeAlertmanagers"]] == [
        "http://alertmanager:9093/api/v2/alerts"
    ]
    assert scraped(up, "sum(prometheus_rule_group_rules)") > 100


def test_containers_are_as_closed_as_the_file_says(up: Stack) -> None:
    wanted = json.loads(up.compose("config", "--format", "json"))["services"]
    for name, container in up.containers().items():
        details = json.loads(up.namespaces.must("podman", "inspect", container["Id"]))[0]
        host = details["HostConfig"]
        assert host["Memory"] == int(wanted[name]["mem_limit"]), name
        assert host["ReadonlyRootfs"] == bool(wanted[name].get("read_only")), name
        assert details["EffectiveCaps"] in (None, []), name
        ports = [one["HostIp"] for all_of in (host["PortBindings"] or {}).values() for one in all_of or ()]
        assert set(ports) <= {"127.0.0.1"}, name


def test_snapshots_can_be_written(up: Stack) -> None:
    """Docker gives a new volume to root; this is the folder of docs/how-to/backup.md."""
    repository = {"type": "fs", "settings": {"location": "/usr/share/elasticsearch/snapshots"}}
    timeouts = "master_timeout=10m&timeout=10m"
    assert search(up, f"_snapshot/backups?{timeouts}", "PUT", repository) == {"acknowledged": True}
    path = "_snapshot/backups/one?wait_for_completion=true&master_timeout=10m"
    assert search(up, path, "PUT", {"indices": "traces-*"})["snapshot"]["state"] == "SUCCESS"


def test_a_sidecar_that_is_killed_comes_back_to_its_model(up: Stack) -> None:
    before = documents(up)
    container = up.containers()["sidecar"]["Id"]
    pid = up.namespaces.must("podman", "inspect", "--format", "{{.State.Pid}}", container).strip()
    up.namespaces.must("kill", f"-{signal.SIGKILL.value}", pid)
    wait_for(lambda: up.namespaces.run("kill", "-0", pid).returncode != 0, 20, "the end of the sidecar")
    predict(up, 1)  # The model does without it.
    wait_for(lambda: health(up).returncode == 0, 60, "the sidecar again", interval=0.5)
    predict(up, 5)
    wait_for(lambda: documents(up) >= before + 5, 60, "documents by the sidecar that came back", interval=0.5)


def test_a_service_that_is_stopped_is_named(up: Stack) -> None:
    up.compose("stop", "alertmanager")
    done = health(up)
    assert done.returncode == 1
    down = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("DOWN")]
    assert down == ["alertmanager"], done.stdout
    report = json.loads(health(up, "--json").stdout)
    assert (report["up"], [s["name"] for s in report["services"] if not s["up"]]) == (False, ["alertmanager"])
    # It stays stopped: netavark 1.4 may leave the port's way to the old address when a container is started again.


def test_down_leaves_nothing(up: Stack) -> None:
    up.compose("down", "--volumes", timeout=600)
    assert up.containers() == {}
    assert up.namespaces.must("podman", "volume", "ls", "--quiet") == ""
    assert up.namespaces.must("podman", "network", "ls", "--quiet").split() == ["podman"]
