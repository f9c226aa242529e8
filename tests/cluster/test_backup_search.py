"""Backup, loss and restore of data streams by the shipped script, on a real OpenSearch and Elasticsearch: a search
answers as before."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.engines.search import ELASTICSEARCH_9, OPENSEARCH, Distribution, search_engine
from support.monitoring_source import MONITORING

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = MONITORING / "backup" / "elasticsearch.sh"
STREAM = "logs-app.otel-default"
TEMPLATE = {
    "index_patterns": ["logs-app.otel-*"],
    "data_stream": {},
    "priority": 900,
    "template": {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"@timestamp": {"type": "date"}}}},
}


def ask(url: str, method: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, {"content-type": "application/x-ndjson"}, method=method)
    if body is not None and not body.endswith(b"\n"):
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def documents(url: str) -> list[Any]:
    found = ask(f"{url}/{STREAM}/_search?size=100&sort=number", "GET")["hits"]["hits"]
    return [(one["_id"], one["_source"]) for one in found]


def script(*arguments: str | Path) -> str:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("distribution", [OPENSEARCH, ELASTICSEARCH_9], ids=lambda one: one.label)
def test_what_was_backed_up_is_there_after_a_loss(distribution: Distribution) -> None:
    with search_engine(distribution, {"path.repo": ["logs"]}) as node:
        # Beside the data, which is lost below; a folder that the engine's user may write to.
        location = node.home / "logs" / "backups"
        ask(f"{node.url}/_index_template/app", "PUT", json.dumps(TEMPLATE).encode())
        lines = [x for n in range(50) for x in ({"create": {}}, {"@timestamp": 1_700_000_000_000 + n, "number": n})]
        bulk = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        assert not ask(f"{node.url}/{STREAM}/_bulk?refresh=true", "POST", bulk)["errors"]
        before = documents(node.url)
        assert len(before) == 50
        script("register", node.url, "backups", str(location))
        assert script("backup", node.url, "backups", "one") == "one: complete\n"
        # The whole node is lost: Elasticsearch's distribution for tests cannot delete a data stream.
        node.stop()
        for path in (node.home / "data").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        node.start()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            documents(node.url)
        script("register", node.url, "backups", str(location))
        assert script("restore", node.url, "backups", "one") == "one: restored\n"
        assert documents(node.url) == before
        again = subprocess.run([SCRIPT, "restore", node.url, "backups", "one"], capture_output=True, check=False)
        assert again.returncode == 1, "the stream is there"
