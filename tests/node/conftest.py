"""One node for all tests here, with the chart installed as a user would, and a search engine beside the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import SearchEngine
from support.engines.search import OPENSEARCH
from support.kubernetes import images
from support.kubernetes.installation import Installation, create, install, ready_pod
from support.kubernetes.lifecycle import Lifecycle
from support.kubernetes.node import Node, node
from support.kubernetes.prometheus import Prometheus
from support.kubernetes.settings import ADDRESS


@pytest.fixture(scope="session", autouse=True)
def _last_in_line() -> None:
    """Other work on the machine goes first."""
    os.nice(5)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Node]:
    with node([images.example(), images.ours(), images.monitoring()]) as running:
        yield running


@pytest.fixture(scope="session")
def engine(cluster: Node) -> Iterator[SearchEngine]:
    """OpenSearch in the node's network, not in the cluster."""
    made = SearchEngine(OPENSEARCH, host=ADDRESS)
    try:
        cluster.inside(made.start)
        yield made
    finally:
        made.stop()
        made.remove()


@pytest.fixture(scope="session")
def installed(cluster: Node, engine: SearchEngine) -> Installation:
    return install(cluster, engine.url)


@pytest.fixture(scope="session")
def prometheus(cluster: Node, installed: Installation) -> Prometheus:
    """The one that the Prometheus Operator makes."""
    create(cluster, "monitoring")
    cluster.apply(Path(__file__).with_name("operator.yaml").read_text("utf-8"))
    pod = ready_pod(cluster, "monitoring", "app.kubernetes.io/name=prometheus", 300)
    return Prometheus(cluster, f"http://{pod['status']['podIP']}:9090")


@pytest.fixture(scope="session")
def lifecycle(cluster: Node, engine: SearchEngine, installed: Installation) -> Lifecycle:
    made = Lifecycle(cluster, engine)
    made.prepare()
    return made
