"""Copies of packages under names of their own: which imports are rewritten, and which versions are in range."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from sidecar.instrument.private_copies import make, ranges, rewritten


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import wrapt", "from model_sidecar_private import wrapt"),
        ("import wrapt as w, os", "import model_sidecar_private.wrapt as w; import os"),
        (
            "import google.protobuf.message",
            "from model_sidecar_private import google; import model_sidecar_private.google.protobuf.message",
        ),
        ("import google.protobuf.x as y", "import model_sidecar_private.google.protobuf.x as y"),
        ("from typing_extensions import (\n    Self,\n    override as o,\n)", None),
        ("if True: from packaging import version", "if True: from model_sidecar_private.packaging import version"),
        ("def f():\n    'é'; from zipp import Path", "def f():\n    'é'; from model_sidecar_private.zipp import Path"),
        ("_CanImport('google._upb._message')", "_CanImport('model_sidecar_private.google._upb._message')"),
        ("from . import wrapt\nfrom .packaging import x", "from . import wrapt\nfrom .packaging import x"),
        ("import wrapt_other\ntext = 'import wrapt'", "import wrapt_other\ntext = 'import wrapt'"),
        ("import os  # wrapt", "import os  # wrapt"),
    ],
)
def test_imports_are_rewritten(before: str, after: str | None) -> None:
    expected = after or "from model_sidecar_private.typing_extensions import Self, override as o"
    assert rewritten(before) == expected


def test_ranges_are_the_narrowest_that_are_asked_for() -> None:
    asked = [
        "protobuf<8.0,>=5.0",
        "protobuf>=6.1.2",
        "wrapt (<3.0.0,>=1.0.0)",
        "typing_extensions~=4.5",
        "requests~=2.7",
    ]
    assert ranges(asked) == [
        ("protobuf", "6.1.2", "8.0"),
        ("typing-extensions", "4.5", "5"),
        ("wrapt", "1.0.0", "3.0.0"),
    ]
    assert ranges(['importlib-metadata<8.8.0,>=6.0; python_version < "3.10"']) == [
        ("importlib-metadata", "6.0", "8.8.0")
    ]


def test_copies_are_used_beside_other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last, app = tmp_path / "first", tmp_path / "last", tmp_path / "app"
    for folder, version in ((last, "new"), (app, "old")):
        (folder / "packaging").mkdir(parents=True)
        (folder / "packaging" / "__init__.py").write_text(f"VERSION = {version!r}\n")
    (first / "user_of_packaging").mkdir(parents=True)
    (first / "user_of_packaging" / "__init__.py").write_text("import packaging\nSEEN = packaging.VERSION\n")
    (first / "user-1.dist-info").mkdir()
    (first / "user-1.dist-info" / "METADATA").write_text("Name: user\nRequires-Dist: packaging>=21\n")
    make(tmp_path)
    assert (tmp_path / "needs.txt").read_text() == "packaging 21 999999\n"
    for name in ("packaging", "user_of_packaging"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "private"), str(app), *sys.path])
    assert importlib.import_module("user_of_packaging").SEEN == "new"
    assert importlib.import_module("packaging").VERSION == "old"
    for name in [
        n for n in sys.modules if n.split(".")[0] in ("packaging", "user_of_packaging", "model_sidecar_private")
    ]:
        monkeypatch.delitem(sys.modules, name)
