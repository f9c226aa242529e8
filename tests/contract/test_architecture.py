"""What the pages for contributors name is there; `tests/e2e/test_architecture_page.py` tries what they add."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_files_and_folders_that_are_named_exist() -> None:
    root = PAGE.parents[1]
    pages = PAGE.read_text("utf-8") + (root / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"`((?:sidecar|native|tests|docs|instrumentation)/[a-zA-Z0-9_./-]+)`", pages))
    assert named
    assert [name for name in sorted(named) if not (root / name).exists()] == []
