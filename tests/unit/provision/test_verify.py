"""What the check says of engines in several conditions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.provisioning import FakeEngine

from sidecar.deliver.common.http import Reply
from sidecar.provision import cluster_objects, plan, verify
from sidecar.provision.search_engine import detect

FOUND = {
    "hits": {"total": {"value": 3}},
    "aggregations": {"newest": {"value": 1.7e12, "value_as_string": "1700000000000"}},
}
NOTHING = {"hits": {"total": {"value": 0}}, "aggregations": {"newest": {"value": None}}}
SEARCH = ("POST", "/traces-*.otel-*,logs-*.otel-*/_search")
STREAM = "/logs-generic.otel-default"


def ready(kind: str = "elasticsearch", found: Any = FOUND, security: bool = False) -> FakeEngine:
    """An engine that was set up and has documents."""
    engine = FakeEngine(kind)
    if not security:
        path = "/_security/_authenticate" if kind == "elasticsearch" else "/_plugins/_security/authinfo"
        engine.scripted["GET", path] = Reply(400, b'{"error":"no handler found for uri"}')
    list(plan.apply(engine, plan.compare(engine, cluster_objects.wanted(detect(engine)), False)))
    engine.scripted[SEARCH] = Reply(200, json.dumps(found).encode())
    return engine


def results(engine: FakeEngine) -> dict[str, verify.Result]:
    return {result.what: result for result in verify.check(engine, detect(engine), 60)}


def states(engine: FakeEngine) -> set[str]:
    return {result.state for result in results(engine).values()}


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_all_is_well(kind: str) -> None:
    engine = ready(kind)
    assert "failed" not in states(engine)
    assert results(engine)["documents"].detail == "3 within 60 minutes, the newest of 2023-11-14T22:13:20Z"


def test_no_document_is_a_failure_and_none_that_may_be_read_a_warning() -> None:
    assert results(ready(found=NOTHING))["documents"].state == "failed"
    engine = ready()
    engine.scripted[SEARCH] = Reply(403, b"{}")
    assert results(engine)["documents"].state == "warning"
    engine.scripted[SEARCH] = Reply(500, b"{}")
    assert results(engine)["documents"].state == "failed"


def test_a_missing_template_is_a_failure_and_a_missing_policy_a_warning() -> None:
    engine = ready()
    del engine.kept["/_index_template/sidecar-logs-otel"]
    del engine.kept["/_ilm/policy/sidecar-logs"]
    found = results(engine)
    assert found["index template sidecar-logs-otel"].state == "failed"
    assert found["lifecycle policy sidecar-logs"].state == "warning"


def test_what_may_not_be_looked_at_is_a_warning() -> None:
    engine = ready()
    engine.scripted["GET", "/_ingest/pipeline/sidecar-json-logs"] = Reply(403, b'{"error":{"reason":"no"}}')
    found = results(engine)
    assert found["objects"].state == "warning"
    assert "HTTP 403: no" in found["objects"].detail


def test_privileges_are_asked_for_where_there_is_security() -> None:
    engine = ready(security=True)
    held = {"create_doc": True, "auto_configure": False}
    said = {"index": {"logs-generic.otel-default": held}}
    engine.scripted["POST", "/_security/user/_has_privileges"] = Reply(200, json.dumps(said).encode())
    result = results(engine)["writing to logs-generic.otel-default"]
    assert (result.state, result.detail) == ("failed", "the credentials lack auto_configure")


@pytest.mark.parametrize(
    ("item", "state"),
    [({"status": 400, "error": {}}, "ok"), ({"status": 403, "error": {"reason": "no"}}, "failed")],
)
def test_elsewhere_a_document_is_tried_that_no_data_stream_takes(item: Any, state: str) -> None:
    engine = ready("opensearch")
    engine.scripted["HEAD", STREAM] = Reply(200)
    engine.scripted["GET", f"/_resolve/index{STREAM}"] = Reply(200, b'{"data_streams":[{"name":"x"}]}')
    engine.scripted["POST", "/_bulk"] = Reply(200, json.dumps({"items": [{"create": item}]}).encode())
    assert results(engine)["writing to logs-generic.otel-default"].state == state


def test_a_plain_index_in_the_place_of_a_data_stream_is_not_written_to() -> None:
    engine = ready("opensearch")
    engine.scripted["HEAD", STREAM] = Reply(200)
    engine.scripted["GET", f"/_resolve/index{STREAM}"] = Reply(200, b'{"data_streams" : [ ]}')
    result = results(engine)["writing to logs-generic.otel-default"]
    assert result.state == "failed"
    assert "plain index" in result.detail
    assert ("POST", "/_bulk?filter_path=items.*.status,items.*.error") not in engine.asked


def test_data_streams_that_are_kept_for_ever_are_reported() -> None:
    engine = ready()
    streams = [{"name": "logs-a.otel-b", "template": "t"}, {"name": "logs-c.otel-d", "ilm_policy": "p"}]
    target = "/_data_stream/traces-*.otel-*,logs-*.otel-*"
    engine.scripted["GET", target] = Reply(200, json.dumps({"data_streams": streams}).encode())
    found = results(engine)
    assert found["logs-a.otel-b"].state == "warning"
    assert found["logs-c.otel-d"].state == "ok"
