"""AdmissionReview v1 in, AdmissionReview v1 out. A pod is always allowed: one that cannot be injected is made without
the sidecar, with a warning that `kubectl` shows and a log event."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.inject.not_injected import CannotInject
from sidecar.inject.pod import inject
from sidecar.inject.profile import Profile
from sidecar.inject.shape import Object, mapping, text

API_VERSION = "admission.k8s.io/v1"
Outcome = Literal["injected", "left", "refused"]
_PARTS = (("metadata", "annotations"), ("metadata", "labels"), ("spec", "initContainers"), ("spec", "containers"))
_PARTS_OF_SPEC = (("spec", "volumes"), ("spec", "imagePullSecrets"))
_MAX_WARNING = 240
"""The API server cuts longer warnings, and drops them all past 4 KiB."""


class InvalidReview(ValueError):
    """What came is not an AdmissionReview v1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, and what it came from."""

    body: Object
    outcome: Outcome
    namespace: str
    pod: str
    reason: str


def answer(review: Any, profile: Profile, by_default: bool) -> Decision:
    """The answer to a review of a pod's creation. Raises `InvalidReview` for anything that is not one."""
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise InvalidReview("invalid request: no AdmissionReview; expected one of " + API_VERSION)
    if review.get("apiVersion") != API_VERSION:
        raise InvalidReview(f"invalid apiVersion: {review.get('apiVersion')!r}; expected {API_VERSION}")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise InvalidReview("invalid request: no uid; expected an AdmissionReview with a request")
    namespace = text(request, "namespace")
    outcome, reason, patch, warnings = _decide(request, namespace, profile, by_default)
    response: Object = {"uid": request["uid"], "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    if warnings:
        response["warnings"] = [f"model-sidecar: {warning}"[:_MAX_WARNING] for warning in warnings]
    body = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
    return Decision(body, outcome, namespace, _name(request), reason)


def _decide(
    request: Object, namespace: str, profile: Profile, by_default: bool
) -> tuple[Outcome, str, list[Object], tuple[str, ...]]:
    pod = request.get("object")
    if mapping_of(request.get("kind")).get("kind") != "Pod" or not isinstance(pod, dict):
        return "left", "not a pod", [], ()
    if request.get("operation") != "CREATE" or text(request, "subResource"):
        return "left", "only new pods are injected", [], ()
    if namespace in profile.excluded_namespaces:
        return "left", "an excluded namespace", [], ()
    try:
        result = inject(pod, profile, by_default)
    except CannotInject as error:
        return "refused", str(error), [], (f"not injected: {error}",)
    if not result.changed:
        return "left", result.reason, [], result.warnings
    return "injected", "", list(json_patch(pod, result.pod)), result.warnings


def json_patch(before: Object, after: Object) -> Iterator[Object]:
    """RFC 6902: each part that differs, whole. `add` of a member that is there replaces it."""
    for section, part in (*_PARTS, *_PARTS_OF_SPEC):
        old = mapping(before.get(section), section).get(part)
        new = mapping(after.get(section), section).get(part)
        if new != old:
            yield {"op": "add", "path": f"/{section}/{part}", "value": new}


def mapping_of(value: Any) -> Object:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def _name(request: Object) -> str:
    metadata = mapping_of(mapping_of(request.get("object")).get("metadata"))
    return text(request, "name") or text(metadata, "name") or text(metadata, "generateName")
