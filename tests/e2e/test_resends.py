"""A request that comes again because its acknowledgement was lost is kept once; an equal one is another one."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import LogRecordExportResult
from support.ack_proxy import AckProxy, Way
from support.delivery import logs_payload
from support.engines import sidecar_process, wait_for
from support.engines.sidecar import sidecar_command
from support.load import make_logs, make_spans
from support.receiving import GRPC_METHODS, PROTOBUF, Receiving, receiving

from sidecar.journal.journal import Journal
from sidecar.journal.opening import open_journal
from sidecar.journal.options import JournalOptions

TIMES = 7
LINE = b'{"time":"2026-01-02T03:04:05Z","level":"warn","msg":"retry"}\n'
HEADERS = {"content-type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Kept:
    """Receivers over a journal in memory."""

    at: Receiving
    log: Journal

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.at.http_port}"

    @property
    def records(self) -> int:
        return self.log.ledger().received.get("logs", 0)

    @property
    def resends(self) -> int:
        self.log.flush()
        return self.log.ledger().duplicates.get("logs", 0)


@pytest.fixture
def kept() -> Iterator[Kept]:
    log = open_journal(JournalOptions(backend="memory"))
    with receiving(log) as at:
        yield Kept(at, log)
    log.close()


def _on_one_connection(kept: Kept, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", kept.at.http_port, timeout=60)
    for _ in range(TIMES):
        connection.request("POST", "/v1/json", body, HEADERS)
        assert connection.getresponse().read() == b"{}"
    connection.close()


def _on_connections_of_their_own(kept: Kept, body: bytes) -> None:
    for _ in range(TIMES):
        assert kept.at.post("/v1/json", body, HEADERS["content-type"]).status == 200


def _on_connections_that_stay_open(kept: Kept, body: bytes) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", kept.at.http_port, timeout=60) for _ in range(TIMES)]
    for connection in connections:
        connection.request("POST", "/v1/json", body, HEADERS)
        assert connection.getresponse().read() == b"{}"
    for connection in connections:
        connection.close()


def _by_urllib(kept: Kept, body: bytes) -> None:
    """Which asks for the connection to be closed."""
    for _ in range(TIMES):
        request = urllib.request.Request(f"{kept.url}/v1/json", body, HEADERS)
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.read() == b"{}"


def _by_requests(kept: Kept, body: bytes) -> None:
    for _ in range(TIMES):
        assert requests.post(f"{kept.url}/v1/json", body, headers=HEADERS, timeout=60).status_code == 200


def _by_requests_in_a_session(kept: Kept, body: bytes) -> None:
    with requests.Session() as session:
        for _ in range(TIMES):
            assert session.post(f"{kept.url}/v1/json", body, headers=HEADERS, timeout=60).status_code == 200


def _by_http_1_0(kept: Kept, body: bytes) -> None:
    for _ in range(TIMES):
        with socket.create_connection(("127.0.0.1", kept.at.http_port), timeout=60) as raw:
            raw.sendall(b"POST /v1/json HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            assert b" 200 " in b"".join(iter(lambda raw=raw: raw.recv(4096), b""))


def _by_curl(kept: Kept, body: bytes) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    command = ["curl", "-fsS", "-H", "content-type: application/x-ndjson", "--data-binary", "@-"]
    for _ in range(TIMES):
        subprocess.run([*command, f"{kept.url}/v1/json"], input=body, check=True, capture_output=True, timeout=300)


def _at_once(kept: Kept, body: bytes) -> None:
    barrier = threading.Barrier(TIMES)

    def post() -> int:
        barrier.wait(30)
        return kept.at.post("/v1/json", body, HEADERS["content-type"]).status

    with ThreadPoolExecutor(TIMES) as pool:
        assert [f.result(120) for f in [pool.submit(post) for _ in range(TIMES)]] == [200] * TIMES


@pytest.mark.parametrize(
    "send",
    [
        _on_one_connection,
        _on_connections_of_their_own,
        _on_connections_that_stay_open,
        _by_urllib,
        _by_requests,
        _by_requests_in_a_session,
        _by_http_1_0,
        _by_curl,
        _at_once,
    ],
)
@pytest.mark.parametrize(
    "body",
    [LINE, LINE * 3, b'{"ts":1767322985.123456,"message":"x"}\n', b'{"message":"without a time"}\n'],
    ids=["seconds", "three lines", "microseconds", "no time"],
)
def test_equal_lines_are_all_kept(kept: Kept, send: Callable[[Kept, bytes], None], body: bytes) -> None:
    send(kept, body)
    assert kept.records == TIMES * body.count(b"\n")
    assert kept.resends == 0


@pytest.mark.parametrize("channels", [1, TIMES], ids=["one channel", "a channel each"])
def test_equal_log_requests_over_grpc_are_all_kept(kept: Kept, channels: int) -> None:
    body = logs_payload("equal")
    opened = [
        grpc.insecure_channel(f"127.0.0.1:{kept.at.grpc_port}", [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(channels)
    ]
    for n in range(TIMES):
        opened[n % channels].unary_unary(GRPC_METHODS["logs"])(body, timeout=60)
    calls = [opened[n % channels].unary_unary(GRPC_METHODS["logs"]).future(body, timeout=60) for n in range(TIMES)]
    for call in calls:
        call.result(120)
    for channel in opened:
        channel.close()
    assert (kept.records, kept.resends) == (2 * TIMES, 0)


def test_equal_log_requests_over_http_are_all_kept(kept: Kept) -> None:
    for _ in range(TIMES):
        assert kept.at.post("/v1/logs", logs_payload("equal"), PROTOBUF).status == 200
    assert (kept.records, kept.resends) == (TIMES, 0)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_exporter_may_export_the_same_again(kept: Kept, protocol: str) -> None:
    exporter = _exporter(protocol, kept.at.http_port if protocol == "http" else kept.at.grpc_port)
    batch = make_logs("app", 0, 3)
    for _ in range(TIMES):
        assert exporter.export(batch) is LogRecordExportResult.SUCCESS
    exporter.shutdown()
    assert (kept.records, kept.resends) == (3 * TIMES, 0)


def _exporter(protocol: str, port: int) -> Any:
    if protocol == "http":
        return HttpLogs(endpoint=f"http://127.0.0.1:{port}/v1/logs", timeout=10)
    return GrpcLogs(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=10)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("way", ["close", "reset"])
def test_what_an_exporter_sends_again_is_kept_once(kept: Kept, protocol: str, way: Way) -> None:
    proxy = AckProxy(kept.at.http_port if protocol == "http" else kept.at.grpc_port, way, protocol == "grpc")
    exporter = _exporter(protocol, proxy.port)
    batches = 3
    for n in range(batches):
        proxy.losing = 1
        assert exporter.export(make_logs("app", n, 1)) is LogRecordExportResult.SUCCESS
    exporter.shutdown()
    proxy.close()
    assert proxy.lost == batches
    assert (kept.records, kept.resends) == (batches, batches)


def test_what_any_client_sends_again_after_a_timeout_is_kept_once(kept: Kept) -> None:
    """Behind a proxy, for which the connection to the sidecar is in the best order."""
    proxy = AckProxy(kept.at.http_port, "swallow", http2=False)
    proxy.losing = 1
    url = f"http://127.0.0.1:{proxy.port}/v1/json"
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, LINE, headers=HEADERS, timeout=1.5)
    wait_for(lambda: kept.records == 1, 10, "the line")
    assert requests.post(url, LINE, headers=HEADERS, timeout=10).status_code == 200
    assert (kept.records, kept.resends) == (1, 1)
    assert requests.post(url, LINE, headers=HEADERS, timeout=10).status_code == 200
    assert kept.records == 2, "it has its acknowledgement: this is another one"
    proxy.close()


def test_what_a_call_past_its_deadline_sends_again_is_kept_once(kept: Kept) -> None:
    """The reply is late, the client has given up, and its connection stays."""
    late = 1.5
    proxy = AckProxy(kept.at.grpc_port, "late", http2=True, delay=late)
    exporter = GrpcLogs(endpoint=f"http://127.0.0.1:{proxy.port}", insecure=True, timeout=1)
    batch = make_logs("app", 0, 1)
    proxy.losing = 1_000
    # On a slow machine the deadline may pass before the request has left.
    wait_for(lambda: exporter.export(batch) is LogRecordExportResult.FAILURE and kept.records, 20, "the batch", late)
    proxy.losing = 0
    # The receiver counts the deadline from when it has read the request: after so long it has passed there, too.
    time.sleep(late)
    wait_for(lambda: exporter.export(batch) is LogRecordExportResult.SUCCESS, 20, "the export", late)
    exporter.shutdown()
    proxy.close()
    assert kept.records == 1
    assert kept.resends >= 1


@pytest.mark.parametrize("way", ["close", "reset"])
def test_spans_are_kept_once_whoever_sends_them_again(kept: Kept, way: Way) -> None:
    proxy = AckProxy(kept.at.http_port, way, http2=False)
    exporter = HttpSpans(endpoint=f"http://127.0.0.1:{proxy.port}/v1/traces", timeout=10)
    spans = make_spans("app", 2)
    proxy.losing = 1
    exporter.export(spans)
    exporter.export(spans)
    exporter.shutdown()
    proxy.close()
    assert kept.log.ledger().received["spans"] == 2


def test_any_client_whose_connection_is_reset_may_send_again(kept: Kept) -> None:
    """As after a timeout: what is not read when a connection is closed resets it."""
    for _ in range(TIMES):
        for _ in range(3):
            _post_and_leave(kept.at.http_port, b'{"time":"2026-01-02T03:04:05Z","msg":"once"}\n')
        # The fourth is acknowledged: from then on an equal one is another.
        assert kept.at.post("/v1/json", b'{"time":"2026-01-02T03:04:05Z","msg":"once"}\n', "text/plain").status == 200
    assert (kept.records, kept.resends) == (TIMES, 3 * TIMES)


def _post_and_leave(port: int, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        raw.sendall(b"POST /v1/json HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        assert raw.recv(1) == b"H"  # The reply is there, and is not read.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_key_tells_batches_apart(kept: Kept) -> None:
    line = b'{"message":"without a time"}\n'
    for key in ("a", "a", "b", "a", "b", "c"):
        assert kept.at.post("/v1/json", line, "text/plain", idempotency_key=key).status == 200
    assert (kept.records, kept.resends) == (3, 3)
    for key in ("a", "d", "d"):
        assert kept.at.export("logs", logs_payload("x"), **{"idempotency-key": key}).code is grpc.StatusCode.OK
    assert kept.records == 3 + 2


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_equal_lines_of_a_pipe_are_exact_under_kill_9(tmp_path: Path) -> None:
    """Every line is equal: one lost or doubled shows in the number."""
    out = tmp_path / "out.ndjson"
    count, kills = 300, 2
    with sidecar_process({"SIDECAR_DELIVER__FILE__PATH": str(out)}, tmp_path) as sidecar:
        command = [str(sidecar_command()), "logs", "--url", sidecar.otlp_url]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as pipe:
            assert pipe.stdin is not None
            for n in range(count):
                pipe.stdin.write(LINE)
                pipe.stdin.flush()
                if n % (count // kills) == count // kills // 2:
                    sidecar.kill9()
                    sidecar.start()
                threading.Event().wait(0.002)
            pipe.stdin.close()
            assert pipe.wait(60) == 0
        wait_for(lambda: _lines(out) >= count, 30, "all lines")
        ledger = json.load(urllib.request.urlopen(f"{sidecar.serve_url}/status", timeout=10))["ledger"]
    assert ledger["received"]["logs"] == count
    assert _lines(out) == count


def test_what_was_acknowledged_before_a_restart_is_not_taken_for_lost(tmp_path: Path) -> None:
    with sidecar_process(data_dir=tmp_path) as sidecar:

        def post() -> None:
            request = urllib.request.Request(f"{sidecar.otlp_url}/v1/json", LINE, HEADERS)
            urllib.request.urlopen(request, timeout=60).close()

        def received() -> int:
            status = json.load(urllib.request.urlopen(f"{sidecar.serve_url}/status", timeout=10))
            return int(status["ledger"]["received"].get("logs", 0))

        post()
        sidecar.restart()
        post()
        assert received() == 2
        _post_and_leave(sidecar.http_port, b'{"time":"2026-01-02T03:04:05Z","msg":"lost"}\n')
        wait_for(lambda: received() == 3, 10, "the line")
        sidecar.kill9()
        sidecar.start()
        _post_and_leave(sidecar.http_port, b'{"time":"2026-01-02T03:04:05Z","msg":"lost"}\n')
        assert received() == 3
