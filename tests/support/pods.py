"""Pods as the API server shows them to a webhook: of every kind of workload, and random ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Pod = dict[str, Any]


def pod(*containers: Pod, annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    """A pod that asks for the sidecar."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "fraud-0",
            "namespace": "shop",
            "annotations": {"model-sidecar/inject": "true", **(annotations or {})},
            "labels": {"app": "fraud"},
        },
        "spec": {"containers": list(containers) or [{"name": "model", "image": "fraud:1"}], **spec},
    }


def owned(kind: str, name: str, labels: dict[str, str], **more: Any) -> Pod:
    """A pod that a controller made: it has a `generateName` and no name yet."""
    made = pod(**more)
    made["metadata"] = {
        **made["metadata"],
        "generateName": f"{name}-",
        "labels": labels,
        "ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": True}],
    }
    del made["metadata"]["name"]
    return made


def _kserve() -> Pod:
    labels = {
        "serving.kserve.io/inferenceservice": "churn",
        "component": "predictor",
        "pod-template-hash": "77c6d8d9b",
    }
    made = owned("ReplicaSet", "churn-predictor-77c6d8d9b", labels)
    made["metadata"]["annotations"] |= {
        "internal.serving.kserve.io/storage-initializer-sourceuri": "gs://models/churn",
        "prometheus.kserve.io/port": "8080",
    }
    made["spec"] = {
        "initContainers": [
            {
                "name": "storage-initializer",
                "image": "kserve/storage-initializer:v0.15",
                "args": ["gs://models/churn", "/mnt/models"],
                "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
            }
        ],
        "containers": [
            {"name": "queue-proxy", "image": "knative/queue:v1", "ports": [{"containerPort": 8012}]},
            {
                "name": "kserve-container",
                "image": "kserve/sklearnserver:v0.15",
                "args": ["--model_name=churn", "--model_dir=/mnt/models"],
                "env": [{"name": "PORT", "value": "8080"}],
                "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models", "readOnly": True}],
            },
        ],
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
    }
    return made


def _seldon() -> Pod:
    labels = {"seldon-deployment-id": "ranker", "app": "ranker-default-0-classifier", "pod-template-hash": "5d7c"}
    made = owned("ReplicaSet", "ranker-default-0-classifier-5d7c", labels)
    made["spec"] = {
        "containers": [
            {"name": "seldon-container-engine", "image": "seldonio/engine:1.18", "ports": [{"containerPort": 8000}]},
            {"name": "classifier", "image": "ranker:3", "env": [{"name": "PREDICTIVE_UNIT_ID", "value": "classifier"}]},
        ],
        "terminationGracePeriodSeconds": 20,
    }
    return made


WORKLOADS: dict[str, tuple[Pod, str, str]] = {
    "deployment": (
        owned("ReplicaSet", "fraud-5d9f7c6b8", {"app": "fraud", "pod-template-hash": "5d9f7c6b8"}),
        "fraud",
        "k8s.deployment.name=fraud",
    ),
    "bare replica set": (owned("ReplicaSet", "fraud-v2", {"app": "fraud"}), "fraud-v2", "k8s.replicaset.name=fraud-v2"),
    "stateful set": (owned("StatefulSet", "ranker", {"app": "ranker"}), "ranker", "k8s.statefulset.name=ranker"),
    "daemon set": (owned("DaemonSet", "edge", {"app": "edge"}), "edge", "k8s.daemonset.name=edge"),
    "job": (
        owned("Job", "score-all", {"batch.kubernetes.io/job-name": "score-all"}, restartPolicy="Never"),
        "score-all",
        "k8s.job.name=score-all",
    ),
    "scheduled job": (
        owned("Job", "nightly-28912345", {"job-name": "nightly-28912345"}, restartPolicy="OnFailure"),
        "nightly",
        "k8s.cronjob.name=nightly",
    ),
    "pod of its own": (pod(), "fraud-0", "k8s.container.name=model"),
    "KServe": (_kserve(), "churn", "k8s.deployment.name=churn-predictor"),
    "Seldon": (_seldon(), "ranker", "k8s.deployment.name=ranker-default-0-classifier"),
}
"""What it is -> (pod, the service's name, a resource attribute)."""

