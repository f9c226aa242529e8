"""Delivery to Logstash: from a real journal to real lumberjack servers, and to servers that do everything wrong."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from support import lumberjack_faults as faults
from support.certificates import authority
from support.delivery import NO_TIMEOUT, QUICK, TIMEOUT, ids, logs_payload, sink_context, spans_payload
from support.engines import sidecar_process, wait_for
from support.engines.lumberjack import ServerTls, lumbersink, tst_lj
from support.journals import journal
from support.load import Sender, make_logs, make_spans, sending, status, waiting

from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.logstash.options import LogstashOptions
from sidecar.deliver.logstash.sink import build, health_check
from sidecar.deliver.worker import Worker
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission
from sidecar.telemetry import Telemetry

DECODER = chosen_decoder()


def fill(log: Journal, payloads: int = 12) -> set[str]:
    """Spans with events, and logs; gives the ids that must arrive."""
    expected: set[str] = set()
    for number in range(payloads):
        if number % 3 == 2:
            receipt = log.append(Submission("logs", logs_payload(*[f"line {n}" for n in range(30)]), 30)).result(120)
            expected |= {f"{log.id}-{receipt.seq}-{n}" for n in range(30)}
        else:
            payload = spans_payload(20, first=1 + number * 100, events=1)
            log.append(Submission("spans", payload, 20, events=20)).result(120)
            expected |= set(ids(DECODER.span_lines([payload])))
    return expected


@contextmanager
def worker(log: Journal, hosts: str, **options: Any) -> Iterator[Worker[Any]]:
    """A worker that feeds Logstash from the journal; not started."""
    chosen = LogstashOptions.model_validate({"hosts": hosts} | QUICK | options)
    sink = build("logstash", chosen, sink_context(DECODER, log.id))
    made: Worker[Any] = Worker(sink, log.consumer("logstash", sink.signals), chosen, Telemetry(), time.time_ns)
    try:
        yield made
    finally:
        made.stop(0)


def deliver(directory: Path, hosts: str, seconds: float = 300, **options: Any) -> tuple[Journal, set[str]]:
    """Fill a journal, deliver it, drain. The journal is closed; its figures can be read."""
    log = journal(directory, time.time_ns)
    with worker(log, hosts, **options) as running:
        expected = fill(log)
        running.start()
        drained = running.stop(seconds)
    log.close()
    assert drained, "something was not delivered"
    return log, expected


def check(log: Journal, documents: int, dead: int = 0) -> None:
    """The ledger balances, and every document has come to its end."""
    ledger = log.ledger()
    assert ledger.balance() == []
    (consumer,) = ledger.consumers
    assert not any(consumer.waiting.values())
    outcomes: Counter[str] = Counter()
    for (_, outcome, _), count in consumer.counts.items():
        outcomes[outcome] += count
    assert outcomes == Counter({"delivered": documents - dead, "dead_lettered": dead})


# -- real servers


@pytest.mark.parametrize("options", [{}, {"compression": False}, {"window": 7, "pipelining": 3, "max_concurrency": 4}])
def test_elastics_own_server_gets_everything_once(options: dict[str, Any], tmp_path: Path) -> None:
    with tst_lj() as server:
        log, expected = deliver(tmp_path, server.address, **options)
        assert server.received() == len(expected)
    check(log, len(expected))


def test_elastics_own_server_gets_everything_through_its_restarts(tmp_path: Path) -> None:
    with tst_lj(rate=40) as server:
        log = journal(tmp_path, time.time_ns)
        with worker(log, server.address, window=5, pipelining=2) as running:
            expected = fill(log)
            running.start()
            for more in (100, 100, 100):
                before = server.received()
                wait_for(lambda before=before, more=more: server.received() >= before + more, 30, "windows")
                server.child.kill9()
                server.start()
            assert running.stop(300)
        log.close()
        assert server.received() >= len(expected)
    check(log, len(expected))


def test_what_is_resent_after_a_kill_of_the_server_has_the_same_id(tmp_path: Path) -> None:
    with lumbersink("-delay", "20ms") as server:
        log = journal(tmp_path, time.time_ns)
        with worker(log, server.address, window=5) as running:
            expected = fill(log)
            running.start()
            for more in (60, 60):
                before = sum(server.ids().values())
                wait_for(lambda before=before, more=more: sum(server.ids().values()) >= before + more, 30, "events")
                server.child.kill9()
                server.start()
            assert running.stop(300)
        log.close()
        arrived = server.ids()
    assert set(arrived) == expected
    assert sum(arrived.values()) <= len(expected) + 2 * 2 * 2 * 5, "only what was under way at a kill is sent again"
    check(log, len(expected))


@pytest.mark.slow
def test_both_sides_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    """The installed program, killed with SIGKILL in turn with the server."""
    with lumbersink("-delay", "5ms") as server:
        environ = {
            "SIDECAR_DELIVER__LOGSTASH__HOSTS": server.address,
            "SIDECAR_DELIVER__LOGSTASH__WINDOW": "20",
            "SIDECAR_DELIVER__LOGSTASH__BATCH_TIMEOUT": "0.02",
            "SIDECAR_DELIVER__STORE__ENABLED": "false",
        }
        with sidecar_process(environ) as sidecar, contextlib.ExitStack() as stack:
            logs = OTLPLogExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=5)
            spans = OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=5)
            senders = [
                Sender(logs.export, lambda n: make_logs("shop", n * 20, 20), 0.01),
                Sender(spans.export, lambda n: make_spans("shop", 20), 0.01),
            ]
            stack.enter_context(sending(*senders))
            for victim in ("sidecar", "server", "sidecar", "server", "sidecar"):
                time.sleep(1)
                if victim == "sidecar":
                    sidecar.kill9()
                    sidecar.start()
                else:
                    server.child.kill9()
                    server.start()
            for sender in senders:
                sender.stop()
            wait_for(lambda: not waiting(sidecar.serve_url), 90, "everything to be delivered")
            ledger = status(sidecar.serve_url)["ledger"]
        events = server.events()
    assert ledger["problems"] == []
    by_number: dict[int, set[str]] = {}
    by_span: dict[str, set[str]] = {}
    for event in events:
        attributes, doc_id = event.get("attributes", {}), event["@metadata"]["_id"]
        if "n" in attributes and event["data_stream"]["type"] == "logs":
            by_number.setdefault(attributes["n"], set()).add(doc_id)
        if event["data_stream"]["type"] == "traces":
            by_span.setdefault(event["span_id"], set()).add(doc_id)
    assert set(by_number) == set(range(len(senders[0].acknowledged)))
    assert set(by_span) == {format(s.context.span_id, "016x") for s in senders[1].acknowledged}
    assert all(len(doc_ids) == 1 for doc_ids in (*by_number.values(), *by_span.values())), "resent under another id"


def test_events_are_what_logstash_takes(tmp_path: Path) -> None:
    with lumbersink() as server:
        log, expected = deliver(tmp_path, server.address)
        events = server.events()
        assert server.ids() == Counter(expected)
    for event in events:
        time.strptime(event["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S")
        stream = event["data_stream"]
        assert event["@metadata"]["_index"] == f"{stream['type']}-{stream['dataset']}-{stream['namespace']}"
        assert event["@metadata"]["action"] == "create"
    check(log, len(expected))


# -- TLS


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    ours, other = authority(tmp_path / "tls"), authority(tmp_path / "tls", "other")
    server_pair, client = ours.issue("server"), ours.issue("client")
    right = {"enabled": True, "ca_file": ours.cert, "cert_file": client.cert, "key_file": client.key}
    with lumbersink(tls=ServerTls(server_pair, ours.cert)) as server:
        for name, wrong in {
            "no client certificate": right | {"cert_file": None, "key_file": None},
            "another authority": right | {"ca_file": other.cert},
            "another name": right | {"server_name": "logstash.example"},
        }.items():
            log = journal(tmp_path / name, time.time_ns)
            with worker(log, server.address, tls=wrong) as running:
                fill(log, 1)
                running.start()
                wait_for(lambda running=running: running.status()["trouble"], 10, f"{name}: trouble")
                assert running.status()["trouble"] in ("tls", "closed"), name
            log.close()
            assert log.ledger().balance() == []
        assert server.events() == []
        log, expected = deliver(tmp_path / "right", server.address, tls=right)
        assert server.ids() == Counter(expected)
        check(log, len(expected))
        named = server.address.replace("127.0.0.1", "localhost")
        assert health_check(LogstashOptions.model_validate({"hosts": named, "tls": right})).state == "ok"
        lax = {"insecure_skip_verify": True, "server_name": "x", "ca_file": None}
        for different, state in (({"server_name": "localhost"}, "ok"), ({"server_name": "x"}, "failed"), (lax, "ok")):
            options = LogstashOptions.model_validate({"hosts": server.address, "tls": right | different})
            assert health_check(options).state == state
        both = LogstashOptions.model_validate({"hosts": [server.address, "127.0.0.1:1"], "tls": right})
        assert health_check(both).state == "warning"


def test_plain_text_to_a_tls_port_is_trouble_and_no_loss(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    with lumbersink(tls=ServerTls(ours.issue("server"))) as server:
        log = journal(tmp_path / "journal", time.time_ns)
        with worker(log, server.address) as running:
            fill(log, 1)
            running.start()
            wait_for(lambda: running.status()["trouble"], 10, "trouble")
            assert running.status()["trouble"] in ("protocol", "closed", "timeout")
        log.close()
        assert server.count()["docs"] == 0


# -- several hosts


def test_the_second_server_takes_over_when_the_first_dies(tmp_path: Path) -> None:
    with lumbersink("-delay", "20ms") as first, lumbersink() as second:
        log = journal(tmp_path, time.time_ns)
        with worker(log, f"{first.address},{second.address}", window=5) as running:
            expected = fill(log)
            running.start()
            wait_for(lambda: len(first.ids()) >= 50, 30, "the first to get something")
            assert second.events() == []
            first.child.kill9()
            assert running.stop(300)
            assert running.status()["hosts"] == [first.address, second.address]
        log.close()
        one, two = first.ids(), second.ids()
    assert set(one) | set(two) == expected
    assert len(two) >= len(expected) - len(one)
    assert len(set(one) & set(two)) <= 2 * 2 * 5, "only what the first had not acknowledged goes to the second as well"
    check(log, len(expected))


def test_load_is_balanced_over_those_that_are_well(tmp_path: Path) -> None:
    with lumbersink() as first, lumbersink() as second, faults.faulty_server(faults.refuse) as broken:
        hosts = f"{first.address},{broken.address},{second.address}"
        log, expected = deliver(tmp_path, hosts, load_balance=True, max_entries=1)
        assert first.ids() + second.ids() == Counter(expected)
        assert first.events()
        assert second.events()
        assert broken.connections >= 1
    check(log, len(expected))


# -- servers that do everything wrong


FAULTS: dict[str, faults.Fault] = {
    "hangs up at once": faults.refuse,
    "stops mid-window": faults.stop_mid_window,
    "takes a window and goes": faults.forget,
    "reads a window and goes": faults.lose,
    "acknowledges half and goes": faults.acknowledge_half,
    "never acknowledges": faults.hang,
    "answers in another language": faults.babble,
    "acknowledges too much": faults.boast,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_loses_nothing(name: str, tmp_path: Path) -> None:
    def three_times(caller: faults.Caller) -> None:
        if caller.number <= 3:
            FAULTS[name](caller)
        else:
            caller.serve()

    with faults.faulty_server(three_times) as server:
        timeout = TIMEOUT if name == "never acknowledges" else NO_TIMEOUT
        log, expected = deliver(tmp_path, server.address, window=50, timeout=timeout)
        arrived = Counter(server.kept)
        assert set(arrived) == expected
        assert server.connections > 3
    if name in ("takes a window and goes", "never acknowledges"):
        assert sum(arrived.values()) > len(expected), "what was taken on without a word is sent again"
    else:
        assert sum(arrived.values()) == len(expected), "what was acknowledged is not sent again"
    check(log, len(expected))


def test_a_server_that_is_busy_keeps_the_connection_by_saying_so(tmp_path: Path) -> None:
    """Longer than the time-out for the first window, with empty and with partial acknowledgements."""
    timeout, parts = 4.0, 6

    def busy(caller: faults.Caller) -> None:
        for number, batch in enumerate(caller.windows()):
            documents = list(batch.documents)
            for part in range(0 if number else parts):
                time.sleep(timeout * 1.25 / parts)
                caller.say(0 if part % 2 else len(documents) * part // (2 * parts))
            caller.keep(documents)
            caller.say(batch.sequence)

    with faults.faulty_server(busy) as server:
        log, expected = deliver(tmp_path, server.address, max_concurrency=1, timeout=timeout)
        assert Counter(server.kept) == Counter(expected)
        assert server.connections == 1
    check(log, len(expected))


def test_a_connection_that_was_closed_while_idle_is_no_trouble(tmp_path: Path) -> None:
    def one_window(caller: faults.Caller) -> None:
        batch = next(caller.windows())
        caller.keep(list(batch.documents))
        caller.say(batch.sequence)

    with faults.faulty_server(one_window) as server:
        log = journal(tmp_path, time.time_ns)
        with worker(log, server.address, max_concurrency=1) as running:
            running.start()
            for _ in range(3):
                expected = fill(log, 1)
                wait_for(lambda: not any(running.status()["waiting"].values()), 20, "delivery")
                time.sleep(0.05)
            assert running.stop(300)
            assert running.status()["resting"] == []
        log.close()
        assert Counter(server.kept) == Counter(list(expected) * 3)


def test_a_document_that_is_too_large_is_a_dead_letter(tmp_path: Path) -> None:
    with faults.faulty_server(faults.Caller.serve) as server:
        log = journal(tmp_path, time.time_ns)
        with worker(log, server.address, max_document_bytes=2048) as running:
            log.append(Submission("logs", logs_payload("small", "x" * 5000, "small"), 3)).result(120)
            running.start()
            assert running.stop(300)
        log.close()
        assert len(server.kept) == 2
    check(log, 3, dead=1)
    (stored,) = DeadLetters(tmp_path).page()
    assert stored.dead_letter.reason.startswith("document_too_large")


# -- HTTP


class HttpInput:
    """Logstash's http input as far as a client sees it. `fault` is asked before each request and may answer itself."""

    def __init__(self, fault: Callable[[HttpInput, BaseHTTPRequestHandler, list[str]], bool]) -> None:
        self.kept: list[str] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                assert self.headers["content-type"] == "application/json"
                batch = [event["@metadata"]["_id"] for event in json.loads(raw)]
                with outer.lock:
                    outer.times.append(time.monotonic())
                if not fault(outer, self, batch):
                    outer.keep(batch)
                    answer(self, 200, b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hung up is part of the game."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def keep(self, batch: list[str]) -> None:
        with self.lock:
            self.kept += batch


def answer(handler: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> bool:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return True


@contextmanager
def http_input(fault: Callable[[HttpInput, BaseHTTPRequestHandler, list[str]], bool]) -> Iterator[HttpInput]:
    destination = HttpInput(fault)
    thread = threading.Thread(target=destination.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield destination
    finally:
        destination.server.shutdown()
        destination.server.server_close()
        thread.join()


def _timeout_after_commit(destination: HttpInput, handler: BaseHTTPRequestHandler, batch: list[str]) -> bool:
    destination.keep(batch)
    time.sleep(TIMEOUT * 2)
    return answer(handler, 200, b"ok")


def _hang_up(destination: HttpInput, handler: BaseHTTPRequestHandler, batch: list[str]) -> bool:
    handler.close_connection = True
    handler.connection.close()
    return True


HTTP_FAULTS: dict[str, Callable[[HttpInput, BaseHTTPRequestHandler, list[str]], bool]] = {
    "429": lambda f, h, b: answer(h, 429),
    "503": lambda f, h, b: answer(h, 503),
    "500": lambda f, h, b: answer(h, 500, b"internal error"),
    "401": lambda f, h, b: answer(h, 401),
    "404": lambda f, h, b: answer(h, 404),
    "garbage": lambda f, h, b: answer(h, 200, b"<html>welcome to the hotel</html>"),
    "time-out after commit": _timeout_after_commit,
    "hang-up": _hang_up,
}


@pytest.mark.parametrize("name", HTTP_FAULTS)
def test_http_a_fault_that_passes_loses_nothing(name: str, tmp_path: Path) -> None:
    with http_input(lambda f, h, b: len(f.times) <= 3 and HTTP_FAULTS[name](f, h, b)) as destination:
        timeout = TIMEOUT if name == "time-out after commit" else NO_TIMEOUT
        log, expected = deliver(tmp_path, destination.url, mode="http", max_entries=2, timeout=timeout)
        assert set(destination.kept) == expected
        assert (len(destination.kept) > len(expected)) is (name == "time-out after commit")
        assert len(destination.times) > 3
    check(log, len(expected))


def test_http_retry_after_is_kept_to(tmp_path: Path) -> None:
    with http_input(lambda f, h, b: len(f.times) == 1 and answer(h, 429, retry_after="1")) as destination:
        log, expected = deliver(tmp_path, destination.url, mode="http", max_concurrency=1)
        assert Counter(destination.kept) == Counter(expected)
        assert destination.times[1] - destination.times[0] >= 1
    check(log, len(expected))


def test_http_the_second_host_takes_over(tmp_path: Path) -> None:
    with http_input(lambda f, h, b: answer(h, 503)) as first, http_input(lambda f, h, b: False) as second:
        log, expected = deliver(tmp_path, f"{first.url},{second.url}/logs", mode="http")
        assert Counter(second.kept) == Counter(expected)
    check(log, len(expected))
