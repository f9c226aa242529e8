"""Web frameworks under the servers that people start them by: answers with and without instrumentation are the same,
requests give server spans, and log lines have the trace that they belong to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.engines import Child, EngineUnavailable, answers, free_port, wait_for
from support.frameworks import Event, Recorded, environment, installed_python, packages_for, recording, web_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]
APPS = Path(__file__).with_name("web_apps")
SERVER = 2
"""The kind of a span that stands for a request that came in."""
REQUESTS: list[tuple[str, bytes | None]] = [
    ("/hello/1", None),
    ("/hello/2?x=%C3%A9", None),
    ("/echo", b'{"a": [1, 2]}'),
    ("/missing", None),
    ("/boom", None),
]
EVENTLET = ("eventlet==0.41.3", "gunicorn==23.0.0")
"""The last gunicorn that has workers of eventlet's."""
COMMANDS = {
    "django-gunicorn": "gunicorn -b {address} shop.wsgi",
    "django-gunicorn-gthread-preload": "gunicorn -b {address} -k gthread --threads 2 -w 2 --preload shop.wsgi",
    "django-runserver-reload": "python manage.py runserver {address}",
    "django-waitress": "waitress-serve --listen={address} shop.wsgi:application",
    "django-daphne": "daphne -b 127.0.0.1 -p {port} shop.asgi:application",
    "django-uwsgi": "uwsgi --http-socket {address} -H {home} --enable-threads --master --die-on-term -p 2 -w shop.wsgi",
    "django-alone": "python django_alone.py {port}",
    "flask-run": "flask --app flask_app run --port {port}",
    "flask-script": "python flask_app.py {port}",
    "flask-gunicorn": "gunicorn -b {address} -w 2 flask_app:app",
    "flask-gunicorn-gevent": "gunicorn -b {address} -k gevent -w 2 flask_app:app",
    "flask-gevent-script": "python gevent_app.py {port}",
    "fastapi-uvicorn": "uvicorn --port {port} fastapi_app:app",
    "fastapi-uvicorn-reload": "uvicorn --port {port} --reload fastapi_app:app",
    "fastapi-hypercorn": "hypercorn -b {address} fastapi_app:app",
    "starlette-uvicorn-workers": "uvicorn --port {port} --workers 2 starlette_app:app",
    "aiohttp-script": "python aiohttp_app.py {port}",
    "aiohttp-gunicorn": "gunicorn -b {address} -k aiohttp.GunicornWebWorker aiohttp_app:make",
    "tornado-script": "python tornado_app.py {port}",
}
DJANGO_4, DJANGO_6 = "django==4.2.30", "django==6.1.3"
OTHERS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "django-4.2-gunicorn": (0, (DJANGO_4,), "gunicorn -b {address} -w 2 shop.wsgi"),
    "django-6.1-uvicorn": (
        13,
        (DJANGO_6, "gunicorn==27.0.1", "uvicorn==0.54.0"),
        "python -m uvicorn --port {port} shop.asgi:application",
    ),
    "flask-gunicorn-eventlet": (0, EVENTLET, "gunicorn -b {address} -k eventlet -w 2 flask_app:app"),
    "flask-eventlet-script": (0, EVENTLET, "python eventlet_app.py {port}"),
}
"""Beside the packages of `COMMANDS`: the minor version of another Python, packages that come first, and the command."""


@pytest.fixture(scope="module")
def web() -> Path:
    """Python with web frameworks and servers, and nothing of OpenTelemetry's."""
    return web_python()


@contextlib.contextmanager
def _server(web: Path, command: str, port: int, env: Mapping[str, str], log: Path) -> Iterator[None]:
    program, *rest = command.format(port=port, address=f"127.0.0.1:{port}", home=web.parents[1]).split()
    if not web.with_name(program).exists():
        raise EngineUnavailable(f"{program} could not be built here")
    child = Child("server", [web.with_name(program), *rest], log, dict(env), APPS)
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/hello/0"), 60)
        yield
    except BaseException as error:
        error.add_note(child.tail())
        raise
    finally:
        child.stop()


def _ask(port: int) -> list[Any]:
    """Status, headers that do not change, and body of each of `REQUESTS`."""
    got = []
    for path, body in REQUESTS:
        headers = {"X-Agent": "test", **({"Content-Type": "application/json"} if body else {})}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
        try:
            response = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            kept = sorted((k.lower(), v) for k, v in response.headers.items() if k.lower() != "date")
            got.append((response.status, kept, response.read()))
    return got


def _spans(recorded: Recorded) -> list[Any]:
    with recorded.lock:
        return [(span, given) for span, given in recorded.spans if span.kind == SERVER]


def _status(span: Any, given: Mapping[str, Any]) -> int:
    """Where the answer to an exception is made outside of the span, it has an error and no status code."""
    return int(given.get("http.response.status_code", 500 if span.status.code == 2 else 0))


def _lines(recorded: Recorded) -> list[Event]:
    with recorded.lock:
        return [event for event in recorded.events if event.body in ("hello 1", "hello 2")]


