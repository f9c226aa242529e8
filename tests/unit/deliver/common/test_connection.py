"""What commands send to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar.deliver.common.connection import Connection, Server
from sidecar.deliver.common.http import Reply
from sidecar.errors import Permanent
from sidecar.options import ClientAuth, ClientTls

Asked = list[tuple[str, str, bytes | None, Mapping[str, str]]]


class Client:
    """Stands for HttpClient."""

    made: list[Client]

    def __init__(self, hosts: Sequence[str], tls: ClientTls, timeout: float, connections: int) -> None:
        self.given = tuple(hosts), timeout, connections
        self.asked: Asked = []
        self.closed = False
        self.made.append(self)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append((method, target, body, headers))
        return Reply(204)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    found: list[Client] = []
    monkeypatch.setattr(Client, "made", found, raising=False)
    monkeypatch.setattr("sidecar.deliver.common.http_client.HttpClient", Client)
    return found


def test_a_body_is_json_but_for_bulk_and_credentials_go_with_each(made: list[Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    server = Server(("http://a", "http://b"), ClientAuth(token_file=tmp_path / "token"), timeout=7)
    with Connection(server) as connection:
        assert connection.ask("GET", "/", None).status == 204
        connection.ask("PUT", "/a", b"{}")
        connection.ask("POST", "/_bulk?refresh", b"{}\n")
        connection.send("POST", "/form", b"a=1", {"content-type": "text/plain", "accept": "*/*"})
    (client,) = made
    assert client.given == (("http://a", "http://b"), 7, 1)
    headers = [dict(each) for *_, each in client.asked]
    assert {each["authorization"] for each in headers} == {"Bearer abc"}
    assert [each.get("content-type") for each in headers] == [
        None,
        "application/json",
        "application/x-ndjson",
        "text/plain",
    ]
    assert [each["accept"] for each in headers] == ["application/json"] * 3 + ["*/*"]
    assert client.closed


def test_a_secret_that_cannot_be_read(made: list[Any], tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="token"):
        Connection(Server(("http://a",), ClientAuth(token_file=tmp_path / "none")))
    assert made == []
