from __future__ import annotations

from sidecar.derive.families import Points
from sidecar.derive.target_info import Targets, job_and_instance


def texts(targets: Targets) -> list[str]:
    block = targets.snapshot().blocks[0]
    assert isinstance(block, Points)
    return list(block.labels)


def resource(name: str, **others: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"service.name": name, **{k.replace("__", "."): v for k, v in others.items()}}.items()))


def test_job_and_instance() -> None:
    assert job_and_instance(resource("a", service__namespace="n", service__instance__id="i")) == ("n/a", "i")
    assert job_and_instance(resource("a")) == ("a", "")
    assert job_and_instance(()) == ("unknown_service", "")


def test_the_latest_attributes_of_an_instance_count() -> None:
    targets = Targets(10)
    targets.see([resource("a", service__instance__id="i", service__version="1")], 5)
    targets.see([resource("a", service__instance__id="i", service__version="2")], 6)
    assert texts(targets) == ['job="a",instance="i",service_version="2"']
    targets.see([resource("a", service__instance__id="i", service__version="1")], 7)
    assert texts(targets) == ['job="a",instance="i",service_version="1"']


def test_pods_without_instance_ids_do_not_take_turns() -> None:
    targets = Targets(10)
    targets.see([resource("a", pod="p1"), resource("a", pod="p2"), resource("a", pod="p1")], 5)
    assert texts(targets) == ['job="a",pod="p1"']


def test_a_resource_attribute_named_job_does_not_give_the_label_twice() -> None:
    targets = Targets(10)
    targets.see([resource("a", job="x")], 5)
    assert texts(targets) == ['job="a",resource_job="x"']


def test_at_most_the_budget() -> None:
    targets = Targets(3)
    targets.see([resource(f"s{i}") for i in range(1000)], 5)
    assert len(targets) == 3
    assert targets.overflowed == 997


def test_kept_and_taken_over_again_and_written_only_when_changed() -> None:
    targets = Targets(10)
    targets.see([resource("a", v="1"), resource("b")], 5)
    state = {k: v for k, v in targets.checkpoint() if v is not None}
    assert len(state) == 2
    targets.see([resource("a", v="1")], 6)
    assert list(targets.checkpoint()) == []
    again = Targets(10)
    assert again.restore({**state, b"other": b""}) == set(state)
    assert texts(again) == texts(targets)
    again.expire(100, ttl=0)
    assert sorted(k for k, v in again.checkpoint() if v is None) == sorted(state)
    assert len(again) == 0


def test_one_still_in_use_is_written_again_before_it_would_expire() -> None:
    targets = Targets(10)
    targets.see([resource("a")], 5)
    list(targets.checkpoint())
    targets.see([resource("a")], 5 + 601 * 10**9)
    assert len(list(targets.checkpoint())) == 1
