"""Traces of an engine whose replies are bounded. What real engines answer is in tests/engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.elasticsearch.trace_store import ElasticsearchTraces
from sidecar.lookup.store import Deadline, StoreFailure

IDS = [f"{number:032x}" for number in range(1, 21)]
SPANS = 3


class Engine:
    """Has `SPANS` spans of each trace, and lets nobody read replies of more documents than `most`. Where not `known`,
    also a log record of each that does not show its trace."""

    def __init__(self, most: int, known: bool = True) -> None:
        self.most, self.known = most, known
        self.asked: list[int] = []
        """Traces of each request."""

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        del method, headers
        lines = [json.loads(line) for line in (body or b"").splitlines()]
        if "_msearch" in target:
            searches = list(zip(lines[::2], lines[1::2], strict=True))
            answers = [self._answer(_wanted(q) if "traces" in head["index"] else [], q) for head, q in searches]
            self.asked.append(len(searches) // 2)
            found: dict[str, Any] = {"responses": answers}
        else:
            self.asked.append(len(_wanted(lines[0])))
            found = self._answer(_wanted(lines[0]), lines[0])
            answers = [found]
        documents = sum(len(answer["hits"]["hits"]) for answer in answers)
        if documents > self.most:
            raise Unreached("too_large", "reply of too many bytes")
        return Reply(200, json.dumps(found).encode())

    def _answer(self, ids: list[str], query: dict[str, Any]) -> dict[str, Any]:
        hits = [
            {"_id": f"{trace_id}{number:016x}", "_source": _span(trace_id, number)}
            for trace_id in ids
            for number in range(1, SPANS + 1)
        ]
        if not self.known:
            hits += [{"_id": f"{n}-log", "_source": {"@timestamp": "1.0"}} for n, _ in enumerate(ids)]
        return {"hits": {"total": {"value": len(hits)}, "hits": hits[: query["size"]]}}

    def close(self) -> None:
        """Nothing is open."""


def _span(trace_id: str, number: int) -> dict[str, Any]:
    return {"trace_id": trace_id, "span_id": f"{number:016x}", "@timestamp": "1.0", "duration": 1, "name": "n"}


def _wanted(query: dict[str, Any]) -> list[str]:
    ids = query["query"]["bool"]["filter"][0]
    found = ids.get("terms", ids.get("term"))["trace_id"]
    return [found] if isinstance(found, str) else found


@pytest.mark.parametrize(
    ("most", "asked"),
    [(60, [20]), (24, [20, 8, 8, 4]), (6, [20, 8, 4, 2, 2, 4, 2, 2, 8, 4, 2, 2, 4, 2, 2, 4, 2, 2])],
)
def test_a_reply_that_is_too_large_is_asked_for_in_parts(most: int, asked: list[int]) -> None:
    engine = Engine(most)
    traces = ElasticsearchTraces(TraceElasticsearchOptions(hosts=["http://e:9200"]), engine).traces(
        IDS, Deadline.after(60)
    )
    assert [(trace.trace_id, len(trace.spans)) for trace in traces] == [(trace_id, SPANS) for trace_id in IDS]
    assert engine.asked == asked


def test_one_trace_that_is_too_large_is_an_error() -> None:
    with pytest.raises(StoreFailure, match="too many bytes"):
        ElasticsearchTraces(TraceElasticsearchOptions(hosts=["http://e:9200"]), Engine(SPANS - 1)).traces(
            IDS, Deadline.after(60)
        )


def test_a_record_that_does_not_show_its_trace_is_of_the_one_that_was_asked_for() -> None:
    """Such as where the field that is searched is an alias."""
    engine = Engine(60, known=False)
    traces = ElasticsearchTraces(TraceElasticsearchOptions(hosts=["http://e:9200"]), engine).traces(
        IDS[:2], Deadline.after(60)
    )
    assert engine.asked == [2, 2]
    assert [(trace.trace_id, len(trace.logs)) for trace in traces] == [(trace_id, 1) for trace_id in IDS[:2]]
