"""`sidecar.__version__` is the version; what else must name it names the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sidecar import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("pyproject.toml", "project"),
        ("instrumentation/pyproject.toml", "project"),
        ("native/pyproject.toml", "project"),
        ("native/Cargo.toml", "package"),
    ],
)
def test_every_package_has_the_version(file: str, table: str) -> None:
    assert tomllib.loads((ROOT / file).read_text("utf-8"))[table]["version"] == __version__


def test_the_lock_of_the_native_core_has_it() -> None:
    packages = tomllib.loads((ROOT / "native" / "Cargo.lock").read_text("utf-8"))["package"]
    assert [p["version"] for p in packages if p["name"] == "model-sidecar-native"] == [__version__]


def test_the_instrumentation_has_it() -> None:
    source = (ROOT / "instrumentation" / "model_sidecar_instrumentation" / "__init__.py").read_text("utf-8")
    assert re.findall(r'(?m)^__version__ = "(.+)"$', source) == [__version__]


def test_the_changelog_has_a_place_for_it() -> None:
    headings = re.findall(r"(?m)^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert headings[0] == "Unreleased"
    assert __version__ in headings[1:2] or len(headings) == 1


def test_the_images_get_the_locked_versions() -> None:
    """`docker/requirements.lock` is a part of `requirements.lock`, hashes too, and has what the program needs."""

    def pins(path: Path) -> set[str]:
        return set(re.split(r"\n(?=\S)", path.read_text("utf-8").strip()))

    ours = pins(ROOT / "docker" / "requirements.lock")
    assert ours <= pins(ROOT / "requirements.lock"), "run `make lock`"
    named = {re.split(r"[=\s]", pin)[0].lower() for pin in ours}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[>=<\[ ;]", requirement)[0].lower() for requirement in project["dependencies"]}
    assert needed <= named, "run `make lock`"
