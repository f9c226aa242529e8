"""What is to be put, what is kept, and what is never touched; against an engine of a few lines."""

from __future__ import annotations

import json

import pytest
from support.provisioning import NO_HANDLER, FakeEngine

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.elasticsearch.answers import absent, answer, reason
from sidecar.deliver.elasticsearch.templates import ensure_templates
from sidecar.errors import Permanent
from sidecar.provision import cluster_objects, plan
from sidecar.provision.search_engine import Engine, detect


def run(engine: FakeEngine, overwrite: bool = False, **keep_days: int) -> dict[str, str]:
    steps = plan.compare(engine, cluster_objects.wanted(detect(engine), keep_days), overwrite)
    list(plan.apply(engine, steps))
    return {step.wanted.name: step.action for step in steps}


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_the_second_run_puts_nothing(kind: str) -> None:
    engine = FakeEngine(kind)
    assert set(run(engine).values()) == {"create"}
    engine.asked.clear()
    assert set(run(engine).values()) == {"keep"}
    assert [target for method, target in engine.asked if method == "PUT"] == []


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_one_needs_the_other_in_this_order(kind: str) -> None:
    """A policy before the template that names it, components before what is composed of them."""
    engine = FakeEngine(kind)
    run(engine)
    puts = [target for method, target in engine.asked if method == "PUT"]
    ranks = ["polic", "pipeline", "_component_template", "_index_template"]
    order = [next(n for n, word in enumerate(ranks) if word in target) for target in puts]
    assert order == sorted(order)
    assert set(order) == set(range(4))


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize("name", ["sidecar-otel@mappings", "sidecar-json-logs", "sidecar-logs-otel"])
def test_ours_of_another_version_is_fixed_and_foreign_is_not(kind: str, name: str) -> None:
    engine = FakeEngine(kind)
    run(engine)
    (path,) = [p for p in engine.kept if p.endswith("/" + name)]
    text = json.dumps(engine.kept[path])
    digest = next(w.digest for w in cluster_objects.wanted(Engine(detect(engine).kind, "9")) if w.name == name)
    engine.kept[path] = json.loads(text.replace(digest, "0" * 12))
    assert {n: a for n, a in run(engine).items() if a != "keep"} == {name: "update"}
    unmarked = text.replace("model-sidecar", "somebody")
    engine.kept[path] = json.loads(unmarked)
    assert run(engine, overwrite=True)[name] == "foreign"
    assert engine.kept[path] == json.loads(unmarked)


def test_it_follows_on_what_the_sink_put_at_its_start_and_the_other_way_round() -> None:
    engine = FakeEngine()
    assert list(ensure_templates(engine)) == ["sidecar-traces-otel", "sidecar-logs-otel"]
    updated = {name for name, action in run(engine).items() if action == "update"}
    assert updated == {"sidecar-traces-otel", "sidecar-logs-otel"}
    assert list(ensure_templates(engine)) == []
    assert list(ensure_templates(engine, "{type}-%Y")) == ["sidecar-traces-index", "sidecar-logs-index"]
    assert engine.kept["/_index_template/sidecar-logs-index"]["index_patterns"] == ["logs-*"]
    assert list(ensure_templates(FakeEngine(), "otel-%Y.%m.%d")) == ["sidecar-traces-logs-index"]


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_policies_are_the_operators_once_made(kind: str) -> None:
    engine = FakeEngine(kind)
    run(engine, logs=90)
    (path,) = [p for p in engine.kept if p.endswith("/sidecar-logs") and "polic" in p]
    assert '"90d"' in json.dumps(engine.kept[path])
    assert set(run(engine).values()) == {"keep"}
    assert '"90d"' in json.dumps(engine.kept[path])
    assert run(engine, overwrite=True, logs=45)["sidecar-logs"] == "update"
    kept = json.dumps(engine.kept[path])
    assert '"45d"' in kept
    assert "delete 45 days" in kept
    assert '"7d"' in kept, "the rollover is not touched"


def test_without_lifecycle_management_templates_name_no_policy() -> None:
    engine = FakeEngine(ilm=False)
    actions = run(engine)
    assert actions["sidecar-logs"] == "skip"
    assert "index.lifecycle" not in json.dumps(engine.kept)
    engine.ilm = True
    assert run(engine)["sidecar-logs-otel@lifecycle"] == "update", "once it has it, the policy is named"
    assert "index.lifecycle.name" in json.dumps(engine.kept["/_component_template/sidecar-logs-otel@lifecycle"])


