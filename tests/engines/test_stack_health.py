"""`sidecar health` against real services, one of them dead."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from support.engines import (
    free_port,
    run_alertmanager,
    run_prometheus,
    sidecar_command,
    sidecar_process,
)


def run(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sidecar_command(), "health", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def alertmanager_config(tmp_path: Path) -> Path:
    file = tmp_path / "alertmanager.yml"
    file.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    return file


def test_a_half_dead_stack(opensearch_url: str, alertmanager_config: Path, tmp_path: Path) -> None:
    with (
        sidecar_process() as sidecar,
        run_prometheus("global: {}\n") as prometheus,
        run_alertmanager(alertmanager_config) as manager,
    ):
        services = {
            "sidecar": sidecar.serve_url,
            "elasticsearch": opensearch_url,
            "prometheus": prometheus.url,
            "alertmanager": manager.url,
            "grafana": f"http://127.0.0.1:{free_port()}",
            "kibana": prometheus.url,  # The wrong service at the address.
        }
        targets = [{"name": name, "kind": name, "url": url} for name, url in services.items()]
        targets += [
            {"name": "page", "url": f"{prometheus.url}/-/healthy"},
            {"name": "root", "url": opensearch_url},
        ]
        file = tmp_path / "targets.yaml"
        file.write_text(yaml.safe_dump({"targets": targets}))
        code, said = run("--targets", file, "--json")
        found = {s["name"]: s for s in json.loads(said)["services"]}
        assert code == 1
        assert {n for n, s in found.items() if not s["up"]} == {"grafana", "kibana"}
        assert found["grafana"]["detail"].startswith("unreachable: ")
        assert all(0 < s["latency_seconds"] < 60 for s in found.values())
        code, said = run("--targets", file, *(f"--only={n}" for n in found if n not in ("grafana", "kibana")))
        assert code == 0, said
        assert said.splitlines()[-1] == "6 up, 0 down"
