"""The images of this tree, built once for all tests here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines.cache import ROOT
from support.engines.containers import Containers, containers
from support.packaging import build_wheels, sources
from support.stack.images import BUNDLE, SIDECAR
from support.stack.running import PROFILES


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What images are built from, as after `make wheels`."""
    folder = sources(tmp_path_factory.mktemp("sources") / "all")
    build_wheels(folder)
    return folder


@pytest.fixture(scope="session")
def own_images(context: Path) -> Iterator[Containers]:
    with containers() as made:
        made.build(context, SIDECAR, target="sidecar")
        made.build(context, BUNDLE, target="bundle")
        yield made


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """compose.yaml with everything that it mounts, and what `make stack-env` makes."""
    folder = tmp_path_factory.mktemp("stack")
    for name in ("compose.yaml", "monitoring", "docker", "elk", "examples"):
        (folder / name).symlink_to(ROOT / name)
    script = ROOT / "docker" / "stack" / "make_env.py"
    subprocess.run([sys.executable, script, *PROFILES, "--root", folder], check=True, timeout=60)
    return folder
