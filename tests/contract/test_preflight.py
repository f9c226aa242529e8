from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from support import drift_data, quality_data
from support.remote_write import Said, read_v2, remote_write_receiver

from sidecar import preflight
from sidecar.config import loader
from sidecar.deliver.elasticsearch import sink as elasticsearch
from sidecar.deliver.elasticsearch import trace_store


def results(**environ: str) -> dict[str, preflight.Result]:
    """What `check` says with free ports, by what was looked at."""
    ports = {f"SIDECAR_{name}__PORT": "0" for name in ("SERVE", "RECEIVE__OTLP_GRPC", "RECEIVE__OTLP_HTTP")}
    return {r.what: r for r in preflight.check(loader.load({**ports, **environ}))}


def test_a_directory_that_is_not_there_yet_is_looked_for_upwards_and_not_made(tmp_path: Path) -> None:
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path / "a" / "b"), SIDECAR_JOURNAL__QUOTA_BYTES="16777216")
    assert found["journal"].state == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "what"), [("SIDECAR_JOURNAL__PATH", "journal"), ("SIDECAR_DELIVER__STORE__DIRECTORY", "store")]
)
def test_a_place_that_is_no_directory_fails_and_names_its_variable(tmp_path: Path, variable: str, what: str) -> None:
    (tmp_path / "file").touch()
    environ = {"SIDECAR_JOURNAL__PATH": str(tmp_path), variable: str(tmp_path / "file" / "x")}
    found = results(**environ)[what]
    assert found.state == "failed"
    assert f"set {variable}" in found.detail


@pytest.mark.parametrize(
    ("what", "name"), [("journal", "journal.db"), ("journal", "journal.lock"), ("store", "store.db")]
)
def test_files_of_another_user_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, name: str) -> None:
    """An image that ran as root, say, and runs as another user now."""
    (tmp_path / name).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != name)
    environ = {"SIDECAR_JOURNAL__PATH": str(tmp_path), "SIDECAR_DELIVER__STORE__DIRECTORY": str(tmp_path)}
    found = results(**environ)[what]
    assert found.state == "failed"
    assert f"{tmp_path / name} cannot be written: it is of user {os.geteuid()}" in found.detail


def test_references_and_suites_are_read(tmp_path: Path) -> None:
    """Without them nothing is compared, and the log alone says so."""
    made = drift_data.reference({"age": [1.0, 2.0]}, "churn", "7")
    (tmp_path / "reference.json").write_text(made.dump())
    (tmp_path / "suite.json").write_text(quality_data.suite([("expect_x", {"column": "age"})]))
    (tmp_path / "empty").mkdir()

    def found(what: str, name: str) -> tuple[str, str]:
        one = results(**{f"SIDECAR_DERIVE__DRIFT__{what.upper()}": str(tmp_path / name)})[what]
        return one.state, one.detail.replace(str(tmp_path), "")

    assert found("reference", "reference.json") == ("ok", "/reference.json: model churn 7, 1 features, 2 rows")
    assert found("reference", "absent.json") == ("failed", "/absent.json: no such file or directory")
    assert found("reference", "empty") == ("failed", "/empty: no file *.json in it")
    state, detail = found("reference", "suite.json")
    assert (state, "expected a file of `sidecar profile`" in detail) == ("failed", True)
    state, detail = found("suites", "suite.json")
    assert (state, "any model, 0 expectations, 1 more are not evaluated" in detail) == ("warning", True)
    assert found("suites", "reference.json")[0] == "failed"


def test_features_that_no_reference_has(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text(drift_data.reference({"age": [1.0, 2.0]}).dump())
    given = {"SIDECAR_DERIVE__DRIFT__REFERENCE": str(tmp_path)}
    found = results(**given, SIDECAR_DERIVE__DRIFT__FEATURES='{"aeg": {"method": "ks"}}')["features"]
    assert (found.state, found.detail) == (
        "warning",
        "derive.drift.features: no reference has 'aeg'; did you mean 'age'?",
    )
    assert "features" not in results(**given, SIDECAR_DERIVE__DRIFT__FEATURES='{"age": {"method": "ks"}}')
    assert "features" not in results(SIDECAR_DERIVE__DRIFT__FEATURES='{"aeg": {"method": "ks"}}')


def test_what_log_files_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    include = {"SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": f"{tmp_path}/*/*.log"}
    missing = results(**include)["file_tail"]
    assert (missing.state, missing.detail) == ("warning", f"no file matches {tmp_path}/*/*.log as yet")
    for name in ("a.log", "a.log.1", "b.log"):
        (tmp_path / "logs" / name).write_text("x\n")
    found = results(**include)["file_tail"]
    assert (found.state, found.detail) == ("ok", "files to read: 3")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "logs")
    closed = [r for r in preflight.check(loader.load(include)) if r.what == "file_tail" and r.state == "warning"]
    assert [r.detail for r in closed] == [f"{tmp_path}/logs: this user may not look into it"]


