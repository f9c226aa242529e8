"""Manifests as people keep them: YAML or JSON, several documents, lists. Workloads are injected, the rest stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from sidecar.inject.not_injected import CannotInject
from sidecar.inject.pod import inject
from sidecar.inject.profile import Profile
from sidecar.inject.request import Owner
from sidecar.inject.shape import Object, mapping, objects, text

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
"""Kind -> where its template of pods is."""
_BY_OPERATOR = {
    "InferenceService": "KServe",
    "SeldonDeployment": "Seldon",
    "SeldonRuntime": "Seldon",
    "RayService": "KubeRay",
    "RayCluster": "KubeRay",
}
"""Kinds whose pods an operator makes in its own way; the webhook sees those pods."""


@dataclass(frozen=True, slots=True)
class Patched:
    """What became of a stream of manifests."""

    text: str
    notes: tuple[str, ...]
    """For people: what was injected, what was left and why, warnings."""


def patch(text_in: str, profile: Profile) -> Patched:
    """All documents of the text, workloads injected unless their annotation `model-sidecar/inject` is "false".

    Raises `CannotInject`, naming the object, if one that is to be injected cannot be: nothing is given back then."""
    try:
        documents = [d for d in yaml.safe_load_all(text_in) if d is not None]
    except yaml.YAMLError as error:
        raise CannotInject(f"invalid YAML: {' '.join(str(error).split())}") from error
    if not documents:
        raise CannotInject("invalid manifest: nothing in it; expected YAML or JSON objects")
    notes: list[str] = []
    made = [_document(document, profile, notes) for document in documents]
    return Patched(yaml.safe_dump_all(made, sort_keys=False, allow_unicode=True, width=120), tuple(notes))


def _document(document: Any, profile: Profile, notes: list[str]) -> Object:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise CannotInject("invalid manifest: an object without `kind`; expected Kubernetes objects")
    if document["kind"].endswith("List") and "items" in document:
        items = [_document(item, profile, notes) for item in objects(document["items"], "items")]
        return {**document, "items": items}
    kind, name = document["kind"], text(mapping(document.get("metadata"), "metadata"), "name")
    where = f"{kind} {name or '(without a name)'}"
    if kind in _BY_OPERATOR:
        notes.append(f"{where}: left as it is; its pods are made by {_BY_OPERATOR[kind]}, and injected by the webhook")
    if kind not in _TEMPLATES:
        return document
    try:
        return _workload(document, kind, name, where, profile, notes)
    except CannotInject as error:
        raise CannotInject(f"{where}: {error}") from error


def _workload(document: Object, kind: str, name: str, where: str, profile: Profile, notes: list[str]) -> Object:
    path = _TEMPLATES[kind]
    template = document
    for key in path:
        template = mapping(template.get(key), f"{where}: {key}")
    owner = None if kind == "Pod" else Owner(kind, name)
    result = inject(template, profile, by_default=True, owner=owner)
    notes += [
        f"{where}: {'injected' if result.changed else f'left as it is: {result.reason}'}",
        *_of(where, result.warnings),
    ]
    return _replaced(document, path, result.pod)


def _of(where: str, warnings: tuple[str, ...]) -> Iterator[str]:
    return (f"{where}: warning: {warning}" for warning in warnings)


def _replaced(document: Object, path: tuple[str, ...], value: Object) -> Object:
    if not path:
        return value
    return {**document, path[0]: _replaced(document[path[0]], path[1:], value)}
