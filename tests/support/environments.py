"""Pythons with packages of their own, made once in the cache. All is byte-compiled: programs of tests write no
bytecode, so that each of them would compile what it imports."""

from __future__ import annotations

import compileall
import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from support.engines.cache import command, entry

_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile")
_RECIPE = "2"
"""Changes when what is below makes other environments of the same packages."""


def python_with(name: str, *installs: Sequence[str], then: Callable[[Path], None] | None = None) -> Path:
    """The Python of an environment in which pip was called once with each of `installs`: requirements and options.
    `then` is called with the environment before it counts as whole. Raises `EngineUnavailable` where pip fails."""
    key = _key(sys.version, *map(" ".join, installs))

    def make(folder: Path) -> None:
        # An environment knows its own path: it is made where it will be used, and the entry is a mark that it is whole.
        home = folder.parent / f"venv-{name}-{key}"
        shutil.rmtree(home, ignore_errors=True)
        command([sys.executable, "-m", "venv", home], f"an environment for {name}", 600)
        for install in installs:
            pip(home / "bin" / "python", f"pip install for {name}", *install)
        if then is not None:
            then(home)

    return entry(f"{name}-{key}", make).parent / f"venv-{name}-{key}" / "bin" / "python"


def folder_of_packages(python: str | Path, name: str, *install: str) -> Path:
    """A folder for PYTHONPATH of that Python with what pip installs when it is called so."""

    def make(folder: Path) -> None:
        pip(python, f"pip install of {name}", "--target", str(folder / "site"), *install)

    return entry(f"{name}-{_key(str(python), *install)}", make) / "site"


def pip(python: str | Path, what: str, *install: str) -> None:
    """`pip install` with these requirements and options. Raises `EngineUnavailable` with what it said."""
    command([python, *_PIP, *install], what, 1200)


def byte_compile(folder: Path) -> None:
    """All below, for this Python. A file that is for another one stays without."""
    compileall.compile_dir(folder, quiet=2)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join((_RECIPE, *parts)).encode()).hexdigest()[:12]