def _asked(web: Path, command: str, env: Mapping[str, str], log: Path, recorded: Recorded | None) -> list[Any]:
    """The answers to two rounds. What a signal takes from servers that do not handle it is not looked at here."""
    port = free_port()
    with _server(web, command, port, env, log):
        made = [_ask(port), _ask(port)]
        if recorded is not None:
            wait_for(lambda: len(_lines(recorded)) >= 4, 10, "the app's log lines")
            wait_for(lambda: len(_spans(recorded)) >= 2 * len(REQUESTS) + 1, 10, "a server span for each request")
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_answers_are_the_same_and_requests_give_spans(agent: Path, web: Path, tmp_path: Path, name: str) -> None:
    _same_answers(agent, web, tmp_path, COMMANDS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_other_versions_and_workers(agent: Path, web: Path, tmp_path: Path, name: str) -> None:
    minor, packages, command = OTHERS[name]
    python = installed_python(minor) if minor else web
    _same_answers(agent, python, tmp_path, command, str(packages_for(str(python), packages)))


def _same_answers(agent: Path, web: Path, tmp_path: Path, command: str, site: str = "") -> None:
    """`site`: a folder of packages that come before those of the Python `web`."""
    plain = environment(agent, "http://127.0.0.1:9", {"PYTHONPATH": site})
    bare = _asked(web, command, plain, tmp_path / "bare", None)
    assert [status for status, _, _ in bare[0]] == [200, 200, 200, 404, 500]
    with recording() as recorded:
        env = environment(agent, recorded.url, {"PYTHONPATH": f"{agent}{os.pathsep}{site}" if site else str(agent)})
        assert _asked(web, command, env, tmp_path / "log", recorded) == bare
        made = _spans(recorded)
    log = (tmp_path / "log").read_text()
    assert "model-sidecar:" not in log, log
    counts = Counter((given["http.request.method"], _status(span, given)) for span, given in made)
    assert counts.pop(("GET", 200)) >= 5, "the server was asked before, until it answered"
    assert counts == {("POST", 200): 2, ("GET", 404): 2, ("GET", 500): 2}, "one server span for each request"
    lines = _lines(recorded)
    traces = {span.trace_id for span, _ in made}
    assert len(lines) == 4
    assert all(line.trace_id in traces for line in lines)
    assert "hello 1" in (tmp_path / "bare").read_text()
    for word in ("Traceback", "Warning", "ignored"):
        assert log.count(word) == (tmp_path / "bare").read_text().count(word), log
    assert log.count("hello 1") == (tmp_path / "bare").read_text().count("hello 1"), "the app's own output is the same"


def _program(web: Path, name: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    command = [web, APPS / name]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


GRPC = {
    "grpc_app.py": ("b'1 hello'\nStatusCode.NOT_FOUND no such thing\n", ["Boom", "Echo"]),
    "grpc_aio_app.py": (
        "b'1 hello'\n[b'0', b'1', b'2']\nStatusCode.NOT_FOUND no such thing\n"
        "StatusCode.UNKNOWN Unexpected <class 'ValueError'>: broken\n",
        ["Boom", "Broken", "Count", "Echo"],
    ),
}
"""What the program prints, and its calls."""


@pytest.mark.parametrize("name", GRPC)
def test_grpc_with_interceptors_by_position(agent: Path, web: Path, name: str) -> None:
    printed, calls = GRPC[name]
    plain = environment(agent, "http://127.0.0.1:9")
    del plain["PYTHONPATH"]
    bare = _program(web, name, plain)
    assert bare[:2] == (3, printed)
    with recording() as recorded:
        assert _program(web, name, environment(agent, recorded.url)) == bare
        wait_for(lambda: len(_spans(recorded)) >= len(calls), 10, "spans of all calls")
    assert sorted(span.name for span, _ in _spans(recorded)) == [f"/shop.Shop/{call}" for call in calls]
    for line in _lines(recorded):
        assert line.trace_id in {span.trace_id for span, _ in _spans(recorded)}


@pytest.mark.parametrize("module", ["no.such.settings", ""])
def test_django_without_settings_fails_as_it_does_alone(agent: Path, web: Path, module: str) -> None:
    code = "from django.core.wsgi import get_wsgi_application\nfrom django.conf import settings\n"
    code += "try:\n    get_wsgi_application()\nexcept BaseException as e:\n    print(type(e).__name__, e)\n"
    code += "settings._wrapped = settings._wrapped\nprint(settings.configured)"
    said = []
    for path in ({}, {"PYTHONPATH": str(agent), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}):
        env = {"PATH": os.environ["PATH"], **path, **({"DJANGO_SETTINGS_MODULE": module} if module else {})}
        done = subprocess.run([web, "-c", code], env=env, capture_output=True, text=True, timeout=300, check=False)
        said.append((done.returncode, done.stdout))
    assert said[0] == said[1]
    assert "False" in said[0][1]
