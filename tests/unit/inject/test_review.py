"""AdmissionReview v1: requests as an API server sends them, patches as it applies them."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from support.pods import WORKLOADS, pod, random_pods

from sidecar.inject.pod import inject
from sidecar.inject.profile import Profile
from sidecar.inject.review import InvalidReview, answer

PROFILE = Profile()


def review(made: Any, **request: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": made,
            "dryRun": False,
            **request,
        },
    }


def applied(made: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """RFC 6902, as far as it is used: `add` of object members. A parent that is missing is an error there."""
    result = copy.deepcopy(made)
    for operation in json.loads(base64.b64decode(response["patch"])):
        assert operation["op"] == "add"
        _, section, part = operation["path"].split("/")
        result[section][part] = operation["value"]
    return result


@pytest.mark.parametrize("kind", WORKLOADS)
def test_the_patch_makes_the_pod_that_inject_makes(kind: str) -> None:
    made = WORKLOADS[kind][0]
    decision = answer(review(made), PROFILE, by_default=False)
    response = decision.body["response"]
    assert (response["uid"], response["allowed"]) == ("705ab4f5-6393-11e8-b7cc-42010a800002", True)
    assert response["patchType"] == "JSONPatch"
    once = applied(made, response)
    assert once == inject(made, PROFILE).pod
    again = answer(review(once), PROFILE, by_default=True).body["response"]
    assert "patch" not in again, "called a second time for the same pod"


@settings(max_examples=200)
@given(random_pods())
def test_every_pod_is_allowed_and_every_patch_applies(made: dict[str, Any]) -> None:
    decision = answer(review(made), PROFILE, by_default=True)
    response = decision.body["response"]
    assert response["allowed"] is True
    assert len(json.dumps(response.get("warnings", []))) < 4096
    if decision.outcome == "injected":
        assert applied(made, response) == inject(made, PROFILE, by_default=True).pod
    else:
        assert "patch" not in response


def test_a_pod_that_cannot_be_injected_is_made_without_and_the_user_is_warned() -> None:
    decision = answer(review(pod(hostNetwork=True)), PROFILE, by_default=False)
    assert decision.outcome == "refused"
    assert decision.body["response"]["allowed"] is True
    (warning,) = decision.body["response"]["warnings"]
    assert warning.startswith("model-sidecar: not injected: the pod uses the host's network")


@pytest.mark.parametrize(
    ("request_part", "reason"),
    [
        ({"namespace": "kube-system"}, "an excluded namespace"),
        ({"operation": "UPDATE"}, "only new pods are injected"),
        ({"subResource": "ephemeralcontainers"}, "only new pods are injected"),
        ({"kind": {"kind": "Node"}}, "not a pod"),
        ({"object": None}, "not a pod"),
        ({"object": pod(annotations={"model-sidecar/inject": "false"})}, "not asked for"),
    ],
)
def test_what_is_left_is_allowed_without_a_patch(request_part: dict[str, Any], reason: str) -> None:
    decision = answer(review(pod(), **request_part), PROFILE, by_default=False)
    assert (decision.outcome, decision.reason) == ("left", reason)
    assert decision.body["response"] == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"kind": "Pod"},
        {**review(pod()), "apiVersion": "admission.k8s.io/v1beta1"},
        {**review(pod()), "request": None},
        {**review(pod()), "request": {"uid": 7}},
    ],
)
def test_what_is_no_review_of_version_1_is_refused(body: Any) -> None:
    with pytest.raises(InvalidReview, match="expected"):
        answer(body, PROFILE, by_default=False)
