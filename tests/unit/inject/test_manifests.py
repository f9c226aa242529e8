"""Manifests as people keep them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sidecar.inject.manifests import patch
from sidecar.inject.not_injected import CannotInject
from sidecar.inject.profile import Profile

PROFILE = Profile()
TEMPLATE = {"metadata": {"labels": {"app": "m"}}, "spec": {"containers": [{"name": "model", "image": "m:1"}]}}
WORKLOADS: dict[str, Any] = {
    "Deployment": {"replicas": 2, "selector": {"matchLabels": {"app": "m"}}, "template": TEMPLATE},
    "StatefulSet": {"serviceName": "m", "selector": {"matchLabels": {"app": "m"}}, "template": TEMPLATE},
    "DaemonSet": {"selector": {"matchLabels": {"app": "m"}}, "template": TEMPLATE},
    "Job": {"backoffLimit": 0, "template": TEMPLATE},
    "CronJob": {"schedule": "@daily", "jobTemplate": {"spec": {"template": TEMPLATE}}},
    "Pod": TEMPLATE["spec"],
}


def workload(kind: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "churn", **metadata}, "spec": WORKLOADS[kind]}


def patched(*documents: Any) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(patch(yaml.safe_dump_all(documents), PROFILE).text))


@pytest.mark.parametrize("kind", WORKLOADS)
def test_workloads_of_each_kind_are_injected_and_named_after_themselves(kind: str) -> None:
    (made,) = patched(workload(kind))
    names = set(find(made, "name"))
    assert {"model", "model-sidecar", "model-sidecar-bundle"} <= names
    assert "churn" in find(made, "value"), "service.name"
    assert made["metadata"]["name"] == "churn"
    assert patched(made) == [made], "twice is once"


def find(value: Any, key: str) -> list[Any]:
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == key] + [f for v in value.values() for f in find(v, key)]
    return [f for item in value for f in find(item, key)] if isinstance(value, list) else []


def test_other_objects_lists_and_the_order_stay() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn"}, "spec": {"ports": [{"port": 80}]}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [service, workload("Deployment")]}
    first, second = patched(service, listed)
    assert first == service
    assert second["items"][0] == service
    assert "model-sidecar" in find(second["items"][1], "name")


def test_json_is_read_too() -> None:
    assert "model-sidecar" in find(yaml.safe_load(patch(json.dumps(workload("Pod")), PROFILE).text), "name")


def test_one_that_declines_is_left_and_said_so() -> None:
    declined = workload("Pod", annotations={"model-sidecar/inject": "false"})
    result = patch(yaml.safe_dump(declined), PROFILE)
    assert yaml.safe_load(result.text) == declined
    assert result.notes == ("Pod churn: left as it is: not asked for",)


@pytest.mark.parametrize("kind", ["InferenceService", "SeldonDeployment"])
def test_objects_of_operators_are_left_for_the_webhook(kind: str) -> None:
    document = {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "churn"}, "spec": {}}
    result = patch(yaml.safe_dump(document), PROFILE)
    assert yaml.safe_load(result.text) == document
    assert "injected by the webhook" in result.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing in it"),
        ("---\n---\n", "nothing in it"),
        ("a: [", "invalid YAML"),
        ("just text", "without `kind`"),
        ("- 1", "without `kind`"),
        ("kind: 7", "without `kind`"),
        ("kind: Deployment\nmetadata: {name: m}\nspec: 7", "Deployment m: invalid Deployment m: spec"),
        ("kind: Deployment\nmetadata: {name: m}", "Deployment m: invalid spec.containers"),
        ("kind: Pod\nspec: {hostNetwork: true, containers: [{name: m}]}", r"Pod \(without a name\): the pod uses"),
        ("kind: List\nitems: [1]", "invalid items"),
    ],
)
def test_what_cannot_be_injected_is_named_and_nothing_is_printed(text: str, message: str) -> None:
    with pytest.raises(CannotInject, match=message):
        patch(text, PROFILE)
