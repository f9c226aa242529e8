"""What is injected: one file, the same for every pod. The chart makes it from its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from sidecar import __version__
from sidecar.errors import ConfigError
from sidecar.options import Section, Size

MIB = 1 << 20
SMALLEST_VOLUME = 64 * MIB
_RESOURCES: dict[str, dict[str, str]] = {
    "requests": {"cpu": "50m", "memory": "96Mi"},
    "limits": {"cpu": "1", "memory": "192Mi"},
}
_BUNDLE_RESOURCES: dict[str, dict[str, str]] = {
    "requests": {"cpu": "10m", "memory": "16Mi"},
    "limits": {"cpu": "500m", "memory": "64Mi"},
}


class Profile(Section):
    """Images, resources and settings of what is put into pods."""

    image: str = Field(f"model-sidecar:{__version__}", min_length=1, description="Image of the sidecar.")
    bundle_image: str = Field(
        f"model-sidecar-bundle:{__version__}", min_length=1, description="Image with the instrumentation bundle."
    )
    image_pull_policy: str = Field("IfNotPresent", pattern="^(IfNotPresent|Always|Never)$", description="Of both.")
    image_pull_secrets: tuple[str, ...] = Field((), description="Added to those of the pod; they are per namespace.")
    native: bool = Field(
        True,
        description="A native sidecar (Kubernetes 1.29 and later): starts before the model and ends after it. False: a "
        "plain container alongside it, and Jobs are not injected, as they would never complete.",
    )
    config_map: str = Field("", description="ConfigMap in the pod's namespace with `sidecar.yaml`.")
    secret: str = Field("", description="Secret in the pod's namespace, mounted at /etc/sidecar/secrets.")
    env: tuple[dict[str, Any], ...] = Field((), description="Environment of the sidecar, as in a container's `env`.")
    resources: dict[str, Any] = Field(_RESOURCES, description="Requests and limits of the sidecar.")
    bundle_resources: dict[str, Any] = Field(_BUNDLE_RESOURCES, description="The same of what copies the bundle.")
    data_size: Size = Field(
        1024 * MIB,
        ge=SMALLEST_VOLUME,
        description="Limit of the emptyDir with journal, store and dead letters, whose own limits are computed from "
        "it (1/2, 1/8, 1/16): the kubelet evicts a pod whose volume is over its limit.",
    )
    prometheus_annotations: bool = Field(True, description="Put prometheus.io/scrape, port and path on the pod.")
    instrument: bool = Field(
        True, description="Add the bundle to the model's container, unless its pod says otherwise."
    )
    excluded_namespaces: tuple[str, ...] = Field(
        ("kube-system", "kube-public", "kube-node-lease"), description="Whose pods are never injected."
    )

    @field_validator("env")
    @classmethod
    def _named(cls, value: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for item in value:
            if not isinstance(item.get("name"), str) or not item["name"]:
                raise ValueError(f"{item!r} has no name; expected {{name: …, value: …}}")
        return value

    @model_validator(mode="after")
    def _limited(self) -> Self:
        for name, resources in (("resources", self.resources), ("bundle_resources", self.bundle_resources)):
            if not isinstance(resources.get("limits"), dict) or "memory" not in resources["limits"]:
                raise ValueError(f"{name}: expected limits.memory, so that a fault cannot take the node's memory")
        return self


def load(path: Path | None) -> Profile:
    """The profile of a YAML file; without one that of the defaults. Raises `ConfigError` with every problem."""
    if path is None:
        return Profile()
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
        return Profile.model_validate(values)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: invalid YAML: {' '.join(str(error).split())}"]) from error
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(problems) from error
