"""Documents of figures: the index is made once, and a refusal is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.deliver.common.http import Reply
from sidecar.errors import Permanent
from sidecar.outcomes.figure_index import store


class Engine:
    def __init__(self, there: bool, bulk: Any = None) -> None:
        self.there, self.bulk = there, {"errors": False} if bulk is None else bulk
        self.asked: list[tuple[str, str]] = []
        self.lines: list[Any] = []

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        self.asked.append((method, target))
        if method == "HEAD":
            return Reply(200 if self.there else 404)
        if method == "PUT":
            self.there = True
            return Reply(200, b"{}")
        self.lines += [json.loads(line) for line in (body or b"").splitlines()]
        return Reply(200, json.dumps(self.bulk).encode())


def test_the_index_is_made_where_it_is_not_there() -> None:
    engine = Engine(there=False)
    documents = [(f"id-{n}", {"n": n}) for n in range(1200)]
    assert store(engine, "figures", documents) == 1200
    assert [method for method, _ in engine.asked] == ["HEAD", "PUT", "POST", "POST", "POST"]
    assert engine.lines[:2] == [{"index": {"_index": "figures", "_id": "id-0"}}, {"n": 0}]
    assert len(engine.lines) == 2400


def test_nothing_is_made_for_nothing() -> None:
    engine = Engine(there=False)
    assert store(engine, "figures", []) == 0
    assert engine.asked == []


def test_a_refusal_is_said_with_the_engines_reason() -> None:
    items = [{"index": {}}, {"index": {"error": {"reason": "closed", "caused_by": {"reason": "by somebody"}}}}]
    with pytest.raises(Permanent, match="figures: closed: by somebody"):
        store(Engine(there=True, bulk={"errors": True, "items": items}), "figures", [("1", {}), ("2", {})])
