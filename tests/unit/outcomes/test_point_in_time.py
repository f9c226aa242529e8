"""Pages of a search: both dialects, what is tried again, and what must not pass for the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.outcomes.point_in_time import PAGE, Patient, PointInTime

QUERY: dict[str, Any] = {"match_all": {}}


class Engine:
    """Documents 0 to n - 1; a search may fail first."""

    def __init__(self, n: int, opensearch: bool = False, total: int | None = None) -> None:
        self.n, self.opensearch, self.total = n, opensearch, n if total is None else total
        self.failures: list[Reply | Unreached] = []
        self.largest = 1 << 30
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        given = json.loads(body) if body else None
        self.asked.append((method, target, given))
        if "_count" in target:
            return _ok({"_shards": {"total": 1 if self.n else 0}})
        if "/_pit?" in target and self.opensearch:
            return Reply(400, b'{"error":"no handler found for uri [/_pit] and method [POST]"}')
        if method == "DELETE":
            return _ok({})
        if "keep_alive=" in target:
            return _ok({"pit_id": "1"} if self.opensearch else {"id": "1"})
        return self._search(given)

    def _search(self, given: Any) -> Reply:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Unreached):
                raise failure
            return failure
        if given["size"] > self.largest:
            raise Unreached("too_large", "reply of more than that")
        begin = given.get("search_after", [-1])[0] + 1
        hits = [{"_id": str(n), "sort": [n]} for n in range(begin, min(self.n, begin + given["size"]))]
        return _ok({"pit_id": f"{begin + 2}", "hits": {"total": {"value": self.total}, "hits": hits}})


def _ok(body: Any) -> Reply:
    return Reply(200, json.dumps(body).encode())


def read(request: Callable[[str, str, bytes | None], Reply]) -> list[str]:
    with PointInTime(request, "logs-*") as documents:
        return [hit["_id"] for hits in documents.pages(QUERY, [{"@timestamp": "asc"}], {}) for hit in hits]


@pytest.mark.parametrize("opensearch", [False, True])
def test_every_document_once(opensearch: bool) -> None:
    engine = Engine(2 * PAGE + 3, opensearch)
    assert read(engine) == [str(n) for n in range(2 * PAGE + 3)]
    searches = [body for _, target, body in engine.asked if target.startswith("/_search?")]
    assert [body["track_total_hits"] for body in searches] == [True, False, False]
    assert [body["pit"]["id"] for body in searches] == ["1", "2", str(PAGE + 2)]
    assert ({"_id": "asc"} in searches[0]["sort"]) is opensearch
    method, target, body = engine.asked[-1]
    assert method == "DELETE"
    expected = (
        ("/_search/point_in_time", {"pit_id": [f"{2 * PAGE + 2}"]})
        if opensearch
        else ("/_pit", {"id": f"{2 * PAGE + 2}"})
    )
    assert (target, body) == expected


def test_no_index_is_no_document() -> None:
    engine = Engine(0)
    assert read(engine) == []
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "reply", [Reply(404, b"not found"), Reply(404, b'{"message": "no"}'), _ok({"status": "up"}), _ok([])]
)
def test_what_is_no_engine_is_not_one_without_documents(reply: Reply) -> None:
    with pytest.raises(Permanent, match="expected Elasticsearch or OpenSearch"):
        read(lambda *_: reply)


def test_what_is_not_the_whole_is_refused() -> None:
    with pytest.raises(Permanent, match="10 of 12 documents"):
        read(Engine(10, total=12))


def test_a_point_in_time_that_is_gone_is_said_and_closed() -> None:
    engine = Engine(10)
    engine.failures = [Reply(404, b'{"error":{"reason":"gone"}}')]
    with pytest.raises(Permanent, match="run it again"):
        read(engine)
    assert engine.asked[-1][0] == "DELETE"


def test_pages_that_are_too_large_become_smaller() -> None:
    engine = Engine(50)
    engine.largest = 20
    assert read(engine) == [str(n) for n in range(50)]


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


def test_a_search_goes_on_where_it_was_after_the_engine_was_away() -> None:
    engine, time = Engine(30), Time()
    engine.failures = [
        Unreached("unreachable", "refused"),
        Reply(429, b"{}"),
        Reply(503, b"{}"),
        Reply(429, b"{}", 3.0),
    ]
    assert len(read(Patient(engine, 60, time.clock, time.sleep))) == 30
    assert time.now >= 3.0


@pytest.mark.parametrize("failure", [Unreached("timeout", "late"), Reply(503, b'{"error":{"reason":"no shard"}}')])
def test_it_gives_up_in_the_end_with_the_reason(failure: Any) -> None:
    engine, time = Engine(30), Time()
    engine.failures = [failure] * 10_000
    with pytest.raises(Unreached, match=r"timeout|busy"):
        read(Patient(engine, 60, time.clock, time.sleep))
    assert time.now <= 60


def test_what_no_waiting_helps_is_not_tried_again() -> None:
    engine, time = Engine(30), Time()
    engine.failures = [Reply(401, b"{}")]
    with pytest.raises(Permanent, match="credentials"):
        read(Patient(engine, 60, time.clock, time.sleep))
    engine.failures = [Unreached("tls", "unknown authority")]
    with pytest.raises(Unreached, match="tls"):
        read(Patient(engine, 60, time.clock, time.sleep))
    assert time.now == 0
