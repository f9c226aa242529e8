"""The model's own container: which one it is, and what it is given. What it has already stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from sidecar.inject import names
from sidecar.inject.not_injected import CannotInject
from sidecar.inject.request import Owner, Request
from sidecar.inject.shape import Object, named, objects, text
from sidecar.inject.sidecar_container import escape, from_fields

_BY_CONVENTION = ("kserve-container", "user-container")
"""Names that KServe and Knative give to the model's container."""
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_COMPANIONS = frozenset(
    {
        "seldon-container-engine",
        "queue-proxy",
        "istio-proxy",
        "linkerd-proxy",
        "vault-agent",
        "otc-container",
        "agent",
        "transformer-agent",
        "cloudsql-proxy",
        "cloud-sql-proxy",
    }
)
"""Containers that others inject; never the model."""
_FIELDS = {
    "K8S_NAMESPACE_NAME": "metadata.namespace",
    "K8S_POD_NAME": "metadata.name",
    "K8S_POD_UID": "metadata.uid",
    "K8S_NODE_NAME": "spec.nodeName",
}
_ATTRIBUTES = {
    "k8s.namespace.name": "K8S_NAMESPACE_NAME",
    "k8s.pod.name": "K8S_POD_NAME",
    "k8s.pod.uid": "K8S_POD_UID",
    "k8s.node.name": "K8S_NODE_NAME",
}
_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
_IMAGES_PATH = "MODEL_SIDECAR_PYTHONPATH"


def choose(containers: list[Object], request: Request, annotations: Mapping[str, str]) -> list[Object]:
    """The model's containers: as asked for; as KServe and Knative name it; the pod's default container; else the first
    that is no known companion. Raises `CannotInject` where a named one is not there."""
    if request.containers:
        found = [named(containers, name) for name in request.containers]
        missing = [name for name, container in zip(request.containers, found, strict=True) if container is None]
        if missing:
            there = ", ".join(text(c, "name") for c in containers)
            raise CannotInject(f"invalid annotation {names.CONTAINER}: {', '.join(missing)}; the pod has {there}")
        return [container for container in found if container is not None]
    for name in (*_BY_CONVENTION, annotations.get(_DEFAULT_CONTAINER, "")):
        container = named(containers, name) if name else None
        if container is not None:
            return [container]
    own = [container for container in containers if text(container, "name") not in _COMPANIONS]
    return (own or containers)[:1]


def extend(container: Object, request: Request, service: str, owner: Owner, log_volume: str) -> Iterator[str]:
    """Give a container its environment and mounts, in place; yields warnings. Raises `CannotInject`."""
    where = f"container {text(container, 'name')}"
    env = objects(container.get("env"), f"{where}: env")
    there = {text(item, "name") for item in env}
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in there:
        yield f"{where} sets OTEL_EXPORTER_OTLP_ENDPOINT: its telemetry goes there, not to the sidecar"
    made = from_fields({name: path for name, path in _FIELDS.items() if name not in there})
    values = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{names.HTTP_PORT}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "SIDECAR_MODEL_NAME": request.model,
        "SIDECAR_MODEL_VERSION": request.model_version,
        "SIDECAR_CAPTURE": request.capture,
    }
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in there:
        del values["OTEL_EXPORTER_OTLP_ENDPOINT"], values["OTEL_EXPORTER_OTLP_PROTOCOL"]
    made += [{"name": name, "value": escape(value)} for name, value in values.items() if value and name not in there]
    attributes = _attributes(container, owner)
    present = named(env, _RESOURCE)
    if present is None:
        made.append({"name": _RESOURCE, "value": ",".join(f"{key}={value}" for key, value in attributes.items())})
    elif "valueFrom" not in present:
        present["value"] = _joined(text(present, "value"), attributes)
    if request.instrument:
        yield from _add_bundle(container, request, env, made, where)
    # In front, since a variable can only refer to those before it.
    container["env"] = [*made, *env]
    if request.logs and log_volume:
        mounts = objects(container.get("volumeMounts"), f"{where}: volumeMounts")
        if not any(text(mount, "mountPath").rstrip("/") == request.logs for mount in mounts):
            container["volumeMounts"] = [*mounts, {"name": log_volume, "mountPath": request.logs}]


def _attributes(container: Object, owner: Owner) -> dict[str, str]:
    attributes = {key: f"$({name})" for key, name in _ATTRIBUTES.items()}
    attributes["k8s.container.name"] = quote(text(container, "name"))
    if owner.attribute:
        attributes[owner.attribute] = quote(owner.name)
    return attributes


def _joined(present: str, attributes: dict[str, str]) -> str:
    there = {pair.partition("=")[0].strip() for pair in present.split(",")}
    more = [f"{key}={value}" for key, value in attributes.items() if key not in there]
    return ",".join([*([present] if present.strip(", ") else []), *more])


def _add_bundle(
    container: Object, request: Request, env: list[Object], made: list[Object], where: str
) -> Iterator[str]:
    mounts = objects(container.get("volumeMounts"), f"{where}: volumeMounts")
    if any(_within(text(mount, "mountPath"), names.BUNDLE_PATH) for mount in mounts):
        raise CannotInject(f"{where} mounts a volume at {names.BUNDLE_PATH}: mount it elsewhere")
    container["volumeMounts"] = [
        *mounts,
        {"name": names.BUNDLE_VOLUME, "mountPath": names.BUNDLE_PATH, "readOnly": True},
    ]
    present = named(env, "PYTHONPATH")
    if present is None:
        path = f"{names.BUNDLE_PATH}:{escape(request.python_path)}" if request.python_path else names.BUNDLE_PATH
        made.append({"name": "PYTHONPATH", "value": path})
        if container.get("envFrom"):
            yield f"{where} has envFrom: a PYTHONPATH from there is not seen; name it in {names.PYTHON_PATH}"
    elif "valueFrom" in present:
        # The value is known only when the container starts; another variable holds it then.
        made.append({"name": _IMAGES_PATH, "valueFrom": present.pop("valueFrom")})
        present["value"] = f"{names.BUNDLE_PATH}:$({_IMAGES_PATH})"
    else:
        value = text(present, "value")
        present["value"] = f"{names.BUNDLE_PATH}:{value}" if value else names.BUNDLE_PATH


def _within(path: str, folder: str) -> bool:
    """Whether one is the other, or in it."""
    path, folder = path.rstrip("/") + "/", folder.rstrip("/") + "/"
    return path.startswith(folder) or (path != "/" and folder.startswith(path) and path.count("/") > 2)
