"""Whose lines those are that name no service."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sidecar.receive.resource_resolver import FORGET_AFTER_NS, LEARN_EVERY_NS, MAX_SERVICES, ResourceResolver


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


def resolved(resolver: ResourceResolver, container: str = "") -> dict[str, str]:
    resource = Resource.FromString(resolver.anonymous(container))
    return {pair.key: pair.value.string_value for pair in resource.attributes}


SCORER: dict[str, str | int] = {
    "service.name": "scorer",
    "service.version": "2",
    "process.pid": 7,
    "telemetry.sdk.name": "x",
}
PROXY: dict[str, str | int] = {"service.name": "proxy", "k8s.container.name": "envoy"}


def test_nobody_before_the_first_span() -> None:
    assert resolved(ResourceResolver(Clock(), {})) == {}


def test_the_one_service_that_sends_spans() -> None:
    resolver = ResourceResolver(Clock(), {})
    resolver.learn(spans(SCORER))
    assert resolved(resolver) == {"service.name": "scorer", "service.version": "2"}


def test_no_guess_between_several_but_by_the_container() -> None:
    resolver = ResourceResolver(Clock(), {})
    resolver.learn(spans(SCORER, PROXY))
    assert resolved(resolver) == {}
    assert resolved(resolver, "envoy") == {"service.name": "proxy", "k8s.container.name": "envoy"}
    assert resolved(resolver, "model") == {}


def test_a_service_that_is_silent_is_forgotten() -> None:
    clock = Clock()
    resolver = ResourceResolver(clock, {})
    resolver.learn(spans(PROXY))
    clock.now += FORGET_AFTER_NS // 2
    resolver.learn(spans(SCORER))
    assert resolved(resolver) == {}
    clock.now += FORGET_AFTER_NS // 2
    assert resolved(resolver)["service.name"] == "scorer"
    clock.now += FORGET_AFTER_NS
    assert resolved(resolver) == {}


def test_it_looks_once_a_second_and_survives_a_clock_that_goes_back() -> None:
    clock = Clock()
    resolver = ResourceResolver(clock, {})
    resolver.learn(spans(SCORER))
    resolver.learn(spans(PROXY))
    assert resolved(resolver)["service.name"] == "scorer"
    clock.now += LEARN_EVERY_NS
    resolver.learn(spans(PROXY))
    assert resolved(resolver) == {}
    clock.now -= 10 * LEARN_EVERY_NS
    resolver.learn(spans({"service.name": "third", "k8s.container.name": "c"}))
    assert resolved(resolver, "c")["service.name"] == "third"


def test_what_is_set_comes_first() -> None:
    resolver = ResourceResolver(Clock(), {"service.name": "set", "team": "ml"})
    resolver.learn(spans(SCORER))
    assert resolved(resolver) == {"service.name": "set", "service.version": "2", "team": "ml"}
    assert resolved(ResourceResolver(Clock(), {}, learn=False)) == {}


def test_names_that_say_nothing_and_too_many() -> None:
    clock = Clock()
    resolver = ResourceResolver(clock, {})
    resolver.learn(spans({"service.name": "unknown_service:python"}, {}, {"service.name": 5}, {"service.name": ""}))
    assert resolved(resolver) == {}
    clock.now += LEARN_EVERY_NS
    resolver.learn(spans(*({"service.name": f"s{n}", "k8s.container.name": f"c{n}"} for n in range(2 * MAX_SERVICES))))
    assert resolved(resolver, f"c{MAX_SERVICES - 1}")
    assert resolved(resolver, f"c{MAX_SERVICES}") == {}
