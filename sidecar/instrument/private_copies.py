"""Copies of packages under names of their own: what OpenTelemetry needs, for apps whose versions are too old.

In the copies and in what uses them, import statements of these packages are rewritten: `from google.protobuf import
message` becomes `from model_sidecar_private.google.protobuf import message`. Nothing else of them is changed.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path

PARENT = "model_sidecar_private"
PACKAGES = ("google", "importlib_metadata", "packaging", "typing_extensions", "wrapt", "zipp")
"""Top-level names of what is copied."""
DISTRIBUTIONS = ("importlib-metadata", "packaging", "protobuf", "typing-extensions", "wrapt")
"""Distributions of these whose versions matter."""
_DYNAMIC = ("google._upb", "google.protobuf.pyext")
"""Modules that protobuf looks for by their names as text."""
_ENDLESS = "999999"


def make(folder: Path) -> None:
    """`private` and `needs.txt` in a folder that has `first` and `last`."""
    private = folder / "private"
    copies = private / PARENT
    copies.mkdir(parents=True)
    (copies / "__init__.py").touch()
    for path in (folder / "first").iterdir():
        _copy(path, private)
    for name in PACKAGES:
        for path in ((folder / "last") / name, (folder / "last") / f"{name}.py"):
            if path.exists():
                _copy(path, copies)
    for file in private.rglob("*.py"):
        text = file.read_text("utf-8")
        made = rewritten(text)
        if made != text:
            file.write_text(made, "utf-8")
    needs = [f"{name} {low} {high}\n" for name, low, high in ranges(_required(folder / "first"))]
    (folder / "needs.txt").write_text("".join(needs), "utf-8")


def _copy(path: Path, folder: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, folder / path.name)
    else:
        shutil.copy(path, folder / path.name)


def rewritten(source: str) -> str:
    """Python source whose imports of `PACKAGES` are of the copies."""
    if not any(name in source for name in PACKAGES):
        return source
    changes = [change for node in ast.walk(ast.parse(source)) for change in _changes(node)]
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    for first, start, last, end, text in sorted(changes, reverse=True):
        lines[first - 1 : last] = [lines[first - 1][:start] + text.encode() + lines[last - 1][end:]]
    return b"".join(lines).decode()


def _changes(node: ast.AST) -> Iterator[tuple[int, int, int, int, str]]:
    """First line, column, last line, column, and what is there instead."""
    text = None
    if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_copied(node.module or ""):
        names = ", ".join(_as(alias.name, alias.asname) for alias in node.names)
        text = f"from {PARENT}.{node.module} import {names}"
    elif isinstance(node, ast.Import) and any(_is_copied(alias.name) for alias in node.names):
        text = "; ".join(_import(alias) for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_DYNAMIC):
        text = repr(f"{PARENT}.{node.value}")
    if text is not None and isinstance(node, (ast.stmt, ast.expr)):
        yield node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0, text


def _import(alias: ast.alias) -> str:
    if not _is_copied(alias.name):
        return f"import {_as(alias.name, alias.asname)}"
    if alias.asname:
        return f"import {PARENT}.{alias.name} as {alias.asname}"
    top, dot, _ = alias.name.partition(".")
    return f"from {PARENT} import {top}" + (f"; import {PARENT}.{alias.name}" if dot else "")


def _as(name: str, asname: str | None) -> str:
    return f"{name} as {asname}" if asname else name


def _is_copied(module: str) -> bool:
    return module.split(".")[0] in PACKAGES


def _required(folder: Path) -> Iterator[str]:
    """`Requires-Dist` of what is in a folder, extras left out."""
    for file in sorted(folder.glob("*.dist-info/METADATA")):
        for line in HeaderParser().parsestr(file.read_text("utf-8")).get_all("Requires-Dist") or ():
            if "extra ==" not in line:
                yield line


def ranges(requirements: Iterable[str]) -> list[tuple[str, str, str]]:
    """For each of `DISTRIBUTIONS` that is required: the oldest version that serves all and the first that is too new.
    Reads `>=`, `~=` and `<` of release numbers, which is what OpenTelemetry's packages use."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        name = re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
        if name in DISTRIBUTIONS:
            lows, highs = found.setdefault(name, (["0"], [_ENDLESS]))
            for sign, version in re.findall(r"(>=|~=|<(?!=))\s*([0-9][0-9.]*)", requirement.split(";")[0]):
                (highs if sign == "<" else lows).append(version)
                if sign == "~=":
                    highs.append(_next(version))
    return [(name, max(lows, key=_numbers), min(highs, key=_numbers)) for name, (lows, highs) in sorted(found.items())]


def _next(version: str) -> str:
    """Of `~=1.52` the first that is too new: 2."""
    *kept, last, _ = [*version.split(".")]
    return ".".join([*kept, str(int(last) + 1)])


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.strip(".").split(".")]
