"""Under which address, and from where, the page is asked."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.serve.access import host_is_known, is_local
from sidecar.serve.serve_port import Options


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1:9464",
        "10.1.2.3",
        "[::1]:9464",
        "[fe80::1]",
        "localhost:9464",
        "LOCALHOST.",
        "sidecar",
        "sidecar.ns.svc:9464",
        "sidecar.ns.svc.cluster.local",
        "host.docker.internal:9464",
        "box.local",
        f"{socket.gethostname().upper()}:9464",
    ],
)
def test_addresses_and_names_that_nobody_can_own_are_known(host: str) -> None:
    assert host_is_known(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test:9464",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "evil.svc.test",
        "1.2.3",
        "xsvc.local.io",
        "a.b:1:2",
    ],
)
def test_any_other_name_must_be_allowed(host: str) -> None:
    assert not host_is_known(host)
    assert not host_is_known(host, ["sidecar.example.com"])
    assert host_is_known(host, ["*"])


def test_an_allowed_name_is_compared_without_port_and_case() -> None:
    for allowed in ("sidecar.example.com", "Sidecar.Example.com:443"):
        assert host_is_known("SIDECAR.example.com:9464", [allowed])
    assert not host_is_known("evil-sidecar.example.com", ["sidecar.example.com"])


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("::ffff:10.0.0.1", False), ("", False), ("unix", False)],
)  # fmt: skip
def test_loopback_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize("prefix", ["/", "sidecar", "/a/", "/a b", '/"><script>', "//evil.test"])
def test_a_prefix_that_is_no_path_is_invalid(prefix: str) -> None:
    with pytest.raises(ValidationError):
        Options(path_prefix=prefix)


@pytest.mark.parametrize(
    ("options", "in_kubernetes", "local_only"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"auth": {"token": "secret"}}, True, False),
        ({"auth": {"token_file": "/t"}}, True, False),
        ({"page": {"local_only": False}}, True, False),
        ({"page": {"local_only": True}, "auth": {"token": "secret"}}, False, True),
    ],
)
def test_in_a_cluster_the_page_is_for_port_forwards_unless_a_token_is_asked(
    options: dict[str, Any], in_kubernetes: bool, local_only: bool
) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"} if in_kubernetes else {}
    assert Options(**options).access(environ).local_only is local_only
