"""A pod with the sidecar in it: one function from a pod and a profile to the changed pod. Applied twice it changes
nothing the second time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar import __version__
from sidecar.inject import names
from sidecar.inject.model_container import choose, extend
from sidecar.inject.not_injected import CannotInject
from sidecar.inject.profile import Profile
from sidecar.inject.request import Owner, owner_of, read, service_name, wanted
from sidecar.inject.shape import Object, mapping, named, objects, text, texts
from sidecar.inject.sidecar_container import bundle_container, sidecar_container, volumes

_SCRAPE = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(names.METRICS_PORT),
    "prometheus.io/path": "/metrics",
}
_MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Injection:
    """What became of a pod."""

    pod: Object
    """With `metadata` and `spec`; the very one that was given where nothing is changed."""
    changed: bool
    reason: str
    """Why nothing is changed; empty where something is."""
    warnings: tuple[str, ...] = ()


def inject(pod: Object, profile: Profile, by_default: bool = False, owner: Owner | None = None) -> Injection:
    """The pod (or template of pods) with the sidecar, if its annotations ask for it or `by_default` is given.
    `owner`: what makes the pods, where it is known better than by the pod's references.

    Raises `CannotInject` where it is asked for and something is in the way; `pod` is never changed."""
    metadata = mapping(pod.get("metadata"), "metadata")
    annotations = texts(metadata.get("annotations"), "metadata.annotations")
    labels = texts(metadata.get("labels"), "metadata.labels")
    if not wanted(annotations, by_default):
        return Injection(pod, False, "not asked for")
    made = copy.deepcopy(pod)
    spec = mapping(made.get("spec"), "spec")
    containers = objects(spec.get("containers"), "spec.containers")
    beginning = objects(spec.get("initContainers"), "spec.initContainers")
    if names.INJECTED in annotations and _is_there(beginning, containers):
        return Injection(pod, False, "injected already")
    owner = owner or owner_of(metadata, labels)
    _check(spec, annotations, beginning, containers, profile, owner)
    request = read(annotations, profile.instrument)
    service = service_name(request, labels, owner)
    models = choose(containers, request, annotations)
    present = objects(spec.get("volumes"), "spec.volumes")
    added = volumes(profile, request)
    log_mount = _log_mount(models, request.logs)
    if log_mount is not None and log_mount["name"] == names.LOG_VOLUME:
        added.append({"name": names.LOG_VOLUME, "emptyDir": {}})
    _check_names(beginning, containers, present)
    warnings = list(request.warnings)
    for model in models:
        warnings += extend(model, request, service, owner, names.LOG_VOLUME)
    single = text(models[0], "name") if len(models) == 1 else ""
    container = sidecar_container(profile, request, service, single, spec.get("terminationGracePeriodSeconds"))
    if log_mount is not None:
        container["volumeMounts"].append({**log_mount, "mountPath": names.LOG_PATH, "readOnly": True})
    first = [bundle_container(profile)] if request.instrument else []
    if profile.native:
        first.append(container)
    else:
        spec["containers"] = [*containers, container]
    if first:
        spec["initContainers"] = [*first, *beginning]
    spec["volumes"] = [*present, *added]
    _add_pull_secrets(spec, profile)
    made["metadata"] = _marked(made, annotations, labels, profile, warnings)
    return Injection(made, True, "", tuple(warnings))


def _is_there(beginning: list[Object], containers: list[Object]) -> bool:
    return named([*beginning, *containers], names.SIDECAR_CONTAINER) is not None


def _check(
    spec: Object,
    annotations: Mapping[str, str],
    beginning: list[Object],
    containers: list[Object],
    profile: Profile,
    owner: Owner,
) -> None:
    if not containers:
        raise CannotInject("invalid spec.containers: none; expected the model's container")
    if spec.get("hostNetwork"):
        raise CannotInject("the pod uses the host's network: the sidecar's ports would be open on the node")
    system = mapping(spec.get("os"), "spec.os").get("name") or mapping(
        spec.get("nodeSelector"), "spec.nodeSelector"
    ).get("kubernetes.io/os", "linux")
    if system != "linux":
        raise CannotInject(f"the pod is for {system}; the sidecar's image is for linux")
    if _MIRROR in annotations:
        raise CannotInject("the pod is a static pod, which cannot be changed: change its file on the node")
    ends = owner.kind in ("Job", "CronJob") or spec.get("restartPolicy", "Always") != "Always"
    if ends and not profile.native:
        raise CannotInject(
            "the pod is to end by itself, and a plain sidecar would keep it from ending: needs Kubernetes 1.29 or later"
        )
    for container in [*beginning, *containers]:
        taken = {p.get("containerPort") for p in objects(container.get("ports"), "ports")}
        for port in (names.GRPC_PORT, names.HTTP_PORT, names.METRICS_PORT):
            if port in taken:
                raise CannotInject(
                    f"container {text(container, 'name')} uses port {port}, which the sidecar listens on: move it, or "
                    "run the sidecar without injection"
                )


def _check_names(beginning: list[Object], containers: list[Object], present: list[Object]) -> None:
    for name in (names.SIDECAR_CONTAINER, names.BUNDLE_CONTAINER):
        if named([*beginning, *containers], name) is not None:
            raise CannotInject(f"the pod has a container {name} of its own: rename it")
    for name in names.VOLUMES:
        if named(present, name) is not None:
            raise CannotInject(f"the pod has a volume {name} of its own: rename it")


def _log_mount(models: list[Object], logs: str) -> Object | None:
    """What the sidecar mounts to read the model's log files: the model's own volume where it has one there."""
    if not logs:
        return None
    for model in models:
        for mount in objects(model.get("volumeMounts"), "volumeMounts"):
            if text(mount, "mountPath").rstrip("/") == logs:
                kept: dict[str, Any] = {key: mount[key] for key in ("name", "subPath") if key in mount}
                if "name" not in kept or "subPathExpr" in mount:
                    raise CannotInject(f"the volume at {logs} cannot be shared (subPathExpr): mount it whole")
                return kept
    return {"name": names.LOG_VOLUME}


def _add_pull_secrets(spec: Object, profile: Profile) -> None:
    present = objects(spec.get("imagePullSecrets"), "spec.imagePullSecrets")
    added = [{"name": name} for name in profile.image_pull_secrets if named(present, name) is None]
    if added:
        spec["imagePullSecrets"] = [*present, *added]


def _marked(
    pod: Object, annotations: Mapping[str, str], labels: Mapping[str, str], profile: Profile, warnings: list[str]
) -> Object:
    scrape = _SCRAPE if profile.prometheus_annotations else {}
    if scrape and any(name in annotations for name in scrape):
        warnings.append("the pod has prometheus.io annotations of its own: the sidecar's metrics need a PodMonitor")
        scrape = {}
    return {
        **mapping(pod.get("metadata"), "metadata"),
        "annotations": {**annotations, **scrape, names.INJECTED: __version__},
        "labels": {**labels, names.INJECTED: "true"},
    }
