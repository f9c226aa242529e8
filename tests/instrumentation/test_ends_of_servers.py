"""What servers and workers send when SIGTERM ends them, as decision 012 has it: where the program handles the signal
everything, however long a batch may wait; where it does not, all that was sent before, and nothing twice."""

from __future__ import annotations

import re
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.engines import Child, answers, free_port, wait_for
from support.frameworks import Recorded, environment, packages_for, recording, web_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]
APPS = Path(__file__).with_name("ending_apps")
WEB = APPS.with_name("web_apps")
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000"}
DELAYS = tuple(NEVER)
LITSERVE = ("litserve==0.2.19",)


def _lines(recorded: Recorded) -> list[str]:
    with recorded.lock:
        return [str(e.body) for e in recorded.events if re.fullmatch(r"hello [1-9]|hello 0", str(e.body))]


def _spans(recorded: Recorded) -> list[str]:
    with recorded.lock:
        return [span.name for span, _ in recorded.spans]


@contextmanager
def _started(python: Path, words: str, env: Mapping[str, str], folder: Path, log: Path) -> Iterator[Child]:
    program, *rest = words.split()
    child = Child("program", [python.with_name(program), *rest], log, env, folder)
    child.start()
    try:
        yield child
    except BaseException as error:
        error.add_note(child.tail())
        raise
    finally:
        child.kill9()
        child.kill_rest()


def _ask(port: int, numbers: range) -> None:
    for number in numbers:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello/{number}", timeout=60) as response:
            assert response.status == 200


def _post(port: int, numbers: range) -> None:
    for number in numbers:
        body = b'{"n": %d}' % number
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200


ORDERLY = {
    "uvicorn": "uvicorn --port {port} fastapi_app:app",
    "hypercorn": "hypercorn -b 127.0.0.1:{port} fastapi_app:app",
    "gunicorn": "gunicorn -b 127.0.0.1:{port} -w 2 flask_app:app",
}


@pytest.mark.parametrize("name", ORDERLY)
def test_servers_that_stop_in_order_send_what_waits(agent: Path, tmp_path: Path, name: str) -> None:
    port = free_port()
    with recording() as recorded:
        env = environment(agent, recorded.url, NEVER)
        with _started(web_python(), ORDERLY[name].format(port=port), env, WEB, tmp_path / "log") as server:
            server.wait_until(lambda: answers(f"http://127.0.0.1:{port}/hello/9"), 60)
            _ask(port, range(1, 5))
            assert _spans(recorded) == [], "batches wait for longer than the test"
            server.stop()
        assert "model-sidecar:" not in (tmp_path / "log").read_text()
        lines = [line for line in _lines(recorded) if line != "hello 9"]
    assert sorted(lines) == [f"hello {n}" for n in range(1, 5)]
    requests = [span for span, given in recorded.spans if span.kind == 2]
    assert len(requests) == len(_lines(recorded)), "a span for each request"


@pytest.mark.parametrize("way", ["exits", "flag", "loop", "child"])
def test_workers_that_handle_the_signal_send_what_waits(agent: Path, tmp_path: Path, way: str) -> None:
    log = tmp_path / "log"
    with recording() as recorded:
        with _started(
            web_python(), f"python loop_app.py {way}", environment(agent, recorded.url, NEVER), APPS, log
        ) as worker:
            worker.wait_until(lambda: "made" in log.read_text(), 60)
            assert worker.stop() == 0
        assert "model-sidecar:" not in log.read_text()
    assert sorted(_lines(recorded)) == [f"hello {n}" for n in range(5)], "that of the handler too"
    assert sorted(_spans(recorded)) == [f"job {n}" for n in range(5)]


KILLED: dict[str, tuple[str, Path, Callable[[int, range], None] | None]] = {
    "nothing": ("python loop_app.py nothing", APPS, None),
    "busy": ("python loop_app.py busy", APPS, None),
    "flask": ("python flask_app.py {port}", WEB, _ask),
    "litserve": ("python lit_app.py {port}", APPS, _post),
}


@pytest.mark.parametrize("name", KILLED)
def test_what_a_batch_s_delay_is_past_arrives_before_the_signal(agent: Path, tmp_path: Path, name: str) -> None:
    """The batches go by themselves: neither a further request nor the end sends them."""
    words, folder, ask = KILLED[name]
    port, log, python = free_port(), tmp_path / "log", web_python()
    site = packages_for(str(python), LITSERVE) if name == "litserve" else ""
    with recording() as recorded:
        env = environment(agent, recorded.url, {"PYTHONPATH": f"{agent}:{site}"})
        for delay in DELAYS:
            del env[delay]
        with _started(python, words.format(port=port), env, folder, log) as program:
            if ask is None:
                program.wait_until(lambda: "made" in log.read_text(), 60)
            else:
                ready = "/health" if name == "litserve" else "/hello/9"
                program.wait_until(lambda: answers(f"http://127.0.0.1:{port}{ready}"), 60)
                ask(port, range(4))
            wait_for(lambda: {f"hello {n}" for n in range(4)} <= set(_lines(recorded)), 20, "all lines, by themselves")
            wait_for(lambda: len(_traces(recorded)) >= 4, 20, "all spans, by themselves")
            assert program.stop() in (-signal.SIGTERM, 0)
    lines = [line for line in _lines(recorded) if line != "hello 9"]
    assert sorted(lines) == [f"hello {n}" for n in range(4)], "nothing is there twice"
    ids = [span.span_id for span, _ in recorded.spans]
    assert len(set(ids)) == len(ids)


def _traces(recorded: Recorded) -> set[bytes]:
    """Of the jobs and requests."""
    with recorded.lock:
        made = [span for span, _ in recorded.spans if span.name.startswith(("job", "POST /predict", "GET /hello"))]
    return {span.trace_id for span in made}


@contextmanager
def _silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for one in held:
        one.close()


@contextmanager
def _nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("sidecar", [_nobody, _silent])
def test_gunicorn_ends_though_there_is_no_sidecar(
    agent: Path, tmp_path: Path, sidecar: Callable[[], Iterator[str]]
) -> None:
    """Exporters would try for ten minutes, and gunicorn would wait for its workers as long; this test does not."""
    port = free_port()
    words = f"gunicorn -b 127.0.0.1:{port} -w 2 --graceful-timeout 900 flask_app:app"
    with sidecar() as endpoint:  # type: ignore[attr-defined]
        env = environment(agent, endpoint, {"OTEL_EXPORTER_OTLP_TIMEOUT": "600", **NEVER})
        del env["SIDECAR_EXIT_TIMEOUT"]
        with _started(web_python(), words, env, WEB, tmp_path / "log") as server:
            server.wait_until(lambda: answers(f"http://127.0.0.1:{port}/hello/9"), 60)
            _ask(port, range(1, 5))
            assert server.stop(timeout=80) == 0
    said = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("model-sidecar:")]
    counts = [tuple(map(int, found)) for line in said for found in re.findall(r"(\d+) of (\d+) spans", line)]
    assert sum(lost for lost, _ in counts) == sum(made for _, made in counts) >= 5, said
