"""Many pods, one Prometheus 3 with the shipped rules: how long the rules take, what the series cost.

`python bench/fleet` takes the text of a real sidecar's /metrics, serves it as that of 500 pods of 50 services, has a
real Prometheus scrape them and evaluate monitoring/prometheus/rules, and prints what it says of itself. Exit code 1 if
a group of rules takes more than a quarter of its interval, or an evaluation fails or is left out. What the figures
mean: bench/README.md. Prometheus is built the first time (six minutes, Go)."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests")]

import history  # noqa: E402
import proc  # noqa: E402
import template  # noqa: E402
from support.engines import Child, EngineUnavailable, answers, free_port, http_get, prometheus3  # noqa: E402
from support.load import Samples, samples, total  # noqa: E402
from targets import service_name  # noqa: E402

SHARE = 0.25
"""Of the interval that a group of rules may take."""
NAMESPACES = 5
DURATION, INTERVAL, MISSED, FAILED = (
    f"prometheus_rule_{name}"
    for name in (
        *("group_last_duration_seconds", "group_interval_seconds"),
        *("group_iterations_missed_total", "evaluation_failures_total"),
    )
)


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        _say(f"the text of a sidecar ({options.profile}) ...")
        text = template.exposition(options.profile)
        (folder / "template.txt").write_text(text, "utf-8")
        with _pods(folder, options) as port:
            pods = [_labels(number, options.services) for number in range(options.pods)]
            config = _configure(folder, port, pods, options)
            _say("three days of history ...")
            services = {pod["service"]: pod["namespace"] for pod in pods}
            history.write(folder / "data", services, pods, options.interval)
            with _prometheus(folder, config) as (server, url):
                found = _measure(server, url, options)
                found["cpu"] = _cpu(server, url, options)
                found |= _disk(folder, url) if options.disk else {}
                return _report(found, text, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _labels(number: int, services: int) -> dict[str, str]:
    """Of a pod's target, as discovery in Kubernetes gives them."""
    service = number % services
    return {
        "job": "model-sidecar",
        "instance": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:9464",
        "namespace": f"team-{service % NAMESPACES}",
        "service": service_name(service),
        "pod": f"{service_name(service)}-7c9f8d6b5c-{number:05d}",
    }


@contextmanager
def _pods(folder: Path, options: argparse.Namespace) -> Iterator[int]:
    """The port at which they are served."""
    port = free_port()
    command = [sys.executable, HERE / "targets.py", folder / "template.txt", "--services", options.services]
    command += ["--interval", options.interval, "--port", port]
    child = Child("targets", [str(part) for part in command], folder / "targets.log")
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/0"), 60)
        yield port
    finally:
        child.stop()


def _configure(folder: Path, port: int, pods: list[dict[str, str]], options: argparse.Namespace) -> Path:
    """The shipped relabelling of samples and the shipped rules."""
    shipped = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus-kubernetes.yml").read_text("utf-8"))
    (job,) = (j for j in shipped["scrape_configs"] if j["job_name"] == "model-sidecar")
    address = f"127.0.0.1:{port}"
    static = [
        {"targets": [address], "labels": {**pod, "__metrics_path__": f"/{number}"}} for number, pod in enumerate(pods)
    ]
    every = f"{options.interval:g}s"
    body = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [f"{options.rules}/*.yml"],
        "storage": shipped["storage"],
        "scrape_configs": [
            {
                "job_name": "model-sidecar",
                "honor_labels": True,
                "metric_relabel_configs": job["metric_relabel_configs"],
                "static_configs": static,
            }
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(body))
    return path


@contextmanager
def _prometheus(folder: Path, config: Path) -> Iterator[tuple[Child, str]]:
    port = free_port()
    command = [
        str(prometheus3("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *(
            "--storage.tsdb.retention.time=30d",
            "--web.enable-admin-api",
            "--query.timeout=30m",
            "--enable-feature=exemplar-storage",
        ),
    ]
    child = Child("prometheus", command, folder / "prometheus.log")
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 120)
        yield child, f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def _measure(server: Child, url: str, options: argparse.Namespace) -> dict[str, Any]:
    """After the ranges of five minutes are full."""
    _say(f"{options.warm:g} minutes until ranges are full, then {options.minutes:g} minutes ...")
    time.sleep(options.warm * 60)
    durations: dict[str, list[float]] = {}
    intervals: dict[str, float] = {}
    before, cpu, began = _own(url), proc.cpu_seconds(server.pid), time.monotonic()
    busy = proc.machine_busy_seconds()
    while time.monotonic() - began < options.minutes * 60:
        time.sleep(options.interval / 3)
        for series, value in _own(url).items():
            if series.startswith(f"{DURATION}{{"):
                durations.setdefault(_group(series), []).append(value)
            if series.startswith(f"{INTERVAL}{{"):
                intervals[_group(series)] = value
    after, seconds = _own(url), time.monotonic() - began
    appended = "prometheus_tsdb_head_samples_appended_total"
    return {
        "durations": durations,
        "intervals": intervals,
        "missed": total(after, MISSED) - total(before, MISSED),
        "failed": total(after, FAILED) - total(before, FAILED),
        "up": _value(url, 'count(up{job="model-sidecar"} == 1)'),
        "scraped": _value(url, 'sum(scrape_samples_post_metric_relabeling{job="model-sidecar"})'),
        "scrape_max": _value(url, 'max(scrape_duration_seconds{job="model-sidecar"})'),
        "series": total(after, "prometheus_tsdb_head_series"),
        "samples_per_s": (total(after, appended) - total(before, appended)) / seconds,
        "cores": (proc.cpu_seconds(server.pid) - cpu) / seconds,
        "machine_cores": (proc.machine_busy_seconds() - busy) / seconds,
        "rss_mib": proc.rss_mib(server.pid),
        "peak_mib": proc.peak_mib(server.pid),
    }


