"""`native/sidecar_native.pyi` says what the native core has: the same names, attributes and parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

STUB = Path(__file__).resolve().parents[2] / "native" / "sidecar_native.pyi"


@pytest.fixture
def core() -> Any:
    return pytest.importorskip("sidecar_native", reason="the native core is not installed")


def declared() -> dict[str, ast.stmt]:
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def parameters(node: ast.FunctionDef) -> list[str]:
    return [one.arg for one in (*node.args.args, *node.args.kwonlyargs) if one.arg not in ("self", "cls")]


def members(node: ast.ClassDef) -> dict[str, list[str] | None]:
    """Attribute or method -> parameters of a method; None for an attribute."""
    found: dict[str, list[str] | None] = {}
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            found[one.target.id] = None
        elif isinstance(one, ast.FunctionDef):
            found[one.name] = parameters(one)
    return found


def real_members(kind: type) -> dict[str, list[str] | None]:
    found: dict[str, list[str] | None] = {}
    for name, member in vars(kind).items():
        if inspect.isdatadescriptor(member):
            found[name] = None
        elif callable(member) and not name.startswith("__"):
            found[name] = [one for one in inspect.signature(member).parameters if one != "self"]
    if "__new__" in vars(kind):
        found["__new__"] = list(inspect.signature(kind).parameters)
    return found


def test_names_are_those_of_the_core(core: Any) -> None:
    real = {name for name in vars(core) if not name.startswith("__") and name != "sidecar_native"}
    assert real == declared().keys()


@pytest.mark.parametrize("name", [name for name, node in declared().items() if isinstance(node, ast.ClassDef)])
def test_members_of_classes_are_those_of_the_core(core: Any, name: str) -> None:
    node = declared()[name]
    assert isinstance(node, ast.ClassDef)
    kind = getattr(core, name)
    if issubclass(kind, Exception):
        assert issubclass(kind, ValueError)
        return
    assert members(node) == real_members(kind)


@pytest.mark.parametrize("name", [name for name, node in declared().items() if isinstance(node, ast.FunctionDef)])
def test_parameters_of_functions_are_those_of_the_core(core: Any, name: str) -> None:
    node = declared()[name]
    assert isinstance(node, ast.FunctionDef)
    assert parameters(node) == list(inspect.signature(getattr(core, name)).parameters)
