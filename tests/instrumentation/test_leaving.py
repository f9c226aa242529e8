"""How telemetry leaves a process, and that the process does not notice: its log calls, its end, its proxies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import model_sidecar_instrumentation
import pytest
from model_sidecar_instrumentation.ending import Ending
from model_sidecar_instrumentation.exporting import Guard
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult, MetricsData
from support.frameworks import environment, recording

from sidecar.cli.instrument import ENVIRONMENT

STARTUP = Path(model_sidecar_instrumentation.__file__).parent / "startup"
#: Far more than what a process may take to end, and far less than what exporters would keep it.
HANGS = 200


def _run(code: str, endpoint: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # No export of metrics before the end, however long the process takes to it.
    own = {"SIDECAR_EXIT_TIMEOUT": "20", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
    env = environment(STARTUP, endpoint, own | dict(more or {}))
    return _python(code, env)


def _python(code: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANGS, check=False)


SPAN, LOG, COUNT = (
    "from opentelemetry import trace; trace.get_tracer('t').start_span('s').end()\n",
    "import logging; logging.getLogger('app').error('a line')\n",
    "from opentelemetry import metrics; metrics.get_meter('m').create_counter('c').add(1)\n",
)


# What the app's log calls do


CALLERS = """
        class Finds(logging.Handler):
            def emit(self, record):
                frame = sys._getframe(1)
                while is_inner(frame):
                    frame = frame.f_back
                print(frame.f_globals['__name__'], frame.f_code.co_name, frame.f_lineno)
"""
"""A handler that prints who logged, as loguru's recipe for `logging` and structlog do it."""
LOG_CALLS = {
    "arguments that do not fit": "logging.warning('%d', 'a')",
    "too few arguments": "logging.warning('%s %s', 'a')",
    "a message that cannot be text": "logging.warning(Bad())",
    "an argument that cannot be text": "logging.getLogger('x').error('of %s', Bad())",
    "extra members of odd kinds": "logging.warning('m', extra={'bad': Bad(), 'é': {1: Bad()}, 'n': 1 << 80})",
    "an odd exc_info": """
        logging.getLogger('x').handle(logging.makeLogRecord({'msg': 'm', 'exc_info': (1, 2), 'levelno': 30}))""",
    "an exception that cannot be text": """
        try:
            raise ValueError(Bad())
        except ValueError:
            logging.getLogger('x').exception('m')""",
    "a filter that raises": """
        def no(record): raise KeyError('filter')
        logging.getLogger('x').addFilter(no)
        try:
            logging.getLogger('x').error('m')
        except KeyError as error:
            print('raised', error)""",
    "no handler": "logging.getLogger('x').error('to stderr, without a format')",
    "the first call makes a handler": "logging.info('no'); logging.warning('said'); print(len(logging.root.handlers))",
    "configured late": "logging.basicConfig(level=10, format='%(message)s'); logging.debug('d')",
    "configured from a dictionary": """
        import logging.config
        logging.config.dictConfig({'version': 1, 'handlers': {'h': {'class': 'logging.StreamHandler'}},
                                   'root': {'handlers': ['h'], 'level': 'INFO'}})
        logging.info('i')""",
    "handlers of the root": "print(logging.root.handlers, logging.getLevelName(logging.root.level))",
    "logging in __str__": """
        class Says:
            def __str__(self):
                logging.getLogger('inner').error('inner')
                return 'says'
        logging.getLogger('outer').error('outer %s', Says())""",
    "without an end": """
        class Deep:
            def __str__(self): return str(self)
        logging.getLogger('x').error('%s', Deep())""",
    "in __del__": """
        class Gone:
            def __del__(self): logging.getLogger('x').error('gone %d', 'x')
        Gone()""",
    "in a signal handler": """
        import os, signal
        signal.signal(signal.SIGUSR1, lambda *_: logging.getLogger('x').error('in the handler'))
        os.kill(os.getpid(), signal.SIGUSR1)""",
    "at exit": "import atexit; atexit.register(logging.getLogger('x').error, 'at exit')",
    "a formatter of the app's own": """
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter('%(message)s %(args)s %(missing)s'))
        logging.root.addHandler(handler)
        logging.warning('%s', 'a')""",
    "a handler that looks for the caller by files": CALLERS
    + """
        def is_inner(frame): return frame.f_code.co_filename == logging.__file__
        logging.basicConfig(handlers=[Finds()], force=True)
        def work(): logging.getLogger('x').warning('w')
        work()""",
    "a handler that looks for the caller by modules": CALLERS
    + """
        def is_inner(frame): return frame.f_globals['__name__'].startswith('logging')
        logging.root.addHandler(Finds())
        def work(): logging.getLogger('x').error('w')
        work()""",
    "a handler that looks for the caller by folders": CALLERS
    + """
        import os
        def is_inner(frame): return os.path.dirname(frame.f_code.co_filename) == logging.__path__[0]
        logging.getLogger('x').addHandler(Finds())
        def work(): logging.getLogger('x.y').critical('w')
        work()""",
    "the stack of a call": "logging.basicConfig(); logging.warning('w', stack_info=True)",
    "the caller's name": "logging.basicConfig(format='%(funcName)s %(lineno)d %(pathname)s'); logging.warning('w')",
    "errors of logging are off": "logging.raiseExceptions = False; logging.warning('%d', 'a'); print('on')",
    "ends by its own exit code": "logging.warning('%d', 'a'); sys.exit(7)",
    "signals": "import signal; print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))",
}
BAD = """
import logging, sys
class Bad:
    def __str__(self): raise RuntimeError('no text')
    __repr__ = __str__
"""


