"""What charts are checked with: Helm, kubeconform, kube-score, checkov, the API's schemas of many versions, and those
of the objects of the Prometheus Operator and of cert-manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.engines.cache import EngineUnavailable, command, entry, safe_name
from support.engines.toolchains import go_install, go_module

VALIDATE = "1.37.0"
"""Of `kubernetes-validate`, which has the schemas of Kubernetes 1.25 to this version."""
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CERT_MANAGER = "github.com/cert-manager/cert-manager@v1.18.2"


def helm() -> Path:
    return go_install("helm.sh/helm/v3/cmd/helm@v3.22.0")


def kubeconform() -> Path:
    return go_install("github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0")


def kube_score() -> Path:
    return go_install("github.com/zegl/kube-score/cmd/kube-score@v1.20.0")


def checkov() -> Path:
    """A Python that has it: `-m checkov.main`."""
    return python_tool("checkov==3.3.30") / "python"


def actionlint() -> Path:
    return go_install("github.com/rhysd/actionlint/cmd/actionlint@v1.7.12")


def python_tool(*requirements: str) -> Path:
    """The `bin` of an environment of its own with these packages."""

    def make(directory: Path) -> None:
        command([sys.executable, "-m", "venv", directory], "make an environment", 120)
        # The environment is moved into place when it is whole, so that only its `python` is used, never its scripts.
        pip = [directory / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
        command(pip, f"install {' '.join(requirements)}", 900)

    return entry("tool-" + "-".join(requirements).replace("=", ""), make) / "bin"


_CHECK = """
import json, sys
import kubernetes_validate
problems = []
for version, document in json.load(sys.stdin):
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        problems.append(f"{version}: {error.message}")
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(p) for p in error.path)
        name = f"{document['kind']} {document['metadata'].get('name')}"
        problems.append(f"{version}: {name}: {where}: {error.message}"[:400])
json.dump(problems, sys.stdout)
"""


def validate(documents: list[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What is wrong with objects, (Kubernetes version, object) each, by the API's own strict schemas."""
    python = python_tool(f"kubernetes-validate=={VALIDATE}") / "python"
    done = subprocess.run(
        [python, "-c", _CHECK], input=json.dumps(documents), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


class _Definitions(yaml.SafeLoader):
    """A bare `=`, which YAML 1.1 gives a meaning that nobody uses, is a text."""


_Definitions.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def operator_definitions() -> Path:
    """The folder with the CustomResourceDefinitions of the Prometheus Operator."""
    return go_module(OPERATOR) / "example" / "prometheus-operator-crd"


def cert_manager_definitions() -> Path:
    """The folder with those of cert-manager."""
    return go_module(CERT_MANAGER) / "deploy" / "crds"


def schemas_of(module: str, definitions: Callable[[], Path]) -> Path:
    """JSON Schemas of a module's objects (`kind-group-version.json`); unknown members are refused."""

    def make(directory: Path) -> None:
        found = sorted(definitions().glob("*.yaml"))
        if not found:
            raise EngineUnavailable(f"{module} has no definitions in {definitions()}")
        for path in found:
            for name, schema in _schemas(yaml.load(path.read_text("utf-8"), _Definitions)):
                (directory / name).write_text(json.dumps(schema))

    return entry(f"schemas-{safe_name(module)}", make)


def _schemas(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = definition["spec"]
    for version in spec["versions"]:
        name = f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json"
        yield name, _strict(version["schema"]["openAPIV3Schema"])


def _strict(schema: Any) -> Any:
    """As the API server prunes and checks: what is not named is unknown, but where anything is allowed."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        open_ = made.get("x-kubernetes-preserve-unknown-fields") or made["properties"].get("metadata") == {
            "type": "object"
        }
        made["additionalProperties"] = bool(open_) and "spec" not in made["properties"]
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def run(
    tool: Path, *arguments: str | Path, text: str | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A tool to its end, apart from this machine's own configuration of it."""
    apart = {"HELM_CONFIG_HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent"}
    return subprocess.run(
        [str(tool), *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, **apart, **(environ or {})},
        timeout=300,
        check=False,
    )
