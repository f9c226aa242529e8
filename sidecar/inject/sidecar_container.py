"""The containers and volumes that are added to a pod. Safe by default: they fulfil the `restricted` Pod Security
Standard, whatever the pod's own security context is."""

from __future__ import annotations

from sidecar.inject import names
from sidecar.inject.profile import Profile
from sidecar.inject.request import Request
from sidecar.inject.shape import Object
from sidecar.options import write_size

_FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_UID": "metadata.uid",
    "NODE_NAME": "spec.nodeName",
}
STOP_MARGIN_SECONDS = 5
"""Of the pod's grace period, left for the model to end in before the sidecar begins to."""
_DEFAULT_GRACE_SECONDS = 30
_BUNDLE_LIMIT = "256Mi"


def from_fields(fields: dict[str, str]) -> list[Object]:
    """Variables by the downward API."""
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def sidecar_container(
    profile: Profile, request: Request, service: str, model_container: str, grace_seconds: object
) -> Object:
    """The sidecar: an init container with `restartPolicy: Always`, or a plain container.

    It has no readiness probe: a fault of the sidecar must not take the model out of its Service."""
    container: Object = {
        "name": names.SIDECAR_CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "args": ["run"],
        "env": _environment(profile, request, service, model_container, grace_seconds),
        "ports": [{"name": names.METRICS_PORT_NAME, "containerPort": names.METRICS_PORT, "protocol": "TCP"}],
        # Started when counters are restored and receivers listen; a minute for a large journal after a crash.
        "startupProbe": _probe("/startupz", periodSeconds=1, failureThreshold=120),
        "livenessProbe": _probe("/livez", periodSeconds=10, failureThreshold=6),
        "resources": dict(profile.resources),
        "securityContext": security_context(),
        "volumeMounts": _mounts(profile, request),
    }
    if profile.native:
        container["restartPolicy"] = "Always"
    return container


def _probe(path: str, **numbers: int) -> Object:
    return {"httpGet": {"path": path, "port": names.METRICS_PORT}, "timeoutSeconds": 5, **numbers}


def security_context() -> Object:
    """Nobody's user, no capability, nothing to write to but volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": names.USER_ID,
        "runAsGroup": names.USER_ID,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _environment(
    profile: Profile, request: Request, service: str, model_container: str, grace_seconds: object
) -> list[Object]:
    grace = grace_seconds if isinstance(grace_seconds, int) else _DEFAULT_GRACE_SECONDS
    values = {
        "OTEL_SERVICE_NAME": service,
        "K8S_CONTAINER_NAME": model_container,
        "SIDECAR_CONFIG": names.CONFIG_FILE if request.config_map or profile.config_map else "",
        "SIDECAR_JOURNAL__PATH": f"{names.DATA_PATH}/journal",
        "SIDECAR_JOURNAL__QUOTA_BYTES": write_size(profile.data_size // 2),
        "SIDECAR_JOURNAL__DEAD_LETTERS__MAX_BYTES": write_size(profile.data_size // 16),
        "SIDECAR_DELIVER__STORE__MAX_BYTES": write_size(profile.data_size // 8),
        "SIDECAR_SHUTDOWN__TIMEOUT": f"{max(1, grace - STOP_MARGIN_SECONDS)}s",
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": f"{names.LOG_PATH}/**/*.{{log,jsonl}}" if request.logs else "",
        "SIDECAR_DERIVE__DRIFT__REFERENCE": names.REFERENCE_PATH if request.references else "",
        "SIDECAR_DERIVE__DRIFT__SUITES": names.SUITE_PATH if request.suites else "",
        "TMPDIR": names.DATA_PATH,
    }
    own = {item["name"] for item in profile.env}
    made = [{"name": name, "value": escape(value)} for name, value in values.items() if value and name not in own]
    return [*from_fields({n: p for n, p in _FIELDS.items() if n not in own}), *made, *map(dict, profile.env)]


def escape(value: str) -> str:
    """A value that Kubernetes leaves as it is: `$(NAME)` would be replaced."""
    return value.replace("$(", "$$(")


def _mounts(profile: Profile, request: Request) -> list[Object]:
    data: Object = {"name": names.DATA_VOLUME, "mountPath": names.DATA_PATH}
    read = (
        (request.config_map or profile.config_map, names.CONFIG_VOLUME, names.CONFIG_PATH),
        (profile.secret, names.SECRET_VOLUME, names.SECRET_PATH),
        (request.references, names.REFERENCE_VOLUME, names.REFERENCE_PATH),
        (request.suites, names.SUITE_VOLUME, names.SUITE_PATH),
    )
    return [data, *({"name": name, "mountPath": path, "readOnly": True} for source, name, path in read if source)]


def bundle_container(profile: Profile) -> Object:
    """Copies the instrumentation to a volume, and ends."""
    return {
        "name": names.BUNDLE_CONTAINER,
        "image": profile.bundle_image,
        "imagePullPolicy": profile.image_pull_policy,
        "command": ["cp", "-r", f"{names.BUNDLE_SOURCE}/.", names.BUNDLE_PATH],
        "resources": dict(profile.bundle_resources),
        "securityContext": security_context(),
        "volumeMounts": [{"name": names.BUNDLE_VOLUME, "mountPath": names.BUNDLE_PATH}],
    }


def volumes(profile: Profile, request: Request) -> list[Object]:
    """Volumes of the sidecar and the bundle; that of log files is the model's affair (`model_container.py`)."""
    made: list[Object] = [
        {"name": names.DATA_VOLUME, "emptyDir": {"sizeLimit": write_size(profile.data_size).removesuffix("B")}}
    ]
    if request.instrument:
        made.append({"name": names.BUNDLE_VOLUME, "emptyDir": {"sizeLimit": _BUNDLE_LIMIT}})
    config_map = request.config_map or profile.config_map
    if config_map:
        made.append({"name": names.CONFIG_VOLUME, "configMap": {"name": config_map}})
    if profile.secret:
        made.append({"name": names.SECRET_VOLUME, "secret": {"secretName": profile.secret, "defaultMode": 0o444}})
    # Optional: what is not there yet keeps no model from starting, and is read once it is there.
    later = ((names.REFERENCE_VOLUME, request.references), (names.SUITE_VOLUME, request.suites))
    made.extend({"name": name, "configMap": {"name": of, "optional": True}} for name, of in later if of)
    return made
