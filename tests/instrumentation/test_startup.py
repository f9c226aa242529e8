"""The bundle's start-up: any Python, beside an image's own files, in processes that fork, never in the app's way."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.engines import EngineUnavailable
from support.engines.cache import command
from support.frameworks import environment, installed_python, installed_pythons, packages_for, recording

pytestmark = [pytest.mark.engine]

#: A stand-in for scikit-learn, which is not installed for every Python: what is replaced goes by module and class.
STAND_IN = """
class BaseEstimator:
    pass
"""
APP = """
import sklearn.base
class Model(sklearn.base.BaseEstimator):
    def predict(self, X):
        return None
def predict(rows):
    Model().predict([[1.0]] * rows)
"""


def _app(folder: Path, code: str) -> Path:
    (folder / "sklearn").mkdir()
    (folder / "sklearn" / "__init__.py").write_text("")
    (folder / "sklearn" / "base.py").write_text(STAND_IN)
    (folder / "app.py").write_text(APP + textwrap.dedent(code))
    return folder / "app.py"


def _run(python: str | Path, app: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), str(app)], env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13])
def test_every_python_that_is_here_sends_predictions(agent: Path, tmp_path: Path, minor: int) -> None:
    python = installed_python(minor)
    app = _app(tmp_path, "predict(3)")
    with recording() as recorded:
        done = _run(python, app, environment(agent, recorded.url))
    assert (done.returncode, done.stderr) == (0, "")
    assert [(e.attributes["ml.model.name"], e.body["rows"]) for e in recorded.predictions()] == [("Model", 3)]
    assert [span.name for span, _ in recorded.spans] == ["predict Model"]
    assert {"process.cpu.time", "process.memory.usage"} <= set(recorded.metrics)


def test_an_older_python_runs_the_app_and_says_why_nothing_is_sent(agent: Path, tmp_path: Path) -> None:
    base = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    old = [p for version in ("3.8", "3.7", "3.6") for p in base.glob(f"{version}.*/bin/python")]
    if not old:
        raise EngineUnavailable("no Python from 3.6 to 3.8 is here")
    done = _run(old[0], _app(tmp_path, "print('ran')"), environment(agent, "http://127.0.0.1:9"))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "is older than 3.9" in done.stderr


def test_an_images_own_sitecustomize_runs_too(agent: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os\nos.environ['OWN'] = 'ran'\nMARK = 7\n")
    app = _app(tmp_path, "import os, sitecustomize\nprint(os.environ['OWN'], sitecustomize.MARK)\npredict(1)")
    with recording() as recorded:
        env = environment(agent, recorded.url)
        done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran 7\n", "")
    assert len(recorded.predictions()) == 1


def test_a_broken_sitecustomize_of_the_image_is_said_and_does_not_stop_ours(agent: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("raise RuntimeError('broken')\n")
    app = _app(tmp_path, "predict(1)")
    with recording() as recorded:
        env = environment(agent, recorded.url)
        done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert done.returncode == 0
    assert "RuntimeError: broken" in done.stderr
    assert len(recorded.predictions()) == 1


def test_the_app_keeps_its_own_packages_but_opentelemetry_is_of_one_piece(agent: Path, tmp_path: Path) -> None:
    """An app that brings an older SDK and its own version of something that OpenTelemetry needs."""
    app = _app(tmp_path, "import idna, opentelemetry.sdk.version as v\nprint(idna.OWN, v.__version__)\npredict(1)")
    own = tmp_path / "own"
    old = own / "opentelemetry" / "sdk"
    old.mkdir(parents=True)
    (old / "version.py").write_text("__version__ = '0'\n")
    (own / "idna.py").write_text("OWN = 'own'\n")
    with recording() as recorded:
        env = environment(agent, recorded.url)
        done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("own 1."), done.stdout
    assert len(recorded.predictions()) == 1


@pytest.mark.parametrize("module", ["requests", "urllib3", "certifi"])
def test_an_app_that_breaks_opentelemetry_still_runs(agent: Path, tmp_path: Path, module: str) -> None:
    app = _app(tmp_path, "print('ran')\npredict(1)")
    own = tmp_path / "own"
    own.mkdir()
    (own / f"{module}.py").write_text("raise ImportError('very old')\n")
    env = environment(agent, "http://127.0.0.1:9", {"SIDECAR_EXIT_TIMEOUT": "0"})
    done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("\n") == 1, done.stderr


#: Versions in apps of some years ago. What is not written there is not installed.
OLD = {
    "typing_extensions": ["typing_extensions==4.1.1"],
    "protobuf 3.19": ["protobuf==3.19.4"],
    "protobuf 3.20": ["protobuf==3.20.3"],
    "protobuf 4": ["protobuf==4.25.8"],
    "of 2021": ["requests==2.25.1", "importlib_metadata==4.2.0", "typing_extensions==3.10.0.0", "packaging==20.4"],
    "opentelemetry": ["opentelemetry-api==1.11.1", "opentelemetry-sdk==1.11.1", "protobuf==3.20.3"],
}
READ = """
import importlib, logging, sys
from importlib import metadata
modules = {"protobuf": "google.protobuf", "typing_extensions": "typing_extensions", "packaging": "packaging"}
for name, module in modules.items():
    try:
        print(metadata.version(name), importlib.import_module(module).__file__)
    except ImportError:
        continue
