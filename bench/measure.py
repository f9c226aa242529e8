"""One case on one system: idle, load, drain, and the count at the end."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import proc
from cases import Case
from disk import fsync_times, p99
from support.engines import http_get, loadgen_binary, payload_dir
from systems import System, counter_total, scrape

IDLE_SECONDS = 5.0
WARM_SECONDS = 5.0
"""Of the load before a case at rest is measured, so that what the first requests cost once is not in its figures."""
SETTLE_SECONDS = 4.0
"""After a load at rest: what is done behind it is done (a checkpoint comes after two seconds)."""
DRAIN_SECONDS = 90.0

Row = dict[str, Any]
"""Figures by name; None where one does not apply."""


def measure(case: Case, system: System, sink_url: str, seconds: float) -> Row:
    """Start to end of one case on a system that has just started."""
    if case.rest_seconds:
        return _measure_at_rest(case, system, sink_url)
    return _measure_under_load(case, system, sink_url, seconds)


def _measure_at_rest(case: Case, system: System, sink_url: str) -> Row:
    """Little or nothing comes: CPU of each request, and of no request at all."""
    time.sleep(IDLE_SECONDS)
    row: Row = {"case": case.name, "system": system.name, "idle_mib": proc.rss_mib(system.pid), "mismatch": ""}
    sunk_before = _sunk(sink_url)
    warm = _load(case, system, WARM_SECONDS) if case.send else None
    time.sleep(SETTLE_SECONDS)
    cpu_before, switches_before, began = proc.cpu_seconds(system.pid), proc.switches(system.pid), time.monotonic()
    if warm is None:
        time.sleep(case.rest_seconds)
        cpu = proc.cpu_seconds(system.pid) - cpu_before
        return row | {"idle_cpu_percent": cpu / (time.monotonic() - began) * 100, "rest_mib": proc.rss_mib(system.pid)}
    with fsync_times() as fsync:
        load = _load(case, system, case.rest_seconds)
    time.sleep(SETTLE_SECONDS)
    cpu, switches = proc.cpu_seconds(system.pid) - cpu_before, proc.switches(system.pid) - switches_before
    row |= {
        "accepted": warm["accepted"] + load["accepted"],
        "errors": {**warm["errors"], **load["errors"]},
        "cpu_s": cpu,
        "cpu_ms_per_request": cpu * 1000 / load["requests"],
        "switches_per_request": switches / load["requests"],
        "rest_mib": proc.rss_mib(system.pid),
        "ack_p50_ms": load["p50_ms"],
        "ack_p99_ms": load["p99_ms"],
        "fsync_p99_ms": p99(fsync),
        "requests": load["requests"],
        "expected": sum(one["accepted"] + (one["events"] if system.event_documents else 0) for one in (warm, load)),
    }
    _drain(sink_url, sunk_before["docs"] + row["expected"])
    sunk = {k: v - sunk_before[k] for k, v in _sunk(sink_url).items()}
    row["sunk"] = sunk["docs"]
    row["mismatch"] = _mismatch(case, system, row, sunk)
    return row


def _measure_under_load(case: Case, system: System, sink_url: str, seconds: float) -> Row:
    time.sleep(IDLE_SECONDS)
    row: Row = {"case": case.name, "system": system.name, "idle_mib": proc.rss_mib(system.pid), "mismatch": ""}
    idle_before = proc.cpu_seconds(system.pid)
    time.sleep(2)
    row["idle_cpu_percent"] = (proc.cpu_seconds(system.pid) - idle_before) / 2 * 100
    sunk_before, cpu_before, busy_before = _sunk(sink_url), proc.cpu_seconds(system.pid), proc.machine_busy_seconds()
    began = time.monotonic()
    load = _load(case, system, seconds)
    loaded = time.monotonic()
    expected = load["accepted"] + (load["events"] if system.event_documents else 0)
    if system.delivers:
        _drain(sink_url, sunk_before["docs"] + expected)
    drained = time.monotonic()
    _until_quiet(system.pid)
    cpu = proc.cpu_seconds(system.pid) - cpu_before
    sunk = {k: v - sunk_before[k] for k, v in _sunk(sink_url).items()}
    row |= {
        "accepted": load["accepted"],
        "rejected": load["rejected"],
        "errors": load["errors"],
        "items_per_s": load["items_per_s"],
        "cpu_s": cpu,
        "cpu_s_per_million": cpu / (load["accepted"] * (case.predictions or 1)) * 1e6 if load["accepted"] else None,
        "cpu_cores": cpu / (drained - began),
        "peak_mib": proc.peak_mib(system.pid),
        "ack_p50_ms": load["p50_ms"],
        "ack_p99_ms": load["p99_ms"],
        "requests": load["requests"],
        "sunk": sunk["docs"] if system.delivers else None,
        "expected": expected if system.delivers else None,
        "drain_s": drained - loaded if system.delivers else None,
        "wire_bytes_per_item": sunk["wire_bytes"] / expected if system.delivers and expected else None,
        "client_cpu_s": load["client_cpu_s"],
        "machine_cpu_s": proc.machine_busy_seconds() - busy_before,
    }
    row["mismatch"] = _mismatch(case, system, row, sunk)
    if case.scrapes:
        row |= _scrapes(system, case.scrapes)
    return row


def _load(case: Case, system: System, seconds: float) -> dict[str, Any]:
    over_http = case.signal == "ndjson" or "http" in case.send
    done = subprocess.run(
        [
            str(loadgen_binary()),
            *("send", "-dir", str(payload_dir(case.payload_size)), "-dur", f"{seconds}s"),
            *("-addr", system.http_address if over_http else system.grpc_address),
            *case.send,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"loadgen: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _sunk(sink_url: str) -> dict[str, int]:
    counts: dict[str, int] = json.loads(http_get(f"{sink_url}/count")[1])
    return counts


def _drain(sink_url: str, wanted: int) -> None:
    """Until the sink has as many documents, or has had no new one for ten seconds."""
    last, since, end = -1, time.monotonic(), time.monotonic() + DRAIN_SECONDS
    while (now := _sunk(sink_url)["docs"]) < wanted and time.monotonic() < end:
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 10:
            return
        time.sleep(0.05)


def _until_quiet(pid: int) -> None:
    """Until the process uses less than a twentieth of a core, so that work behind the load is counted too."""
    for _ in range(60):
        before = proc.cpu_seconds(pid)
        time.sleep(0.5)
        if proc.cpu_seconds(pid) - before <= 0.025:
            return


def _mismatch(case: Case, system: System, row: Row, sunk: dict[str, int]) -> str:
    """What does not add up; empty if all does. Errors at the client may have been kept, so then more may arrive."""
    found = []
    if system.delivers and (sunk["docs"] < row["expected"] or (sunk["docs"] > row["expected"] and not row["errors"])):
        found.append(f"accepted {row['expected']} documents, {sunk['docs']} at the sink")
    name = system.counters.get(case.signal)
    if name:
        counter_total(system.metrics_url, name)  # the first fetch shows a new series at 0
        counted = counter_total(system.metrics_url, name)
        if counted < row["accepted"] or (counted > row["accepted"] and not row["errors"]):
            found.append(f"accepted {row['accepted']} items, {name} says {counted:.0f}")
    if case.predictions:
        counter_total(system.metrics_url, "model_predictions_total")
        sent, counted = row["accepted"] * case.predictions, counter_total(system.metrics_url, "model_predictions_total")
        if counted != sent and not row["errors"]:
            found.append(f"accepted {sent} predictions, model_predictions_total says {counted:.0f}")
    return "; ".join(found)


def _scrapes(system: System, number: int) -> Row:
    """The mean of `number` fetches, after the metrics have appeared."""
    samples = 0
    for _ in range(40):
        _, samples = scrape(system.metrics_url)
        if samples > 1000:
            break
        time.sleep(0.5)
    cpu, began, size = proc.cpu_seconds(system.pid), time.monotonic(), 0
    for _ in range(number):
        size, samples = scrape(system.metrics_url)
    seconds = (time.monotonic() - began) / number
    each = (proc.cpu_seconds(system.pid) - cpu) / number
    return {
        "scrape_samples": samples,
        "scrape_bytes": size,
        "scrape_cpu_ms": each * 1000,
        "scrape_cpu_ms_10k": each * 1000 * 10_000 / samples if samples else None,
        "scrape_wall_ms": seconds * 1000,
    }
