"""What the pages for contributors name is there; `tests/e2e/test_architecture_page.py` tries what they add."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sidecar.deliver.registry import SINKS
from sidecar.derive import registry
from sidecar.derive.registry import DERIVERS, DeriverType
from sidecar.receive.registry import RECEIVERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def test_files_and_folders_that_are_named_exist() -> None:
    pages = PAGE.read_text("utf-8") + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"`((?:sidecar|native|tests|docs|instrumentation)/[a-zA-Z0-9_./-]+)`", pages))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


CONTRACTS = {
    contract["name"]: frozenset(contract.get("modules", ()))
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}


def _own(kind: DeriverType) -> Any:
    """What stands in the deriver's own module: the registry builds some, so that they are imported when they are on."""
    return kind.options if kind.build.__module__ == registry.__name__ else kind.build


@pytest.mark.parametrize(
    ("contract", "made"),
    [
        ("Sinks never import each other", [kind.options for kind in SINKS]),
        ("Receivers never import each other", [kind.options for kind in RECEIVERS]),
        ("Derivers never import each other", [_own(kind) for kind in DERIVERS]),
    ],
)
def test_each_of_a_registry_is_held_apart_from_the_others(contract: str, made: list[Any]) -> None:
    rooms = {".".join(one.__module__.split(".")[:3]) for one in made}
    assert rooms == CONTRACTS[contract], "add a line to this contract in pyproject.toml"
