"""What is injected, as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import loader
from sidecar.errors import ConfigError
from sidecar.inject.pod import inject
from sidecar.inject.profile import Profile, load


def test_without_a_file_it_is_the_defaults() -> None:
    assert load(None) == Profile()


def test_a_file_sets_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text("image: registry/sidecar:2\ndata_size: 2Gi\nenv: [{name: A, value: b}]\n")
    profile = load(path)
    assert (profile.image, profile.data_size) == ("registry/sidecar:2", 2 << 30)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("imgae: x", "imgae"),
        ("data_size: 1MiB", "data_size"),
        ("env: [{value: x}]", "has no name"),
        ("resources: {limits: {cpu: 1}}", "expected limits.memory"),
        ("image_pull_policy: Sometimes", "image_pull_policy"),
        ("a: [", "invalid YAML"),
        ("- x", "profile"),
    ],
)
def test_a_file_that_is_invalid_is_refused_with_what_and_where(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem) as refused:
        load(path)
    assert str(path) in refused.value.problems[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_the_sidecar_accepts_the_environment_that_it_is_given() -> None:
    """Every variable of ours is an option, and its value valid."""
    asked = {"model-sidecar/inject": "true", "model-sidecar/logs": "/var/log/app"}
    pod = {"metadata": {"annotations": asked}, "spec": {"containers": [{"name": "m", "image": "i"}]}}
    made = inject(pod, Profile()).pod["spec"]["initContainers"][1]
    environ = {item["name"]: item.get("value", "x") for item in made["env"]}
    settings = loader.load(environ)
    assert not settings.ignored
    assert settings.receive.file_tail.include == ("/var/log/model/**/*.{log,jsonl}",)
    assert settings.journal.quota_bytes == 512 << 20
