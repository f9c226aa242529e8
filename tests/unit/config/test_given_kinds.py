"""What people give that is nearly right: secrets with a line end, quotes, keys given twice, empty values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar import generated_reference
from sidecar.config import loader
from sidecar.errors import ConfigError

HOSTS = "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS"
AUTH = "SIDECAR_DELIVER__ELASTICSEARCH__AUTH"


def at(settings: Any, path: str) -> Any:
    for name in path.split("."):
        settings = getattr(settings, name)
    return settings


def loaded(path: Path, text: str, **environ: str) -> Any:
    file = path / "sidecar.yaml"
    file.write_text(text)
    return loader.load(environ, file)


def problems(path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(path, text, **environ)
    return [problem.removeprefix(f"{path}/") for problem in caught.value.problems]


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", '"{}"', "'{}'\n"])
@pytest.mark.parametrize(
    ("variable", "value", "path", "read"),
    [
        ("SIDECAR_DELIVER__ELASTICSEARCH__BOOTSTRAP", "false", "deliver.elasticsearch.bootstrap", False),
        ("SIDECAR_JOURNAL__WHEN_FULL", "drop_oldest", "journal.when_full", "drop_oldest"),
        ("SIDECAR_JOURNAL__PATH", "/data", "journal.path", Path("/data")),
        ("SIDECAR_SERVE__PORT", "81", "serve.port", 81),
        ("SIDECAR_SHUTDOWN__TIMEOUT", "5s", "shutdown.timeout", 5.0),
        ("SIDECAR_RECEIVE__INGEST__SERVICE_NAME", "shop", "receive.ingest.service_name", "shop"),
    ],
)
def test_line_ends_and_quotes_around_a_variable_do_not_count(
    variable: str, value: str, path: str, read: Any, around: str
) -> None:
    assert at(loader.load({variable: around.format(value)}), path) == read


def test_a_secret_loses_its_line_end_but_not_its_quotes() -> None:
    given = {HOSTS: "http://es:9200", f"{AUTH}__USERNAME": "me\n", f"{AUTH}__PASSWORD": '"x"\n'}
    auth = loader.load(given).deliver.elasticsearch.auth
    assert (auth.username, auth.password.get_secret_value()) == ("me", '"x"')


def test_quotes_with_nothing_in_them_are_empty_text() -> None:
    assert loader.load({"SIDECAR_DELIVER__FILE__ID_FIELD": '""'}).deliver.file.id_field == ""


def test_a_kind_of_sink_may_end_in_a_line_end() -> None:
    given = {"SIDECAR_DELIVER__ADDITIONAL__B__KIND": "file\n", "SIDECAR_DELIVER__ADDITIONAL__B__PATH": "/x"}
    assert loader.load(given).deliver.additional["b"].kind == "file"


def test_references_lose_line_ends_and_empty_ones_take_the_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'serve: {host: "${A}", port: "${B:-82}"}\n', A="127.0.0.3\n", B="")
    assert (settings.serve.host, settings.serve.port) == ("127.0.0.3", 82)


def test_a_reference_in_a_default_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "journal:\n  path: ${A:-/x/${B}}\n", B="b")
    assert found == ["sidecar.yaml:2: journal.path: ${A:-/x/${B}: a default cannot hold another reference"]


@pytest.mark.parametrize("empty", ["", "null", "''", "${NOTHING:-}"])
def test_what_is_empty_in_a_file_is_not_given(tmp_path: Path, empty: str) -> None:
    text = f"""journal: {{path: {empty and repr(empty) if "$" in empty else empty}}}
deliver:
  elasticsearch:
    hosts: [http://es:9200]
    pipeline: {empty}
    tls:
      ca_file: {empty}
    auth:
      token: {empty}
"""
    settings = loaded(tmp_path, text)
    assert settings.journal.path == Path("/var/lib/sidecar")
    sink = settings.deliver.elasticsearch
    assert (sink.pipeline, sink.tls.ca_file, sink.auth.token) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "journal: {path: /x}\nserve:\n  port: 1\njournal: {}\n",
            "4: journal: given twice, first in line 1; put both into one",
        ),
        ("serve:\n  port: 1\n  port: 2\n", "3: serve.port: given twice, first in line 2; put both into one"),
        ("journal:\n  dedupe_window: yes\n", "2: journal.dedupe_window: expected a number (given: True)"),
        ("serve:\n  port: on\n", "2: serve.port: expected a number (given: True)"),
        ("journal:\n  path: 5\n", "2: journal.path: expected a path (given: 5)"),
        ("push:\n  labels:\n    a: 1\n", "3: push.labels.a: expected text; put it in quotes (given: 1)"),
        (
            "deliver:\n  elasticsearch:\n    hosts: [http://es, 5]\n",
            "3: deliver.elasticsearch.hosts.1: expected text; put it in quotes (given: 5)",
        ),
        (
            "serve.port: 1\n",
            "1: serve.port: no such setting; write serve: port:, each in a line of its own and indented",
        ),
        (
            "serve:\n\tport: 1\n",
            "2: not valid YAML: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [f"sidecar.yaml:{problem}"]


def test_invalid_yaml_is_said_without_the_line_which_may_hold_a_secret(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "receive: {auth: {token: hunter2{}}\n")
    assert found.startswith("sidecar.yaml:1: not valid YAML: ")
    assert "hunter2" not in found


def test_nothing_is_suggested_for_a_variable_that_is_like_none() -> None:
    with pytest.raises(ConfigError) as caught:
        loader.load({"SIDECAR_FOO__BAR": "x"})
    assert "did you mean" not in caught.value.problems[0]


def test_a_configuration_that_was_shown_can_be_used_but_for_its_masked_secrets(tmp_path: Path) -> None:
    given = {
        "SIDECAR_RECEIVE__AUTH__TOKEN": "hunter2",
        "SIDECAR_PUSH__LABELS": "a=1",
        "SIDECAR_SHUTDOWN__TIMEOUT": "9s",
    }
    settings = loader.load(given)
    shown = generated_reference.as_yaml(settings)
    (found,) = problems(tmp_path, shown)
    assert "receive.auth.token: is as `sidecar config show` masks it; give the secret, or its file" in found
    assert loaded(tmp_path, shown.replace("'********'", "hunter2")) == settings
