"""Whose lines those are that name no service."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sidecar.receive.resource_resolver import FORGET_AFTER_NS, LEARN_EVERY_NS, MAX_SERVICES, Neighbours


def spans(*resources: dict[str, str | int]) -> bytes:
    request = ExportTraceServiceRequest()
    for attributes in resources:
        resource = request.resource_spans.add().resource
        for key, value in attributes.items():
            into = resource.attributes.add(key=key).value
            if isinstance(value, str):
                into.string_value = value
            else:
                into.int_value = value
    return request.SerializeToString()


class Clock:
    now = 10**18

    def __call__(self) -> int:
        return self.now


def said(neighbours: Neighbours, container: str = "") -> dict[str, str]:
    resource = Resource.FromString(neighbours.anonymous(container))
    return {pair.key: pair.value.string_value for pair in resource.attributes}


SCORER: dict[str, str | int] = {
    "service.name": "scorer",
    "service.version": "2",
    "process.pid": 7,
    "telemetry.sdk.name": "x",
}
PROXY: dict[str, str | int] = {"service.name": "proxy", "k8s.container.name": "envoy"}


def test_nobody_before_the_first_span() -> None:
    assert said(Neighbours(Clock(), {})) == {}


def test_the_one_service_that_sends_spans() -> None:
    neighbours = Neighbours(Clock(), {})
    neighbours.learn(spans(SCORER))
    assert said(neighbours) == {"service.name": "scorer", "service.version": "2"}


def test_no_guess_between_several_but_by_the_container() -> None:
    neighbours = Neighbours(Clock(), {})
    neighbours.learn(spans(SCORER, PROXY))
    assert said(neighbours) == {}
    assert said(neighbours, "envoy") == {"service.name": "proxy", "k8s.container.name": "envoy"}
    assert said(neighbours, "model") == {}


def test_a_service_that_is_silent_is_forgotten() -> None:
    clock = Clock()
    neighbours = Neighbours(clock, {})
    neighbours.learn(spans(PROXY))
    clock.now += FORGET_AFTER_NS // 2
    neighbours.learn(spans(SCORER))
    assert said(neighbours) == {}
    clock.now += FORGET_AFTER_NS // 2
    assert said(neighbours)["service.name"] == "scorer"
    clock.now += FORGET_AFTER_NS
    assert said(neighbours) == {}


def test_it_looks_once_a_second_and_survives_a_clock_that_goes_back() -> None:
    clock = Clock()
    neighbours = Neighbours(clock, {})
    neighbours.learn(spans(SCORER))
    neighbours.learn(spans(PROXY))
    assert said(neighbours)["service.name"] == "scorer"
    clock.now += LEARN_EVERY_NS
    neighbours.learn(spans(PROXY))
    assert said(neighbours) == {}
    clock.now -= 10 * LEARN_EVERY_NS
    neighbours.learn(spans({"service.name": "third", "k8s.container.name": "c"}))
    assert said(neighbours, "c")["service.name"] == "third"


def test_what_is_set_comes_first() -> None:
    neighbours = Neighbours(Clock(), {"service.name": "set", "team": "ml"})
    neighbours.learn(spans(SCORER))
    assert said(neighbours) == {"service.name": "set", "service.version": "2", "team": "ml"}
    assert said(Neighbours(Clock(), {}, learn=False)) == {}


def test_names_that_say_nothing_and_too_many() -> None:
    clock = Clock()
    neighbours = Neighbours(clock, {})
    neighbours.learn(spans({"service.name": "unknown_service:python"}, {}, {"service.name": 5}, {"service.name": ""}))
    assert said(neighbours) == {}
    clock.now += LEARN_EVERY_NS
    neighbours.learn(
        spans(*({"service.name": f"s{n}", "k8s.container.name": f"c{n}"} for n in range(2 * MAX_SERVICES)))
    )
    assert said(neighbours, f"c{MAX_SERVICES - 1}")
    assert said(neighbours, f"c{MAX_SERVICES}") == {}
