"""The files under elk/: made files are those of their sources, and what cannot be run here is at least well formed."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support import logstash_config, saved_objects

from sidecar.decode.logs import fields, severity
from sidecar.deliver.elasticsearch.templates import load

ROOT = Path(__file__).resolve().parents[2]
ELK = ROOT / "elk"
PIPELINES = sorted((ELK / "logstash" / "pipeline").glob("*.conf"))
OBJECTS = saved_objects.shipped()
ENGINES = ("elasticsearch", "opensearch")


def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("elk_build", ELK / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestFiles:
    def test_they_are_those_that_build_makes(self) -> None:
        made = build().files()
        assert [str(p) for p, text in made.items() if (ROOT / p).read_text("utf-8") != text] == [], "elk/build.py"

    def test_the_program_carries_no_other(self) -> None:
        carried = {p.relative_to(ROOT) for p in (ROOT / "sidecar" / "elk").rglob("*") if p.is_file()}
        assert carried - set(build().files()) == set()

    def test_both_engines_get_the_same_fields(self) -> None:
        other = {json.dumps({"disable_objects": True}): json.dumps({"subobjects": False})}
        for name, body in load("opensearch", "component_templates").items():
            text = json.dumps(body)
            for mine, theirs in other.items():
                text = text.replace(mine[1:-1], theirs[1:-1])
            assert json.loads(text) == load("elasticsearch", "component_templates")[name]

    @pytest.mark.parametrize("engine", ENGINES)
    def test_index_templates_name_components_that_are_there(self, engine: str) -> None:
        components = load(engine, "component_templates")
        for body in load(engine, "index_templates").values():
            assert set(body["composed_of"]) <= components.keys()

    def test_retention_is_the_same_on_both(self) -> None:
        for name, policy in load("elasticsearch", "ilm_policies").items():
            phases = policy["policy"]["phases"]
            states = load("opensearch", "ism_policies")[name]["policy"]["states"]
            conditions = states[0]["transitions"][0]["conditions"]
            assert phases["delete"]["min_age"] == conditions["min_rollover_age"]
            rollover = states[0]["actions"][0]["rollover"]
            assert phases["hot"]["actions"]["rollover"]["max_age"] == rollover["min_index_age"]

    def test_the_ingest_pipeline_knows_the_names_that_the_sidecar_knows(self) -> None:
        script = (ELK / "elasticsearch" / "ingest_pipelines" / "sidecar-json-logs.painless").read_text("utf-8")
        lists = {name: re.findall(r"'([^']+)'", found) for name, found in _first_lists(script)}
        known = {
            "service": fields.SERVICE,
            "body": fields.BODY,
            "level": [name for name, _ in fields.LEVEL],
            "time": fields.TIME,
            "trace": fields.TRACE_ID,
            "span": fields.SPAN_ID,
        }
        assert lists.keys() == known.keys()
        for name, found in lists.items():
            assert found == [n for n in known[name] if n in found], name
        levels = dict(re.findall(r"'([a-z]+)': (\d+)", script))
        assert {name: severity.NAMES[name] for name in levels} == {n: int(v) for n, v in levels.items()}


def _first_lists(script: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"def (\w+) = first\(line, \[([^\]]+)\]", script)


class TestSavedObjects:
    def test_references_lead_to_objects_that_are_there(self) -> None:
        for key, saved in OBJECTS.items():
            assert {(r["type"], r["id"]) for r in saved["references"]} <= OBJECTS.keys(), key

    def test_every_search_and_panel_is_on_a_dashboard(self) -> None:
        shown = {(r["type"], r["id"]) for k, o in OBJECTS.items() if k[0] == "dashboard" for r in o["references"]}
        assert {key for key in OBJECTS if key[0] in ("search", "visualization")} == shown

    def test_panels_of_a_dashboard_do_not_overlap(self) -> None:
        for key, saved in OBJECTS.items():
            if key[0] != "dashboard":
                continue
            panels = json.loads(saved["attributes"]["panelsJSON"])
            names = [panel["panelRefName"] for panel in panels]
            assert names == [r["name"] for r in saved["references"]]
            cells = [
                (x, y)
                for g in (panel["gridData"] for panel in panels)
                for x in range(g["x"], g["x"] + g["w"])
                for y in range(g["y"], g["y"] + g["h"])
            ]
            assert len(cells) == len(set(cells))
            assert max(x for x, _ in cells) < 48

    def test_the_forms_are_of_versions_that_both_dashboards_migrate_from(self) -> None:
        """OpenSearch Dashboards is of 7.10 and refuses what is newer."""
        for (kind, _), saved in OBJECTS.items():
            (version,) = saved["migrationVersion"].values()
            assert saved["migrationVersion"].keys() == {kind}
            assert tuple(map(int, version.split("."))) <= (7, 10, 0)

    @pytest.mark.parametrize("text", ["a:", "a: b or", "(a: b", 'a "b"', "a: b c: d"])
    def test_a_query_that_is_none_is_found(self, text: str) -> None:
        with pytest.raises(ValueError):
            saved_objects.kql(text)


class TestLogstash:
    @pytest.mark.parametrize("file", PIPELINES, ids=lambda p: p.name)
    def test_a_pipeline_is_well_formed(self, file: Path) -> None:
        pipeline = logstash_config.parse(file.read_text("utf-8"))
        assert list(logstash_config.problems(pipeline)) == []
        assert {p.stage for p in pipeline.plugins} == {"input", "filter", "output"}

    def test_every_document_keeps_its_id(self) -> None:
        """With `data_stream => true` the plugin refuses `document_id`, and a data stream the action `index`."""
        outputs = logstash_config.parse(PIPELINES[-1].read_text("utf-8")).of("output", "elasticsearch")
        assert len(outputs) == 2
        for output in outputs:
            assert output.options["document_id"] == "%{[@metadata][_id]}"
            assert (output.options["action"], output.options["data_stream"]) == ("create", "false")
            assert not {name for name in output.options if name.startswith("data_stream_")}

    def test_inputs_want_a_certificate_of_the_client(self) -> None:
        pipeline = logstash_config.parse(PIPELINES[-1].read_text("utf-8"))
        for name in ("beats", "http"):
            (plugin,) = pipeline.of("input", name)
            assert plugin.options["ssl_client_authentication"] == "required"

    def test_refused_documents_are_kept(self) -> None:
        settings = yaml.safe_load((ELK / "logstash" / "pipelines.yml").read_text("utf-8"))
        (main,) = [p for p in settings if p["pipeline.id"] == "sidecar"]
        assert main["dead_letter_queue.enable"] is True
        assert main["queue.type"] == "persisted"
        (reader,) = logstash_config.parse(PIPELINES[0].read_text("utf-8")).of("input", "dead_letter_queue")
        assert reader.options["pipeline_id"] == main["pipeline.id"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("input { beats { port => 1 }", "ends too soon"),
            ("input { beats { port 1 } }", "is due"),
            ("inputs { }", "no section"),
            ("output { elasticsearch { index => } }", "no value"),
        ],
    )
    def test_a_broken_pipeline_is_found(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            logstash_config.parse(text)

    def test_an_option_that_is_none_is_found(self) -> None:
        pipeline = logstash_config.parse('input { beats { ports => 1 } } output { elasticsearch { index => "%{[a}" } }')
        assert set(logstash_config.problems(pipeline)) == {
            "ids are not unique",
            "input beats has no option ports",
            "input beats needs port",
            "elasticsearch: '[a' is no field",
        }


class TestFilebeat:
    def settings(self) -> Any:
        return yaml.safe_load((ELK / "filebeat" / "filebeat.yml").read_text("utf-8"))

    def test_it_writes_where_the_templates_and_the_pipeline_are(self) -> None:
        settings = self.settings()
        output = settings["output.elasticsearch"]
        assert output["pipeline"] in load("elasticsearch", "ingest_pipelines")
        assert re.fullmatch(r"logs-[a-z]+\.otel-[a-z]+", output["index"])
        assert settings["setup.template.enabled"] is False
        assert settings["setup.ilm.enabled"] is False

    def test_inputs_and_processors_are_known_ones(self) -> None:
        settings = self.settings()
        (source,) = settings["filebeat.inputs"]
        assert source["type"] == "filestream"
        assert source["id"]
        assert [next(iter(p)) for p in source["parsers"]] == ["container"]
        assert [next(iter(p)) for p in settings["processors"]] == [
            "add_kubernetes_metadata",
            "drop_event",
            "fingerprint",
        ]
        assert {"fields", "target_field", "method"} == settings["processors"][2]["fingerprint"].keys()
