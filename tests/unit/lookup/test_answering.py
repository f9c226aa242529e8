"""Limits of look-ups: time, range, how many at a time; what a failure looks like in each API."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import Response
from support.looking_up import Asker

from sidecar.lookup.answering import BadRequest, Desk, Failure, full_trace_id, parse_duration
from sidecar.lookup.model import Span, Trace
from sidecar.lookup.search import Search, search
from sidecar.lookup.settings import LookupOptions
from sidecar.lookup.store import MAX_SPANS, Deadline, LookupTimeout, Needs, Operation, StoreFailure, Term, Window
from sidecar.lookup.traceql.evaluate import SpanSet


class FakeStore:
    """A store of endless traces whose clock moves by a second with each that is read; it can fail."""

    def __init__(self) -> None:
        self.now = 0.0
        self.failure: Exception | None = None

    def traces(self, trace_ids: Sequence[str], deadline: Deadline, limit: int = MAX_SPANS) -> list[Trace]:
        self._fail()
        found = []
        for trace_id in trace_ids:
            self.now += 1
            deadline.check()
            span = Span(trace_id, "1" * 16, "", "x", "Server", int(trace_id, 16), 1, "Unset", "", "shop")
            found.append(Trace(trace_id, [span]))
        return found

    def candidates(
        self, needs: Sequence[Needs], window: Window, deadline: Deadline, companions: Sequence[Needs] = ()
    ) -> Iterator[Sequence[str]]:
        self._fail()
        number = 1
        while True:
            yield [f"{n:032x}" for n in range(number, number + 10)]
            number += 10

    def spans(self, needs: Sequence[Needs], window: Window, deadline: Deadline) -> Iterator[Sequence[Span]]:
        self._fail()
        return iter(())

    def services(self, deadline: Deadline) -> list[str]:
        self._fail()
        return ["shop"]

    def operations(self, service: str, deadline: Deadline) -> list[Operation]:
        self._fail()
        return []

    def tag_names(self, window: Window, deadline: Deadline) -> dict[str, list[str]]:
        self._fail()
        return {}

    def tag_values(
        self, term: Term, needs: Sequence[Needs], window: Window, limit: int, deadline: Deadline
    ) -> list[Any]:
        self._fail()
        return []

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def anything(trace: Trace) -> list[SpanSet]:
    return [SpanSet(trace.spans)]


def test_a_search_whose_time_is_up_gives_what_it_has_found() -> None:
    store = FakeStore()
    found = search(store, Search((), anything, Window(0, 1 << 62), 500), Deadline(100, lambda: store.now))
    # Three batches of 32 fit; the fourth is not whole.
    assert (len(found.matches), found.complete) == (96, False)
    store.now = 0
    with pytest.raises(LookupTimeout):
        search(store, Search((), lambda trace: [], Window(0, 1 << 62), 5), Deadline(100, lambda: store.now))


def test_a_search_ends_at_its_limit() -> None:
    store = FakeStore()
    found = search(store, Search((), anything, Window(0, 1 << 62), 40), Deadline(10_000, lambda: store.now))
    assert (len(found.matches), found.complete, found.inspected) == (40, True, 64)


TARGETS = [
    "/api/services", "/api/operations?service=a", "/api/traces/1", "/api/traces?service=a", "/api/dependencies",
    "/api/v3/services", "/api/v3/traces/1", "/tempo/api/traces/1", "/tempo/api/v2/traces/1",
    "/tempo/api/search?q=%7B%7D",
    "/tempo/api/search/tags", "/tempo/api/v2/search/tag/.a/values", "/tempo/api/metrics/query_range?q=%7B%7D%7Crate()",
    "/lookup/traces", "/lookup/traces/1",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("failure", "status"), [(StoreFailure("the disk is away"), 502), (LookupTimeout("it took too long"), 504)]
)
def test_a_failure_is_said_in_the_words_of_each_api(target: str, failure: Exception, status: int) -> None:
    store = FakeStore()
    store.failure = failure
    answer = Asker(store).get(target)
    assert answer.status == status
    assert str(failure) in answer.body.decode()
    if target.startswith("/api/v3"):
        assert answer.json == {"error": {"httpCode": status, "message": str(failure)}}
    elif target.startswith("/api/"):
        assert answer.json["errors"] == [{"code": status, "msg": str(failure)}]


def test_look_ups_wait_for_their_turn_and_no_longer() -> None:
    desk = Desk(FakeStore(), LookupOptions(max_concurrency=1, timeout=0.2))
    busy = threading.Event()

    def slow(deadline: Deadline) -> Response:
        busy.wait(10)
        return Response("slow")

    def failed(failure: Failure) -> Response:
        return Response(failure.message, failure.status)

    async def both() -> tuple[Response, Response]:
        first = asyncio.create_task(desk.answer(slow, failed))
        await asyncio.sleep(0)
        second = await desk.answer(lambda deadline: Response("quick"), failed)
        busy.set()
        return await first, second

    first, second = asyncio.run(both())
    assert (first.body, second.status_code) == (b"slow", 503)


def test_time_ranges_are_bounded() -> None:
    desk = Desk(FakeStore(), LookupOptions(max_range=60), lambda: 1_000 * 10**9)
    assert desk.window(None, None, 10 * 10**9) == Window(990 * 10**9, 1_000 * 10**9)
    assert desk.window(950 * 10**9, None) == Window(950 * 10**9, 1_000 * 10**9)
    for start, end in ((900, 1_000), (1_000, 999), (None, 1_000)):
        with pytest.raises(BadRequest, match="invalid time range"):
            desk.window(None if start is None else start * 10**9, end * 10**9)


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("given", ["x", "-1", "1e9", "9" * 40, "1.2.3", "%00"])
def test_a_time_that_is_none_is_400(name: str, given: str) -> None:
    for target in ("/api/traces?service=a", "/tempo/api/search?q=%7B%7D", "/lookup/traces?limit=1"):
        assert Asker(FakeStore()).get(f"{target}&{name}={given}").status == 400


def test_trace_ids() -> None:
    assert full_trace_id("AB") == "0" * 30 + "ab"
    for wrong in ("", "0", "0" * 32, "g", "1" * 33, "../x"):
        with pytest.raises(BadRequest):
            full_trace_id(wrong)


def test_durations() -> None:
    assert [parse_duration("x", t) for t in ("1s", "1.5ms", "1m30s", "2us", "7ns")] == [
        10**9, 1_500_000, 90 * 10**9, 2_000, 7,
    ]  # fmt: skip
    for wrong in ("", "1", "s", "1d", "1s ", "-1s", "1" * 50 + "s"):
        with pytest.raises(BadRequest):
            parse_duration("x", wrong)


def test_answers_are_json_that_no_browser_runs() -> None:
    answer = Asker(FakeStore()).get("/api/traces/%3Cscript%3E")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(answer.body)["data"] is None
    wrong = Asker(FakeStore()).get("/tempo/api/search?q=%3Cscript%3E")
    assert (wrong.headers["content-type"], wrong.headers["x-content-type-options"]) == (
        "text/plain; charset=utf-8",
        "nosniff",
    )
