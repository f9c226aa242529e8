"""What a pod asks for by its annotations, and what it is an instance of."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.inject import names
from sidecar.inject.not_injected import CannotInject
from sidecar.inject.shape import objects, text

CAPTURES = ("features", "predictions", "none")
_SERVICE_LABELS = ("serving.kserve.io/inferenceservice", "seldon-deployment-id")
"""Labels that KServe and Seldon put on the pods of a service."""
_SERVICE_ANNOTATION = "resource.opentelemetry.io/service.name"
_KNATIVE_SERVICE = "serving.knative.dev/service"
_SCHEDULED = re.compile(r"-[0-9]{8,11}$")
"""CronJobs name their Jobs by the minute; in older clusters by the second."""
_ATTRIBUTES = {
    "Deployment": "k8s.deployment.name",
    "ReplicaSet": "k8s.replicaset.name",
    "StatefulSet": "k8s.statefulset.name",
    "DaemonSet": "k8s.daemonset.name",
    "Job": "k8s.job.name",
    "CronJob": "k8s.cronjob.name",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that pods are made from."""

    kind: str
    name: str

    @property
    def attribute(self) -> str:
        """Its resource attribute by the semantic conventions; empty where there is none."""
        return _ATTRIBUTES.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Request:
    """The annotations of one pod, checked."""

    containers: tuple[str, ...]
    """Names of the model's containers; empty: to be found."""
    service: str
    model: str
    model_version: str
    capture: str
    instrument: bool
    python_path: str
    logs: str
    """The directory that the model's container writes log files to; empty: none."""
    config_map: str
    references: str
    """ConfigMap with references of training data; empty: none."""
    suites: str
    """ConfigMap with suites of Great Expectations; empty: none."""
    warnings: tuple[str, ...]


def wanted(annotations: Mapping[str, str], by_default: bool) -> bool:
    """Whether the pod is to be injected. Raises `CannotInject` for an invalid value."""
    return _flag(annotations, names.INJECT, by_default)


def read(annotations: Mapping[str, str], instrument: bool) -> Request:
    """The request of a pod. Raises `CannotInject` for invalid values; unknown names are warnings."""
    capture = annotations.get(names.CAPTURE, "")
    if capture and capture not in CAPTURES:
        raise CannotInject(f"invalid annotation {names.CAPTURE}: {capture!r}; expected {', '.join(CAPTURES)}")
    logs = annotations.get(names.LOGS, "")
    if logs and (not logs.startswith("/") or posixpath.normpath(logs) == "/"):
        raise CannotInject(f"invalid annotation {names.LOGS}: {logs!r}; expected an absolute directory, not /")
    unknown = sorted(
        key for key in annotations if key.startswith(names.PREFIX) and key not in (*names.OPTIONS, names.INJECTED)
    )
    chosen = annotations.get(names.CONTAINER, "")
    return Request(
        containers=tuple(part.strip() for part in chosen.split(",") if part.strip()),
        service=annotations.get(names.SERVICE_NAME) or annotations.get(_SERVICE_ANNOTATION, ""),
        model=annotations.get(names.MODEL, ""),
        model_version=annotations.get(names.MODEL_VERSION, ""),
        capture=capture,
        instrument=_flag(annotations, names.INSTRUMENT, instrument),
        python_path=annotations.get(names.PYTHON_PATH, ""),
        logs=posixpath.normpath(logs) if logs else "",
        config_map=annotations.get(names.CONFIG, ""),
        references=annotations.get(names.REFERENCE, ""),
        suites=annotations.get(names.SUITE, ""),
        warnings=tuple(f"unknown annotation {key}; known are {', '.join(names.OPTIONS)}" for key in unknown),
    )


def _flag(annotations: Mapping[str, str], name: str, default: bool) -> bool:
    value = annotations.get(name, "")
    if value not in ("", "true", "false"):
        raise CannotInject(f'invalid annotation {name}: {value!r}; expected "true" or "false"')
    return default if not value else value == "true"


def owner_of(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> Owner:
    """What a pod belongs to, from its controller's reference: of a ReplicaSet the Deployment, of a scheduled Job the
    CronJob, by how these are named. A pod of its own is its own owner."""
    references = objects(metadata.get("ownerReferences"), "metadata.ownerReferences")
    reference = next((r for r in references if r.get("controller")), references[0] if references else {})
    kind, name = text(reference, "kind"), text(reference, "name")
    if not name:
        return Owner("Pod", text(metadata, "name") or text(metadata, "generateName").rstrip("-"))
    suffix = f"-{labels.get('pod-template-hash', '')}"
    if kind == "ReplicaSet" and len(suffix) > 1 and name.endswith(suffix):
        return Owner("Deployment", name.removesuffix(suffix))
    if kind == "Job" and _SCHEDULED.search(name):
        return Owner("CronJob", _SCHEDULED.sub("", name))
    return Owner(kind, name)


def service_name(request: Request, labels: Mapping[str, str], owner: Owner) -> str:
    """`service.name`: as asked for; of a KServe, Seldon or Knative service its name; else the owner's."""
    by_label = (labels.get(name, "") for name in (*_SERVICE_LABELS, _KNATIVE_SERVICE))
    return request.service or next(filter(None, by_label), "") or owner.name or "model"
