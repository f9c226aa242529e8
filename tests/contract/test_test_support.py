"""The index of the tests' helpers lists every one of them; ports of tests collide with nobody's."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from support.engines.ports import BLOCK, HOST, LOWEST, Ports, blocks_outside
from support.processes_of_tests import group_of

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_the_index_names_every_helper() -> None:
    there = {f.name for f in SUPPORT.glob("*.py") if f.name != "__init__.py"}
    there |= {f"{f.name}/" for f in SUPPORT.iterdir() if f.is_dir() and f.name != "__pycache__"}
    rows = "\n".join(re.findall(r"(?m)^\| `.*?\|", (SUPPORT / "README.md").read_text("utf-8").split("## ")[0]))
    assert set(re.findall(r"`([^`]+)`", rows)) == there


def test_every_golden_folder_has_a_row() -> None:
    there = {f"{f.name}/" if f.is_dir() else f.name for f in (SUPPORT.parent / "golden").iterdir()}
    rows = (SUPPORT / "README.md").read_text("utf-8").split("## Golden files")[1]
    assert set(re.findall(r"(?m)^\| `([^`]+)` \|", rows)) == there


def test_blocks_of_ports_are_outside_of_what_the_kernel_gives_to_connections() -> None:
    ports = {port for block in blocks_outside(32_768, 60_999) for port in block}
    assert min(ports) == LOWEST
    assert max(ports) < 65_536
    assert not ports & set(range(32_768, 61_000))
    assert len(ports) > 80 * BLOCK


def test_processes_of_tests_have_ports_of_their_own() -> None:
    blocks = [block for block in blocks_outside(32_768, 60_999) if block[0] > 61_000][:2]
    first, second = Ports(blocks), Ports(blocks)
    try:
        with pytest.raises(RuntimeError, match="is in use"):
            Ports(blocks)
        given = {ports.take() for ports in (first, second) for _ in range(20)}
        assert len(given) == 40
        with socket.create_server((HOST, second.take() + 1)) as server:
            assert second.take() == server.getsockname()[1] + 1, "where somebody listens nobody is sent"
    finally:
        first.close()
        second.close()


def test_what_asks_for_an_engine_of_the_session_runs_in_one_process() -> None:
    tests = SUPPORT.parent
    conftest = (tests / "engines" / "conftest.py").read_text("utf-8")
    engines = re.findall(r'(?m)^@pytest\.fixture\(scope="session"\)\ndef (\w+)', conftest)
    assert len(engines) == 3
    for path in sorted(tests.glob("engines/test_*.py")):
        asks = any(re.search(rf"\b{name}\b", path.read_text("utf-8")) for name in engines)
        file = f"tests/engines/{path.name}"
        assert group_of(f"{file}::test_a[x]") == ("engines" if asks else file)


def test_other_tests_of_programs_go_by_file_or_one_by_one() -> None:
    assert group_of("tests/e2e/test_page.py::test_a") == group_of("tests/e2e/test_page.py::Test::test_b[c::d]")
    one, other = (group_of(f"tests/instrumentation/test_startup.py::test_{n}") for n in "ab")
    assert one != other
