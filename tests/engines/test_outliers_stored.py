"""Marks of outliers in real engines: a search for them finds these records, and no feature value is there."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.drift_data import events_request, reference
from support.engines import SearchEngine, elasticsearch9, opensearch, sidecar_process, wait_for
from support.load import samples, scrape, total, waiting
from support.search_client import LOGS, ask, documents

from sidecar.lookup.document_traces import joined

pytestmark = [pytest.mark.engine, pytest.mark.slow]
EVENTS = 40


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9], ids=lambda e: e.__name__)
def node(request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    with request.param() as engine:
        yield engine


def test_a_search_finds_the_outliers(node: SearchEngine, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    columns = {"age": rng.normal(40, 10, 5000), "income": rng.lognormal(10, 1, 5000)}
    (tmp_path / "reference.json").write_text(reference(columns, "churn").dump())
    environ = {
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": node.url,
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(tmp_path / "reference.json"),
    }
    wrong = set(range(0, EVENTS, 8))
    events = [
        ({"age": [41.0, 41_000.0 if n in wrong else 39.0], "income": [30_000.0, 9000.0]}, {"n": n})
        for n in range(EVENTS)
    ]
    with sidecar_process(environ) as running:
        request = urllib.request.Request(
            f"{running.otlp_url}/v1/logs", events_request(events), {"Content-Type": "application/x-protobuf"}
        )
        urllib.request.urlopen(request, timeout=60).close()
        wait_for(lambda: not waiting(running.serve_url), 60, "the records to be delivered")
        values = samples(scrape(running.serve_url) or "")
    assert total(values, "model_outliers_total", 'model="churn"') == len(wrong)
    stored = documents(node.url, LOGS, ["attributes", "body"])
    assert len(stored) == EVENTS
    query = {"size": 100, "query": {"term": {"attributes.ml.outlier": True}}}
    hits = [hit["_source"] for hit in ask(f"{node.url}/{LOGS}/_search", query)["hits"]["hits"]]
    assert {hit["body"]["structured"]["n"] for hit in hits} == wrong
    for hit in hits:
        attributes = joined(hit["attributes"])
        assert (attributes["ml.outlier_rows"], attributes["ml.outlier_features"]) == (1, ["age"])
    assert not any("features" in record["body"]["structured"] for record in stored)
