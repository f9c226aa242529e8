"""Channel and server arguments have the names that grpcio knows: it takes any other without a word."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"""["'](grpc\.[a-z0-9_]+(?:\.[a-z0-9_]+)*)["']""")
NOT_ARGUMENTS = frozenset({"grpc.aio"})


def _arguments() -> dict[str, str]:
    """Argument -> one file that sets it."""
    found = {}
    for folder in ("sidecar", "instrumentation", "bench", "examples", "tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file != Path(__file__) and ".venv" not in file.parts:
                found.update(dict.fromkeys(_NAME.findall(file.read_text()), str(file.relative_to(ROOT))))
    return {name: file for name, file in found.items() if name not in NOT_ARGUMENTS}


@pytest.fixture(scope="module")
def core() -> bytes:
    """grpc's core as it is linked into grpcio: every name that it looks for is a string in it."""
    return Path(cygrpc.__file__).read_bytes()


def test_every_argument_is_known(core: bytes) -> None:
    arguments = _arguments()
    assert {"grpc.max_receive_message_length", "grpc.keepalive_time_ms", "grpc.primary_user_agent"} <= set(arguments)
    unknown = {name: file for name, file in arguments.items() if name.encode() + b"\0" not in core}
    assert not unknown, f"grpcio {grpc.__version__} does not know these"


@pytest.mark.parametrize(
    "name",
    [
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        "grpc.max_message_size",
        "grpc.keepalive_permit_without_call",
        "grpc.http2.max_ping_strike",
    ],
)
def test_a_slip_would_be_seen(core: bytes, name: str) -> None:
    assert name.encode() + b"\0" not in core
