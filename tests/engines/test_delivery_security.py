"""Delivery to an Elasticsearch with its security on: HTTPS with client certificates, keys, users, privileges."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import authority
from support.delivery import FakeConsumer, entry, logs_payload, sink_context, spans_payload
from support.engines import wait_for
from support.secure_engine import SecureNode, secure_elasticsearch

from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import build, health_check
from sidecar.deliver.elasticsearch.templates import template
from sidecar.deliver.worker import Worker
from sidecar.pipeline import Entry
from sidecar.telemetry import Telemetry

DECODER = chosen_decoder()
WRITE = ["create_doc", "auto_configure"]
QUICK: dict[str, Any] = {"retry": {"initial_interval": 0.05, "max_interval": 0.2}, "batch_timeout": 0.01, "timeout": 60}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureNode]:
    with secure_elasticsearch(tmp_path_factory.mktemp("secure")) as running:
        for kind in ("traces", "logs"):  # As an administrator does, with `sidecar setup`.
            status, answer = running.call(
                "PUT", f"/_index_template/sidecar-{kind}-otel", template("elasticsearch", (kind,))
            )
            assert status == 200, answer
        yield running


@pytest.fixture
def namespace() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def api_key(node: SecureNode, *names: str) -> str:
    """A key that may do what the documentation asks for, on these data streams only."""
    role = {"index": [{"names": names, "privileges": WRITE}]}
    status, answer = node.call("POST", "/_security/api_key", {"name": "sidecar", "role_descriptors": {"writer": role}})
    assert status == 200, answer
    return str(answer["encoded"])


def entries(namespace: str) -> list[Entry]:
    """2 spans with an event each (in the default stream of logs: the field is the spans'), 3 log records."""
    trace = uuid.uuid4().int >> 68
    field = {"data_stream.namespace": namespace}
    return [
        entry(1, spans_payload(2, trace=trace, events=1, **field), 2, 2),
        entry(2, logs_payload("a", "b", "c", **field), 3, signal="logs"),
    ]


def options(node: SecureNode, **more: Any) -> ElasticsearchOptions:
    tls = {"tls": {"ca_file": node.ca.cert, "cert_file": node.client.cert, "key_file": node.client.key}}
    return ElasticsearchOptions.model_validate({"hosts": node.url} | QUICK | tls | more)


@contextmanager
def delivering(chosen: ElasticsearchOptions, consumer: FakeConsumer) -> Iterator[Worker[Any]]:
    sink = build("elasticsearch", chosen, sink_context(DECODER, "journal1"))
    worker: Worker[Any] = Worker(sink, consumer, chosen, Telemetry(), time.time_ns)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(0)


def trouble(worker: Worker[Any]) -> str:
    return str(wait_for(lambda: worker.status()["trouble"], 20, "trouble"))


def count(node: SecureNode, stream: str) -> int:
    node.call("POST", f"/{stream}/_refresh")
    status, answer = node.call("GET", f"/{stream}/_count")
    return int(answer["count"]) if status == 200 else 0


ALL_DELIVERED = {("spans", "delivered", ""): 2, ("span_events", "delivered", ""): 2, ("logs", "delivered", ""): 3}


def test_an_api_key_with_the_least_privileges_is_enough(node: SecureNode, namespace: str) -> None:
    chosen = options(node, auth={"api_key": api_key(node, "logs-*", "traces-*")})
    consumer = FakeConsumer(entries(namespace))
    with delivering(chosen, consumer):
        assert consumer.wait_for(2, 300)
    assert consumer.counts() == ALL_DELIVERED
    assert count(node, f"traces-generic.otel-{namespace}") == 2
    assert health_check(chosen).state == "warning"  # It answers, but may not be asked for its health.


def test_a_user_with_a_password_in_a_file(node: SecureNode, namespace: str, tmp_path: Path) -> None:
    role = {"indices": [{"names": ["logs-*", "traces-*"], "privileges": WRITE}], "cluster": ["monitor"]}
    assert node.call("PUT", "/_security/role/sidecar", role)[0] == 200
    user = {"password": "a long pässword", "roles": ["sidecar"]}
    assert node.call("PUT", "/_security/user/sidecar", user)[0] == 200
    secret = tmp_path / "password"
    secret.write_text("a long pässword\n")
    chosen = options(node, auth={"username": "sidecar", "password_file": secret})
    consumer = FakeConsumer(entries(namespace))
    with delivering(chosen, consumer):
        assert consumer.wait_for(2, 300)
    assert consumer.counts() == ALL_DELIVERED
    assert health_check(chosen).state == "ok"


def test_a_stream_that_is_forbidden_does_not_stop_the_others(node: SecureNode, namespace: str) -> None:
    consumer = FakeConsumer(entries(namespace))
    with delivering(options(node, auth={"api_key": api_key(node, "logs-*")}), consumer):
        assert consumer.wait_for(2, 300)
    assert consumer.counts() == {
        ("spans", "dead_lettered", "security_exception"): 2,
        ("span_events", "delivered", ""): 2,
        ("logs", "delivered", ""): 3,
    }
    assert all("unauthorized" in letter.reason for letter in consumer.letters())
    assert count(node, f"logs-generic.otel-{namespace}") == 3


def test_a_refused_key_is_trouble_until_its_file_has_another(node: SecureNode, namespace: str, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("bm8ga2V5OmF0IGFsbA==\n")
    chosen = options(node, auth={"api_key_file": secret})
    assert health_check(chosen).state == "failed"
    consumer = FakeConsumer(entries(namespace))
    with delivering(chosen, consumer) as worker:
        assert trouble(worker) in ("credentials", "index_templates")
        assert consumer.finished == {}
        secret.write_text(api_key(node, "logs-*", "traces-*") + "\n")
        assert consumer.wait_for(2, 300)
    assert consumer.counts() == ALL_DELIVERED


@pytest.mark.parametrize("what", ["another authority", "no client certificate"])
def test_a_connection_that_is_not_trusted_is_trouble_and_no_loss(
    node: SecureNode, namespace: str, tmp_path: Path, what: str
) -> None:
    wrong = (
        {"tls": {"ca_file": authority(tmp_path).cert, "cert_file": node.client.cert, "key_file": node.client.key}}
        if what == "another authority"
        else {"tls": {"ca_file": node.ca.cert}}
    )
    chosen = options(node, auth={"api_key": api_key(node, "logs-*")}, **wrong)
    consumer = FakeConsumer(entries(namespace))
    with delivering(chosen, consumer) as worker:
        assert trouble(worker) in ("tls", "unreachable")
    assert consumer.finished == {}
    assert health_check(chosen).state == "failed"