def test_where_the_engine_has_templates_of_its_own_only_their_custom_part_is_filled() -> None:
    engine = FakeEngine(built_in=True)
    run(engine)
    templates = [p for p in engine.kept if "_template/" in p]
    assert templates == ["/_component_template/logs-otel@custom", "/_component_template/traces-otel@custom"]
    engine.kept[templates[0]] = {"template": {"settings": {"index.number_of_replicas": 2}}}
    steps = plan.compare(engine, cluster_objects.wanted(detect(engine)), overwrite=True)
    (step,) = [s for s in steps if s.action == "foreign"]
    assert step.wanted.name == "logs-otel@custom"
    assert "index.lifecycle.name to sidecar-logs" in step.reason


def test_engines_that_do_not_know_dotted_names_get_templates_without() -> None:
    engine = FakeEngine("opensearch")
    engine.unknown_words = ("disable_objects",)
    run(engine)
    kept = engine.kept["/_component_template/sidecar-otel@mappings"]["template"]["mappings"]["properties"]
    assert "disable_objects" not in json.dumps(kept)
    assert "properties" not in kept["attributes"], "an object `http` would refuse an attribute `http`"
    assert set(run(engine).values()) == {"keep"}


def test_a_refusal_stops_it_and_gives_the_engines_reason() -> None:
    engine = FakeEngine()
    engine.scripted["PUT", "/_ingest/pipeline/sidecar-json-logs"] = Reply(
        400, b'{"error":{"reason":"bad","caused_by":{"reason":"worse"}}}'
    )
    with pytest.raises(Permanent, match="create ingest pipeline sidecar-json-logs: HTTP 400: bad: worse"):
        run(engine)
    engine.scripted["PUT", "/_ingest/pipeline/sidecar-json-logs"] = Reply(503, b"away")
    with pytest.raises(Unreached):
        run(engine)


def test_templates_that_override_ours_are_reported() -> None:
    engine = FakeEngine()
    engine.kept["/_index_template/theirs"] = {"index_patterns": ["logs-*"], "priority": 200}
    engine.kept["/_index_template/low"] = {"index_patterns": ["logs-*"], "priority": 100}
    engine.kept["/_index_template/other"] = {"index_patterns": ["metrics-*"], "priority": 200}
    run(engine)
    (line,) = plan.overriding(engine, detect(engine))
    assert line.startswith("index template theirs (priority 200) takes logs-generic.otel-default")


class TestDetect:
    def test_a_reduced_build_is_known_by_its_modules(self) -> None:
        engine = FakeEngine()
        engine.scripted["GET", "/"] = Reply(405, b"{}")
        nodes = {"nodes": {"a": {"version": "8.19.1", "modules": [{"classname": "org.elasticsearch.x.Y"}]}}}
        engine.scripted["GET", "/_nodes/_local"] = Reply(200, json.dumps(nodes).encode())
        assert str(detect(engine)) == "Elasticsearch 8.19.1"

    @pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"version":3}'])
    def test_something_else_is_refused(self, body: bytes) -> None:
        engine = FakeEngine()
        engine.scripted["GET", "/"] = Reply(200, body)
        with pytest.raises(Permanent, match="expected Elasticsearch or OpenSearch"):
            detect(engine)

    @pytest.mark.parametrize(("status", "error"), [(401, Permanent), (503, Unreached), (429, Unreached)])
    def test_no_answer_is_an_error(self, status: int, error: type[Exception]) -> None:
        engine = FakeEngine()
        engine.scripted["GET", "/"] = Reply(status, b"{}")
        with pytest.raises(error):
            detect(engine)

    def test_missing_processors_are_named(self) -> None:
        engine = FakeEngine()
        engine.scripted["GET", "/_nodes/ingest"] = Reply(200, b'{"nodes":{"a":{"ingest":{"processors":[]}}}}')
        assert detect(engine).lacks["pipelines"] == "no ingest processor json, script, set, date, remove"

    def test_a_404_of_the_api_is_no_missing_api(self) -> None:
        assert absent(NO_HANDLER)
        assert absent(Reply(405))
        assert not absent(Reply(404, b'{"error":{"reason":"policy not found"}}'))
        assert not absent(Reply(403, b"{}"))

    @pytest.mark.parametrize("body", [b"", b"plain", b'{"error":null}', b'{"error":{}}', b"[1]"])
    def test_a_reason_is_always_given(self, body: bytes) -> None:
        assert reason(Reply(400, body))

    def test_an_answer_that_is_no_json(self) -> None:
        with pytest.raises(Permanent, match="expected JSON"):
            answer(Reply(200, b"<"), "asking")
