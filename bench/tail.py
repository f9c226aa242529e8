"""Tailing a log file to the counting `_bulk` sink: CPU, memory, and that every line arrives once.

`python bench/tail.py [--lines N] [--format json|cri|docker|plain] [--rsyslog]`
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import proc  # noqa: E402
from support.engines import EngineUnavailable, http_get, payload_dir, run_nullsink, sidecar_process  # noqa: E402
from support.engines.toolchains import debian_program  # noqa: E402

CPU_TARGET, MEMORY_TARGET = 2.5, 160.0
QUIET_SECONDS = 15.0
IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    system: str
    lines: int
    at_sink: int
    seconds: float
    cpu_per_million: float
    peak_mib: float


def write_lines(file: Path, count: int, kind: str) -> None:
    """The load generator's log lines, over and over, in the envelope of `kind`."""
    lines = [line for p in sorted(payload_dir().glob("ndjson-*")) for line in p.read_text().splitlines()]
    with file.open("w") as out:
        for n, text in zip(range(count), itertools.cycle(lines), strict=False):
            at = f"2026-11-21T{n // 3_600_000 % 24:02}:{n // 60_000 % 60:02}:{n // 1000 % 60:02}.{n % 1000:03}000000Z"
            if kind == "cri":
                text = f"{at} stdout F {text}"
            elif kind == "docker":
                text = json.dumps({"log": text + "\n", "stream": "stdout", "time": at})
            elif kind == "plain":
                text = f"{at} INFO {text}"
            out.write(text + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--format", default="json", choices=("json", "cri", "docker", "plain"))
    parser.add_argument("--rsyslog", action="store_true", help="also Debian's rsyslog, with and without a disk queue")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory(prefix="sidecar-tail-") as name, run_nullsink() as sink:
        home = Path(name)
        made, file = home / "made", home / "tailed" / "app.log"
        file.parent.mkdir()
        write_lines(made, options.lines, options.format)
        size = made.stat().st_size
        print(f"{options.lines} lines of {size / options.lines:.0f} bytes", file=sys.stderr)
        systems: list[tuple[str, Callable[[], AbstractContextManager[int]]]] = [
            ("sidecar", lambda: _sidecar(file, sink.url))
        ]
        if options.rsyslog:
            systems.append(("rsyslog", lambda: _rsyslog(file, sink.url, home / "memory", disk=False)))
            systems.append(("rsyslog, disk queue", lambda: _rsyslog(file, sink.url, home / "disk", disk=True)))
        for system, start in systems:
            results.append(_measure(system, start, sink.url, options.lines, made, file))
    for r in results:
        print(
            f"{r.system:22} {r.cpu_per_million:6.2f} CPU s/M   peak {r.peak_mib:6.1f} MiB   "
            f"{r.lines / r.seconds:9.0f} lines/s   {r.at_sink} of {r.lines} at the sink"
        )
    own = results[0]
    if own.cpu_per_million > CPU_TARGET or own.peak_mib > MEMORY_TARGET:
        print(f"over the target of {CPU_TARGET} CPU s/M, {MEMORY_TARGET:.0f} MiB", file=sys.stderr)
    return 0 if all(r.at_sink == r.lines for r in results) else 1


def _measure(
    system: str, start: Callable[[], AbstractContextManager[int]], sink_url: str, lines: int, made: Path, file: Path
) -> Result:
    """The file appears, whole, when the system is up and idle."""
    before = _sunk(sink_url)
    with start() as pid:
        time.sleep(IDLE_SECONDS)
        idle = proc.cpu_seconds(pid)
        began = time.monotonic()
        os.link(made, file)
        last, since = -1, time.monotonic()
        while (now := _sunk(sink_url) - before) < lines and time.monotonic() - since < QUIET_SECONDS:
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.1)
        seconds = time.monotonic() - began
        _until_quiet(pid)
        cpu = proc.cpu_seconds(pid) - idle
        file.unlink()
        return Result(system, lines, _sunk(sink_url) - before, seconds, cpu / lines * 1e6, proc.peak_mib(pid))


def _until_quiet(pid: int) -> None:
    for _ in range(40):
        before = proc.cpu_seconds(pid)
        time.sleep(0.5)
        if proc.cpu_seconds(pid) - before <= 0.03:
            return


def _sunk(sink_url: str) -> int:
    return int(json.loads(http_get(f"{sink_url}/count")[1])["docs"])


@contextmanager
def _sidecar(file: Path, sink_url: str) -> Iterator[int]:
    settings = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": str(file),
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": sink_url,
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
        "SIDECAR_LOG__LEVEL": "warning",
    }
    with sidecar_process(settings) as process:
        yield process.pid


@contextmanager
def _rsyslog(file: Path, sink_url: str, work: Path, disk: bool) -> Iterator[int]:
    """imfile, mmjsonparse, omelasticsearch in bulk mode; one message a line, resumed for ever."""
    work.mkdir()
    port = sink_url.rsplit(":", 1)[1]
    queue = 'queue.type="LinkedList" queue.filename="q" queue.saveOnShutdown="on" queue.maxDiskSpace="4g"'
    if disk:
        queue = 'queue.type="Disk" queue.filename="q" queue.maxDiskSpace="4g" queue.syncQueueFiles="off"'
    config = work / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{work}" maxMessageSize="64k")\n'
        'module(load="imfile" mode="inotify")\nmodule(load="mmjsonparse")\nmodule(load="omelasticsearch")\n'
        'template(name="doc" type="list") { property(name="$!all-json") }\n'
        f'input(type="imfile" file="{file}" tag="app" ruleset="out" addMetadata="off")\n'
        'ruleset(name="out") {\n  action(type="mmjsonparse" cookie="")\n'
        f'  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="doc" searchIndex="logs" '
        f'searchType="_doc" bulkmode="on" queue.dequeueBatchSize="2000" queue.workerThreads="1" '
        f'action.resumeRetryCount="-1" {queue})\n}}\n'
    )
    root = debian_program("rsyslog-elasticsearch")
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    command = [root / "usr/sbin/rsyslogd", "-n", "-M", libraries / "rsyslog", "-f", config, "-i", work / "pid"]
    found = os.pathsep.join(filter(None, [str(libraries), os.environ.get("LD_LIBRARY_PATH")]))
    environment = {**os.environ, "LD_LIBRARY_PATH": found}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as error:
        print(f"the bench cannot run: {error}", file=sys.stderr)
        sys.exit(2)
