"""YAML as it is written here, durations, and thresholds put into text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parents[1]
HEADER = "# Made by `python monitoring/build.py` from monitoring/source and monitoring/thresholds.yaml; edit those.\n"
_PLACE = re.compile(r"<([a-z][a-z0-9_]*)(:percent)?>")
_UNITS = {"m": 1, "h": 60, "d": 1440}


class _Dumper(yaml.SafeDumper):
    """Block text where there is more than one line."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def as_yaml(body: Any) -> str:
    """The form of every YAML file that is made."""
    return HEADER + yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def read(path: Path) -> Any:
    """A YAML file below monitoring/."""
    return yaml.safe_load((SOURCE / path).read_text("utf-8"))


def minutes(duration: str) -> int:
    """`90m`, `2h`, `3d` in minutes. Raises ValueError for anything else."""
    if not re.fullmatch(r"\d+[mhd]", duration):
        raise ValueError(f"invalid duration: {duration!r}; expected whole minutes, hours or days, as 90m")
    return int(duration[:-1]) * _UNITS[duration[-1]]


class Thresholds:
    """The values of thresholds.yaml by name, and what each is."""

    def __init__(self, text: str) -> None:
        """Raises ValueError where two have one name, or one is no number."""
        body = yaml.safe_load(text)
        self.links: Mapping[str, str] = body.pop("links")
        self.latency_overrides: Mapping[str, float] = body.pop("latency_p95_overrides")
        self.values: dict[str, float] = {}
        for section, values in body.items():
            for name, value in values.items():
                if name in self.values:
                    raise ValueError(f"invalid thresholds: {name} stands twice; expected one name once")
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ValueError(f"invalid threshold {section}.{name}: {value!r}; expected a number")
                self.values[name] = value
        self.comments = dict(re.findall(r"(?m)^  (\w+): .*?# (.*)$", text))

    def fill(self, text: str) -> str:
        """`<name>` replaced by the value, `<name:percent>` by a percentage. Raises KeyError for an unknown name."""
        return _PLACE.sub(lambda found: self._shown(found[1], bool(found[2])), text)

    def named_in(self, text: str) -> list[str]:
        """Names that a text refers to, each once."""
        return list(dict.fromkeys(found[1] for found in _PLACE.finditer(text)))

    def _shown(self, name: str, percent: bool) -> str:
        value = self.values[name]
        return f"{value * 100:g}%" if percent else f"{value:.12g}"


def thresholds() -> Thresholds:
    """Those of monitoring/thresholds.yaml."""
    return Thresholds((SOURCE / "thresholds.yaml").read_text("utf-8"))


def write(made: Mapping[Path, str]) -> None:
    """Write the files, by their paths from the root, that differ; say which."""
    for path, content in made.items():
        target = SOURCE.parent / path
        if not target.exists() or target.read_text("utf-8") != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
            print(path)
