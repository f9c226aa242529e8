"""The differences on a page, applied to a tree. They have no line numbers, so that they stay true for longer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

Hunk = tuple[list[str], list[str]]
"""(lines before, lines after)."""


def diffs(page: str) -> Iterator[tuple[str, list[Hunk]]]:
    """(path, hunks) of every file in the blocks of differences."""
    for block in re.findall(r"(?s)```diff\n(.*?)```", page):
        for part in re.split(r"(?m)^--- \S+\n", block)[1:]:
            head, *lines = part.splitlines()
            path = re.fullmatch(r"\+\+\+ b/(\S+)", head)
            assert path is not None, head
            hunks: list[Hunk] = [([], [])]
            for line in lines:
                mark, text = line[:1], line[1:]
                assert mark in ("+", "-", " ", "@"), f"{path[1]}: {line!r}"
                if mark == "@":
                    hunks.append(([], []))
                    continue
                if mark != "+":
                    hunks[-1][0].append(text)
                if mark != "-":
                    hunks[-1][1].append(text)
            yield path[1], [hunk for hunk in hunks if hunk != ([], [])]


def apply(page: str, root: Path) -> list[Path]:
    """Change the files below `root`, and give their paths. What a hunk stands on must be there once."""
    changed = []
    for name, hunks in diffs(page):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n" + path.read_text("utf-8") if path.exists() else "\n"
        for before, after in hunks:
            old = "\n" + "".join(f"{line}\n" for line in before)
            assert not before or text.count(old) == 1, f"{name}: this is there {text.count(old)} times: {old}"
            new = "\n" + "".join(f"{line}\n" for line in after)
            text = text.replace(old, new) if before else new
        path.write_text(text[1:], "utf-8")
        changed.append(path)
    return changed
