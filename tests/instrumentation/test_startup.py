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
from support.frameworks import environment, recording

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
    return subprocess.run([str(python), str(app)], env=env, capture_output=True, text=True, timeout=60, check=False)


def _pythons() -> list[str]:
    """Other Pythons from 3.9 on that are at hand, oldest first."""
    base = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(base.glob("3.*/bin/python"), key=lambda p: int(p.parts[-3].split(".")[1]))
    return [str(p) for p in found if int(p.parts[-3].split(".")[1]) >= 9]


@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13])
def test_every_python_that_is_here_sends_predictions(agent: Path, tmp_path: Path, minor: int) -> None:
    found = [p for p in _pythons() if f"/3.{minor}." in p]
    if not found:
        raise EngineUnavailable(f"Python 3.{minor} is not here")
    app = _app(tmp_path, "predict(3)")
    with recording() as recorded:
        done = _run(found[0], app, environment(agent, recorded.url))
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


def test_an_app_that_breaks_opentelemetry_still_runs(agent: Path, tmp_path: Path) -> None:
    app = _app(tmp_path, "print('ran')\npredict(1)")
    own = tmp_path / "own"
    own.mkdir()
    (own / "typing_extensions.py").write_text("raise ImportError('very old')\n")
    env = environment(agent, "http://127.0.0.1:9")
    done = _run(sys.executable, app, {**env, "PYTHONPATH": f"{agent}{os.pathsep}{own}"})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "not instrumented" in done.stderr


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
