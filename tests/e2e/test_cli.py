"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from support.engines import free_port, sidecar_process
from support.engines.processes import Child
from support.load import make_spans

SIDECAR = Path(sys.executable).with_name("sidecar")


def sidecar(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
    return subprocess.run(
        [SIDECAR, *words], capture_output=True, text=True, timeout=300, check=False, env={**clean, **environ}
    )


def ended(child: Child) -> int | None:
    """Exit code of a process that is about to end."""
    deadline = time.monotonic() + 300
    while child.running and time.monotonic() < deadline:
        time.sleep(0.05)
    return child.returncode


def test_wrong_configuration_says_everything_and_exits_2(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("serve: {prot: 1}\n")
    done = sidecar("run", "--config", str(file), SIDECAR_SERVE__PORT="x")
    assert done.returncode == 2
    assert "did you mean serve.port?" in done.stderr
    assert "SIDECAR_SERVE__PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_masks_secrets() -> None:
    done = sidecar("config", "show", SIDECAR_RECEIVE__AUTH__TOKEN="hunter2")
    assert done.returncode == 0
    assert "hunter2" not in done.stdout
    assert "otlp_grpc" in done.stdout


def test_schema_is_a_json_schema() -> None:
    schema = json.loads(sidecar("config", "schema").stdout)
    assert schema["type"] == "object"
    assert "receive" in schema["properties"]


def test_check_passes_on_a_usable_setup_and_fails_on_one_that_is_not(tmp_path: Path) -> None:
    usable = {
        "SIDECAR_JOURNAL__PATH": str(tmp_path / "j"),
        "SIDECAR_RECEIVE__OTLP_GRPC__PORT": str(free_port()),
        "SIDECAR_RECEIVE__OTLP_HTTP__PORT": str(free_port()),
        "SIDECAR_SERVE__PORT": str(free_port()),
    }
    done = sidecar("check", **usable)
    assert done.returncode == 0, done.stdout + done.stderr
    gone = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": f"http://127.0.0.1:{free_port()}"}
    done = sidecar("check", **usable, **gone)
    assert done.returncode == 1
    assert "elasticsearch" in done.stdout


def test_stat_drain_and_dead_letters_of_a_journal(tmp_path: Path) -> None:
    gone = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": f"http://127.0.0.1:{free_port()}"}
    gone["SIDECAR_SHUTDOWN__TIMEOUT"] = "1"
    with sidecar_process(gone, tmp_path) as running:
        exporter = OTLPSpanExporter(endpoint=f"http://{running.grpc_target}", insecure=True)
        assert exporter.export(make_spans("left", 7)) is SpanExportResult.SUCCESS
        path = {"SIDECAR_JOURNAL__PATH": str(tmp_path / "journal")}
        beside = sidecar("journal", "status", **path)
        assert beside.returncode == 0, beside.stderr
        refused = sidecar("journal", "drain", **path)
        assert refused.returncode == 2
        assert "another" in refused.stderr
        running.stop()
    stat = json.loads(sidecar("journal", "status", "--json", **path).stdout)
    assert any(line.startswith("elasticsearch/spans: received 7 = waiting 7") for line in stat["ledger"])
    letters = sidecar("journal", "dead-letters", "list", **path)
    assert (letters.returncode, letters.stdout.strip()) == (0, "no dead letters")
    stuck = sidecar("journal", "drain", "--timeout", "1", **path, **gone)
    assert stuck.returncode == 1
    assert "still waiting" in stuck.stderr


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    gone = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": f"http://127.0.0.1:{free_port()}"}
    gone["SIDECAR_SHUTDOWN__TIMEOUT"] = "600"
    with sidecar_process(gone, tmp_path) as running:
        exporter = OTLPSpanExporter(endpoint=f"http://{running.grpc_target}", insecure=True)
        assert exporter.export(make_spans("left", 7)) is SpanExportResult.SUCCESS
        os.kill(running.child.pid, signal.SIGTERM)
        running.child.wait_until(lambda: '"stopping"' in running.log.read_text("utf-8"), 30)
        os.kill(running.child.pid, signal.SIGTERM)
        assert ended(running.child) == 128 + signal.SIGTERM


def test_lines_of_the_log_are_json_where_a_destination_speaks_no_tls(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as plain:
        Thread(target=plain.serve_forever, daemon=True).start()
        endpoint = {"SIDECAR_DELIVER__OTLP__ENDPOINT": f"https://127.0.0.1:{plain.server_port}"}
        with sidecar_process({**endpoint, "SIDECAR_SHUTDOWN__TIMEOUT": "1s"}) as running:
            exporter = OTLPSpanExporter(endpoint=f"http://{running.grpc_target}", insecure=True)
            assert exporter.export(make_spans("left", 7)) is SpanExportResult.SUCCESS
            running.child.wait_until(lambda: '"delivery_blocked"' in running.log.read_text("utf-8"), 60)
            lines = running.log.read_text("utf-8").splitlines()
        plain.shutdown()
    assert all(json.loads(line)["event"] for line in lines)


@pytest.mark.parametrize("pause", [0.1, 0.8, 1.2])
def test_a_signal_during_the_start_ends_it(tmp_path: Path, pause: float) -> None:
    with sidecar_process({}, tmp_path, start=False) as running:
        running.child.start()
        time.sleep(pause)
        os.kill(running.child.pid, signal.SIGTERM)
        assert ended(running.child) in (0, -signal.SIGTERM)
        assert "Traceback" not in running.log.read_text("utf-8")


@pytest.mark.parametrize("words", [["run", "--gibberish"], ["gibberish"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    assert sidecar(*words).returncode == 2


LIGHT = ["--version", "--help", "logs --help", "instrument --help", "instrument bundle --help"]


@pytest.mark.parametrize("words", LIGHT)
def test_commands_that_need_no_configuration_import_none_of_it(words: str) -> None:
    """`--help` imports the files of all commands; imports are what the start of a command takes, and `sidecar
    instrument` is in front of every start of an app."""
    code = (
        "import sys\nfrom sidecar.cli.main import main\ntry:\n    main(sys.argv[1:])\nfinally:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    heavy = {
        "pydantic",
        "yaml",
        "structlog",
        "fastapi",
        "uvicorn",
        "grpc",
        "numpy",
        "opentelemetry",
        "google",
        "urllib3",
    }
    assert "click" in loaded
    assert not loaded & heavy
    assert "sidecar.config.loader" not in done.stdout.splitlines()[-1].split()


def test_the_pod_s_variables_for_opentelemetry_do_not_stop_the_sidecar(tmp_path: Path) -> None:
    """Some of them end the SDK where it is imported or set up; one keeps it from measuring anything."""
    invalid = {
        "OTEL_METRICS_EXEMPLAR_FILTER": "no filter",
        "OTEL_PROPAGATORS": "none of ours",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b,spam",
        "OTEL_LOG_LEVEL": "loud",
        "OTEL_ATTRIBUTE_COUNT_LIMIT": "-1",
        "OTEL_METRIC_EXPORT_INTERVAL": "0",
        "OTEL_PYTHON_EXCLUDED_URLS": "(",
        "OTEL_PYTHON_CONTEXT": "none",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "no host",
        "OTEL_SDK_DISABLED": "true",
    }
    with sidecar_process(invalid, tmp_path) as running:
        page = urllib.request.urlopen(f"{running.serve_url}/metrics", timeout=60).read().decode()
        said = running.log.read_text()
    assert "sidecar_build_info" in page
    ignored = [
        json.loads(line)["variable"].partition(":")[0]
        for line in said.splitlines()
        if '"standard_variable_ignored"' in line
    ]
    assert ignored == ["OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_LOG_LEVEL", "OTEL_RESOURCE_ATTRIBUTES"]
