"""Roles and API keys."""

from __future__ import annotations

import json

import pytest

from sidecar.deliver.common.http import Reply
from sidecar.errors import Permanent
from sidecar.provision import privileges
from sidecar.provision.search_engine import Engine

ELASTICSEARCH, OPENSEARCH = Engine("elasticsearch", "9.1.0"), Engine("opensearch", "3.6.0")


@pytest.mark.parametrize("engine", [ELASTICSEARCH, OPENSEARCH], ids=str)
def test_roles_are_ready_to_be_pasted(engine: Engine) -> None:
    blocks = "\n".join(privileges.roles(engine)).strip().split("\n\n")
    assert len(blocks) == len(privileges.PURPOSES)
    for block, name in zip(blocks, privileges.PURPOSES, strict=True):
        purpose, request, body = block.split("\n", 2)
        assert purpose.startswith("# ")
        assert request.startswith("PUT /_")
        assert request.endswith(f"/{name}")
        json.loads(body)


def test_the_writer_may_not_read_or_delete() -> None:
    bodies = json.dumps(privileges.load("elasticsearch", "roles")[privileges.WRITER])
    assert "create_doc" in bodies
    assert not any(word in bodies for word in ('"all"', '"read"', "delete", '"index"', '"write"', '"manage"'))


def test_a_key_has_the_writers_role_and_an_end() -> None:
    asked = []

    def request(method: str, target: str, body: bytes | None) -> Reply:
        asked.append((method, target, json.loads(body or b"null")))
        return Reply(200, b'{"id":"a","api_key":"b","encoded":"YTpi"}')

    assert privileges.create_api_key(request, ELASTICSEARCH, "model-sidecar", 30 * 86400) == "YTpi"
    ((method, target, body),) = asked
    assert (method, target, body["expiration"]) == ("POST", "/_security/api_key", "2592000s")
    assert body["role_descriptors"] == {"sidecar-writer": privileges.load("elasticsearch", "roles")["sidecar-writer"]}


def test_where_there_are_no_keys_it_is_said() -> None:
    def request(method: str, target: str, body: bytes | None) -> Reply:
        return Reply(200, b"{}")

    with pytest.raises(Permanent, match="OpenSearch has no"):
        privileges.create_api_key(request, OPENSEARCH, "k", None)
    with pytest.raises(Permanent, match="no security"):
        privileges.create_api_key(request, Engine("elasticsearch", "9", lacks={"security": "no security"}), "k", None)
    with pytest.raises(Permanent, match="holds no key"):
        privileges.create_api_key(request, ELASTICSEARCH, "k", None)
