"""Text of any bytes."""

from __future__ import annotations

import os

import pytest

from sidecar.os_text import repaired


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (os.fsdecode(b"caf\xe9.log"), "caf\N{REPLACEMENT CHARACTER}.log"),
        (os.fsdecode("café.log".encode()), "café.log"),
        ("plain", "plain"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("\ud83d\ude00", "😀"),
        ("", ""),
    ],
)
def test_what_is_no_utf_8_is_replaced(given: str, made: str) -> None:
    assert repaired(given) == made