def _cpu(server: Child, url: str, options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of one evaluation of each group: its expressions are asked, and what else runs meanwhile is taken
    off. It depends less than the duration on what else the machine does; writing the results is not in it."""
    _say("the rules once more, one by one ...")
    cpu, began = proc.cpu_seconds(server.pid), time.monotonic()
    time.sleep(2 * options.interval)
    beside = (proc.cpu_seconds(server.pid) - cpu) / (time.monotonic() - began)
    found = {}
    for path in sorted(options.rules.glob("*.yml")):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            cpu, began = proc.cpu_seconds(server.pid), time.monotonic()
            for rule in group["rules"]:
                _value(url, f"count({rule['expr']})")
            seconds = time.monotonic() - began
            found[group["name"]] = max(0.0, proc.cpu_seconds(server.pid) - cpu - beside * seconds)
    return found


def _group(series: str) -> str:
    """Name of the group of rules that a series is about."""
    return series.partition(";")[2].rstrip('"}')


def _own(url: str) -> Samples:
    return samples(http_get(f"{url}/metrics")[1].decode())


def _value(url: str, expression: str) -> float:
    body = json.loads(http_get(f"{url}/api/v1/query?query={urllib.parse.quote(expression)}", timeout=1200)[1])
    result = body["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def _disk(folder: Path, url: str) -> dict[str, float]:
    """Of the head, written as a block: bytes of chunks a sample and of the index a series."""
    _say("the head as a block ...")
    request = urllib.request.Request(f"{url}/api/v1/admin/tsdb/snapshot", method="POST")
    with urllib.request.urlopen(request, timeout=1800) as answer:
        name = json.loads(answer.read())["data"]["name"]
    found = [(json.loads(m.read_text()), m.parent) for m in (folder / "data/snapshots" / name).glob("*/meta.json")]
    meta, block = max(found, key=lambda pair: pair[0]["maxTime"])
    chunks = sum(path.stat().st_size for path in (block / "chunks").iterdir())
    stats = meta["stats"]
    return {
        "bytes_per_sample": chunks / stats["numSamples"],
        "index_bytes_per_series": (block / "index").stat().st_size / stats["numSeries"],
        "per_series": stats["numSamples"] / stats["numSeries"],
    }


def _report(found: Mapping[str, Any], text: str, options: argparse.Namespace) -> int:
    print("| group of rules | every | CPU s | median s | max s | of the interval |\n|---|---|---|---|---|---|")
    worst = 0.0
    for name, values in sorted(found["durations"].items(), key=lambda pair: -max(pair[1])):
        interval = found["intervals"][name]
        share = max(values) / interval
        worst = max(worst, share)
        times = f"{found['cpu'][name]:.2f} | {statistics.median(values):.3f} | {max(values):.3f}"
        print(f"| `{name}` | {interval:g} s | {times} | {share:.1%} |")
    own = sum(not line.startswith("#") for line in text.splitlines())
    print(f"\npods {options.pods}, services {options.services}, interval {options.interval:g} s, {options.profile}")
    print(f"series of a pod {own}, of all scrapes {found['scraped']:,.0f}, in the head {found['series']:,.0f}")
    print(f"samples/s {found['samples_per_s']:,.0f}, longest scrape {found['scrape_max']:.2f} s, up {found['up']:.0f}")
    print(f"Prometheus: {found['cores']:.2f} cores of {found['machine_cores']:.2f} busy ones")
    print(f"memory {found['rss_mib']:,.0f} MiB, peak {found['peak_mib']:,.0f} MiB")
    if options.disk:
        size = f"{found['bytes_per_sample']:.2f} bytes a sample, {found['per_series']:.0f} samples a series"
        print(f"disk: {size}, index {found['index_bytes_per_series']:.0f} bytes a series")
    wrong = []
    if worst > SHARE:
        wrong.append(f"a group takes {worst:.0%} of its interval; at most {SHARE:.0%}")
    if found["missed"] or found["failed"]:
        wrong.append(f"{found['missed']:.0f} evaluations left out, {found['failed']:.0f} failed")
    if found["up"] < options.pods:
        wrong.append(f"{found['up']:.0f} of {options.pods} pods scraped")
    for words in wrong:
        print(f"NOT MET  {words}", file=sys.stderr)
    return 1 if wrong else 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=500)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--interval", type=float, default=30, help="of scrapes and rules, seconds (default 30)")
    parser.add_argument("--profile", choices=template.PROFILES, default="full", help="what a pod shows (default full)")
    parser.add_argument("--warm", type=float, default=6, help="minutes before measuring (default 6)")
    parser.add_argument("--minutes", type=float, default=4, help="minutes of measuring (default 4)")
    parser.add_argument("--disk", action="store_true", help="write the head as a block too, and say how large it is")
    parser.add_argument("--rules", type=Path, default=ROOT / "monitoring/prometheus/rules", help="folder of rule files")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as error:
        print(f"the bench cannot run: {error}", file=sys.stderr)
        sys.exit(2)
