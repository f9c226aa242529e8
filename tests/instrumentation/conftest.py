"""One bundle for all tests of a run, and the Python that has the frameworks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.frameworks import bundle, frameworks_python


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `sidecar instrument bundle` makes."""
    return bundle(tmp_path_factory.mktemp("agent") / "bundle")


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """Python with the frameworks and without anything of ours."""
    return frameworks_python()