predict(3)
logging.getLogger("app").warning("a line")
"""


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("minor", [9, 11])
def test_an_app_with_old_versions_keeps_them_and_is_instrumented(
    agent: Path, tmp_path: Path, name: str, minor: int
) -> None:
    python = installed_python(minor)
    site = packages_for(str(python), OLD[name])
    app = _app(tmp_path, READ)
    bare = _run(python, app, {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site)})
    with recording() as recorded:
        env = environment(agent, recorded.url)
        done = _run(python, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{site}"})
    assert (done.returncode, done.stderr) == (bare.returncode, bare.stderr) == (0, "a line\n")
    assert set(bare.stdout.splitlines()) <= set(done.stdout.splitlines()), "the app's own are where they were"
    assert [e.body["rows"] for e in recorded.predictions()] == [3]
    assert [e.body for e in recorded.events].count("a line") == 1


@pytest.mark.parametrize(("disabled", "said"), [("", True), ("true", False)])
def test_where_nothing_is_there_that_sends_it_is_said(agent: Path, tmp_path: Path, disabled: str, said: bool) -> None:
    # The distribution's configurator is passed over, as where opentelemetry-distro is not installed.
    env = environment(agent, "http://127.0.0.1:9", {"OTEL_PYTHON_CONFIGURATOR": "none", "OTEL_SDK_DISABLED": disabled})
    done = _run(sys.executable, _app(tmp_path, "predict(1)\nprint('ran')"), env)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert ("sends nothing" in done.stderr) == said


def test_no_sidecar_costs_neither_the_app_nor_its_exit(agent: Path, tmp_path: Path) -> None:
    app = _app(tmp_path, "predict(1)\nprint('ran')")
    env = environment(agent, "http://127.0.0.1:9", {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"})
    done = _run(sys.executable, app, env)
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_children_that_fork_have_connections_of_their_own_and_lose_nothing(agent: Path, tmp_path: Path) -> None:
    app = _app(
        tmp_path,
        """
        import multiprocessing, time
        from opentelemetry._logs import get_logger_provider
        def work(rows):
            for _ in range(20):
                predict(rows)
                time.sleep(0.002)
        if __name__ == "__main__":
            predict(1)
            get_logger_provider().force_flush()  # the connection is open now
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(n,)) for n in (2, 3, 4)]
            for child in children:
                child.start()
            work(5)
            for child in children:
                child.join()
        """,
    )
    with recording() as recorded:
        done = _run(sys.executable, app, environment(agent, recorded.url, {"OTEL_BLRP_SCHEDULE_DELAY": "5"}))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(e.body["rows"] for e in recorded.predictions()) == sorted([1] + [2, 3, 4, 5] * 20)
    assert len(recorded.loaded()) == 4, "each process has the model in its own memory"


def test_children_that_spawn_are_instrumented_as_well(agent: Path, tmp_path: Path) -> None:
    app = _app(
        tmp_path,
        """
        import multiprocessing
        if __name__ == "__main__":
            child = multiprocessing.get_context("spawn").Process(target=predict, args=(2,))
            child.start()
            child.join()
            predict(1)
        """,
    )
    with recording() as recorded:
        done = _run(sys.executable, app, environment(agent, recorded.url))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(e.body["rows"] for e in recorded.predictions()) == [1, 2]


def test_a_class_of_the_main_module_is_pickled_without_anything_of_ours(agent: Path, tmp_path: Path) -> None:
    """cloudpickle takes the class with it, and its methods are read where nothing of ours is installed."""
    pytest.importorskip("cloudpickle")
    file = tmp_path / "model.pickle"
    app = _app(tmp_path, f"import cloudpickle\npredict(1)\nopen({str(file)!r}, 'wb').write(cloudpickle.dumps(Model()))")
    site = str(Path(pytest.importorskip("cloudpickle").__file__).parents[1])
    with recording() as recorded:
        env = environment(agent, recorded.url)
        done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{site}"})
    assert done.returncode == 0, done.stderr
    read = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).predict([[1]]); "
    read += "print(not any('sidecar' in name for name in sys.modules))"
    out = command(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {site!r}]; {read}", str(file)],
        "reading the pickle",
        30,
        {"PYTHONPATH": ""},
    )
    assert out.strip() == "True"


FORKS = """
import json, multiprocessing, os, sys, time
def work(rows):
    predict(rows)
    time.sleep(0.3)
