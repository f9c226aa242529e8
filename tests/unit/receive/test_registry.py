from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import loader
from sidecar.errors import ConfigError
from sidecar.receive.receiver import Listener
from sidecar.receive.registry import listeners


@pytest.mark.parametrize(
    ("old", "value", "section", "name", "expected"),
    [
        ("INTAKE__SERVICE_NAME", "shop", "ingest", "service_name", "shop"),
        ("INTAKE__LEARN_RESOURCE", "false", "ingest", "infer_resource", False),
        ("INTAKE__MAX_IN_FLIGHT_BYTES", "32MiB", "ingest", "max_in_flight_bytes", 32 << 20),
        ("CREDENTIALS__TOKEN_FILE", "/token", "auth", "token_file", Path("/token")),
        ("LUMBERJACK__PORT", "5044", "lumberjack", "switched_on", True),
        ("FILE_TAIL__INCLUDE", "/var/log/*.log", "file_tail", "switched_on", True),
    ],
)
def test_old_names_still_work(old: str, value: str, section: str, name: str, expected: object) -> None:
    settings = loader.load({f"SIDECAR_RECEIVE__{old}": value})
    assert getattr(settings.receive.section(section), name) == expected


def test_old_names_of_tls_still_work() -> None:
    names = {"CERT_FILE": "/c", "KEY_FILE": "/k", "CLIENT_CA_FILE": "/a"}
    settings = loader.load({f"SIDECAR_RECEIVE__CREDENTIALS__{name}": value for name, value in names.items()})
    tls = settings.receive.tls
    assert (tls.cert_file, tls.key_file, tls.ca_file) == (Path("/c"), Path("/k"), Path("/a"))
    assert {renamed.new for renamed in settings.renamed} == {
        "receive.tls.cert_file",
        "receive.tls.key_file",
        "receive.tls.ca_file",
    }


@pytest.mark.parametrize("receiver", ["OTLP_GRPC", "OTLP_HTTP", "JSON_TCP", "LUMBERJACK", "FILE_TAIL"])
def test_every_receiver_can_be_switched_off(receiver: str) -> None:
    given = {
        "SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true",
        "SIDECAR_RECEIVE__LUMBERJACK__PORT": "5044",
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": "/var/log/*.log",
    }
    settings = loader.load({**given, f"SIDECAR_RECEIVE__{receiver}__ENABLED": "false"})
    assert not settings.receive.section(receiver.lower()).switched_on
    assert receiver.lower() not in dict(listeners(settings.receive))


def test_where_receivers_listen() -> None:
    settings = loader.load(
        {
            "SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true",
            "SIDECAR_RECEIVE__JSON_TCP__UNIX_SOCKET": "/run/lines",
            "SIDECAR_RECEIVE__LUMBERJACK__PORT": "5044",
            "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": "/var/log/*.log",
        }
    )
    assert listeners(settings.receive) == [
        ("otlp_grpc", Listener("127.0.0.1", 4317)),
        ("otlp_http", Listener("127.0.0.1", 4318)),
        ("json_tcp", Listener(unix_socket=Path("/run/lines"))),
        ("lumberjack", Listener("127.0.0.1", 5044)),
    ]


@pytest.mark.parametrize(("receiver", "missing"), [("LUMBERJACK", "port"), ("FILE_TAIL", "include")])
def test_switched_on_without_what_it_needs(receiver: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"{missing} is missing"):
        loader.load({f"SIDECAR_RECEIVE__{receiver}__ENABLED": "true"})
