"""What the kubelet's cAdvisor says of real containers, scraped by the shipped configuration for Kubernetes: alerts
about containers fire, arrive and resolve, and panels that ask for containers show something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import monitoring_source as source
from support.engines import sidecar_command, wait_for
from support.hook import Received, receiving, shipped_for_here
from support.kubernetes.installation import Installation, create, example, ready_pod
from support.kubernetes.node import Node
from support.kubernetes.prometheus import Prometheus
from support.kubernetes.settings import ADDRESS
from support.monitored import shortened

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE = "containers"
DRILLS = {"container-cpu": "ContainerCpuHigh", "container-memory": "ContainerMemoryHigh"}
# cAdvisor looks at a container every ten seconds or so.
WINDOWS = {"5m": "1m"}
_FAULTS = """#!/bin/sh
case "$2" in begin) touch {folder}/$1 ;; end) rm {folder}/$1 ;; esac
"""


@pytest.fixture(scope="module")
def folder(cluster: Node) -> Path:
    """What the pods read: the shipped files, evaluated every two seconds, with another `for` and shorter windows."""
    made = cluster.home / "containers"
    made.mkdir()
    (made / "rules").mkdir()
    for path in (source.PROMETHEUS / "rules").glob("*.yml"):
        (made / "rules" / path.name).write_text(shortened(path.read_text("utf-8"), WINDOWS, "5s"))
    text = (source.PROMETHEUS / "prometheus-kubernetes.yml").read_text("utf-8")
    for name in ("scrape", "evaluation"):
        assert f"\n  {name}_interval: 15s\n" in text
        text = text.replace(f"\n  {name}_interval: 15s\n", f"\n  {name}_interval: 5s\n")
    (made / "prometheus.yml").write_text(text)
    return made


@pytest.fixture(scope="module")
def received(cluster: Node, folder: Path) -> Iterator[Received]:
    """What Alertmanager posts, to this process in the node's network."""
    with ExitStack() as stack:
        hook, found = cluster.inside(lambda: stack.enter_context(receiving(ADDRESS)))
        shipped_for_here(folder, hook)
        yield found


@pytest.fixture(scope="module")
def addresses(cluster: Node, installed: Installation, folder: Path, received: Received) -> Iterator[dict[str, str]]:
    """Of Prometheus and Alertmanager."""
    create(cluster, SPACE, *example())
    text = Path(__file__).with_name("containers.yaml").read_text("utf-8")
    cluster.apply(text.replace("FOLDER", str(folder)))
    pods = {
        name: ready_pod(cluster, SPACE, selector)["status"]["podIP"]
        for name, selector in (
            ("prometheus", "app=prometheus"),
            ("alertmanager", "app.kubernetes.io/name=alertmanager"),
            ("model", "app=model"),
            ("wine", "app=wine"),
        )
    }
    yield {"prometheus": f"http://{pods['prometheus']}:9090", "alertmanager": f"http://{pods['alertmanager']}:9093"}
    cluster.kubectl("delete", "namespace", SPACE, "--wait=false")


@pytest.fixture(scope="module")
def prometheus(cluster: Node, addresses: dict[str, str]) -> Prometheus:
    """The one without an operator."""
    return Prometheus(cluster, addresses["prometheus"])


def test_the_shipped_configuration_finds_what_it_says(prometheus: Prometheus) -> None:
    """With no more rights than the file asks for."""
    for scraped in ('job="cadvisor"', f'job="model-sidecar",namespace="{SPACE}"'):
        up = f"up{{{scraped}}}"
        wait_for(lambda up=up: prometheus.values(up) == [1.0], 120, f"the scrape of {up}")
    assert {one["node"] for one in prometheus.query('up{job="cadvisor"}')} == {"node"}
    asked = source.exporters()["cadvisor"]
    wait_for(lambda: all(map(prometheus.query, asked)), 120, f"each of {', '.join(asked)}", interval=1)


def test_alerts_about_containers_fire_arrive_and_resolve(
    cluster: Node, folder: Path, addresses: dict[str, str], prometheus: Prometheus, received: Received
) -> None:
    limited = f'container_spec_memory_limit_bytes{{namespace="{SPACE}",pod="model",image!=""}} > 0'
    wait_for(lambda: prometheus.query(limited), 120, "the container in cAdvisor", interval=1)
    program = folder / "faults"
    program.write_text(_FAULTS.format(folder=folder))
    program.chmod(0o755)
    urls = [f"--{name}={url}" for name, url in addresses.items()]
    drill = [sidecar_command(), "drill", *DRILLS, "--verify", f"--faults={program}", "--timeout=8m", *urls]
    done = cluster.run(*drill, timeout=1200)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    about = [
        (alert["labels"]["alertname"], alert["status"], alert["labels"]["pod"], alert["labels"]["container"])
        for body in received.to("/hook")
        for alert in body["alerts"]
        if alert["labels"]["alertname"] in DRILLS.values() and alert["labels"].get("namespace") == SPACE
    ]
    wanted = {(name, status, "model", "model") for name in DRILLS.values() for status in ("firing", "resolved")}
    assert set(about) == wanted
    channels = {(b["channel"], b["attachments"][0]["title"].split("] ")[1].split()[1]) for b in received.to("/slack")}
    assert {("#devops-team", name) for name in DRILLS.values()} <= channels


def test_panels_about_containers_have_data(prometheus: Prometheus) -> None:
    asked = [
        (panel, source.asked(expr))
        for panel, _, expr in source.panels()
        if any(name.startswith("container_") for name in source.metrics_named(source.asked(expr)))
    ]
    assert len(asked) >= 5
    assert {panel for panel, expr in asked if not prometheus.query(expr)} == set()
