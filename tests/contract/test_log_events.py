"""What the code logs, against the table of log events."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import sidecar
from sidecar.log_events import TABLE, add_hint

LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error", "debug": "debug"}
PACKAGE = Path(sidecar.__file__).parent
NOT_THE_PROGRAM = {"structured.py"}
"""Written for the programs of others."""


@dataclass(frozen=True)
class Module:
    """A module that logs."""

    path: Path
    nodes: tuple[ast.AST, ...]

    def uses(self) -> list[ast.Attribute]:
        """Levels of loggers, and `log`, as attributes: called or not."""
        names = {
            ast.unparse(node.targets[0])
            for node in self.nodes
            if isinstance(node, ast.Assign) and "structlog.get_logger(" in ast.unparse(node.value)
        }
        attributes = (node for node in self.nodes if isinstance(node, ast.Attribute) and node.attr in {*LEVELS, "log"})
        return [node for node in attributes if ast.unparse(node.value) in names]

    def calls(self) -> list[ast.Call]:
        """Log calls."""
        used = {id(node) for node in self.uses()}
        return [node for node in self.nodes if isinstance(node, ast.Call) and id(node.func) in used]


MODULES = [
    Module(path.relative_to(PACKAGE), tuple(ast.walk(ast.parse(source))))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "get_logger(" in (source := path.read_text("utf-8"))
]
FOUND = [
    (module.path, call, LEVELS.get(call.func.attr, "varies"))
    for module in MODULES
    if module.path.name not in NOT_THE_PROGRAM
    for call in module.calls()
    if isinstance(call.func, ast.Attribute)
]


def event_of(call: ast.Call, level: str) -> object:
    event = call.args[1 if level == "varies" else 0]
    return event.value if isinstance(event, ast.Constant) else None


def test_the_walk_finds_the_log_calls() -> None:
    assert len(FOUND) > 50


@pytest.mark.parametrize(("path", "call", "level"), FOUND, ids=[f"{p}:{c.lineno}" for p, c, _ in FOUND])
def test_each_log_call_is_a_constant_event_of_the_table(path: Path, call: ast.Call, level: str) -> None:
    event = event_of(call, level)
    assert isinstance(event, str), f"{path}:{call.lineno}: invalid event; expected a constant"
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|[a-z]+", event), f"{event}: expected snake_case"
    assert {e.name: e.level for e in TABLE}.get(event) == level, f"{event} as {level}: not in sidecar/log_events.py"
    assert not {"hint", "what_to_do"} & {k.arg for k in call.keywords}, f"{event}: the hint is in the table"


def test_each_event_of_the_table_is_logged_somewhere() -> None:
    assert {event.name for event in TABLE} == {event_of(call, level) for _, call, level in FOUND}
    assert len({event.name for event in TABLE}) == len(TABLE)


def test_no_level_of_a_logger_is_passed_on_as_a_value() -> None:
    """`emit = log.error` would hide an event from this test."""
    for module in MODULES:
        called = {id(node.func) for node in module.nodes if isinstance(node, ast.Call)}
        assert [ast.unparse(node) for node in module.uses() if id(node) not in called] == [], module.path


def test_the_hint_of_the_table_is_added_to_a_line() -> None:
    assert add_hint(None, "warning", {"event": "option_renamed"})["hint"].startswith("use the new name")
    assert "hint" not in add_hint(None, "info", {"event": "started"})
