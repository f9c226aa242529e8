"""Asks questions one after another, as one person would, and times the answers."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import proc
from questions import LIMIT, Question

TO_MS = 1_000
_SELDOM = 5


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds."""

    question: Question
    p50: float
    p95: float
    worst: float
    cpu: float
    """Median CPU of the process that answers, of all that it did meanwhile."""
    found: float
    """Traces in an answer, on average."""


def ask_all(address: str, pid: int, questions: Sequence[Question], times: int, seed: int = 1) -> list[Times]:
    """Each question so many times; they take turns, so that what else the machine does meets all of them. By id: ten
    times as often; what reads everything: a fifth."""
    random = Random(seed)
    took: dict[str, list[float]] = {q.name: [] for q in questions}
    cpu: dict[str, list[float]] = {q.name: [] for q in questions}
    found: dict[str, list[int]] = {q.name: [] for q in questions}
    connection = http.client.HTTPConnection(address, timeout=60)
    for turn in range(times + 1):
        for question in questions:
            if question.reads_all and turn % _SELDOM:
                continue
            for _ in range(10 if question.by_id else 1):
                before = proc.run_ns(pid)
                seconds, traces = _ask(connection, question, random)
                # The first turn compiles, imports and opens files.
                if turn:
                    took[question.name].append(seconds * TO_MS)
                    cpu[question.name].append((proc.run_ns(pid) - before) / 1e6)
                    found[question.name].append(traces)
    return [_times(q, took[q.name], cpu[q.name], found[q.name]) for q in questions]


def _ask(connection: http.client.HTTPConnection, question: Question, random: Random) -> tuple[float, int]:
    target = question.ask(random)
    began = time.monotonic()
    connection.request("GET", target)
    reply = connection.getresponse()
    body = reply.read()
    took = time.monotonic() - began
    if reply.status == 504 and question.reads_all:
        return took, 0
    traces = _traces(reply.status, body, "json" in reply.headers["content-type"])
    if traces > LIMIT or question.finds != (traces > 0):
        raise RuntimeError(f"{target}: {reply.status}, {traces} traces: {body[:300]!r}")
    return took, traces


def _traces(status: int, body: bytes, readable: bool) -> int:
    """How many are in an answer; one where it is protobuf, which only a trace by id is."""
    if status == 404:
        return 0
    if status != 200:
        raise RuntimeError(f"{status}: {body[:300]!r}")
    if not readable:
        return 1
    answer: Any = json.loads(body)
    return len(answer["data"] if "data" in answer else answer.get("traces", answer.get("batches")) or [])


def _times(question: Question, took: list[float], cpu: list[float], found: list[int]) -> Times:
    p50, p95 = statistics.median(took), percentile(took, 95)
    return Times(question, p50, p95, max(took), statistics.median(cpu), statistics.mean(found))


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(percent) // 100) - 1))]


def show(times: Sequence[Times], heading: str) -> None:
    """As a table."""
    print(f"\n{heading}\n\n| look-up | p50 ms | p95 | worst | CPU | traces |\n|---|---|---|---|---|---|")
    for one in times:
        figures = f"{one.p50:.1f} | {one.p95:.1f} | {one.worst:.0f} | {one.cpu:.1f} | {one.found:.1f}"
        print(f"| {one.question.name} | {figures} |", flush=True)


def missed(times: Sequence[Times], by_id_ms: float, search_ms: float) -> list[str]:
    """Those that took longer than they may, by p95."""
    return [
        f"{one.question.name}: p95 {one.p95:.0f} ms; at most {limit:.0f}"
        for one in times
        if one.p95 > (limit := by_id_ms if one.question.by_id else search_ms) and not one.question.reads_all
    ]
