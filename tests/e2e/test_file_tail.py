"""kill -9 of the sidecar while it tails: every line is in a real engine once."""

from __future__ import annotations

import collections
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import SearchEngine, SidecarProcess, opensearch, sidecar_process, wait_for
from support.load import samples, scrape, status, total, waiting
from support.search_client import LOGS, ask, count, documents

pytestmark = [pytest.mark.engine, pytest.mark.slow]

WRITER = """
import json, logging, logging.handlers, os, sys, time
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=300_000, backupCount=400)
handler.setFormatter(logging.Formatter("%(message)s"))
logger = logging.getLogger("writer")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
n = 0
while not os.path.exists(sys.argv[2]):
    for _ in range(20):
        logger.info(json.dumps({"timestamp": time.time(), "message": "line", "n": n, "pad": "x" * 150}))
        n += 1
    time.sleep(0.01)
print(n)
"""
KILLS = 10
MIDDLE = 3
"""Kills that are to come while a file is being read."""
BLOCK = 20_000


@pytest.fixture(scope="module")
def engine() -> Iterator[SearchEngine]:
    with opensearch() as node:
        yield node


@pytest.fixture(autouse=True)
def _empty(engine: SearchEngine) -> None:
    ask(f"{engine.url}/_data_stream/{LOGS}", method="DELETE") if count(engine.url, LOGS) else None


def _environment(engine: SearchEngine, include: Path) -> dict[str, str]:
    return {
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url,
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": str(include),
    }


def _numbers(engine: SearchEngine) -> collections.Counter[int]:
    found = documents(engine.url, LOGS, ["attributes"])
    return collections.Counter(d["attributes"]["n"] for d in found if "n" in d.get("attributes", {}))


def _all_read(sidecar: SidecarProcess, lines: int) -> bool:
    return status(sidecar.serve_url)["ledger"]["received"].get("logs", 0) >= lines and not waiting(sidecar.serve_url)


def test_a_rotating_writer_and_ten_kills(engine: SearchEngine, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    moments = random.Random(10)
    with sidecar_process(_environment(engine, tmp_path / "*.log")) as sidecar:
        end = tmp_path / "end"
        command = [sys.executable, "-c", WRITER, str(file), str(end)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            try:
                for _ in range(KILLS):
                    rotated = len(list(tmp_path.glob("app.log*")))
                    time.sleep(moments.uniform(0.1, 1.0))
                    sidecar.kill9()
                    sidecar.start()
                    wait_for(lambda rotated=rotated: len(list(tmp_path.glob("app.log*"))) > rotated, 30, "a rotation")
            finally:
                end.touch()
            lines = int(writer.communicate(timeout=300)[0])
        wait_for(lambda: _all_read(sidecar, lines), 60, "everything to be read and delivered")
        time.sleep(2)
        ledger = status(sidecar.serve_url)["ledger"]
        dropped = total(samples(scrape(sidecar.serve_url) or ""), "sidecar_dropped_items_total")
    assert len(list(tmp_path.glob("app.log*"))) > KILLS, "the writer rotated too seldom: the test proved nothing"
    assert _numbers(engine) == collections.Counter(range(lines))
    assert ledger["received"]["logs"] == lines
    assert ledger["problems"] == []
    assert not dropped


def test_kills_in_the_middle_of_a_big_file(engine: SearchEngine, tmp_path: Path) -> None:
    """Each kill comes as soon as some of the lines that were just appended are read."""
    file = tmp_path / "big.log"
    file.write_text(_block(0))
    written, middle = BLOCK, 0
    with sidecar_process(_environment(engine, file)) as sidecar:
        for _ in range(4 * KILLS):
            if middle == MIDDLE:
                break
            seen = _read(sidecar)
            with file.open("a") as out:
                out.write(_block(written))
            written += BLOCK
            wait_for(lambda seen=seen: _read(sidecar) > seen, 30, "lines to be read", interval=0.001)
            middle += _read(sidecar) < written
            sidecar.kill9()
            sidecar.start()
        wait_for(lambda: _all_read(sidecar, written), 120, "everything to be read and delivered")
        ledger = status(sidecar.serve_url)["ledger"]
    assert middle == MIDDLE, "the file was read before it could be killed: the test proved nothing"
    assert _numbers(engine) == collections.Counter(range(written)), "0 lost, 0 doubled"
    assert ledger["received"]["logs"] == written


def _block(first: int) -> str:
    line = f'"level":"info","message":"m","pad":"{"x" * 280}"}}\n'
    return "".join(f'{{"timestamp":{1_790_000_000 + n},"n":{n},{line}' for n in range(first, first + BLOCK))


def _read(sidecar: SidecarProcess) -> int:
    return int(status(sidecar.serve_url)["ledger"]["received"].get("logs", 0))
