"""Saved objects into a Kibana of a few lines, made after the published reference of its API."""

from __future__ import annotations

import pytest
from support.fake_kibana import FakeKibana

from sidecar.deliver.common.http import Reply
from sidecar.errors import Permanent
from sidecar.provision import kibana

OBJECTS = kibana.shipped()


def test_twice_is_as_once() -> None:
    fake = FakeKibana()
    assert {s.action for s in kibana.plan(fake, OBJECTS, "default", False)} == {"create"}
    assert fake.spaces[""] == {}, "a plan changes nothing"
    assert {s.action for s in kibana.load(fake, OBJECTS, "default", False)} == {"create"}
    assert fake.spaces[""].keys() == set(OBJECTS.keys)
    assert {s.action for s in kibana.plan(fake, OBJECTS, "default", False)} == {"keep"}
    assert {s.action for s in kibana.load(fake, OBJECTS, "default", False)} == {"keep"}


def test_what_was_changed_stays_unless_it_is_to_be_replaced() -> None:
    fake = FakeKibana()
    kibana.load(fake, OBJECTS, "", False)
    fake.spaces[""]["dashboard", "sidecar-logs"]["attributes"]["title"] = "mine"
    del fake.spaces[""]["search", "sidecar-predictions"]
    steps = {s.key: s.action for s in kibana.plan(fake, OBJECTS, "", False)}
    assert {k: a for k, a in steps.items() if a != "keep"} == {("search", "sidecar-predictions"): "create"}
    assert {s.key: s.action for s in kibana.load(fake, OBJECTS, "", False)} == steps
    assert fake.spaces[""]["dashboard", "sidecar-logs"]["attributes"]["title"] == "mine"
    assert {s.action for s in kibana.plan(fake, OBJECTS, "", True)} == {"update"}
    assert {s.action for s in kibana.load(fake, OBJECTS, "", True)} == {"update"}
    assert fake.spaces[""]["dashboard", "sidecar-logs"]["attributes"]["title"] == "Sidecar: logs"


def test_a_space_has_its_own() -> None:
    fake = FakeKibana()
    fake.spaces["team-a"] = {}
    kibana.load(fake, OBJECTS, "team-a", False)
    assert fake.spaces["team-a"].keys() == set(OBJECTS.keys)
    assert fake.spaces[""] == {}
    with pytest.raises(Permanent, match="HTTP 404"):
        kibana.plan(fake, OBJECTS, "nowhere", False)
    with pytest.raises(Permanent, match="invalid space"):
        kibana.plan(fake, OBJECTS, "../x", False)


def test_an_object_that_is_not_taken_is_a_failure() -> None:
    fake = FakeKibana()
    fake.refused["sidecar-logs"] = "missing_references"
    with pytest.raises(Permanent, match="dashboard sidecar-logs: missing_references"):
        kibana.load(fake, OBJECTS, "", False)


@pytest.mark.parametrize(
    ("version", "name"), [("8.11.0", "Kibana"), ("9.2.1", "Kibana"), ("3.6.0", "OpenSearch Dashboards")]
)
def test_it_is_known_which_of_the_two_it_is(version: str, name: str) -> None:
    assert str(kibana.detect(FakeKibana(version))) == f"{name} {version}"


def test_what_is_too_old_or_something_else_is_refused() -> None:
    with pytest.raises(Permanent, match="too old"):
        kibana.detect(FakeKibana("7.17.0"))
    # Kibana does not tell its version to who is not logged in.
    with pytest.raises(Permanent, match="credentials"):
        kibana.detect(lambda *_: Reply(200, b'{"status":{"overall":{"level":"available"}}}'))
    with pytest.raises(Permanent, match="HTTP 401"):
        kibana.detect(lambda *_: Reply(401, b"{}"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(405, b'{"error":"Incorrect HTTP method for uri [/api/status]","status":405}'),
        Reply(400, b'{"error":"no handler found for uri [/api/status] and method [GET]"}'),
    ],
)
def test_the_address_of_a_node_is_not_that_of_kibana(reply: Reply) -> None:
    with pytest.raises(Permanent, match=r"expected that of Kibana .*, not of a node"):
        kibana.detect(lambda *_: reply)
