"""Colours of terminals in log lines."""

from __future__ import annotations

import re

#: ESC [ parameters, intermediates, final byte (ECMA-48), and ESC ] to the next BEL or ESC \\, a link of rich. What is
#: cut off stays.
_PATTERN = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))"
_SEQUENCE = re.compile(_PATTERN.encode())
_IN_TEXT = re.compile(_PATTERN)


def without_colours(line: bytes) -> bytes:
    """The line without control sequences of terminals."""
    return _SEQUENCE.sub(b"", line) if b"\x1b" in line else line


def text_without_colours(text: str) -> str:
    """The text without control sequences of terminals."""
    return _IN_TEXT.sub("", text) if "\x1b" in text else text
