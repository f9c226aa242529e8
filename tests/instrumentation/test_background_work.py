"""Log lines of work that another thread, process or worker does: they arrive, with the trace that they belong to."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.engines import Child, wait_for
from support.frameworks import Event, Recorded, environment, recording, run, web_python

pytestmark = [pytest.mark.engine]
APPS = Path(__file__).with_name("background_apps")
CONSUMER, PRODUCER = 5, 4
"""Kinds of spans."""
RESULTS = [1, 2, 3, 12, 20, "no row 30"]
LINES = sorted(
    [
        *(f"{logger} {n}" for n in (0, 1, 2, 10, 11) for logger in ("scored", "celery's logger")),
        *("failed 30", "try 0 of 20", "try 1 of 20"),
    ]
)
"""Of the app's own, one for each call."""


def _lines(recorded: Recorded) -> list[Event]:
    with recorded.lock:
        return [event for event in recorded.events if re.match(r"(scored|celery's|failed|try) ", str(event.body))]


def _kind(recorded: Recorded, kind: int) -> dict[bytes, Any]:
    """Spans by their ids."""
    with recorded.lock:
        return {span.span_id: span for span, _ in recorded.spans if span.kind == kind}


def _client(python: Path, env: Mapping[str, str]) -> list[Any]:
    done = subprocess.run([python, "tasks.py"], cwd=APPS, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "model-sidecar" not in done.stderr, done.stderr
    found: list[Any] = ast.literal_eval(done.stdout)
    return found


def _folder(tmp_path: Path) -> dict[str, str]:
    for name in ("queue", "results"):
        (tmp_path / name).mkdir()
    return {"TASKS_FOLDER": str(tmp_path)}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork -c 2", "gevent -c 2"])
def test_lines_of_celery_s_tasks_have_the_traces_of_their_senders(agent: Path, tmp_path: Path, pool: str) -> None:
    python = web_python()
    words = ["-A", "tasks", "worker", "-P", *pool.split(), "--without-gossip", "--without-mingle", "-l", "WARNING"]
    with recording() as recorded:
        env = environment(agent, recorded.url, _folder(tmp_path))
        worker = Child("worker", [python.with_name("celery"), *words], tmp_path / "log", env, APPS)
        worker.start()
        try:
            assert _client(python, {**env, "OTEL_SERVICE_NAME": "client"}) == RESULTS
            wait_for(lambda: len(_lines(recorded)) >= len(LINES), 20, "the lines of all tasks")
        except BaseException as error:
            error.add_note(worker.tail())
            raise
        finally:
            assert worker.stop() == 0, worker.tail()
    log = (tmp_path / "log").read_text()
    assert "model-sidecar:" not in log, log
    lines = _lines(recorded)
    assert sorted(line.body for line in lines) == LINES
    assert {line.resource["service.name"] for line in lines} == {"model"}
    ran, sent = _kind(recorded, CONSUMER), _kind(recorded, PRODUCER)
    assert [line.body for line in lines if line.span_id not in ran] == [], "each is in the span of its task"
    assert {span.trace_id for span in ran.values()} <= {span.trace_id for span in sent.values()}
    spans = {name: [ran[line.span_id] for line in lines if line.body == name] for name in LINES}
    assert {span.name for name in LINES for span in spans[name]} == {
        "run/tasks.score",
        "run/tasks.fail",
        "run/tasks.again",
    }
    assert spans["scored 1"] == spans["celery's logger 1"]
    assert spans["scored 10"][0].trace_id == spans["scored 11"][0].trace_id, "a chain is one trace"
    assert spans["scored 0"][0].trace_id != spans["scored 1"][0].trace_id
    failed = next(line for line in lines if line.body == "failed 30")
    assert failed.attributes["exception.type"] == "ValueError"


def test_lines_of_tasks_that_are_run_at_once(agent: Path, tmp_path: Path) -> None:
    with recording() as recorded:
        more = {**_folder(tmp_path), "TASKS_EAGER": "1"}
        found = run(web_python(), ["tasks.py"], environment(agent, recorded.url, more), APPS)
    assert ast.literal_eval(found) == RESULTS
    assert sorted(line.body for line in _lines(recorded)) == LINES


WAYS = {0: "thread", 2: "timer", 3: "executor", 4: "map", 5: "given", 6: "daemon"}
WAYS |= {100: "to_thread", 101: "in_executor", 102: "task"}
"""How a request hands work on, by its number."""
NOT_FOLLOWED = {1: "subclass", 7: "pool"}
"""A thread whose class has a `run` of its own, and one that was there before the request."""


def test_lines_of_threads_have_the_traces_of_what_they_work_for(agent: Path) -> None:
    with recording() as recorded:
        run(web_python(), ["threads.py"], environment(agent, recorded.url), APPS)
    spans = {span.name: span for span, _ in recorded.spans if span.name != "inner"}
    lines = {str(event.body): event for event in recorded.events if re.match(r"[\w']+ \d+", str(event.body))}
    expected = {f"{way} {n}": f"request {n}" for n, way in WAYS.items()}
    found = {
        line: next((name for name, span in spans.items() if span.span_id == lines[line].span_id), "")
        for line in expected
    }
    assert found == expected, "each line is in the span of its request"
    for line, name in expected.items():
        inside = lines[f"{line} inside"]
        assert inside.trace_id == spans[name].trace_id, "and so are spans that the thread begins"
        assert inside.span_id != spans[name].span_id
    for line in ("nobody's 999", *(f"{way} {n}" for n, way in NOT_FOLLOWED.items())):
        assert lines[line].trace_id == b"", "it arrives without a trace, not with another's"
        assert len(lines[f"{line} inside"].trace_id) == 16
