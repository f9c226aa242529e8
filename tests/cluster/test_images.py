"""The images, built from docker/Dockerfile, and run as the chart runs them: nobody's user, a root that cannot be
written, no capabilities, 192 MiB. And the wheels that they are made of, in an environment without Rust."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.engines import answers, free_port, http_get, loadgen_binary, payload_dir, wait_for
from support.engines.containers import Containers
from support.load import samples, scrape, total
from support.payloads import span, trace_payload
from support.stack.images import BUNDLE, SIDECAR

ROOT = Path(__file__).resolve().parents[2]
SATURATE = ("-streams", "8", "-conns", "2")
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def wheels(context: Path) -> Path:
    return context / "dist"


@pytest.fixture(scope="module")
def tools(own_images: Containers) -> Containers:
    return own_images


RESTRICTED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=192m", "--network=host")


@contextmanager
def running(tools: Containers, folder: Path, *environ: str) -> Iterator[tuple[str, dict[str, int]]]:
    """(id of a sidecar's container, its ports)"""
    data = folder / "data"
    data.mkdir()
    os.chown(data, 65532, 65532)
    ports = {name: free_port() for name in ("RECEIVE__OTLP_GRPC", "RECEIVE__OTLP_HTTP", "SERVE")}
    variables = [f"--env=SIDECAR_{name}__PORT={port}" for name, port in ports.items()]
    mount = f"--volume={data}:/var/lib/sidecar"
    extra = [f"--env={item}" for item in environ]
    started = tools.run("podman", "run", "--detach", *RESTRICTED, mount, *variables, *extra, SIDECAR)
    name = started.stdout.strip()
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{ports['SERVE']}/startupz"), 60, "the sidecar's start")
        yield name, ports
    except BaseException as error:
        error.add_note(tools.run("podman", "logs", name, check=False).stderr[-3000:])
        raise
    finally:
        tools.run("podman", "rm", "--force", "--time", "1", name, check=False)


def memory(tools: Containers, name: str) -> float:
    """MiB of the container's processes, by the sum of their proportional shares."""
    pids = tools.run("podman", "top", name, "hpid").stdout.split()[1:]
    total_kib = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total_kib += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kib / 1024


class TestSidecar:
    def test_it_is_small_and_has_no_shell(self, tools: Containers) -> None:
        size = tools.size(SIDECAR)
        print(f"sidecar: {size / 1e6:.0f} MB")
        assert size <= 150e6
        refused = tools.run("podman", "run", "--rm", "--network=none", "--entrypoint=/bin/sh", SIDECAR, check=False)
        assert refused.returncode in (125, 126, 127)
        details = json.loads(tools.run("podman", "image", "inspect", SIDECAR).stdout)[0]
        assert details["Config"]["User"] == "65532:65532"

    def test_it_receives_derives_and_stops_as_restricted_as_in_the_chart(
        self, tools: Containers, tmp_path: Path
    ) -> None:
        with running(tools, tmp_path) as (name, ports):
            url = f"http://127.0.0.1:{ports['SERVE']}"
            status = json.loads(http_get(f"{url}/status")[1])
            assert status["decoder"] == "native"
            time.sleep(2)  # Not to let anything happen: for memory of the start to be given back.
            rest = memory(tools, name)
            print(f"sidecar at rest: {rest:.0f} MiB")
            assert rest <= 96
            body = trace_payload(span())
            post(f"http://127.0.0.1:{ports['RECEIVE__OTLP_HTTP']}/v1/traces", body)
            wait_for(lambda: received(url) > 0, 30, "the spans")
            assert (
                tools.run("podman", "inspect", name, "--format", "{{.HostConfig.ReadonlyRootfs}}").stdout.strip()
                == "true"
            )
            tools.run("podman", "stop", "--time", "40", name)
            assert tools.run("podman", "inspect", name, "--format", "{{.State.ExitCode}}").stdout.strip() == "0"

    def test_it_stays_within_its_limit_under_load_while_the_engine_is_away(
        self, tools: Containers, tmp_path: Path
    ) -> None:
        """The load of the bench's case spans-full, until the journal is full and everything is refused."""
        away = (
            f"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS=http://127.0.0.1:{free_port()}",
            "SIDECAR_JOURNAL__QUOTA_BYTES=16MiB",
        )
        with running(tools, tmp_path, *away) as (name, ports):
            url = f"http://127.0.0.1:{ports['SERVE']}"
            load = ["-signal", "traces", *SATURATE, "-addr", f"127.0.0.1:{ports['RECEIVE__OTLP_GRPC']}"]
            command = [loadgen_binary(), "send", "-dir", payload_dir(512), "-dur", "40s", *load]
            peak = 0.0
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sent:
                while sent.poll() is None:
                    peak = max(peak, memory(tools, name))
                    time.sleep(0.5)
            values = samples(scrape(url) or "")
            print(f"sidecar under load, engine away: {peak:.0f} MiB of 192")
            assert total(values, "sidecar_received_items_total", 'signal="spans"') > 100_000
            assert total(values, "sidecar_finished_items_total", 'consumer="elasticsearch"') == 0
            assert total(values, "sidecar_receiver_requests_total", 'outcome="overloaded"') > 0
            state = json.loads(tools.run("podman", "inspect", name).stdout)[0]["State"]
            assert (state["Running"], state["OOMKilled"]) == (True, False)
            assert peak < 192

    def test_the_same_image_is_the_webhook_and_sets_up(self, tools: Containers) -> None:
        for arguments in (["inject", "--help"], ["setup", "elasticsearch", "--help"], ["--version"]):
            tools.run("podman", "run", "--rm", *RESTRICTED, SIDECAR, *arguments)

    def test_nothing_is_compiled_at_a_start(self, tools: Containers) -> None:
        """Nobody can write to the root: what has no bytecode in the image is compiled at each start."""
        check = """
import os, sys, sidecar.app, sidecar.cli.run, sidecar.deliver.common.http_client
specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None)]
cached = [spec.cached for spec in specs if spec.origin and spec.origin.endswith(".py") and spec.cached]
print(len(cached), [path for path in cached if not os.path.exists(path)])
"""
        done = tools.run("podman", "run", "--rm", *RESTRICTED, "--entrypoint=python", SIDECAR, "-c", check)
        count, left = done.stdout.split(maxsplit=1)
        assert left.strip() == "[]"
        assert int(count) > 500

    def test_python_is_there_for_the_test_of_the_chart(self, tools: Containers) -> None:
        check = "import json, ssl, urllib.request; print(ssl.create_default_context().cert_store_stats()['x509_ca'])"
        done = tools.run("podman", "run", "--rm", *RESTRICTED, "--entrypoint=python", SIDECAR, "-c", check)
        assert int(done.stdout) > 10, "certificates of public authorities"


def post(url: str, body: bytes) -> None:
    from urllib.request import Request, urlopen

    with urlopen(Request(url, body, {"content-type": "application/x-protobuf"}), timeout=60) as answer:
        assert answer.status == 200


def received(url: str) -> float:
    return total(samples(scrape(url) or ""), "sidecar_received_items_total", 'signal="spans"')


class TestBundle:
    def test_it_copies_the_bundle_to_a_volume_and_python_starts_with_it(
        self, tools: Containers, tmp_path: Path
    ) -> None:
        os.chown(tmp_path, 65532, 65532)
        mount = f"--volume={tmp_path}:/model-sidecar/bundle"
        size = tools.size(BUNDLE)
        print(f"bundle: {size / 1e6:.0f} MB")
        assert size <= 100e6
        tools.run("podman", "run", "--rm", *RESTRICTED, mount, BUNDLE)
        assert (tmp_path / "sitecustomize.py").is_file()
        script = "import logging, sys; print('opentelemetry' in sys.modules)"
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "OTEL_SERVICE_NAME": "x"}
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", script],
            capture_output=True,
            text=True,
            env=environ,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(("image", "folder"), [(SIDECAR, "var/lib/sidecar"), (BUNDLE, "model-sidecar/bundle")])
