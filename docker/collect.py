"""Copies what a program needs to run, and nothing else, to a folder that becomes an image: the given paths, what their
links lead to, the shared libraries that they load, and, for Python, the interpreter, its standard library, extensions
without debug symbols, and the bytecode of what the program imports, at its start or later.
"""

from __future__ import annotations

import argparse
import os
import py_compile
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

USER = 65532
UNUSED = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
    "__pycache__",
    "distutils",
    "f2py",
}
"""Folders of the standard library and of packages (the last two build extensions) that a server never imports."""
NOT_OF_THE_LIBRARY = re.compile(r"config-3\..*|dist-packages|site-packages")
SUFFIXES = (".pyi", ".a", ".c", ".h", ".pxd")
TESTS_OF_NUMPY = re.compile(r"(_simd|\w+_tests)\..*\.so")
"""Extensions that nothing but numpy's own tests imports."""
EXTENSIONS = re.compile(r"(_curses\w*|_dbm|_gdbm|_crypt|_tkinter|_ctypes_test|_test\w+|nis|readline)\..*\.so")
"""Of the standard library, what is for terminals, for old databases and for its own tests: with the libraries that
nothing but they load, nine megabytes."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--python", type=Path, metavar="ENVIRONMENT", help="an environment of the running interpreter")
    parser.add_argument("--imports", type=Path, help="file with the modules that are imported, at the start or later")
    parser.add_argument("paths", nargs="*", type=Path)
    arguments = parser.parse_args()
    root: Path = arguments.root
    for path in arguments.paths:
        copy(path, root)
    if arguments.python:
        copy(arguments.python, root)
        executable = Path(sys.executable)
        copy(executable.resolve(), root)
        copy(Path(sysconfig.get_path("stdlib")), root, NOT_OF_THE_LIBRARY)
        place(root, Path("/usr/bin/python")).symlink_to(executable.resolve())
        place(root, CERTIFICATES).write_bytes(CERTIFICATES.read_bytes())
        for extension in binaries(root, "site-packages/**/*.so*"):
            strip(extension)
        for source in imported(arguments.python / "bin" / "python", arguments.imports.read_text().split()):
            compile_in(root, source)
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
    extension = TESTS_OF_NUMPY.fullmatch(name) or EXTENSIONS.fullmatch(name)
    return name in UNUSED or name.endswith(SUFFIXES) or extension is not None


def imported(python: Path, modules: list[str]) -> list[Path]:
    """The source files of what the import of `modules` loads."""
    names = ", ".join(modules)
    code = f"import sys, {names}\nfor m in list(sys.modules.values()): print(getattr(m, '__file__', None) or '')"
    listed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({Path(line) for line in listed if line.endswith(".py")})


def compile_in(root: Path, source: Path) -> None:
    """Put the bytecode of a source file beside its copy: a root that nobody can write to never gets any, and to compile
    takes longer than all else of a start. It holds for the file's content, whatever time the image gives the file."""
    target = place(root, source)
    if target.exists():
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(target), dfile=str(source), doraise=True, invalidation_mode=unchecked)


def strip(path: Path) -> None:
    """Cut an extension after what the loader maps (its program headers say what, elf(5)): symbols and debug information
    lie behind it, ten megabytes in one package."""
    content = path.read_bytes()
    if content[4] != 2:  # Of 64 bits, as all platforms of the image are.
        return
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<QQQQ", content, table + number * size + 8) for number in range(count)]
    end = max([table + size * count] + [offset + length for offset, _, _, length in segments])
    # No table of sections is left: its offset, the size and number of its entries, and the index of their names.
    head = content[:40] + bytes(8) + content[48:58] + bytes(6)
    path.write_bytes((head + content[64:])[:end])


def dangling(root: Path) -> Iterator[tuple[Path, Path]]:
    """(link, target) of absolute links below `root` whose targets are not there yet."""
    for link in [path for path in root.rglob("*") if path.is_symlink()]:
        target = Path(os.readlink(link))
        if target.is_absolute() and not os.path.lexists(root / str(target).lstrip("/")):
            yield link, target


def libraries(root: Path) -> list[Path]:
    """What the dynamic loader finds for every program and library below `root`, and the loader itself."""
    found: set[Path] = set()
    for path in binaries(root):
        listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        # `name => /path (address)`, or the loader's own path; names that a package brings itself are below `root`.
        words = (word for line in listed.splitlines() for word in line.split())
        found |= {Path(word) for word in words if word.startswith("/") and not word.startswith(str(root))}
    return sorted(path for path in found if path.is_file())


def binaries(root: Path, pattern: str = "*") -> list[Path]:
    """The programs and shared libraries below `root`."""
    return [path for path in root.rglob(pattern) if path.is_file() and not path.is_symlink() and is_elf(path)]


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a shared library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


if __name__ == "__main__":
    main()
