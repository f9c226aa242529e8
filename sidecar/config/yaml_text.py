"""Text of a configuration file to values. Imported where there is a file: most sidecars have only an environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from sidecar.config.option_fields import Path_


class InvalidYaml(Exception):
    """Why a text is no configuration. Never leaves the loader."""


def parse(text: str) -> tuple[dict[str, Any], dict[Path_, int]]:
    """(sections, line of each key from 1); ({}, {}) for a text that says nothing. Raises `InvalidYaml`."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
        lines = dict(_lines(node, ()))
    except yaml.MarkedYAMLError as error:
        # Not its text, which shows the line: that may hold a secret.
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise InvalidYaml(f"{line}: not valid YAML: {what}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-40
        raise InvalidYaml(f": not valid YAML: {error}") from error
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise InvalidYaml(":1: must be a mapping of sections, such as `receive:` or `deliver:`")
    return value, lines


def _lines(node: yaml.Node | None, path: Path_) -> Iterator[tuple[Path_, int]]:
    """Raises `InvalidYaml` for a key that is there twice: YAML's reader takes the last and says nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            first = seen.setdefault(here[-1], line)
            if first != line and here[-1] != "<<":
                raise InvalidYaml(f":{line}: {'.'.join(here)}: given twice, first in line {first}; put both into one")
            yield here, line
            yield from _lines(value, here)
