"""Delivery from a real journal over a real socket to a destination that does everything wrong that one can do."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from support.delivery import NO_TIMEOUT, QUICK, TIMEOUT, FakeEngine, ids, logs_payload, sink_context, spans_payload
from support.engines import wait_for
from support.journals import journal

from sidecar import maintenance
from sidecar.config import loader
from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import build
from sidecar.deliver.worker import Worker
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission
from sidecar.telemetry import Telemetry

DECODER = chosen_decoder()


class Destination:
    """An engine behind a socket. `fault` is asked before every `_bulk`; it answers itself and gives True, or False."""

    def __init__(self, fault: Callable[[Exchange], bool], port: int = 0) -> None:
        self.engine = FakeEngine()
        self.lock = threading.Lock()
        self.fault = fault
        self.requests = 0
        destination = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                raw = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                with destination.lock:
                    destination.requests += 1
                    number = destination.requests
                exchange = Exchange(destination, self, raw, number)
                if not destination.fault(exchange):
                    exchange.answer(exchange.carry_out())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests say what matters."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hung up is part of the game."""

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


class Exchange:
    """One `_bulk` request."""

    def __init__(self, destination: Destination, handler: BaseHTTPRequestHandler, raw: bytes, number: int) -> None:
        self.raw, self.number = raw, number
        self.documents = raw.count(b"\n") // 2
        self._destination, self._handler = destination, handler

    def carry_out(self, raw: bytes | None = None) -> Reply:
        with self._destination.lock:
            return self._destination.engine.bulk(self.raw if raw is None else raw)

    def answer(self, reply: Reply, **headers: str) -> bool:
        handler = self._handler
        handler.send_response(reply.status)
        handler.send_header("content-type", headers.pop("content_type", "application/json"))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)
        return True

    def hang_up(self) -> bool:
        self._handler.close_connection = True
        self._handler.connection.close()
        return True

    def trickle(self, reply: Reply, pause: float) -> bool:
        """The reply, a byte at a time: each arrives well within the time-out, the whole never does."""
        handler = self._handler
        handler.send_response(200)
        handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        for byte in reply.body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(pause)
        return True

    def cut_short(self, reply: Reply) -> bool:
        handler = self._handler
        handler.send_response(200)
        handler.send_header("content-length", str(len(reply.body) + 10))
        handler.end_headers()
        handler.wfile.write(reply.body)
        return self.hang_up()


