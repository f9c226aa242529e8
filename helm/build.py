"""Writes what is made in helm/: `values.schema.json` and `README.md` from the comments of `values.yaml`; rules,
dashboards and data sources of monitoring/, as they are; and the names of derivers. `python helm/build.py`.

A value's comment: `# -- words`, then any of `# @enum a, b`, `# @range 1, 30`, `# @items string|object`, `# @open` (an
object with members of the user's choosing) and `# @required`. Its type is that of its default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sidecar.derive.registry import DERIVERS

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "model-sidecar"
COPIED = {
    "rules": "prometheus/rules/*.yml",
    "dashboards": "grafana/dashboards/*.json",
    "datasources": "grafana/provisioning/datasources/*.yaml",
}
"""Folder of the chart's `files` -> which files of monitoring/."""
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(.*)$")
_TYPES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}


@dataclass
class Value:
    """One value with its comment."""

    path: tuple[str, ...]
    default: Any
    words: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def section(self) -> bool:
        """Has members of its own in `values.yaml`, each a value."""
        return isinstance(self.default, dict) and bool(self.default) and "open" not in self.tags


def read() -> list[Value]:
    """The values in their order, sections before their members."""
    text = (CHART / "values.yaml").read_text("utf-8")
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    comment: list[str] = []
    path: list[str] = []
    skip = -1
    for line in text.splitlines():
        match = _KEY.match(line)
        depth = len(match[1]) // 2 if match else 0
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
        elif match and not 0 <= skip < depth:
            path = [*path[:depth], match[2]]
            value = _value(tuple(path), _at(defaults, path), comment)
            found.append(value)
            skip = -1 if value.section else depth
            comment = []
        elif not line.strip():
            comment = []
    return found


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def _value(path: tuple[str, ...], default: Any, comment: list[str]) -> Value:
    tags = dict(_tag(line) for line in comment if line.startswith("@"))
    words = " ".join(line for line in comment if not line.startswith("@"))
    return Value(path, default, words.removeprefix("--").strip(), tags)


def _tag(line: str) -> tuple[str, str]:
    name, _, rest = line.removeprefix("@").partition(" ")
    return name, rest


def schema() -> str:
    """JSON Schema (draft 7, which Helm reads) of the values."""
    root: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}
    root |= {"additionalProperties": False, "properties": {"global": {"type": "object"}}}
    places: dict[tuple[str, ...], dict[str, Any]] = {(): root}
    for value in read():
        made = _schema_of(value)
        places[value.path] = made
        places[value.path[:-1]]["properties"][value.path[-1]] = made
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _schema_of(value: Value) -> dict[str, Any]:
    made: dict[str, Any] = {"type": _TYPES[type(value.default)]}
    if value.words:
        made["description"] = value.words
    if "enum" in value.tags:
        made["enum"] = value.tags["enum"].split(", ")
    if "range" in value.tags:
        made["minimum"], made["maximum"] = map(int, value.tags["range"].split(", "))
    if "items" in value.tags:
        made["items"] = {"type": value.tags["items"]}
    if "required" in value.tags:
        made["minLength"] = 1
    if value.section:
        made |= {"additionalProperties": False, "properties": {}}
    if value.path[-1] == "dataSize":
        made["pattern"] = "^[0-9]+([KMGT]iB?)?$"
    if value.path[-1] == "replicas":
        made["minimum"] = 1
    if value.path[-1] in ("labels", "annotations", "commonLabels"):
        made["additionalProperties"] = {"type": "string"}
    return made


def readme() -> str:
    """The chart's README: its head, and a table of values."""
    head = (CHART / "README.head.md").read_text("utf-8")
    return head + "\n".join(["", "## Values", "", "| value | default | meaning |", "|---|---|---|", *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    for value in read():
        if value.section:
            continue
        words = value.words
        if "enum" in value.tags:
            words += f" One of {', '.join(f'`{v}`' for v in value.tags['enum'].split(', '))}."
        default = json.dumps(value.default, ensure_ascii=False)
        yield f"| `{'.'.join(value.path)}` | `{default}` | {words.strip().replace('|', chr(92) + '|')} |"


def files() -> dict[Path, str]:
    """Path from the repository's root -> text of every file that is made."""
    chart = Path("helm", "model-sidecar")
    copied = {
        chart / "files" / folder / source.name: source.read_text("utf-8")
        for folder, pattern in COPIED.items()
        for source in sorted((ROOT / "monitoring").glob(pattern))
    }
    made = {"values.schema.json": schema(), "README.md": readme(), "files/derivers.yaml": derivers()}
    return {chart / name: text for name, text in made.items()} | copied


def derivers() -> str:
    """Names of the derivers that are on by default, which the gateway turns off."""
    sections = {deriver.name: deriver.options for deriver in DERIVERS}
    on = [name for name, options in sections.items() if "enabled" in getattr(options, "model_fields", ())]
    return yaml.safe_dump([name for name in on if sections[name]().enabled])


def main() -> None:
    """Write what differs, remove what is gone; say which."""
    made = files()
    present = {path for folder in COPIED for path in (CHART / "files" / folder).glob("*")}
    for gone in present - {ROOT / path for path in made}:
        gone.unlink()
        print(f"{gone.relative_to(ROOT)} (removed)")
    for path, text in made.items():
        target = ROOT / path
        if not target.exists() or target.read_text("utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
            print(path)


if __name__ == "__main__":
    main()
