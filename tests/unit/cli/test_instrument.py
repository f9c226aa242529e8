"""`sidecar instrument` and `sidecar instrument bundle`, without the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.instrument import prepared, service_of
from sidecar.cli.main import main
from sidecar.instrument import bundle
from sidecar.instrument.app_check import missing, python_of

SIDECAR = Path(sys.executable).with_name("sidecar")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "app.py"], "app"),
        (["python3.12", "-u", "/srv/score.py", "x"], "score"),
        (["python", "-m", "uvicorn", "server:app", "--port", "8000"], "server"),
        (["gunicorn", "-b", "127.0.0.1:80", "shop.wsgi:app"], "shop.wsgi"),
        (["/opt/bin/serve"], "serve"),
    ],
)
def test_the_service_is_named_by_the_command(command: list[str], name: str) -> None:
    assert service_of(command) == name


def test_what_is_set_stays_and_options_win() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318", "PYTHONPATH": "/app", "OTEL_SERVICE_NAME": "mine"}
    made = prepared(environ, Path("/start"), ["python", "app.py"], {"SIDECAR_MODEL_NAME": "m"})
    assert made["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://other:4318"
    assert made["OTEL_SERVICE_NAME"] == "mine"
    assert made["OTEL_LOGS_EXPORTER"] == "otlp"
    assert made["SIDECAR_MODEL_NAME"] == "m"
    assert made["PYTHONPATH"] == f"/start{os.pathsep}/app"
    again = prepared(made, Path("/start"), ["python", "app.py"], {"OTEL_SERVICE_NAME": "given"})
    assert (again["PYTHONPATH"], again["OTEL_SERVICE_NAME"]) == (made["PYTHONPATH"], "given")


def test_instrument_becomes_the_command_and_gives_its_exit_code() -> None:
    code = "import os, sys; print(os.environ['SIDECAR_MODEL_NAME'], sys.argv[1]); sys.exit(7)"
    command = [SIDECAR, "instrument", "--model", "fraud", "--endpoint", "http://127.0.0.1:9", "--"]
    env = {"PATH": os.environ["PATH"], "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_SDK_DISABLED": "true"}
    done = subprocess.run(
        [*command, sys.executable, "-c", code, "--flag"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "fraud --flag\n")


def test_words_behind_the_command_are_its_own_and_bundle_is_one_only_as_the_first(tmp_path: Path) -> None:
    program = tmp_path / "bundle"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for words in (["--", "bundle", "--check", "x"], ["--service", "s", "bundle", "--check", "x"]):
        done = subprocess.run([SIDECAR, "instrument", *words], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == "--check x\n"
    usage = CliRunner().invoke(main, ["instrument", "bundle", "--check", "x"])
    assert (usage.exit_code, "instrument bundle" in usage.output) == (2, True)


def test_a_command_that_is_not_there_and_a_folder_that_is_no_bundle() -> None:
    missing = CliRunner().invoke(main, ["instrument", "--", "no-such-program-anywhere"])
    assert (missing.exit_code, "expected a program on PATH" in missing.output) == (1, True)
    empty = CliRunner().invoke(main, ["instrument", "--bundle", "/nowhere", "--", "true"])
    assert (empty.exit_code, "invalid bundle: /nowhere" in empty.output) == (1, True)


def _fetch(target: Path, version: str) -> None:
    (target / "opentelemetry").mkdir(parents=True)
    (target / "opentelemetry_sdk-1.dist-info").mkdir()
    (target / "wrapt").mkdir()
    (target / "bin").mkdir()


def test_a_bundle_has_ours_and_opentelemetry_first_and_replaces_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "agent"
    assert bundle.make(target, ["3.9", "3.10"], fetch=_fetch)[1].startswith(
        "Python 3.10: model_sidecar_instrumentation-"
    )
    first, last = target / "py3.10" / "first", target / "py3.10" / "last"
    assert {p.name for p in last.iterdir()} == {"wrapt"}
    assert (first / "opentelemetry").is_dir()
    assert (first / "model_sidecar_instrumentation" / "capture.py").exists()
    (points,) = first.glob("model_sidecar_instrumentation-*.dist-info/entry_points.txt")
    assert "opentelemetry_post_instrument" in points.read_text()
    bundle.make(target, ["3.10"], fetch=_fetch)
    assert not (target / "py3.9").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["agent"]


def test_a_bundle_never_takes_the_place_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(bundle.BundleError, match="other things"):
        bundle.make(tmp_path, fetch=_fetch)
    for version in ("3.8", "three", "3"):
        with pytest.raises(bundle.BundleError, match="no Python version"):
            bundle.make(tmp_path / "new", [version], fetch=_fetch)


def test_a_compiled_package_is_refused(tmp_path: Path) -> None:
    def fetch(target: Path, version: str) -> None:
        _fetch(target, version)
        (target / "wrapt" / "_wrappers.so").touch()

    with pytest.raises(bundle.BundleError, match="compiled"):
        bundle.make(tmp_path / "new", fetch=fetch)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_is_two_variables_and_no_sample_is_none() -> None:
    code = "import os; print(*(os.environ.get(k) for k in ('OTEL_TRACES_SAMPLER', 'OTEL_TRACES_SAMPLER_ARG')))"
    env = {"PATH": os.environ["PATH"], "OTEL_SDK_DISABLED": "true"}
    for options, said in ((["--sample", "0.1"], "sidecar_ratio 0.1\n"), ([], "None None\n")):
        command = [SIDECAR, "instrument", *options, "--", sys.executable, "-c", code]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == said


def test_a_sample_beyond_one_is_refused() -> None:
    result = CliRunner().invoke(main, ["instrument", "--sample", "10", "--", "true"])
    assert result.exit_code == 2
    assert "10.0 is not in the range" in result.output


ALL = [
    "model_sidecar_instrumentation",
    "opentelemetry-distro",
    "OpenTelemetry.Exporter-otlp-proto-http",
    "opentelemetry-instrumentation-logging",
    "opentelemetry-instrumentation-threading",
]


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ([], 5),
        (["Flask"], ["flask"]),
        (["fastapi", "starlette"], ["fastapi"]),
        (["starlette", "httpx"], ["httpx", "starlette"]),
        (["Django", "celery", "opentelemetry-instrumentation-celery"], ["django"]),
        (["numpy"], []),
    ],
)
def test_what_is_missing_beside_an_app(installed: list[str], said: list[str] | int) -> None:
    if isinstance(said, int):
        assert len(missing(installed)) == said
    else:
        assert missing([*ALL, *installed]) == [f"opentelemetry-instrumentation-{name}" for name in said]


def test_check_names_the_python_of_a_script_and_what_it_lacks(tmp_path: Path) -> None:
    script = tmp_path / "gunicorn"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(0o755)
    assert python_of(script) == Path(sys.executable)
    result = CliRunner().invoke(main, ["instrument", "--check", "--", str(script), "server:app"])
    assert result.output.startswith(sys.executable)
    assert (result.exit_code == 0) == ("nothing is missing" in result.output)
    (tmp_path / "gunicorn").write_text("#!/bin/sh\n")
    shell = CliRunner().invoke(main, ["instrument", "--check", "--", str(script)])
    assert (shell.exit_code, "no Python script" in shell.output) == (1, True)