_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}[a-z0-9]", fullmatch=True)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
_ENV_NAMES = st.sampled_from(
    ["PYTHONPATH", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "K8S_POD_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "A"]
)
_ENV = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": _ENV_NAMES}, optional={"value": _TEXTS}),
        st.fixed_dictionaries(
            {"name": _ENV_NAMES, "valueFrom": st.just({"configMapKeyRef": {"name": "c", "key": "k"}})}
        ),
    ),
    max_size=5,
    unique_by=lambda item: item["name"],
)
_PATHS = ("/data", "/var/log/app", "/var/log/app/", "/model-sidecar", "/")
_MOUNTS = st.lists(
    st.builds(lambda name, path: {"name": name, "mountPath": path}, st.sampled_from("vw"), st.sampled_from(_PATHS)),
    max_size=3,
    unique_by=lambda item: item["mountPath"],
)
_PORTS = st.lists(st.fixed_dictionaries({"containerPort": st.sampled_from([80, 8080, 9464, 4317])}), max_size=2)
_ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "model-sidecar/inject": st.sampled_from(["true", "false", "yes", ""]),
        "model-sidecar/container": st.sampled_from(["model", "m", "a,b", ""]),
        "model-sidecar/model": _TEXTS,
        "model-sidecar/capture": st.sampled_from(["features", "none", "all"]),
        "model-sidecar/logs": st.sampled_from(["/var/log/app", "relative", "/"]),
        "model-sidecar/instrument": st.sampled_from(["true", "false"]),
        "model-sidecar/python-path": st.sampled_from(["/app", "$(X)"]),
        "model-sidecar/config": _NAMES,
        "model-sidecar/injected": st.just("0.0.1"),
        "model-sidecar/typo": _TEXTS,
        "prometheus.io/port": st.just("80"),
    },
)


def _container(name: st.SearchStrategy[str]) -> st.SearchStrategy[Pod]:
    absent = st.none()
    return st.fixed_dictionaries(
        {"name": name, "image": st.just("i:1")},
        optional={
            "env": _ENV | absent,
            "volumeMounts": _MOUNTS | absent,
            "ports": _PORTS | absent,
            "envFrom": st.just([{"configMapRef": {"name": "c"}}]),
        },
    )


def _containers(smallest: int) -> st.SearchStrategy[list[Pod]]:
    name = st.one_of(st.sampled_from(["model", "istio-proxy", "kserve-container", "model-sidecar"]), _NAMES)
    return st.lists(_container(name), min_size=smallest, max_size=3, unique_by=lambda item: item["name"])


def random_pods() -> st.SearchStrategy[Pod]:
    """Pods that the API server could show, with what gets in the way: taken names and ports, wrong annotations."""
    spec = st.fixed_dictionaries(
        {"containers": _containers(1)},
        optional={
            "initContainers": _containers(0) | st.none(),
            "volumes": st.lists(
                st.builds(lambda n: {"name": n, "emptyDir": {}}, st.sampled_from(["v", "w", "model-sidecar-data"])),
                unique_by=lambda item: item["name"],
            )
            | st.none(),
            "hostNetwork": st.booleans(),
            "restartPolicy": st.sampled_from(["Always", "Never", "OnFailure"]),
            "terminationGracePeriodSeconds": st.integers(0, 600),
            "imagePullSecrets": st.just([{"name": "s"}]) | st.none(),
            "os": st.sampled_from([{"name": "windows"}, {"name": "linux"}]),
        },
    )
    labels = st.dictionaries(st.sampled_from(["app", "pod-template-hash"]), _NAMES) | st.none()
    metadata = st.fixed_dictionaries(
        {}, optional={"name": _NAMES, "generateName": _NAMES, "annotations": _ANNOTATIONS | st.none(), "labels": labels}
    )
    return st.builds(
        lambda m, s: {"apiVersion": "v1", "kind": "Pod", "metadata": m, "spec": s}, metadata, spec.filter(_names_differ)
    )


def _names_differ(spec: Pod) -> bool:
    listed = [c["name"] for c in [*(spec.get("initContainers") or ()), *spec["containers"]]]
    return len(set(listed)) == len(listed)
