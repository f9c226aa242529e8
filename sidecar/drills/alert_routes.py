"""Which receivers an alert shall have, by its labels. The names are those of monitoring/alertmanager/alertmanager.yml,
whose routes amtool compares with this table in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from sidecar.errors import ConfigError
from sidecar.options import Section


class Receivers(Section):
    """Receivers by what an alert is."""

    always: tuple[str, ...] = Field(("hook",), description="Those of every alert.")
    severity: Mapping[str, tuple[str, ...]] = Field(
        {"critical": ("critical",)}, description="Those of a severity, beside those of the team."
    )
    team: Mapping[str, tuple[str, ...]] = Field(
        {
            "ml": ("ml-team",),
            "devops": ("devops-team",),
            "business": ("business-metrics",),
            "security": ("security",),
        },
        description="Those of a team.",
    )
    default: tuple[str, ...] = Field(
        ("default-email",), description="Those of alerts with neither a severity nor a team above."
    )

    def expected(self, labels: Mapping[str, str]) -> Sequence[str]:
        """Sorted names."""
        own = (*self.severity.get(labels.get("severity", ""), ()), *self.team.get(labels.get("team", ""), ()))
        return sorted({*self.always, *(own or self.default)})


def receivers(file: Path | None) -> Receivers:
    """The shipped ones, or those of a YAML file. Raises `ConfigError`."""
    if file is None:
        return Receivers.model_validate({})
    try:
        return Receivers.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = "; ".join(_explained(e) for e in error.errors()) if isinstance(error, ValidationError) else error
        raise ConfigError([f"{file}: invalid receivers: {said}"]) from error


def _explained(error: object) -> str:
    found = error if isinstance(error, dict) else {}
    return f"{'.'.join(map(str, found.get('loc', ())))}: {found.get('msg')}"