@contextmanager
def destination(fault: Callable[[Exchange], bool]) -> Iterator[Destination]:
    side = Destination(fault)
    thread = threading.Thread(target=side.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield side
    finally:
        side.server.shutdown()
        side.server.server_close()
        thread.join()


def fill(log: Journal, payloads: int = 12) -> set[str]:
    """Spans with events, and logs; gives the ids that must arrive."""
    expected: set[str] = set()
    for number in range(payloads):
        if number % 3 == 2:
            payload = logs_payload(*[f"line {n}" for n in range(30)])
            receipt = log.append(Submission("logs", payload, 30)).result(120)
            expected |= {f"{log.id}-{receipt.seq}-{n}" for n in range(30)}
        else:
            payload = spans_payload(20, first=1 + number * 100, events=1)
            log.append(Submission("spans", payload, 20, events=20)).result(120)
            expected |= set(ids(DECODER.span_lines([payload])))
    return expected


def once(fault: Callable[[Exchange], bool]) -> Callable[[Exchange], bool]:
    """The fault on the first requests only."""
    return lambda exchange: exchange.number <= 3 and fault(exchange)


def _garbage(exchange: Exchange) -> bool:
    return exchange.answer(Reply(200, b"<html>welcome to the hotel</html>"), content_type="text/html")


def _strange_type(exchange: Exchange) -> bool:
    return exchange.answer(Reply(200, b"\x89PNG"), content_type="image/png")


def _timeout_after_commit(exchange: Exchange) -> bool:
    reply = exchange.carry_out()
    time.sleep(TIMEOUT * 2)
    return exchange.answer(reply)


def _trickle(exchange: Exchange) -> bool:
    return exchange.trickle(exchange.carry_out(), TIMEOUT / 5)


def _hang_up_before(exchange: Exchange) -> bool:
    return exchange.hang_up()


def _hang_up_after_commit(exchange: Exchange) -> bool:
    exchange.carry_out()
    return exchange.hang_up()


def _cut_short(exchange: Exchange) -> bool:
    return exchange.cut_short(exchange.carry_out())


def _half_commit(exchange: Exchange) -> bool:
    """The engine dies half-way through the request."""
    rows = exchange.raw.split(b"\n")
    exchange.carry_out(b"\n".join(rows[: exchange.documents // 2 * 2]) + b"\n")
    return exchange.answer(Reply(500, b"{}"))


def _some_items_busy(exchange: Exchange) -> bool:
    rows = exchange.raw.split(b"\n")[:-1]
    kept, items = [], []
    for index in range(exchange.documents):
        if index % 3:
            kept += rows[2 * index : 2 * index + 2]
            items.append(None)
        else:
            items.append(
                {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "x"}}}
            )
    answers = iter(json.loads(exchange.carry_out(b"\n".join(kept) + b"\n").body)["items"])
    mixed = [item or next(answers) for item in items]
    return exchange.answer(Reply(200, json.dumps({"errors": True, "items": mixed}).encode()))


def _scripted(status: int, **headers: str) -> Callable[[Exchange], bool]:
    return lambda exchange: exchange.answer(Reply(status, b'{"error":{"type":"t","reason":"r"}}'), **headers)


FAULTS: dict[str, Callable[[Exchange], bool]] = {
    "429": _scripted(429),
    "429 with Retry-After": _scripted(429, retry_after="0"),
    "503": _scripted(503),
    "502 of a proxy": lambda e: e.answer(Reply(502, b"<html>bad gateway</html>"), content_type="text/html"),
    "401": _scripted(401),
    "302": _scripted(302, location="http://127.0.0.1:1/elsewhere"),
    "garbage": _garbage,
    "strange media type": _strange_type,
    "empty reply": lambda e: e.answer(Reply(200, b"")),
    "time-out after commit": _timeout_after_commit,
    "trickle": _trickle,
    "hang-up": _hang_up_before,
    "hang-up after commit": _hang_up_after_commit,
    "reply cut short": _cut_short,
    "half committed": _half_commit,
    "some items busy": _some_items_busy,
}


def deliver(directory: Path, side: Destination, seconds: float = 300, **options: Any) -> tuple[Journal, set[str]]:
    """Fill a journal, deliver it, drain. The journal is closed; its figures can be read."""
    log = journal(directory, time.time_ns)
    chosen = ElasticsearchOptions.model_validate({"hosts": side.url, "max_concurrency": 3} | QUICK | options)
    consumer = log.consumer("elasticsearch", frozenset(("spans", "logs")))
    worker: Worker[Any] = Worker(
        build("elasticsearch", chosen, sink_context(DECODER, log.id)), consumer, chosen, Telemetry(), time.time_ns
    )
    expected = fill(log)
    worker.start()
    drained = worker.stop(seconds)
    log.close()
    assert drained, "something was not delivered"
    return log, expected


def check(log: Journal, documents: int) -> dict[str, int]:
    """The ledger balances and everything has finished; gives documents by outcome."""
    ledger = log.ledger()
    assert ledger.balance() == []
    (consumer,) = ledger.consumers
    assert not any(consumer.waiting.values())
    outcomes: dict[str, int] = {}
    for (_, outcome, _), count in consumer.counts.items():
        outcomes[outcome] = outcomes.get(outcome, 0) + count
    assert sum(outcomes.values()) == documents
    return outcomes


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_loses_nothing_and_doubles_nothing(name: str, tmp_path: Path) -> None:
    with destination(once(FAULTS[name])) as side:
        timeout = TIMEOUT if name in ("time-out after commit", "trickle") else NO_TIMEOUT
        log, expected = deliver(tmp_path, side, batch_documents=50, timeout=timeout)
        assert set(side.engine.kept) == expected
        assert side.requests > 3
    outcomes = check(log, len(expected))
    assert set(outcomes) <= {"delivered", "already_there"}
    if "after commit" in name or name in ("trickle", "reply cut short", "half committed"):
        assert outcomes["already_there"] > 0


def test_a_limit_on_requests_is_met_by_cutting(tmp_path: Path) -> None:
    too_large = Reply(413, b"too large")
    with destination(lambda e: e.documents > 5 and e.answer(too_large, content_type="text/plain")) as side:
        log, expected = deliver(tmp_path, side)
        assert set(side.engine.kept) == expected
    assert check(log, len(expected)) == {"delivered": len(expected)}


def test_one_document_over_the_limit_is_a_dead_letter_and_the_rest_goes_through(tmp_path: Path) -> None:
    poison: list[str] = []

    def fault(exchange: Exchange) -> bool:
        if not poison:
            poison.append(json.loads(exchange.raw.split(b"\n")[20])["create"]["_id"])
        return poison[0].encode() in exchange.raw and exchange.answer(Reply(413))

    with destination(fault) as side:
        log, expected = deliver(tmp_path, side)
        assert set(side.engine.kept) == expected - set(poison)
    assert check(log, len(expected)) == {"delivered": len(expected) - 1, "dead_lettered": 1}
    (stored,) = DeadLetters(tmp_path).page()
    assert stored.dead_letter.doc_id == poison[0]
    assert stored.dead_letter.reason.startswith("request_too_large")


def test_refused_documents_are_dead_letters_with_the_engines_reason(tmp_path: Path) -> None:
    def fault(exchange: Exchange) -> bool:
        with side.lock:
            for row in exchange.raw.split(b"\n")[0:-1:14]:
                side.engine.poison[json.loads(row)["create"]["_id"]] = (
                    400,
                    "mapper_parsing_exception",
                    "no such field",
                )
        return False

    with destination(fault) as side:
        log, expected = deliver(tmp_path, side)
        refused = set(side.engine.poison)
        assert set(side.engine.kept) == expected - refused
    assert check(log, len(expected)) == {"delivered": len(expected) - len(refused), "dead_lettered": len(refused)}
    letters = DeadLetters(tmp_path).page(limit=1000)
    assert {s.dead_letter.doc_id for s in letters} == refused
    assert {s.dead_letter.reason for s in letters} == {"mapper_parsing_exception: no such field"}


def test_all_faults_in_turn(tmp_path: Path) -> None:
    dice = random.Random(7)
    quick = [f for name, f in FAULTS.items() if name not in ("time-out after commit", "trickle")]

    def fault(exchange: Exchange) -> bool:
        return dice.random() < 0.6 and dice.choice(quick)(exchange)

    with destination(fault) as side:
        log, expected = deliver(tmp_path, side, batch_documents=25)
        assert set(side.engine.kept) == expected
    assert set(check(log, len(expected))) <= {"delivered", "already_there"}


def test_every_fault_once_one_after_the_other(tmp_path: Path) -> None:
    turns = ["some items busy", "429", "413", "503", "time-out after commit", "garbage", "trickle"]
    faults = FAULTS | {"413": _scripted(413)}
    seen: list[str] = []

    def fault(exchange: Exchange) -> bool:
        if exchange.number > len(turns):
            return False
        seen.append(turns[exchange.number - 1])
        return faults[seen[-1]](exchange)

    with destination(fault) as side:
        log, expected = deliver(tmp_path, side, batch_documents=60, max_concurrency=1, timeout=TIMEOUT)
        assert set(side.engine.kept) == expected
    assert seen == turns
    outcomes = check(log, len(expected))
    assert set(outcomes) == {"delivered", "already_there"}


def test_what_was_not_delivered_by_the_deadline_is_delivered_by_the_next_start(tmp_path: Path) -> None:
    with destination(lambda e: e.number > 2 and e.answer(Reply(503))) as side:
        log = journal(tmp_path, time.time_ns)
        expected = fill(log)
        for round_ in (1, 2):
            if round_ == 2:
                side.fault = lambda e: False
                log = journal(tmp_path, time.time_ns)
            options = ElasticsearchOptions.model_validate({"hosts": side.url, "batch_documents": 20} | QUICK)
            consumer = log.consumer("elasticsearch", frozenset(("spans", "logs")))
            sink = build("elasticsearch", options, sink_context(DECODER, log.id))
            worker: Worker[Any] = Worker(sink, consumer, options, Telemetry(), time.time_ns)
            worker.start()
            assert worker.stop(0.5 if round_ == 1 else 300) is (round_ == 2)
            log.close()
        assert set(side.engine.kept) == expected
    check(log, len(expected))


def test_a_destination_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    with destination(lambda e: False) as side:
        url = side.url
    log = journal(tmp_path, time.time_ns)
    fill(log, 3)
    options = ElasticsearchOptions.model_validate({"hosts": url} | QUICK)
    consumer = log.consumer("elasticsearch", frozenset(("spans", "logs")))
    worker: Worker[Any] = Worker(
        build("elasticsearch", options, sink_context(DECODER, log.id)), consumer, options, Telemetry(), int
    )
    worker.start()
    wait_for(lambda: worker.status()["trouble"] == "unreachable", 10, "trouble")
    assert not worker.stop(0.3), "it is waited for no longer"
    log.close()
    assert log.ledger().balance() == []


def test_a_node_that_dies_is_passed_over_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    """Two nodes of one cluster: what one has, the other has."""
    log = journal(tmp_path, time.time_ns)
    with destination(lambda e: False) as stays:
        with destination(lambda e: False) as dies:
            dies.engine, dies.lock = stays.engine, stays.lock
            urls = f"{stays.url},{dies.url}"
            options = ElasticsearchOptions.model_validate(
                {"hosts": urls, "batch_documents": 20, "max_concurrency": 2} | QUICK
            )
            consumer = log.consumer("elasticsearch", frozenset(("spans", "logs")))
            sink = build("elasticsearch", options, sink_context(DECODER, log.id))
            worker: Worker[Any] = Worker(sink, consumer, options, Telemetry(), time.time_ns)
            worker.start()
            expected = fill(log, 12)
            documents = len(expected)
            wait_for(lambda: not any(consumer.waiting().values()), 30, "everything to be delivered")
            assert min(stays.requests, dies.requests) > 0, "one node had all the requests"
            dies.fault = Exchange.hang_up  # On connections that are open; new ones are refused from here on.
        before = stays.requests
        expected |= fill(log, 12)
        documents *= 2
        wait_for(lambda: not any(consumer.waiting().values()), 30, "everything to be delivered")
        assert set(stays.engine.kept) == expected
        assert stays.requests > before
        revived = Destination(lambda e: False, int(dies.url.rpartition(":")[2]))
        revived.engine, revived.lock = stays.engine, stays.lock
        thread = threading.Thread(target=revived.server.serve_forever, daemon=True)
        thread.start()

        def is_used() -> bool:
            nonlocal documents
            documents += len(fill(log, 1))
            return revived.requests > 0

        wait_for(is_used, 30, "the revived node to be used")
        assert worker.stop(300)
        revived.server.shutdown()
        revived.server.server_close()
        thread.join()
    log.close()
    assert set(stays.engine.kept) == expected
    assert set(check(log, documents)) <= {"delivered", "already_there"}


def test_dead_letters_are_replayed_beside_a_running_journal(tmp_path: Path) -> None:
    with destination(lambda e: False) as side:
        settings = loader.load(
            {
                "SIDECAR_JOURNAL__PATH": str(tmp_path),
                "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": side.url,
                "SIDECAR_DELIVER__ELASTICSEARCH__BOOTSTRAP": "false",
            }
        )
        log = journal(tmp_path, time.time_ns)
        payload = spans_payload(6)
        ours = ids(DECODER.span_lines([payload]))
        side.engine.poison = dict.fromkeys(ours, (400, "some_exception", "not now"))
        log.append(Submission("spans", payload, 6)).result(120)
        options = settings.deliver.elasticsearch
        consumer = log.consumer("elasticsearch", frozenset(("spans", "logs")))
        sink = build("elasticsearch", options, sink_context(DECODER, log.id))
        worker: Worker[Any] = Worker(sink, consumer, options, Telemetry(), time.time_ns)
        worker.start()
        wait_for(lambda: log.dead_letters() == {"elasticsearch": 6}, 30, "dead letters")
        # Fixed for all but one; meanwhile the journal goes on writing.
        side.engine.poison = {ours[3]: (400, "some_exception", "still not")}
        writing = threading.Thread(target=fill, args=(log, 30))
        writing.start()
        assert maintenance.replay_dead_letters(settings, None, lambda _: click.progressbar(length=6)) == (5, 1)
        writing.join()
        assert log.dead_letters() == {"elasticsearch": 1}
        (stored,) = DeadLetters(tmp_path).page()
        assert (stored.dead_letter.doc_id, stored.dead_letter.reason) == (ours[3], "some_exception: still not")
        side.engine.poison = {}
        assert maintenance.replay_dead_letters(settings, "elasticsearch", lambda _: click.progressbar(length=1)) == (
            1,
            0,
        )
        assert worker.stop(300)
        log.close()
        assert set(ours) < set(side.engine.kept)
    assert log.ledger().balance() == []
