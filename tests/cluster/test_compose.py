"""compose.yaml by Docker's own compose: every profile is valid, every file that is mounted is there, and every service
is pinned, bounded, checked and nobody's but where it says why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.engines.compose import docker_compose
from support.stack.running import PROFILES

from sidecar import service_health
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(2400)]

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = {"cadvisor", "elasticsearch-volume"}
ONCE = {"bundle", "elasticsearch-volume", "elasticsearch-setup", "kibana-password"}
"""Services that do something and end."""
NO_CHECK = ONCE | {"pod"}
WRITES = {"elasticsearch", "kibana", "logstash"}
"""Services whose images write below their own folder."""
OWN = re.compile(r"model-sidecar(-bundle|-demo)?:\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def stack(stack_folder: Path) -> Path:
    return stack_folder


def config(stack: Path, *profiles: str) -> dict[str, Any]:
    """What compose makes of the file; AssertionError with its words where it is invalid."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    command = [docker_compose(), "--project-directory", stack, "-f", stack / "compose.yaml", *chosen]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        capture_output=True, text=True, timeout=120, check=False, env={"PATH": "/usr/bin:/bin", "COMPOSE_PROFILES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_valid(profile: str, stack: Path) -> None:
    services = config(stack, profile)["services"]
    assert services
    assert all(profile in service["profiles"] for service in services.values())


def test_without_stack_env_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text((ROOT / "compose.yaml").read_text("utf-8"))
    with pytest.raises(AssertionError, match="run make stack-env"):
        config(tmp_path, "core")


def test_every_mounted_file_is_there(stack: Path) -> None:
    found = config(stack, *PROFILES)
    mounts = [m["source"] for s in found["services"].values() for m in s.get("volumes", ()) if m["type"] == "bind"]
    files = [Path(m) for m in mounts] + [Path(secret["file"]) for secret in found["secrets"].values()]
    assert len(files) > 10
    assert [str(file) for file in files if not file.exists() and not str(file).startswith("/var/lib/docker")] == []


def test_every_service_is_pinned_bounded_checked_and_nobodys(stack: Path) -> None:
    for name, service in config(stack, *PROFILES)["services"].items():
        image = service["image"]
        assert OWN.fullmatch(image) or re.fullmatch(r"[a-z0-9.]+\.[a-z]+/[a-z/-]+:v?\d+\.\d+\.\d+", image), image
        assert service["mem_limit"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert name in WRITES | {"elasticsearch"} or service["read_only"], name
        assert name in NO_CHECK or service["healthcheck"]["test"], name
        assert name in AS_ROOT or OWN.fullmatch(image) or not service["user"].startswith(("0", "root")), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name


def test_nothing_has_a_password_that_others_know(stack: Path) -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert [
        line for line in text.splitlines() if re.search(r"PASSWORD\w*: (?!\$\{\w+:\?)(?!/run/secrets/)", line)
    ] == []
    values = dict(line.split("=", 1) for line in (stack / ".env").read_text().splitlines())
    secret = {name: value for name, value in values.items() if "PASSWORD" in name or "KEY" in name}
    assert len(set(secret.values())) == len(secret) == 4
    assert all(len(value) > 30 for value in secret.values())
    assert (stack / ".env").stat().st_mode & 0o077 == 0
    assert (stack / ".stack").stat().st_mode & 0o077 == 0


def test_stack_env_again_keeps_what_there_is(stack: Path) -> None:
    before = (stack / ".env").read_text()
    key = stack / ".stack" / "alertmanager" / "slack-url"
    key.write_text("https://hooks.example/x")
    script = ROOT / "docker" / "stack" / "make_env.py"
    subprocess.run([sys.executable, script, *PROFILES, "--root", stack], check=True, timeout=60)
    assert (stack / ".env").read_text() == before
    assert key.read_text() == "https://hooks.example/x"
    wrong = subprocess.run(
        [sys.executable, script, "all", "--root", stack], capture_output=True, text=True, check=False
    )
    assert "invalid profile: all; expected some of core, metrics, elk" in wrong.stderr


def test_targets_are_services_of_the_profiles(stack: Path) -> None:
    services = config(stack, *PROFILES)["services"]
    files = sorted((stack / ".stack" / "targets").glob("*.yml"))
    assert {file.name for file in files} == {f.name for f in (ROOT / "monitoring/prometheus/targets").glob("*.yml")}
    targets = [t for file in files for entry in yaml.safe_load(file.read_text()) for t in entry["targets"]]
    assert {target.split(":")[0] for target in targets} <= services.keys()
    asked = service_health.targets(stack / ".stack" / "health-targets.yaml")
    assert {target.name for target in asked} <= services.keys()
    published = {port["published"] for service in services.values() for port in service.get("ports", ())}
    assert {target.url.rpartition(":")[2] for target in asked} <= published


def test_variables_of_the_sidecar_are_options(stack: Path) -> None:
    variables = config(stack, *PROFILES)["services"]["sidecar"]["environment"]
    options = {name for name in variables if name.startswith("SIDECAR_DELIVER__ELASTICSEARCH__")}
    assert {name.split("__")[2].lower() for name in options} <= ElasticsearchOptions.model_fields.keys()
