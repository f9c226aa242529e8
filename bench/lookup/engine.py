"""A search engine: look-ups of `sidecar lookup` in what a sidecar has put there."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import proc
from asking import ask_all, missed, show
from load import fill
from questions import HOUR, NS, questions
from rounds import SPANS, TRACES
from support.engines import Child, free_port, sidecar_process, wait_for
from support.engines.processes import answers
from support.engines.search import ELASTICSEARCH_8, ELASTICSEARCH_9, OPENSEARCH, SearchEngine, search_engine
from support.engines.sidecar import sidecar_command
from support.jaeger.programs import run_v1
from support.load import waiting
from support.search_client import ask, count

ENGINES = {"opensearch": OPENSEARCH, "elasticsearch9": ELASTICSEARCH_9, "elasticsearch8": ELASTICSEARCH_8}
BY_ID_MS, SEARCH_MS = 100.0, 1_000.0
JAVA = "-Xms1g -Xmx1g"


def run(options: argparse.Namespace) -> list[str]:
    """What was missed."""
    rounds = (options.spans or 1_000_000) // SPANS
    with search_engine(ENGINES[options.engine], java_options=JAVA) as engine:
        begin = _fill(engine, rounds)
        with _lookup(engine.url) as (child, address):
            asked = [q for q in questions(rounds * TRACES, begin, begin + HOUR + 600) if options.only in q.name]
            cpu, own = proc.cpu_seconds(engine.pid), proc.cpu_seconds(child.pid)
            times = ask_all(address, child.pid, asked, options.asked)
            show(times, engine.distribution.label)
            engine_cpu, own = proc.cpu_seconds(engine.pid) - cpu, proc.cpu_seconds(child.pid) - own
            print(
                f"\nCPU seconds: engine {engine_cpu:.0f}, sidecar lookup {own:.0f}; {proc.rss_mib(child.pid):.0f} MiB"
            )
        if options.jaeger:
            _jaeger(engine, rounds, begin, options)
    return missed(times, BY_ID_MS, SEARCH_MS)


def _jaeger(engine: SearchEngine, rounds: int, begin: int, options: argparse.Namespace) -> None:
    """The same spans and questions for the real Jaeger 1.76 (v1) with its own indices in the same engine. It does not
    speak TraceQL."""
    kind = "opensearch" if engine.distribution.engine == "opensearch" else "elasticsearch"
    with run_v1({"SPAN_STORAGE_TYPE": kind, "ES_SERVER_URLS": engine.url}) as jaeger:
        began = time.monotonic()
        fill(jaeger.otlp.removeprefix("http://"), rounds, (begin + 60) * NS, (begin + HOUR - 60) * NS)
        wait_for(lambda: count(engine.url, "jaeger-span-*") == rounds * SPANS, 1200, "Jaeger to store", interval=3)
        print(f"\nJaeger: {rounds * SPANS:,} spans in {time.monotonic() - began:.0f} s", flush=True)
        asked = [q for q in questions(rounds * TRACES, begin, begin + HOUR + 600) if q.of_jaeger]
        show(ask_all(jaeger.query.removeprefix("http://"), jaeger.pid, asked, options.asked), "Jaeger 1.76 in the same")


def _fill(engine: SearchEngine, rounds: int) -> int:
    """Returns when the hour of the spans begins, Unix seconds."""
    environ = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url, "SIDECAR_DELIVER__STORE__ENABLED": "false"}
    begin, began = int(time.time()) - HOUR, time.monotonic()
    with sidecar_process(environ) as sidecar:
        first, last = (begin + 60) * NS, (begin + HOUR - 60) * NS
        fill(sidecar.otlp_url.removeprefix("http://"), rounds, first, last)
        wait_for(lambda: not waiting(sidecar.serve_url), 1200, "everything to be delivered", interval=1)
    ask(f"{engine.url}/_refresh")
    found = ask(f"{engine.url}/traces-*/_count", method="GET")["count"]
    print(f"{found:,} spans in {time.monotonic() - began:.0f} s", flush=True)
    if found != rounds * SPANS:
        raise RuntimeError(f"{found} documents of {rounds * SPANS} spans")
    return begin


@contextmanager
def _lookup(url: str) -> Iterator[tuple[Child, str]]:
    """`sidecar lookup` and its address."""
    port = free_port()
    address, program = f"127.0.0.1:{port}", [sidecar_command(), "lookup", "--elasticsearch", url]
    environ = {"SIDECAR_SERVE__HOST": "127.0.0.1", "SIDECAR_SERVE__PORT": str(port), "SIDECAR_LOG__LEVEL": "warning"}
    with TemporaryDirectory(prefix="lookup-") as name:
        folder = Path(name)
        child = Child("sidecar lookup", program, folder / "output.log", {**os.environ, **environ}, folder)
        child.start()
        try:
            child.wait_until(lambda: answers(f"http://{address}/api/services"), 60)
            yield child, address
        finally:
            child.stop()
