"""Writes `sidecar-full.yaml`: every option of the program at its default, with what it means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from sidecar.config.option_fields import MORE, Field, fields
from sidecar.options import write_duration, write_size

TARGET = Path(__file__).resolve().parent / "sidecar-full.yaml"
WIDTH = 116
HEAD = """\
# Every option at its default, made by collector-config/build.py (`make docs`). Not a file to start from: leave out what
# you do not change, as a default may become a better one.
"""


def text() -> str:
    """The whole file."""
    return HEAD + "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """Sections in the order of declaration, each option behind its description."""
    open_sections: tuple[str, ...] = ()
    for field in fields():
        *sections, name = field.path
        for depth, section in enumerate(sections):
            if open_sections[: depth + 1] != tuple(sections[: depth + 1]):
                if depth == 0:
                    yield ""
                yield f"{'  ' * depth}{section}:"
                open_sections = tuple(sections[: depth + 1])
        open_sections = tuple(sections)
        indent = "  " * len(sections)
        for line in wrap(" ".join(field.description.split()), WIDTH - len(indent), break_long_words=False):
            yield f"{indent}# {line}"
        if field.path == MORE:
            yield f"{indent}# <name>: {{kind: <kind>, ...}}"
        yield f"{indent}{name}: {_value(field)}"


def _value(field: Field) -> str:
    value: Any = field.default
    if field.quantity is not None and value is not None:
        value = write_size(value) if field.quantity.whole else write_duration(value)
        return "0" if value == "0" else str(value)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple | frozenset):
        value = list(value)
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return written.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
