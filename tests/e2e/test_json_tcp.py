"""JSON lines over TCP, TLS and a Unix socket, and `sidecar logs`, to the installed program."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.certificates import authority
from support.engines import SidecarProcess, free_port, sidecar_process, wait_for
from support.engines.sidecar import sidecar_command
from support.load import samples, scrape, status, total

from sidecar.decode.otlp.limits import MAX_LINE_BYTES


@contextmanager
def _running(**more: str) -> Iterator[tuple[SidecarProcess, int]]:
    port = free_port()
    settings = {
        "SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true",
        "SIDECAR_RECEIVE__JSON_TCP__PORT": str(port),
        "SIDECAR_RECEIVE__JSON_TCP__MAX_CONNECTIONS": "20",
        **more,
    }
    with sidecar_process({k: v for k, v in settings.items() if v}) as sidecar:
        yield sidecar, port


def _received(sidecar: SidecarProcess) -> int:
    return int(status(sidecar.serve_url)["ledger"]["received"].get("logs", 0))


def _lines(first: int, last: int, **more: object) -> bytes:
    return b"".join(json.dumps({"message": f"line {n}", "n": n, **more}).encode() + b"\n" for n in range(first, last))


def _send(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        if tls is None:
            plain.sendall(data)
            return
        with tls.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(data)


def _by_label(sidecar: SidecarProcess, name: str, *labels: str) -> float:
    scrape(sidecar.serve_url)
    return total(samples(scrape(sidecar.serve_url) or ""), name, *labels)


def test_several_clients_equal_lines_and_long_ones() -> None:
    with _running() as (sidecar, port):
        connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(10)]
        same = _lines(0, 50, timestamp="2026-01-02T03:04:05Z")
        for connection in connections:
            connection.sendall(same[:333])
        for connection in connections:
            connection.sendall(same[333:])
        wait_for(lambda: _received(sidecar) == 500, 20, "all lines of all clients")
        connections[0].sendall(same)
        connections[1].sendall(same)
        wait_for(lambda: _received(sidecar) == 600, 20, "equal lines are not taken for a resend")
        connections[2].sendall(b"x" * (2 * MAX_LINE_BYTES) + b"\n" + _lines(0, 1) + b'{"message":"no end"}')
        for connection in connections:
            connection.close()
        wait_for(lambda: _received(sidecar) == 603, 20, "a long line, one more, and the last without an end")
        requests = _by_label(sidecar, "sidecar_receiver_requests_total", 'receiver="json_tcp"', 'outcome="accepted"')
        assert requests < 100, "lines that come together are kept together"


def test_too_many_connections_are_closed() -> None:
    with _running() as (sidecar, port):
        connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(20)]
        for connection in connections:
            connection.sendall(_lines(0, 1))
        wait_for(lambda: _received(sidecar) == 20, 20, "all to be connected")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as one_more:
            assert one_more.recv(1) == b""
        for connection in connections:
            connection.close()
        wait_for(lambda: _sends(port, sidecar), 20, "room for others")


def _sends(port: int, sidecar: SidecarProcess) -> bool:
    before = _received(sidecar)
    _send(port, _lines(0, 1))
    time.sleep(0.3)
    return _received(sidecar) > before


def test_tls(tmp_path: Path) -> None:
    issuer = authority(tmp_path)
    pair = issuer.issue("server")
    settings: Mapping[str, str] = {
        "SIDECAR_RECEIVE__TLS__CERT_FILE": str(pair.cert),
        "SIDECAR_RECEIVE__TLS__KEY_FILE": str(pair.key),
    }
    with _running(**settings) as (sidecar, port):
        _send(port, _lines(0, 20), ssl.create_default_context(cafile=str(issuer.cert)))
        wait_for(lambda: _received(sidecar) == 20, 20, "lines over TLS")
        _send(port, _lines(0, 20))
        time.sleep(0.5)
        assert _received(sidecar) == 20


def test_unix_socket(tmp_path: Path) -> None:
    place = tmp_path / "logs.sock"
    with _running(SIDECAR_RECEIVE__JSON_TCP__UNIX_SOCKET=str(place)) as (sidecar, _):
        for round_ in (1, 2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(place))
                client.sendall(_lines(0, 10))
            wait_for(lambda round_=round_: _received(sidecar) == 10 * round_, 20, "lines over the socket")
            if round_ == 1:
                sidecar.kill9()
                sidecar.start()


def test_a_token_cannot_be_carried() -> None:
    settings = {
        "SIDECAR_RECEIVE__JSON_TCP__ENABLED": "true",
        "SIDECAR_RECEIVE__JSON_TCP__HOST": "0.0.0.0",
        "SIDECAR_RECEIVE__JSON_TCP__PORT": str(free_port()),
        "SIDECAR_RECEIVE__AUTH__TOKEN": "secret",
    }
    with sidecar_process(settings, start=False) as sidecar:
        sidecar.child.start()
        assert sidecar.child.reap(30) == 2
        assert "cannot carry one" in sidecar.log.read_text()


def test_the_output_of_a_program_goes_through_and_is_sent() -> None:
    trace = b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nValueError: bad\n'
    output = _lines(0, 200) + b"plain text\n" + trace + b"INFO the last, without an end"
    with sidecar_process() as sidecar:
        command = [str(sidecar_command()), "logs", "--tee", "--url", sidecar.otlp_url]
        done = subprocess.run(command, input=output, capture_output=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == output
        assert _received(sidecar) == 203
        wait_for(lambda: _by_label(sidecar, "log_exceptions_total") == 1, 20, "the exception to be counted")


def test_without_a_sidecar_the_output_goes_through_all_the_same() -> None:
    command = [str(sidecar_command()), "logs", "--tee", "--url", f"http://127.0.0.1:{free_port()}", "--wait", "0.5"]
    done = subprocess.run(command, input=_lines(0, 30), capture_output=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stdout == _lines(0, 30)
    assert b"30 lines could not be sent" in done.stderr
