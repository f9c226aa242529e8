"""Events of Beats to the installed program, from Elastic's own client library: kept, acknowledged, once after kills."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import authority
from support.engines import SidecarProcess, free_port, sidecar_process, wait_for
from support.engines.lumberjack import lumbersource_binary
from support.load import status, waiting

from sidecar.decode.protocols.lumberjack import ack_frame, data_frame, window_frame

KILLS = 5


@contextmanager
def _running(**more: str) -> Iterator[tuple[SidecarProcess, int, Path]]:
    port = free_port()
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "false"}, start=False) as sidecar:
        out = sidecar.data_dir / "out.ndjson"
        sidecar.child.env.update(
            {
                "SIDECAR_RECEIVE__LUMBERJACK__PORT": str(port),
                "SIDECAR_DELIVER__FILE__PATH": str(out),
                "SIDECAR_DELIVER__FILE__FORMAT": "ndjson",
                **more,
            }
        )
        sidecar.start()
        yield sidecar, port, out


def _source(port: int, *options: object) -> list[str]:
    return [str(lumbersource_binary()), "-address", f"127.0.0.1:{port}", *map(str, options)]


def _send(port: int, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_source(port, *options), capture_output=True, text=True, timeout=300)


def _received(sidecar: SidecarProcess) -> int:
    return int(status(sidecar.serve_url)["ledger"]["received"].get("logs", 0))


def _documents(sidecar: SidecarProcess, out: Path) -> list[dict[str, Any]]:
    wait_for(lambda: not waiting(sidecar.serve_url), 30, "everything to be written")
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def _numbers(documents: Sequence[dict[str, Any]]) -> Counter[int]:
    return Counter(document["attributes"]["fields.n"] for document in documents)


@pytest.mark.engine
@pytest.mark.parametrize("compression", [0, 3])
def test_what_becomes_of_an_event(compression: int) -> None:
    with _running() as (sidecar, port, out):
        sent = _send(port, "-batches", 2, "-size", 3, "-compression", compression)
        assert (sent.returncode, sent.stdout) == (0, "3\n6\n"), sent.stderr
        assert _received(sidecar) == 6, "an acknowledgement comes after the commit"
        documents = _documents(sidecar, out)
    assert _numbers(documents) == Counter(range(6))
    one = documents[0]
    assert one["body"] == {"text": "line 0"}
    assert one["attributes"]["kubernetes"] == {"pod": {"name": "scorer-1"}}
    assert one["attributes"]["container"] == {"id": "c0ffee"}
    assert "@metadata" not in one["attributes"]
    assert one["@timestamp"] != one["observed_timestamp"]


@pytest.mark.engine
def test_kills_of_the_sidecar_lose_and_double_nothing() -> None:
    moments = random.Random(5)
    with _running() as (sidecar, port, out):
        command = _source(port, "-batches", 400, "-size", 100, "-pause", "10ms")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            for _ in range(KILLS):
                seen = _received(sidecar)
                wait_for(lambda seen=seen: _received(sidecar) > seen, 30, "batches to come")
                time.sleep(moments.uniform(0, 0.5))
                sidecar.kill9()
                sidecar.start()
            said, errors = client.communicate(timeout=600)
        assert client.returncode == 0, errors
        assert said.splitlines()[-1] == "40000"
        assert int(errors.split()[-1]) >= KILLS, "no batch was sent again: the test proved nothing"
        assert _received(sidecar) == 40_000
        documents = _documents(sidecar, out)
        assert status(sidecar.serve_url)["ledger"]["problems"] == []
    assert set(_numbers(documents)) == set(range(40_000))


def test_a_batch_that_is_sent_again_is_recognised() -> None:
    forms = [
        b'{"@timestamp":"2026-01-02T03:04:05.678Z","message":"%d"}',
        b'{"message":"%d","@timestamp":"2026-01-02T03:04:05.678Z"}',
    ]
    with _running() as (sidecar, port, _):
        for form in [*forms, *forms]:
            window = window_frame(50) + b"".join(data_frame(n, form % n) for n in range(1, 51))
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(window)
                assert client.recv(6, socket.MSG_WAITALL) == ack_frame(50)
        assert _received(sidecar) == 50


def test_what_is_no_event_and_what_is_too_much() -> None:
    settings = {"SIDECAR_RECEIVE__LUMBERJACK__MAX_WINDOW": "10", "SIDECAR_RECEIVE__LUMBERJACK__MAX_CONNECTIONS": "2"}
    with _running(**settings) as (sidecar, port, out):
        for hostile in (window_frame(11), b"GET / HTTP/1.1\r\n\r\n", b"1W\x00\x00\x00\x01", data_frame(1, b"{}")):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(hostile)
                assert client.recv(1) == b""
        odd = [b"not JSON\nat all", b'{"message":"a",\n"x":1}', b"[1]"]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(window_frame(3) + b"".join(data_frame(n, each) for n, each in enumerate(odd, 1)))
            assert client.recv(6, socket.MSG_WAITALL) == ack_frame(3)
            client.sendall(window_frame(2) + data_frame(1, b'{"message":"half a window"}'))
        documents = _documents(sidecar, out)
        first, second = (socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(2))
        with first, second, socket.create_connection(("127.0.0.1", port), timeout=60) as third:
            assert third.recv(1) == b""
    assert [document["body"]["text"] for document in documents] == ["not JSON at all", "a", "[1]"]


@pytest.mark.engine
def test_tls_with_client_certificates(tmp_path: Path) -> None:
    issuer = authority(tmp_path)
    server, client = issuer.issue("server"), issuer.issue("client")
    settings = {
        "SIDECAR_RECEIVE__TLS__CERT_FILE": str(server.cert),
        "SIDECAR_RECEIVE__TLS__KEY_FILE": str(server.key),
        "SIDECAR_RECEIVE__TLS__CA_FILE": str(issuer.cert),
    }
    with _running(**settings) as (sidecar, port, _):
        allowed = _send(port, "-ca", issuer.cert, "-cert", client.cert, "-key", client.key)
        assert allowed.returncode == 0, allowed.stderr
        assert _send(port, "-ca", issuer.cert, "-tries", 2).returncode != 0, "no certificate"
        assert _send(port, "-tries", 2).returncode != 0, "no TLS"
        assert _received(sidecar) == 100