def test_too_little_room_is_a_warning(tmp_path: Path) -> None:
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), SIDECAR_JOURNAL__QUOTA_BYTES=str(1 << 60))
    assert found["journal"].state == "warning"


def test_a_journal_in_memory_is_a_warning() -> None:
    assert results(SIDECAR_JOURNAL__BACKEND="memory")["journal"].state == "warning"


@pytest.mark.parametrize(
    ("environ", "state", "detail"),
    [
        ({}, "ok", "loopback only"),
        ({"SIDECAR_RECEIVE__AUTH__TOKEN": "t"}, "ok", "asked for"),
        ({"SIDECAR_RECEIVE__OTLP_HTTP__HOST": "0.0.0.0"}, "warning", "open to the network"),
        ({"SIDECAR_RECEIVE__OTLP_HTTP__HOST": "127.0.0.9"}, "ok", "loopback only"),
        ({"SIDECAR_RECEIVE__OTLP_GRPC__HOST": "LOCALHOST"}, "ok", "loopback only"),
        ({"SIDECAR_RECEIVE__OTLP_GRPC__HOST": "::ffff:127.0.0.1"}, "ok", "loopback only"),
        ({"SIDECAR_RECEIVE__OTLP_GRPC__HOST": "::"}, "warning", "open to the network"),
        (
            {"SIDECAR_RECEIVE__LUMBERJACK__HOST": "0.0.0.0", "SIDECAR_RECEIVE__LUMBERJACK__PORT": "0"},
            "warning",
            "open to the network",
        ),
        (
            {"SIDECAR_RECEIVE__JSON_TCP__HOST": "0.0.0.0", "SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true"},
            "warning",
            "open to the network",
        ),
        ({"SIDECAR_RECEIVE__AUTH__TOKEN_FILE": "/not/there"}, "failed", "/not/there"),
        ({"SIDECAR_SERVE__AUTH__TOKEN_FILE": "/not/there"}, "failed", "serve credentials: /not/there"),
    ],
)
def test_credentials(tmp_path: Path, environ: dict[str, str], state: str, detail: str) -> None:
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **environ)["credentials"]
    assert found.state == state
    assert detail in found.detail


def test_a_node_that_does_not_answer_fails_with_the_reason(tmp_path: Path) -> None:
    url = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "http://127.0.0.1:1"}
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **url)["elasticsearch"]
    assert found.state == "failed"
    assert "refused" in found.detail


@pytest.mark.parametrize("name", ["CA_FILE", "API_KEY_FILE"])
def test_a_file_for_the_nodes_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    prefix = "SIDECAR_DELIVER__ELASTICSEARCH__"
    environ = {f"{prefix}URL": "https://127.0.0.1:1", f"{prefix}{name}": "/not/there"}
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **environ)["elasticsearch"]
    assert found.state == "failed"
    assert "/not/there" in found.detail


@pytest.mark.parametrize(
    ("environ", "state", "detail"),
    [
        ({}, "ok", "1 keys, 0 patterns"),
        ({"SIDECAR_DELIVER__REDACTION__HASH_KEY_FILE": "/not/there"}, "failed", "/not/there"),
        ({"SIDECAR_DELIVER__OTLP__ENDPOINT": "http://127.0.0.1:1"}, "warning", "metrics go to otlp as they are"),
        (
            {"SIDECAR_DELIVER__OTLP__ENDPOINT": "http://127.0.0.1:1", "SIDECAR_DELIVER__OTLP__SIGNALS": "spans,logs"},
            "ok",
            "1 keys",
        ),
    ],
)
def test_redaction(tmp_path: Path, environ: dict[str, str], state: str, detail: str) -> None:
    rules = {"SIDECAR_DELIVER__REDACTION__KEYS": "user.*=" + ("hash" if state == "failed" else "drop")}
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **rules, **environ)["redaction"]
    assert found.state == state
    assert detail in found.detail


def test_every_sink_is_looked_at_by_its_name_and_one_that_is_off_is_said(tmp_path: Path) -> None:
    more = "SIDECAR_DELIVER__ADDITIONAL__"
    environ = {
        f"{more}ONE__KIND": "elasticsearch",
        f"{more}ONE__HOSTS": "http://127.0.0.1:1",
        f"{more}TWO__KIND": "elasticsearch",
    }
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **environ)
    assert found["one"].state == "failed"
    assert "refused" in found["one"].detail
    assert found["two"].state == "warning"
    assert "deliver.additional.two is not enabled" in found["two"].detail


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (401, "failed"), (403, "warning"), (404, "warning"), (503, "warning")]
)
def test_what_an_answer_says_of_delivery(status: int, state: str) -> None:
    assert elasticsearch.classify_health(status).state == state


