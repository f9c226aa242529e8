"""Copies what a program needs to run, and nothing else, to a folder that becomes an image: the given paths, what their
links lead to, the shared libraries that they load, and, for Python, the interpreter with its standard library.

usage: collect.py ROOT [--python] PATH...
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

USER = 65532
UNUSED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "__pycache__"}
UNUSED |= {"distutils", "f2py"}
"""Folders of the standard library and of packages (the last two build extensions) that a server never imports."""
NOT_OF_THE_LIBRARY = re.compile(r"config-3\..*|dist-packages|site-packages")
SUFFIXES = (".pyi", ".a", ".c", ".h", ".pxd")
TESTS_OF_NUMPY = re.compile(r"(_simd|\w+_tests)\..*\.so")
"""Extensions that nothing but numpy's own tests imports."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def main(arguments: list[str]) -> None:
    root, python = Path(arguments[0]), "--python" in arguments
    for name in arguments[1:]:
        if name != "--python":
            copy(Path(name), root)
    if python:
        executable = Path(sys.executable)
        copy(executable.resolve(), root)
        copy(Path(sysconfig.get_path("stdlib")), root, NOT_OF_THE_LIBRARY)
        place(root, Path("/usr/bin/python")).symlink_to(executable.resolve())
        place(root, CERTIFICATES).write_bytes(CERTIFICATES.read_bytes())
    for link, target in dangling(root):
        print(f"{link} -> {target}")
        copy(target.resolve(), root)
        if target.is_symlink():
            place(root, target).symlink_to(target.resolve())
    for library in libraries(root):
        copy(library, root)
    place(root, Path("/etc/passwd")).write_text(f"sidecar:x:{USER}:{USER}::/:/sbin/nologin\n")
    place(root, Path("/etc/group")).write_text(f"sidecar:x:{USER}:\n")


def place(root: Path, path: Path) -> Path:
    """Where an absolute path is below `root`; its folder is made."""
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def copy(source: Path, root: Path, left_out: re.Pattern[str] | None = None) -> None:
    """A file, or a folder without what is not used; `left_out` are further names right below it."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        skipped = {name for name in names if unused(name)}
        if left_out is not None and Path(folder) == source:
            skipped |= {name for name in names if left_out.fullmatch(name)}
        return skipped

    target = place(root, source)
    if target.exists():
        return
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=ignored)
    else:
        shutil.copy2(source, target)


def unused(name: str) -> bool:
    """Whether no server imports the file or folder of this name."""
    return name in UNUSED or name.endswith(SUFFIXES) or TESTS_OF_NUMPY.fullmatch(name) is not None


def dangling(root: Path) -> Iterator[tuple[Path, Path]]:
    """(link, target) of absolute links below `root` whose targets are not there yet."""
    for link in [path for path in root.rglob("*") if path.is_symlink()]:
        target = Path(os.readlink(link))
        if target.is_absolute() and not os.path.lexists(root / str(target).lstrip("/")):
            yield link, target


def libraries(root: Path) -> list[Path]:
    """What the dynamic loader finds for every program and library below `root`, and the loader itself."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and is_elf(path)]
    found: set[Path] = set()
    for path in files:
        listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        # `name => /path (address)`, or the loader's own path; names that a package brings itself are below `root`.
        words = (word for line in listed.splitlines() for word in line.split())
        found |= {Path(word) for word in words if word.startswith("/") and not word.startswith(str(root))}
    return sorted(path for path in found if path.is_file())


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a shared library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


if __name__ == "__main__":
    main(sys.argv[1:])
