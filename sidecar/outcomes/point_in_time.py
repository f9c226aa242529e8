"""All documents that a query finds, page by page, as they were at one moment.

Point in time and `search_after`, of which the two engines have dialects. Documents with equal times are in the order in
which they were stored (`_seq_no`). That order must be total, or documents at the end of a page are lost: Elasticsearch
adds `_shard_doc` itself; OpenSearch's (3.6) counts from zero in every shard, so that it is `_index` and `_id` there.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

from sidecar.deliver.common.http import Reply, Request, Unreached
from sidecar.deliver.elasticsearch.answers import absent, answer, rejection
from sidecar.deliver.retry import Attempts, Backoff
from sidecar.errors import Permanent

Hit = Mapping[str, Any]
KEEP_ALIVE = "5m"
"""From one page to the next; a search that is tried again has so long."""
PAGE = 5_000
_LENIENT = "ignore_unavailable=true&allow_no_indices=true"
_BACKOFF = Backoff(0.5, 10.0)
_WHAT = "searching"
_COUNTING = "counting documents"


class Patient:
    """Requests that are sent again while the engine cannot answer."""

    def __init__(
        self, request: Request, timeout: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        """`timeout`: seconds without an answer after which to give up. `clock`: monotonic seconds."""
        self._request, self._timeout, self._clock, self._sleep = request, timeout, clock, sleep

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        """The reply, unless the engine is busy or away. Raises `Unreached` where it stays so."""
        attempts, deadline = Attempts(_BACKOFF, self._clock, random.random), self._clock() + self._timeout
        failed: Unreached | Permanent
        while True:
            try:
                reply = self._request(method, target, body)
                if not reply.is_temporary:
                    return reply
                failed, retry_after = rejection(reply, _WHAT), reply.retry_after
            except Unreached as error:
                if error.reason in ("tls", "too_large"):
                    raise
                failed, retry_after = error, error.retry_after
            pause = attempts.pause(deadline, retry_after)
            if pause is None:
                raise failed
            self._sleep(pause)


class PointInTime:
    """The documents of some indices as they are when it is opened. Use it as a context manager."""

    def __init__(self, request: Request, indices: str) -> None:
        self._request, self._indices = request, quote(indices, safe="*,")
        self._id = ""
        self._opensearch = False
        self.is_empty = True
        """No index is there."""

    def __enter__(self) -> PointInTime:
        """Raises `Unreached` and `Permanent`."""
        reply = self._request("GET", f"/{self._indices}/_count?{_LENIENT}", None)
        count = answer(reply, _COUNTING)
        if not isinstance(count, dict) or "_shards" not in count:
            # An engine answers so where there is no index, too.
            raise Permanent(f"{_COUNTING}: HTTP {reply.status} without `_shards`; expected Elasticsearch or OpenSearch")
        if not count["_shards"].get("total"):
            return self
        reply = self._request("POST", f"/{self._indices}/_pit?keep_alive={KEEP_ALIVE}", None)
        if absent(reply):
            self._opensearch = True
            reply = self._request("POST", f"/{self._indices}/_search/point_in_time?keep_alive={KEEP_ALIVE}", None)
        opened = answer(reply, "opening a point in time") or {}
        self._id = str(opened.get("id") or opened.get("pit_id") or "")
        if not self._id:
            raise Permanent("opening a point in time: the answer has no id; expected Elasticsearch or OpenSearch")
        self.is_empty = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_empty:
            return
        target, body = (
            ("/_search/point_in_time", {"pit_id": [self._id]})
            if self._opensearch
            else (
                "/_pit",
                {"id": self._id},
            )
        )
        try:
            self._request("DELETE", target, json.dumps(body).encode())
        except (Unreached, Permanent):  # It ends by itself.
            return

    def pages(self, query: Mapping[str, Any], sort: Sequence[Any], source: Mapping[str, Any]) -> Iterator[list[Hit]]:
        """Every document that the query finds, in this order, once. Raises `Unreached`, and `Permanent` where not all
        of them were read."""
        if self.is_empty:
            return
        size, after, total, read = PAGE, None, None, 0
        order = [*sort, {"_seq_no": "asc"}, *([{"_index": "asc"}, {"_id": "asc"}] if self._opensearch else ())]
        while True:
            body: dict[str, Any] = {
                "pit": {"id": self._id, "keep_alive": KEEP_ALIVE},
                "query": query,
                "sort": order,
                "size": size,
                "_source": source,
                "track_total_hits": total is None,
                **({"search_after": after} if after else {}),
            }
            try:
                found = self._search(body)
            except Unreached as error:
                if error.reason != "too_large" or size == 1:
                    raise
                size = max(1, size // 4)
                continue
            total = int(found["hits"]["total"]["value"]) if total is None else total
            hits: list[Hit] = found["hits"]["hits"]
            self._id = found.get("pit_id") or self._id
            read += len(hits)
            if hits:
                yield hits
                after = hits[-1]["sort"]
            if len(hits) < size:
                break
        if read != total:
            raise Permanent(f"{_WHAT}: {read} of {total} documents were read; run it again")

    def _search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        target = "/_search?allow_partial_search_results=false"
        found = answer(self._request("POST", target, json.dumps(body).encode()), _WHAT)
        if found is None:
            raise Permanent(f"{_WHAT}: the point in time is gone; run it again")
        return dict(found)


def patient(request: Request, timeout: float) -> Patient:
    """Requests that are sent again for so many seconds."""
    return Patient(request, timeout, time.monotonic, time.sleep)
