"""Labels in real engines: classes and numbers side by side, found by class and by number, none refused."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from support.engines import SearchEngine, elasticsearch9, opensearch, sidecar_process, wait_for
from support.load import samples, scrape, total, waiting
from support.search_client import LOGS, ask, documents

pytestmark = [pytest.mark.engine, pytest.mark.slow]
TRUTHS = [1, "churned", 0.5, "007", True, 12]


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9], ids=lambda e: e.__name__)
def node(request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    with request.param() as engine:
        yield engine


def test_classes_and_numbers_are_stored_side_by_side(node: SearchEngine) -> None:
    environ = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": node.url, "SIDECAR_DELIVER__STORE__ENABLED": "false"}
    records = [{"id": f"p-{n}", "label": truth, "row": n} for n, truth in enumerate(TRUTHS)]
    with sidecar_process(environ) as running:
        for record in records:  # A request each: the first must not decide what the others may be.
            request = urllib.request.Request(
                f"{running.otlp_url}/v1/labels", json.dumps(record).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                assert json.load(reply)["accepted"] == 1
        wait_for(lambda: not waiting(running.serve_url), 60, "the labels to be delivered")
        values = samples(scrape(running.serve_url) or "")
    assert total(values, "sidecar_finished_items_total", 'consumer="elasticsearch"', 'outcome="delivered"') == len(
        TRUTHS
    )
    stored = {d["attributes"]["ml.prediction.id"]: d for d in documents(node.url, LOGS, ["attributes", "event_name"])}
    truths = [stored[f"p-{n}"]["attributes"]["ml.label.value"] for n in range(len(TRUTHS))]
    assert truths == [1, "churned", 0.5, "007", "true", 12]
    assert {d["event_name"] for d in stored.values()} == {"ml.label"}
    assert not any("sidecar.conflicts" in d["attributes"] for d in stored.values())

    for query, expected in (
        ({"term": {"attributes.ml.label.value": "churned"}}, {1}),
        ({"term": {"attributes.ml.label.value": "1"}}, {0}),
        ({"range": {"attributes.ml.label.value.number": {"gte": 1}}}, {0, 3, 5}),
        ({"term": {"attributes.ml.prediction.id": "p-4"}}, {4}),
        ({"range": {"attributes.ml.label.row": {"gte": 4}}}, {4, 5}),
    ):
        hits = ask(f"{node.url}/{LOGS}/_search", {"query": query})["hits"]["hits"]
        assert {hit["_source"]["attributes"]["ml.label.row"] for hit in hits} == expected, query
