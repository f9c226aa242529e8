"""Engines that many tests share: started once a session. Tests keep apart by index names of their own. Tests that stop
an engine or give it settings start their own with the context managers of `support.engines`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import elasticsearch8, elasticsearch9, opensearch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def opensearch_url() -> Iterator[str]:
    """Base URL of a running OpenSearch 3.6."""
    with opensearch() as node:
        yield node.url


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """Base URL of a running Elasticsearch 9.5."""
    with elasticsearch9() as node:
        yield node.url


@pytest.fixture(scope="session")
def elasticsearch8_url() -> Iterator[str]:
    """Base URL of a running Elasticsearch 8.19."""
    with elasticsearch8() as node:
        yield node.url
