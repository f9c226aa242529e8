"""`sidecar setup` against real engines, one of them with its security on."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.engines import SearchEngine, elasticsearch9, opensearch, sidecar_command
from support.fake_kibana import FakeKibana, served
from support.secure_engine import ADMIN, PASSWORD, SecureNode, secure_elasticsearch


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def actions(self) -> dict[str, str]:
        """Name of an object -> what became of it."""
        steps = [line.split(":")[0].split() for line in self.out.splitlines()]
        return {words[-1]: words[0] for words in steps if words and words[0] in ACTIONS}


ACTIONS = ("create", "update", "keep", "foreign", "skip")


def sidecar(*arguments: object, **env: str) -> Done:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
    command = [str(sidecar_command()), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=inherited | env)
    return Done(done.returncode, done.stdout, done.stderr)


def call(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    request = urllib.request.Request(url + path, data, {"content-type": kind}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def state(url: str) -> Any:
    """Everything that setting up could change."""
    parts = ("/_component_template", "/_index_template", "/_ingest/pipeline")
    return [call(url, "GET", part) for part in parts]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9], ids=lambda e: e.__name__)
def node(request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    """An engine of its own: what is set up here must not be what other tests start from. Each test here leaves it
    without templates, or is the last."""
    with request.param() as engine:
        yield engine


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureNode]:
    with secure_elasticsearch(tmp_path_factory.mktemp("secure")) as engine:
        yield engine


def test_what_is_foreign_stays(node: SearchEngine) -> None:
    url = node.url
    foreign = {"template": {"settings": {"index.number_of_replicas": 3}}, "_meta": {"managed_by": "somebody"}}
    assert call(url, "PUT", "/_component_template/sidecar-otel@settings", foreign)[0] == 200
    mine = {"index_patterns": ["logs-*.otel-*"], "priority": 500, "data_stream": {}, "template": {}}
    assert call(url, "PUT", "/_index_template/mine", mine)[0] == 200
    same = {"index_patterns": ["traces-*.otel-*"], "priority": 7, "template": {"settings": {}}}
    assert call(url, "PUT", "/_index_template/sidecar-traces-otel", same)[0] == 200
    before = {name: call(url, "GET", f"/{name}") for name in FOREIGN}
    done = sidecar("setup", "elasticsearch", "--url", url, "--overwrite")
    assert (done.code, done.err) == (0, "")
    assert done.actions["sidecar-otel@settings"] == "foreign"
    assert done.actions["sidecar-traces-otel"] == "foreign"
    assert "index template mine (priority 500) takes logs-generic.otel-default" in done.out
    assert {name: call(url, "GET", f"/{name}") for name in FOREIGN} == before
    assert done.actions["sidecar-logs-otel"] == "create"

    # What the operator filled in his own place stays too, and what is ours is fixed.
    custom = {"template": {"settings": {"index.number_of_replicas": 2}}}
    _status, there = call(url, "GET", "/_component_template/sidecar-logs-otel@custom")
    custom["_meta"] = there["component_templates"][0]["component_template"]["_meta"]
    call(url, "PUT", "/_component_template/sidecar-logs-otel@custom", custom)
    older = {"template": {"mappings": {}}, "_meta": {"managed_by": "model-sidecar", "objects": "older"}}
    call(url, "PUT", "/_component_template/sidecar-otel@mappings", older)
    again = sidecar("setup", "elasticsearch", "--url", url)
    assert (again.code, again.err) == (0, "")
    assert {n for n, a in again.actions.items() if a == "update"} == {"sidecar-otel@mappings"}
    _status, kept = call(url, "GET", "/_component_template/sidecar-logs-otel@custom")
    settings = kept["component_templates"][0]["component_template"]["template"]["settings"]
    assert settings["index"]["number_of_replicas"] == "2"

    for name in ("mine", "sidecar-logs-otel", "sidecar-traces-otel"):
        assert call(url, "DELETE", f"/_index_template/{name}")[0] == 200
    call(url, "DELETE", "/_ingest/pipeline/sidecar-json-logs")
    for component in (n for n, a in done.actions.items() if "@" in n and a != "skip"):
        assert call(url, "DELETE", f"/_component_template/{component}")[0] == 200


def test_from_nothing_to_documents(node: SearchEngine, tmp_path: Path) -> None:
    url = node.url
    before = state(url)
    dry = sidecar("setup", "elasticsearch", "--url", url, "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert state(url) == before, "a dry run changes nothing"

    first = sidecar("setup", "elasticsearch", "--url", url)
    assert (first.code, first.err) == (0, "")
    assert first.actions == dry.actions
    assert first.actions["sidecar-logs-otel"] == "create"
    assert first.actions["sidecar-json-logs"] == ("create" if "opensearch" in node.distribution.engine else "skip")
    assert first.actions["sidecar-logs"] == "skip", "no lifecycle management in these distributions"

    after = state(url)
    second = sidecar("setup", "elasticsearch", "--url", url)
    assert second.code == 0
    assert set(second.actions.values()) == {"keep", "skip"}
    assert "nothing to change" in second.out
    assert state(url) == after

    roles = sidecar("setup", "elasticsearch", "--url", url, "--roles")
    assert roles.code == 0
    assert "/sidecar-writer\n{" in roles.out
    no_key = sidecar("setup", "elasticsearch", "--url", url, "--create-api-key", tmp_path / "key")
    assert no_key.code == 1
    assert not (tmp_path / "key").exists()

    empty = sidecar("setup", "check", "--url", url)
    assert empty.code == 1
    assert "failed   documents" in empty.out
    lines = (
        b'{"create":{"_index":"logs-generic.otel-default"}}\n'
        b'{"@timestamp":"%d.000000","attributes":{"http":1,"http.route":"/a"},"trace_id":"00"}\n' % now_millis()
    )
    _status, answer = call(url, "POST", "/_bulk?refresh=true", lines)
    assert answer["errors"] is False, answer
    _status, resolved = call(url, "GET", "/_resolve/index/logs-generic.otel-default")
    assert len(resolved["data_streams"]) == 1
    full = sidecar("setup", "check", "--url", url)
    assert full.code == 0, full.out
    assert "ok       writing to logs-generic.otel-default: allowed" in full.out
    _status, count = call(url, "POST", "/logs-generic.otel-default/_search", {})
    assert count["hits"]["total"]["value"] == 1, "the check leaves no document"


def now_millis() -> int:
    return time.time_ns() // 1_000_000


FOREIGN = (
    "_component_template/sidecar-otel@settings",
    "_index_template/mine",
    "_index_template/sidecar-traces-otel",
)


class TestSecurity:
    def env(self, node: SecureNode, **more: str) -> dict[str, str]:
        prefix = "SIDECAR_DELIVER__ELASTICSEARCH__"
        settings = {"TLS__CA_FILE": node.ca.cert, "TLS__CERT_FILE": node.client.cert, "TLS__KEY_FILE": node.client.key}
        return {prefix + name: str(value) for name, value in (settings | {"HOSTS": node.url} | more).items()}

    def admin(self, node: SecureNode) -> dict[str, str]:
        return self.env(node, AUTH__USERNAME=ADMIN, AUTH__PASSWORD=PASSWORD)

    def role(self, node: SecureNode, name: str, folder: Path) -> dict[str, str]:
        """Environment of a sidecar with an API key that has just the shipped role."""
        (folder / "key").write_text(node.key_of_role(name))
        return self.env(node, AUTH__API_KEY_FILE=str(folder / "key"))

    def test_the_role_for_setting_up_is_enough(self, secure: SecureNode, tmp_path: Path) -> None:
        env = self.role(secure, "sidecar-setup", tmp_path)
        done = sidecar("setup", "elasticsearch", **env)
        assert (done.code, done.err) == (0, ""), done.out
        assert "create" in done.actions.values()
        again = sidecar("setup", "elasticsearch", **env)
        assert (again.code, set(again.actions.values())) == (0, {"keep", "skip"})

    def test_an_api_key_may_write_and_no_more(self, secure: SecureNode, tmp_path: Path) -> None:
        key = tmp_path / "api-key"
        done = sidecar("setup", "elasticsearch", "--create-api-key", key, **self.admin(secure))
        assert (done.code, done.err) == (0, ""), done.out
        assert key.stat().st_mode & 0o777 == 0o600
        env = self.env(secure, AUTH__API_KEY_FILE=str(key))
        refused = sidecar("setup", "elasticsearch", "--overwrite", **env)
        assert refused.code == 1
        assert "HTTP 403" in refused.err
        assert "--roles" in refused.err
        checked = sidecar("setup", "check", **env)
        assert "ok       writing to logs-generic.otel-default: allowed" in checked.out, checked.out + checked.err
        there = sidecar("setup", "elasticsearch", "--create-api-key", key, **self.admin(secure))
        assert there.code == 1
        assert "exists" in there.err, "a key is never written over another"

    def test_without_the_privilege_the_check_says_which_is_missing(self, secure: SecureNode, tmp_path: Path) -> None:
        reader = {"cluster": ["monitor"], "indices": [{"names": ["logs-*", "traces-*"], "privileges": ["read"]}]}
        body = {"name": "reader", "role_descriptors": {"reader": reader}}
        _status, made = secure.call("POST", "/_security/api_key", body)
        (tmp_path / "key").write_text(made["encoded"])
        checked = sidecar("setup", "check", **self.env(secure, AUTH__API_KEY_FILE=str(tmp_path / "key")))
        assert checked.code == 1
        assert "lack create_doc and auto_configure" in checked.out + checked.err, checked.out + checked.err

    def test_wrong_credentials_are_reported(self, secure: SecureNode) -> None:
        done = sidecar("setup", "elasticsearch", **self.env(secure, AUTH__USERNAME=ADMIN, AUTH__PASSWORD="wrong"))
        assert done.code == 1
        assert "HTTP 401" in done.err
        assert "Traceback" not in done.err


def test_nobody_there_is_reported() -> None:
    done = sidecar("setup", "elasticsearch", "--url", "http://127.0.0.1:9")
    assert done.code == 1
    assert "unreachable" in done.err
    assert sidecar("setup", "elasticsearch").code == 2
    assert sidecar("setup", "elasticsearch", "--url", "ftp://x").code == 2


def test_saved_objects_go_to_kibana() -> None:
    """Against a Kibana of a few lines: neither it nor OpenSearch Dashboards can be had here."""
    fake = FakeKibana()
    with served(fake, authorization="ApiKey YTpi") as url:
        env = {"SIDECAR_DELIVER__ELASTICSEARCH__AUTH__API_KEY": "YTpi"}
        dry = sidecar("setup", "kibana", "--url", url, "--dry-run", **env)
        assert (dry.code, dry.err, fake.spaces[""]) == (0, "", {})
        first = sidecar("setup", "kibana", "--url", url, **env)
        assert (first.code, first.err) == (0, "")
        assert "28 changed" in first.out
        assert len(fake.spaces[""]) == 28
        fake.asked.clear()
        second = sidecar("setup", "kibana", "--url", url, **env)
        assert (second.code, second.err) == (0, "")
        assert "nothing to change" in second.out
        assert not any("_import" in asked for asked in fake.asked)
        refused = sidecar("setup", "kibana", "--url", url)
        assert refused.code == 1
        assert "HTTP 401" in refused.err