if __name__ == "__main__":
    predict(1)
    children = [multiprocessing.get_context(kind).Process(target=work, args=(2,)) for kind in ("fork", "spawn")]
    for child in children:
        child.start()
    if os.fork() == 0:
        predict(3)
        from opentelemetry._logs import get_logger_provider
        get_logger_provider().force_flush()
        os._exit(0)
    os.wait()
    for child in children:
        child.join()
    print(os.getpid())
"""


@pytest.mark.parametrize("given", ["", "pod-1"])
@pytest.mark.parametrize("minor", [9, 11, 13])
def test_each_process_is_an_instance_of_its_own(agent: Path, tmp_path: Path, minor: int, given: str) -> None:
    python = installed_python(minor)
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": f"team=a,service.instance.id={given}"} if given else {}
    with recording() as recorded:
        done = _run(python, _app(tmp_path, FORKS), environment(agent, recorded.url, attributes))
    assert done.returncode == 0, done.stderr
    ids = {e.resource["service.instance.id"]: e.body["rows"] for e in recorded.predictions()}
    assert sorted(ids.values()) == [1, 2, 2, 3], ids
    if given:
        assert ids["pod-1"] == 1, "the first process keeps the id that was given"
        assert all(name.startswith("pod-1") for name in ids)


@pytest.mark.parametrize("minor", [9, 11, 13])
def test_an_export_imports_nothing_that_a_forked_child_would_wait_for(agent: Path, tmp_path: Path, minor: int) -> None:
    """A child that is forked while another thread imports a module waits for ever when it imports that module too."""
    python = installed_python(minor)
    code = """
        import logging, sys
        from opentelemetry import metrics, trace
        from opentelemetry._logs import get_logger_provider
        class Sees:
            def find_spec(self, name, path=None, target=None):
                print(name)
        predict(1)
        logging.getLogger("app").error("a line")
        metrics.get_meter("m").create_counter("c").add(1)
        sys.meta_path.insert(0, Sees())
        for provider in (get_logger_provider(), trace.get_tracer_provider(), metrics.get_meter_provider()):
            provider.force_flush()
    """
    slow = dict.fromkeys(
        ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"), "600000"
    )
    with recording() as recorded:
        address = recorded.url.replace("127.0.0.1", "localhost")
        done = _run(python, _app(tmp_path, code), environment(agent, address, slow))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (len(recorded.predictions()), len(recorded.spans), "c" in recorded.metrics) == (1, 1, True)


def test_a_child_forked_during_an_export_waits_for_none_of_its_parents_locks(agent: Path, tmp_path: Path) -> None:
    code = """
        import gc, os
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader as Reader
        provider = metrics.get_meter_provider()
        counter = metrics.get_meter("m").create_counter("c")
        def fork():
            if os.fork() == 0:
                counter.add(2)
                os._exit(0 if provider.force_flush() else 1)
            return os.wait()[1]
        readers = [found for found in gc.get_objects() if isinstance(found, Reader)]
        with readers[0]._export_lock, provider._measurement_consumer._lock:
            print(fork())
    """
    with recording() as recorded:
        done = _run(sys.executable, _app(tmp_path, code), environment(agent, recorded.url))
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    assert "c" in recorded.metrics


@pytest.mark.parametrize(
    ("script", "command", "settings"),
    [
        ("import gevent", "script.py", ""),
        ("import logging, json.tool\nfrom os import path  # eventlet", "script.py", ""),
        ("import logging", "script.py --worker-class=gevent", ""),
        ("import logging", "script.py gunicorn", "worker_class = 'gevent'"),
    ],
)
def test_where_the_standard_library_is_going_to_be_replaced_nothing_is_imported_before(
    agent: Path, tmp_path: Path, script: str, command: str, settings: str
) -> None:
    (tmp_path / "gevent.py").write_text("")
    (tmp_path / "gunicorn.conf.py").write_text(settings)
    (tmp_path / "script.py").write_text(f"import sys\n{script}\nprint('ssl' in sys.modules)\n")
    env = environment(agent, "http://127.0.0.1:9")
    words = [sys.executable, *command.split()]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert done.stderr.startswith("model-sidecar: this process is not instrumented: ")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("code", "started"),
    [
        ("pass", False),
        ("import json, urllib.request, http.server, multiprocessing", False),
        ("import no_such_module_anywhere", False),
        ("import logging", True),
        ("import opentelemetry.trace", True),
        ("from opentelemetry import trace", True),
        ("import asyncio; asyncio.run(asyncio.sleep(0))", True),
        ("from concurrent import futures; assert futures.ThreadPoolExecutor(1).submit(int).result() == 0", True),
        ("import venv, json.tool", True),
        ("import sklearn", True),
        ("import threading; t = threading.Thread(target=__import__, args=['sklearn']); t.start(); t.join()", True),
    ],
)
def test_opentelemetry_starts_with_the_first_import_that_needs_it(
    agent: Path, tmp_path: Path, code: str, started: bool
) -> None:
    _app(tmp_path, "")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\ntry:\n    {code}\nexcept ImportError: pass\nprint('opentelemetry.sdk' in sys.modules)\n"
    )
    done = _run(sys.executable, script, environment(agent, "http://127.0.0.1:9", {"SIDECAR_EXIT_TIMEOUT": "0"}))
    assert (done.returncode, done.stdout) == (0, f"{started}\n"), done.stderr


def test_a_module_that_opentelemetry_imports_too_is_executed_once(agent: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "certifi.py").write_text("print('executed')\ndef where(): return ''\n")
    app = tmp_path / "app.py"
    app.write_text(
        "import certifi, sys\nprint(certifi is sys.modules['certifi'], type(certifi.__spec__.loader).__name__)\n"
    )
    env = environment(agent, "http://127.0.0.1:9", {"SIDECAR_EXIT_TIMEOUT": "0"})
    done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert done.stdout == "executed\nTrue SourceFileLoader\n", done.stderr


def test_a_protocol_without_its_exporter_is_one_line_with_what_to_do(agent: Path, tmp_path: Path) -> None:
    if not installed_pythons():
        raise EngineUnavailable("no Python without OpenTelemetry's own packages is here")
    env = environment(agent, "http://127.0.0.1:9", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    done = _run(installed_pythons()[-1], _app(tmp_path, "predict(1)\nprint('ran')"), env)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in done.stderr


def test_a_web_framework_without_its_instrumentation_is_named(agent: Path, tmp_path: Path) -> None:
    app = _app(tmp_path, "import falcon\nprint('ran')")
    (tmp_path / "falcon.py").write_text("")
    env = environment(agent, "http://127.0.0.1:9", {"SIDECAR_EXIT_TIMEOUT": "0"})
    done = _run(sys.executable, app, env)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "opentelemetry-instrumentation-falcon is not installed" in done.stderr
    quiet = _run(sys.executable, app, {**env, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "falcon"})
    assert quiet.stderr == ""
