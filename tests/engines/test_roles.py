"""The shipped roles on an Elasticsearch with its security on: each is enough for what its documentation says."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.delivery import FakeConsumer, sink_context
from support.engines import sidecar_command
from support.report_traffic import END, SPLIT, Weeks, entries, weeks
from support.secure_engine import SecureNode, secure_elasticsearch

from sidecar.decode.select import decoder
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import build
from sidecar.deliver.elasticsearch.templates import template
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.elasticsearch.trace_store import health_check
from sidecar.deliver.worker import Worker
from sidecar.telemetry import Telemetry

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A node, and what the role `sidecar-writer` was enough to put into it."""

    node: SecureNode
    weeks: Weeks
    namespace: str

    def tls(self) -> dict[str, str]:
        client = self.node.client
        files = {"ca_file": self.node.ca.cert, "cert_file": client.cert, "key_file": client.key}
        return {name: str(path) for name, path in files.items()}

    def run(self, role: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """The installed program with the key of a role, for the namespace's documents."""
        prefix = "SIDECAR_OUTCOMES__ELASTICSEARCH__"
        environ = {
            "PATH": os.environ["PATH"],
            f"{prefix}LOGS": f"logs-generic.otel-{self.namespace}",
            "SIDECAR_LOOKUP__ELASTICSEARCH__TRACES": f"traces-generic.otel-{self.namespace}",
            f"{prefix}AUTH__API_KEY": self.node.key_of_role(role),
            **{f"{prefix}TLS__{name.upper()}": value for name, value in self.tls().items()},
        }
        command = [sidecar_command(), *arguments]
        return subprocess.run(command, capture_output=True, timeout=300, check=False, env=environ)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with secure_elasticsearch(tmp_path_factory.mktemp("roles")) as node:
        for kind in ("traces", "logs"):
            made = node.call("PUT", f"/_index_template/sidecar-{kind}-otel", template("elasticsearch", (kind,)))
            assert made[0] == 200, made
        namespace = uuid.uuid4().hex
        filled = Cluster(node, weeks(namespace), namespace)
        _deliver(filled)
        yield filled


def _deliver(cluster: Cluster) -> None:
    received = list(entries(cluster.weeks.in_order()))
    chosen = ElasticsearchOptions.model_validate(
        {
            "hosts": cluster.node.url,
            "tls": cluster.tls(),
            "auth": {"api_key": cluster.node.key_of_role("sidecar-writer")},
        }
    )
    consumer = FakeConsumer(received)
    worker = Worker(
        build("elasticsearch", chosen, sink_context(decoder(), "roles")), consumer, chosen, Telemetry(), time.time_ns
    )
    worker.start()
    try:
        assert consumer.wait_for(len(received), 300)
    finally:
        worker.stop(0)
    assert {outcome for _, outcome, _ in consumer.counts()} == {"delivered"}
    assert cluster.node.call("POST", "/_refresh")[0] == 200


def test_the_job_and_the_report(cluster: Cluster) -> None:
    at = str(END - 1)
    job = cluster.run("sidecar-outcomes", "outcomes", "--elasticsearch", cluster.node.url, "--at", at)
    assert job.returncode == 0, job.stderr.decode()
    assert cluster.node.call("POST", "/_refresh")[0] == 200
    asked = ("report", "--elasticsearch", cluster.node.url, "--end", str(END), "--format", "json")
    report = cluster.run("sidecar-reader", *asked)
    assert report.returncode == 0, report.stderr.decode()
    (churn,) = [one for one in json.loads(report.stdout)["models"] if (one["model"], one["version"]) == ("churn", "7")]
    rows = [row for row in cluster.weeks.joined if SPLIT <= row.predicted_at < END > row.labelled_at]
    assert churn["outcomes"]["rows"] == len(rows) > 0
    assert churn["predictions"] == sum(
        call.rows for call in cluster.weeks.calls_of("churn", SPLIT, END) if call.version == "7"
    )


@pytest.mark.parametrize(
    ("role", "arguments"),
    [("sidecar-writer", ("report", "--end", str(END))), ("sidecar-reader", ("outcomes", "--at", str(END - 1)))],
)
def test_another_role_is_refused_by_name(cluster: Cluster, role: str, arguments: tuple[str, ...]) -> None:
    """What may write may not read, and what may read may not write."""
    done = cluster.run(role, *arguments, "--elasticsearch", cluster.node.url)
    assert done.returncode == 1
    assert b"403" in done.stderr, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_look_ups(cluster: Cluster) -> None:
    key = cluster.node.key_of_role("sidecar-reader")
    auth = {"api_key": key}
    chosen = TraceElasticsearchOptions.model_validate({"hosts": cluster.node.url, "tls": cluster.tls(), "auth": auth})
    assert health_check(chosen, 20).state == "ok"
