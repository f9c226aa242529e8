from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.config import loader, option_fields, renamed_options
from sidecar.config.renamed_options import RENAMES, SINK, Found
from sidecar.errors import ConfigError

SINK_OPTIONS = {
    ("kind",),
    ("hosts",),
    ("batch_timeout",),
    ("tls", "enabled"),
    ("tls", "ca_file"),
    ("tls", "insecure_skip_verify"),
    ("auth", "password"),
    ("sampling", "ratio"),
    ("filter", "services"),
}
OPTIONS = {
    ("receive", "ingest", "infer_resource"),
    ("receive", "ingest", "service_name"),
    ("receive", "tls", "ca_file"),
    ("journal", "dead_letters", "max_age"),
    ("deliver", "redaction", "keys"),
    ("deliver", "redaction", "patterns"),
    ("deliver", "redaction", "kubernetes", "pod_name"),
    *(("deliver", "logstash", *path) for path in SINK_OPTIONS),
}
ADDITIONAL = ("deliver", "additional")


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in which some of the new names are there."""

    def known(path: option_fields.Path_) -> str:
        options, inner = (SINK_OPTIONS, path[3:]) if path[:2] == ADDITIONAL else (OPTIONS, path)
        if inner in options:
            return "option"
        return "section" if any(option[: len(inner)] == inner for option in options) else ""

    monkeypatch.setattr(renamed_options, "known", known)
    monkeypatch.setattr(renamed_options, "MORE", ADDITIONAL)


def moved(values: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    problems: list[str] = []
    names = [f"{r.old} -> {r.new}" for r in renamed_options.rename(values, {}, problems)]
    return values, names, problems


@pytest.mark.usefixtures("today")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"receive": {"intake": {"service_name": "a"}}}, {"receive": {"ingest": {"service_name": "a"}}}),
        ({"receive": {"intake": {"learn_resource": False}}}, {"receive": {"ingest": {"infer_resource": False}}}),
        ({"receive": {"credentials": {"client_ca_file": "a"}}}, {"receive": {"tls": {"ca_file": "a"}}}),
        ({"journal": {"dead_letter_days": 0.5}}, {"journal": {"dead_letters": {"max_age": 43200.0}}}),
        ({"journal": {"dead_letter_days": "2"}}, {"journal": {"dead_letters": {"max_age": 172800.0}}}),
        ({"deliver": {"shape": {"redact_keys": {"a": "drop"}}}}, {"deliver": {"redaction": {"keys": {"a": "drop"}}}}),
        (
            {"deliver": {"shape": {"kubernetes": {"pod_name": "a"}, "patterns": {}}}},
            {"deliver": {"redaction": {"kubernetes": {"pod_name": "a"}, "patterns": {}}}},
        ),
        (
            {"deliver": {"logstash": {"tls": True, "ca_file": "a", "verify": "no"}}},
            {"deliver": {"logstash": {"tls": {"enabled": True, "ca_file": "a", "insecure_skip_verify": True}}}},
        ),
        (
            {"deliver": {"logstash": {"filter": {"one_in": "4", "services": ["a"]}}}},
            {"deliver": {"logstash": {"filter": {"services": ["a"]}, "sampling": {"ratio": 0.25}}}},
        ),
        (
            {"deliver": {"more": {"far": {"kind": "logstash", "url": ["h"], "linger": 2, "password": "p"}}}},
            {
                "deliver": {
                    "additional": {
                        "far": {"kind": "logstash", "hosts": ["h"], "batch_timeout": 2, "auth": {"password": "p"}}
                    }
                }
            },
        ),
    ],
)
def test_values_move_to_their_new_names(given: dict[str, Any], expected: dict[str, Any]) -> None:
    values, names, problems = moved(given)
    assert (values, problems) == (expected, [])
    assert len(names) == len(set(names)) > 0


@pytest.mark.usefixtures("today")
def test_new_names_are_left_alone() -> None:
    given = {"deliver": {"logstash": {"tls": {"enabled": True}, "hosts": ["h"]}}, "receive": {"ingest": {}}}
    assert moved(given) == (given, [], [])


@pytest.mark.usefixtures("today")
def test_an_unknown_key_in_an_old_section_is_looked_for_in_the_section_of_today() -> None:
    values, _, _ = moved({"deliver": {"shape": {"bogus": 1}}})
    assert values == {"deliver": {"redaction": {"bogus": 1}}}


@pytest.mark.usefixtures("today")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"verify": "perhaps"}, ("deliver.logstash.verify", "'perhaps'", "expected true or false")),
        ({"filter": {"one_in": 0}}, ("deliver.logstash.filter.one_in", "expected a whole number of at least 1")),
        ({"filter": {"one_in": "a"}}, ("deliver.logstash.filter.one_in", "'a'")),
        (
            {"linger": 1, "batch_timeout": 2},
            ("deliver.logstash.linger", "given twice", "deliver.logstash.batch_timeout"),
        ),
        (
            {"ca_file": "a", "tls": {"ca_file": "b"}},
            ("deliver.logstash.ca_file", "give only deliver.logstash.tls.ca_file"),
        ),
    ],
)
def test_a_value_that_cannot_be_moved_is_a_problem(given: dict[str, Any], words: tuple[str, ...]) -> None:
    _, _, problems = moved({"deliver": {"logstash": given}})
    (problem,) = problems
    assert all(word in problem for word in words)


def test_a_line_whose_new_name_does_not_exist_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed_options, "RENAMES", (renamed_options.Rename("serve.haven", "serve.nowhere"),))
    given = {"serve": {"haven": 1}}
    assert moved(given) == (given, [], [])
    assert not renamed_options.RENAMES[0].active


def active() -> list[renamed_options.Rename]:
    return [line for line in RENAMES if line.active]


def test_every_active_line_leads_from_no_option_to_an_option_or_section() -> None:
    for line in active():
        for sink in ("elasticsearch", "otlp", "logstash", "file", "store", "additional.any"):
            path = tuple(line.old.replace(SINK, sink).split("."))
            if option_fields.known(path) == "":
                found = line.apply(Found(path))
                assert found is not None
                assert option_fields.known(found.path) or SINK in line.old


@pytest.fixture
def renamed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed_options, "RENAMES", (renamed_options.Rename("serve.haven", "serve.port"),))


@pytest.mark.usefixtures("renamed_port")
def test_file_and_environment_take_the_old_name_and_say_so(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve:\n  haven: 1111\n")
    settings = loader.load({}, file)
    assert settings.serve.port == 1111
    assert [(r.old, r.new, r.origin) for r in settings.renamed] == [("serve.haven", "serve.port", f"{file}:2")]

    settings = loader.load({"SIDECAR_SERVE__HAVEN": "2222"}, file)
    assert settings.serve.port == 2222
    assert [r.origin for r in settings.renamed] == [f"{file}:2", "environment variable SIDECAR_SERVE__HAVEN"]
    assert loader.load({"SIDECAR_SERVE__PORT": "3333"}, file).serve.port == 3333


@pytest.mark.usefixtures("renamed_port")
def test_an_invalid_value_is_reported_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        loader.load({"SIDECAR_SERVE__HAVEN": "x"})
    assert "environment variable SIDECAR_SERVE__HAVEN: serve.port" in str(caught.value.problems)


@pytest.mark.usefixtures("renamed_port")
def test_both_names_at_once_are_a_problem_that_names_both() -> None:
    with pytest.raises(ConfigError) as caught:
        loader.load({"SIDECAR_SERVE__HAVEN": "1", "SIDECAR_SERVE__PORT": "2"})
    (problem,) = caught.value.problems
    assert "SIDECAR_SERVE__HAVEN" in problem
    assert "SIDECAR_SERVE__PORT" in problem


def test_the_level_of_the_logs_and_the_time_to_stop_have_other_names() -> None:
    settings = loader.load({"SIDECAR_TELEMETRY__LOG_LEVEL": "WARN", "SIDECAR_LIFE__STOP_DEADLINE": "1m"})
    assert (settings.log.level, settings.shutdown.timeout) == ("warning", 60.0)
    assert [(r.old, r.new) for r in settings.renamed] == [
        ("life.stop_deadline", "shutdown.timeout"),
        ("telemetry.log_level", "log.level"),
    ]
    assert loader.load({"OTEL_LOG_LEVEL": "debug"}).log.level == "debug"