def test_every_port_is_looked_at(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for section in ("OTLP_GRPC", "OTLP_HTTP", "JSON_TCP", "LUMBERJACK"):
            environ = {"SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true", f"SIDECAR_RECEIVE__{section}__PORT": port}
            found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **environ)
            assert found[section.lower()].state == "failed", section


@pytest.mark.parametrize(
    ("environ", "what", "other"),
    [
        ({"RECEIVE__OTLP_GRPC__PORT": "5", "RECEIVE__OTLP_HTTP__PORT": "5"}, "otlp_http", "otlp_grpc"),
        ({"SERVE__HOST": "0.0.0.0", "SERVE__PORT": "5", "RECEIVE__OTLP_HTTP__PORT": "5"}, "otlp_http", "serve"),
        ({"RECEIVE__OTLP_HTTP__PORT": "5", "RECEIVE__LUMBERJACK__PORT": "5"}, "lumberjack", "otlp_http"),
        (
            {"RECEIVE__JSON_TCP__ENABLED": "1", "RECEIVE__JSON_TCP__PORT": "5", "RECEIVE__OTLP_GRPC__PORT": "5"},
            "json_tcp",
            "otlp_grpc",
        ),
    ],
)
def test_a_port_that_two_parts_listen_on_fails(environ: dict[str, str], what: str, other: str) -> None:
    found = {r.detail for r in results(**{f"SIDECAR_{name}": value for name, value in environ.items()}).values()}
    assert any(f"{other} listens there" in detail or f"{what} listens there" in detail for detail in found)


def test_a_port_of_another_address_is_no_conflict() -> None:
    found = results(SIDECAR_RECEIVE__OTLP_GRPC__PORT="0", SIDECAR_RECEIVE__OTLP_HTTP__PORT="0")
    assert found["otlp_http"].state == found["otlp_grpc"].state == "ok"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("s.sock", ""),
        ("x" * 120, "too long"),
        ("nowhere/s.sock", "is not a directory"),
        ("file", "not a socket"),
    ],
)
def test_unix_sockets(tmp_path: Path, path: str, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    found = results(SIDECAR_RECEIVE__JSON_TCP__ENABLED="true", SIDECAR_RECEIVE__JSON_TCP__UNIX_SOCKET=path)["json_tcp"]
    assert found.state == ("failed" if detail else "ok")
    assert detail in found.detail


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "a..b", "x" * 300, "caf\N{LATIN SMALL LETTER E WITH ACUTE}..x", "http://127.0.0.1"]
)
def test_what_is_no_host_fails(host: str) -> None:
    found = results(SIDECAR_RECEIVE__OTLP_HTTP__HOST=host)["otlp_http"]
    assert found.state == "failed"
    assert found.detail.startswith(f"cannot listen on {host}:0: ")


def test_where_look_ups_read_is_asked_where_it_is_set(tmp_path: Path) -> None:
    prefix = "SIDECAR_LOOKUP__ELASTICSEARCH__"
    assert "lookup" not in results(SIDECAR_JOURNAL__PATH=str(tmp_path))
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **{f"{prefix}HOSTS": "http://127.0.0.1:1"})["lookup"]
    assert found.state == "failed"
    assert "http://127.0.0.1:1" in found.detail
    assert "refused" in found.detail
    secret = {f"{prefix}HOSTS": "https://127.0.0.1:1", f"{prefix}AUTH__API_KEY_FILE": "/not/there"}
    found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), **secret)["lookup"]
    assert (found.state, "/not/there" in found.detail) == ("failed", True)


@pytest.mark.parametrize(
    ("status", "state", "detail"),
    [(200, "ok", "searched"), (401, "failed", "401"), (403, "failed", "sidecar-reader"), (503, "warning", "503")],
)
def test_what_an_answer_says_of_look_ups(status: int, state: str, detail: str) -> None:
    found = trace_store.classify_health(status, "traces-*")
    assert (found.state, detail in found.detail) == (state, True)


@pytest.mark.parametrize(("said", "state"), [(Said(204, 0), "ok"), (Said(401), "failed")])
def test_a_receiver_of_metrics_is_asked_with_an_empty_request(said: Said, state: str, tmp_path: Path) -> None:
    with remote_write_receiver(lambda headers, body: said) as receiver:
        found = results(SIDECAR_JOURNAL__PATH=str(tmp_path), SIDECAR_PUSH__REMOTE_WRITE__ENDPOINT=receiver.url)
    assert found["push.remote_write"].state == state
    assert [read_v2(body) for _, body in receiver.requests] == [{}]
