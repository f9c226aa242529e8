"""What is to be put, what is kept, and what is never touched; against an engine of a few lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.deliver.bulk import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.provision import objects, plan
from sidecar.provision.engine import Engine, absent, answer, detect, reason

NO_HANDLER = Reply(400, b'{"error":"no handler found for uri [/x] and method [GET]"}')


class FakeEngine:
    """Keeps what is put, by address; answers in the forms of Elasticsearch and OpenSearch."""

    def __init__(self, kind: str = "elasticsearch", ilm: bool = True, built_in: bool = False) -> None:
        self.kind, self.ilm, self.built_in = kind, ilm, built_in
        self.kept: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.scripted: dict[tuple[str, str], Reply] = {}
        self.unknown_words: tuple[str, ...] = ()

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        self.asked.append((method, target))
        path, _, query = target.partition("?")
        if (method, path) in self.scripted:
            return self.scripted[method, path]
        if path == "/":
            version = {"number": "9.1.0"} | ({"distribution": "opensearch"} if self.kind == "opensearch" else {})
            return Reply(200, json.dumps({"version": version}).encode())
        if path == "/_nodes/ingest":
            types = [{"type": t} for t in ("json", "script", "set", "date", "remove")]
            return Reply(200, json.dumps({"nodes": {"a": {"ingest": {"processors": types}}}}).encode())
        if method == "HEAD":
            return Reply(200 if self.built_in else 404)
        lifecycle = "/_ilm/" if self.kind == "elasticsearch" else "/_plugins/_ism/"
        if path.startswith(("/_ilm/", "/_plugins/_ism/")) and (not self.ilm or not path.startswith(lifecycle)):
            return NO_HANDLER
        if method == "PUT":
            return self._put(path, query, body or b"")
        return self._get(path)

    def _put(self, path: str, query: str, body: bytes) -> Reply:
        for word in self.unknown_words:
            if word.encode() in body:
                return Reply(400, f'{{"error":{{"reason":"unsupported parameters: [{word}]"}}}}'.encode())
        if "/_ism/" in path and path in self.kept and query != "if_seq_no=4&if_primary_term=1":
            return Reply(409, b'{"error":{"reason":"version conflict"}}')
        self.kept[path] = json.loads(body)
        return Reply(200, b'{"acknowledged":true}')

    def _get(self, path: str) -> Reply:
        if path == "/_index_template":
            found = [
                {"name": p.rsplit("/", 1)[1], "index_template": b}
                for p, b in self.kept.items()
                if p.startswith("/_index_template/")
            ]
            return Reply(200, json.dumps({"index_templates": found}).encode())
        if path not in self.kept:
            return Reply(404, b"{}")
        name, body = path.rsplit("/", 1)[1], self.kept[path]
        shown: Mapping[str, Any] = {name: body}
        if path.startswith("/_component_template/"):
            shown = {"component_templates": [{"name": name, "component_template": body}]}
        elif path.startswith("/_index_template/"):
            shown = {"index_templates": [{"name": name, "index_template": body}]}
        elif "/_ism/" in path:
            shown = {"_id": name, "_seq_no": 4, "_primary_term": 1, **body}
        return Reply(200, json.dumps(shown).encode())


def run(engine: FakeEngine, overwrite: bool = False, **keep_days: int) -> dict[str, str]:
    steps = plan.look(engine, objects.wanted(detect(engine), keep_days), overwrite)
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
def test_ours_of_another_version_is_mended_and_foreign_is_not(kind: str, name: str) -> None:
    engine = FakeEngine(kind)
    run(engine)
    (path,) = [p for p in engine.kept if p.endswith("/" + name)]
    text = json.dumps(engine.kept[path])
    digest = next(w.digest for w in objects.wanted(Engine(detect(engine).kind, "9")) if w.name == name)
    engine.kept[path] = json.loads(text.replace(digest, "0" * 12))
    assert {n: a for n, a in run(engine).items() if a != "keep"} == {name: "update"}
    unmarked = text.replace("model-sidecar", "somebody")
    engine.kept[path] = json.loads(unmarked)
    assert run(engine, overwrite=True)[name] == "foreign"
    assert engine.kept[path] == json.loads(unmarked)


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
    steps = plan.look(engine, objects.wanted(detect(engine)), overwrite=True)
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


def test_templates_that_take_our_streams_are_told() -> None:
    engine = FakeEngine()
    engine.kept["/_index_template/theirs"] = {"index_patterns": ["logs-*"], "priority": 200}
    engine.kept["/_index_template/low"] = {"index_patterns": ["logs-*"], "priority": 100}
    engine.kept["/_index_template/other"] = {"index_patterns": ["metrics-*"], "priority": 200}
    run(engine)
    (line,) = plan.rivals(engine, detect(engine))
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
        with pytest.raises(Permanent, match="not as Elasticsearch or OpenSearch"):
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
        with pytest.raises(Permanent, match="no JSON"):
            answer(Reply(200, b"<"), "asking")