def test_a_new_volume_is_the_users(image: str, folder: str, tools: Containers) -> None:
    """Docker gives it the owner that the image's folder has; root, where there is no such folder."""
    root = Path(tools.run("podman", "image", "mount", image).stdout.strip())
    try:
        owner = (root / folder).stat()
    finally:
        tools.run("podman", "image", "unmount", image)
    assert (owner.st_uid, owner.st_gid) == (65532, 65532)


@pytest.fixture(scope="module")
def without_rust(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """(`bin` of a new environment with the program from its wheels, variables without cargo on the path)"""
    environment = tmp_path_factory.mktemp("wheels") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if "cargo" not in p)
    assert shutil.which("cargo", path=path) is None
    environ: dict[str, Any] = {**os.environ, "PATH": path}
    lock = ["--require-hashes", "--no-deps", "-r", str(ROOT / "docker" / "requirements.lock")]
    ours = ["--no-index", "--no-deps", "--find-links", str(wheels), "model-sidecar", "model-sidecar-native"]
    for arguments in (lock, ours):
        pip(environment / "bin", environ, "install", "-q", *arguments)
    pip(environment / "bin", environ, "check")
    return environment / "bin", environ


def pip(folder: Path, environ: dict[str, Any], *arguments: str) -> None:
    command = [str(folder / "python"), "-m", "pip", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheels_install_into_an_empty_environment_without_rust(
    without_rust: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, environ = without_rust
    variables = {"SIDECAR_JOURNAL__PATH": str(tmp_path / "journal"), "SIDECAR_SERVE__PORT": "0"}
    variables |= {"SIDECAR_RECEIVE__OTLP_GRPC__PORT": "0", "SIDECAR_RECEIVE__OTLP_HTTP__PORT": "0"}
    checked = subprocess.run(
        [str(folder / "sidecar"), "check"],
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "decoder: native" in checked.stdout


def test_the_demo_runs_from_the_wheels(wheels: Path, without_rust: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Away from the source tree."""
    folder, environ = without_rust
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"(?m)^(\S+==[^\\\n]+)", lock)))
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["demo"]
    pip(folder, environ, "install", "-q", "--constraint", str(constraints), *needed)
    instrumentation = ["--no-deps", "--find-links", str(wheels), "model-sidecar-instrumentation"]
    pip(folder, environ, "install", "-q", "--no-index", *instrumentation)
    done = subprocess.run(
        [str(folder / "sidecar"), "demo", "--once"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in (
        "(decoder: native)",
        "RandomForestClassifier 1",
        "predictions counted                  1250   every one",
    ):
        assert part in done.stdout