@pytest.mark.parametrize("name", LOG_CALLS)
def test_a_log_call_does_what_it_does_without_instrumentation(name: str) -> None:
    code = BAD + textwrap.dedent(LOG_CALLS[name])
    plain = _python(code, {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"})
    with recording() as recorded:
        done = _run(code, recorded.url)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    assert _without_our_frames(done.stderr) == _without_our_frames(plain.stderr)


def _without_our_frames(stderr: str) -> str:
    """`logging` prints the stack of a call that failed, and one frame of it is ours; so are depths of recursion."""
    without = re.sub(r'  File "[^"]*log_calls\.py", line \d+, in call_handlers\n.*\n', "", stderr)
    without = re.sub(r'  File "[^"]*/logging/__init__\.py".*\n(    .*\n)+', "", without)
    return re.sub(r"repeated \d+ more times|0x[0-9a-f]+|(?<=exceeded) while .*", "", without)


def test_wrong_log_calls_are_sent_all_the_same() -> None:
    calls = ("arguments that do not fit", "an argument that cannot be text", "an odd exc_info", "logging in __str__")
    with recording() as recorded:
        assert _run(BAD + "\n".join(textwrap.dedent(LOG_CALLS[name]) for name in calls), recorded.url).returncode == 0
    bodies = [event.body for event in recorded.events]
    assert sorted(set(bodies)) == ["%d ('a',)", "inner", "m", "of %s (<Bad>)", "outer says"]


def test_what_the_exporter_logs_is_neither_exported_nor_in_the_apps_log() -> None:
    code = f"""
import logging
logging.basicConfig(level=10)
{LOG}
from opentelemetry._logs import get_logger_provider
get_logger_provider().force_flush()
logging.getLogger("app").debug("2")
"""
    with recording() as recorded:
        done = _run(code, recorded.url)
    assert [event.body for event in recorded.events] == ["a line", "2"]
    assert done.stderr == "ERROR:app:a line\nDEBUG:app:2\n"


# What costs no batch


def test_a_line_that_is_no_utf_8_costs_nothing_beside_it() -> None:
    code = """
        import logging, os
        from opentelemetry import trace
        name = os.fsdecode(b"caf\\xe9.csv")
        for n in range(10):
            logging.getLogger("app").warning("read %s", name)
            logging.getLogger("app").warning("line %d", n)
            with trace.get_tracer("t").start_as_current_span(f"open {name}"):
                pass
    """
    with recording() as recorded:
        done = _run(code, recorded.url)
    assert done.returncode == 0
    assert "not sent" not in done.stderr
    assert [e.body for e in recorded.events if e.body.startswith("line")] == [f"line {n}" for n in range(10)]
    assert [e.body for e in recorded.events if e.body.startswith("read")] == ["read caf\ufffd.csv"] * 10
    assert [span.name for span, _ in recorded.spans] == ["open caf\ufffd.csv"] * 10
    points = recorded.metrics["model_sidecar.telemetry.repaired"][-1].sum.data_points
    assert {p.attributes[0].value.string_value: p.as_int for p in points} == {"logs": 10, "spans": 10}


def test_a_service_whose_name_is_no_utf_8_is_heard() -> None:
    with recording() as recorded:
        command = [sys.executable, "-c", SPAN]
        env = {os.fsencode(k): os.fsencode(v) for k, v in environment(STARTUP, recorded.url).items()}
        env[b"OTEL_SERVICE_NAME"] = b"caf\xe9"
        subprocess.run(command, env=env, timeout=HANGS, check=True)
    assert [span.name for span, _ in recorded.spans] == ["s"]


# The end


@contextmanager
def _listening(answer: bytes | None) -> Iterator[int]:
    """A server that takes connections and says `answer` to each, or nothing at all."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                connection.recv(1 << 16)
                connection.sendall(answer)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        for connection in held:
            connection.close()


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PATIENT = {"OTEL_METRIC_EXPORT_INTERVAL": "600000", "OTEL_EXPORTER_OTLP_TIMEOUT": "600", "SIDECAR_EXIT_TIMEOUT": "0.3"}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("answer", [None, BUSY], ids=["silent", "busy"])
def test_a_process_is_not_kept_by_exporters_and_says_what_it_lost(answer: bytes | None, protocol: str) -> None:
    with _listening(answer) as port:
        more = {**PATIENT, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        done = _run(SPAN + SPAN + LOG + COUNT, f"http://127.0.0.1:{port}", more)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("model-sidecar")]
    assert lines == [
        f"model-sidecar: not sent to 127.0.0.1:{port} when this process ended: 1 of 1 log records, 2 of 2 spans"
    ]


ENDS = {
    "": 0,
    "import sys; sys.exit(4)": 4,
    "raise KeyError": 1,
    "import threading; threading.Thread(target=int).start()": 0,
}


@pytest.mark.parametrize("exits", ENDS)
def test_by_default_too_a_process_ends_long_before_its_exporters_give_up(exits: str) -> None:
    """They would try for ten minutes, which is far more than this test waits for."""
    with _listening(None) as port:
        env = environment(STARTUP, f"http://127.0.0.1:{port}", PATIENT)
        del env["SIDECAR_EXIT_TIMEOUT"]
        done = _python(f"{SPAN}{LOG}{exits}", env)
    assert done.returncode == ENDS[exits]
    assert "1 of 1 log records, 1 of 1 spans" in done.stderr


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_where_nothing_listens_on_this_host_nothing_is_waited_for(protocol: str) -> None:
    # The time that a process may take is beyond what this test waits for.
    more = {"SIDECAR_EXIT_TIMEOUT": "600", "OTEL_EXPORTER_OTLP_TIMEOUT": "600", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = _run(SPAN, f"http://127.0.0.1:{port}", more)
    assert (done.returncode, done.stderr) == (
        0,
        f"model-sidecar: not sent to 127.0.0.1:{port} when this process ended: 1 of 1 spans\n",
    )


@pytest.mark.parametrize(
    "code", ["pass", "import logging; logging.getLogger('x').debug('off')", "import sys; sys.exit(3)"]
)
def test_a_process_that_made_nothing_does_not_even_try(code: str) -> None:
    with recording() as recorded:
        done = _run(code, recorded.url, {"OTEL_METRIC_EXPORT_INTERVAL": "600000"})
    assert (done.returncode, done.stderr) == (3 if "exit" in code else 0, "")
    assert (recorded.events, recorded.spans, recorded.metrics) == ([], [], {})


@pytest.mark.parametrize(("value", "sent"), [("0", 0), ("5", 1), ("no number", 1), ("", 1)])
def test_how_long_an_end_may_take_is_set(value: str, sent: int) -> None:
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with recording() as recorded:
        done = _run(SPAN, recorded.url, {**slow, "SIDECAR_EXIT_TIMEOUT": value})
    assert len(recorded.spans) == sent
    assert ("not sent" in done.stderr) == (sent == 0)
    assert ("invalid SIDECAR_EXIT_TIMEOUT" in done.stderr) == (value == "no number")


class _Exporter:
    """Of metrics, which answers what a test says, when the test says so."""

    _endpoint = "http://sidecar.example:4318/v1/metrics"

    def __init__(self) -> None:
        self.result, self.begun, self.go = MetricExportResult.SUCCESS, threading.Event(), threading.Event()

    def export(self, batch: object) -> MetricExportResult:
        self.begun.set()
        assert self.go.wait(HANGS)
        return self.result


def _metrics_of_an_app() -> MetricsData:
    reader = InMemoryMetricReader()
    MeterProvider([reader], shutdown_on_exit=False).get_meter("app").create_counter("orders").add(1)
    data = reader.get_metrics_data()
    assert data is not None
    return data


@pytest.mark.parametrize(("seconds", "said"), [(20.0, ""), (0.05, "not sent to sidecar.example:4318")])
def test_an_export_that_goes_on_at_its_interval_is_lost_only_if_the_end_did_not_wait(
    seconds: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exporter, blocked = _Exporter(), threading.Event()
    guard = Guard(exporter, "metrics")
    provider = SimpleNamespace(force_flush=lambda: None if seconds > 1 else blocked.wait(HANGS))
    interval = threading.Thread(target=guard.export, args=(_metrics_of_an_app(),))
    interval.start()
    assert exporter.begun.wait(HANGS)
    Ending([provider], [guard], seconds).flush()
    exporter.go.set()
    blocked.set()
    interval.join()
    assert said in capsys.readouterr().err if said else not capsys.readouterr().err


def test_metrics_are_lost_if_the_last_export_was_refused_not_if_an_earlier_one_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exporter, said = _Exporter(), []
    exporter.go.set()
    guard, data = Guard(exporter, "metrics"), _metrics_of_an_app()
    for exporter.result in (MetricExportResult.FAILURE, MetricExportResult.SUCCESS):
        guard.export(data)
        Ending([SimpleNamespace()], [guard], 20).flush()
        said.append("not sent" in capsys.readouterr().err)
    assert (said, guard.refused) == ([True, False], 1)


def test_children_count_for_themselves() -> None:
    code = f"""
import multiprocessing
{SPAN}
def work():
    {SPAN}
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = _run(code, f"http://127.0.0.1:{port}", {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[2].rpartition(": ")[2] for line in lines] == ["1 of 1 spans"] * 2


def test_a_signal_ends_a_process_as_it_did_and_takes_only_the_last_moment() -> None:
    code = SPAN + LOG + "import time; print('made', flush=True); time.sleep(600)"
    with recording() as recorded:
        env = environment(STARTUP, recorded.url)
        for name in ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY"):
            del env[name]
        with subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + HANGS
            while not (recorded.spans and recorded.events) and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANGS) == -signal.SIGTERM
    assert ([span.name for span, _ in recorded.spans], [e.body for e in recorded.events]) == (["s"], ["a line"])
    for name in ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY"):
        assert int(ENVIRONMENT[name]) <= 1000, "milliseconds that a killed process takes with it"


# Proxies

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY", "grpc_proxy")


@contextmanager
def _proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that remembers what it is asked for, and refuses it."""
    seen: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                seen.append(connection.recv(1 << 16).split(b"\r\n")[0].decode("latin-1"))
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
    finally:
        server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_telemetry_for_this_host_passes_no_proxy_and_the_apps_own_requests_do(host: str) -> None:
    app = SPAN + LOG + "import urllib.request; urllib.request.urlopen('http://model.example/score')"
    with _proxy() as (url, seen), recording() as recorded:
        done = _run(app, f"http://{host}:{recorded.port}", dict.fromkeys(PROXIES, url))
    assert done.returncode == 0, done.stderr
    assert seen == ["GET http://model.example/score HTTP/1.1"]
    assert ([span.name for span, _ in recorded.spans][:1], len(recorded.events)) == (["s"], 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_telemetry_by_grpc_passes_no_proxy_and_the_apps_environment_is_its_own(host: str) -> None:
    app = SPAN + "import os; print('no_grpc_proxy' in os.environ)"
    with _proxy() as (url, seen), _listening(None) as port:
        more = {**PATIENT, **dict.fromkeys(PROXIES, url), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        done = _run(app, f"http://{host}:{port}", more)
    assert (done.stdout, seen) == ("False\n", [])


def test_a_sidecar_on_another_host_is_asked_for_by_way_of_the_proxy() -> None:
    with _proxy() as (url, seen):
        _run(SPAN, "http://sidecar.example:4318", {"http_proxy": url})
    assert "POST http://sidecar.example:4318/v1/traces HTTP/1.1" in seen
