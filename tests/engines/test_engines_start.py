"""Each engine of the harness starts, answers as the real one does, and keeps its data over a stop."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Any

import pytest
from support.engines import (
    elasticsearch8,
    elasticsearch9,
    free_port,
    http_get,
    loadgen_binary,
    npm_project,
    opensearch,
    payload_dir,
    promtool,
    run_collector,
    run_nullsink,
    run_prometheus,
    telemetrygen_binary,
    wait_for,
)


def call(method: str, url: str, body: str | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(
        url, None if body is None else body.encode(), {"Content-Type": kind}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read() or b"null")


def bulk(url: str, index: str, number: int) -> Any:
    lines = "".join(f'{{"create":{{"_index":"{index}","_id":"{n}"}}}}\n{{"n":{n}}}\n' for n in range(number))
    return call("POST", f"{url}/_bulk?refresh=true", lines, "application/x-ndjson")


@pytest.mark.parametrize("start", [opensearch, elasticsearch9, elasticsearch8], ids=lambda f: f.__name__)
def test_a_node_takes_documents_and_keeps_them_over_a_stop(start: Any) -> None:
    with start() as node:
        assert not bulk(node.url, "things", 3)["errors"]
        again = bulk(node.url, "things", 3)
        assert [item["create"]["status"] for item in again["items"]] == [409, 409, 409]
        node.stop()
        with pytest.raises(OSError, match="refused"):
            http_get(node.url)
        node.start()
        assert call("GET", f"{node.url}/things/_count")["count"] == 3


def test_settings_reach_the_node() -> None:
    with opensearch({"indexing_pressure.memory.limit": "1kb"}) as node:
        status, _ = _post(f"{node.url}/_bulk", b'{"create":{"_index":"a"}}\n{"x":"' + b"y" * 5000 + b'"}\n')
        assert status == 429


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-ndjson"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_shared_nodes_are_what_they_say(opensearch_url: str, elasticsearch_url: str) -> None:
    assert call("GET", f"{opensearch_url}/")["version"]["distribution"] == "opensearch"
    nodes = call("GET", f"{elasticsearch_url}/_nodes")["nodes"]
    assert [node["version"][:2] for node in nodes.values()] == ["9."]


def test_prometheus_scrapes_itself() -> None:
    config = "scrape_configs:\n- {job_name: empty, scrape_interval: 1s, static_configs: []}\n"
    with run_prometheus(config, ["--enable-feature=exemplar-storage"]) as server:
        reply = call("GET", f"{server.url}/api/v1/query?query=vector(7)")
        assert reply["data"]["result"][0]["value"][1] == "7"


def test_promtool_finds_a_counter_without_total() -> None:
    bad = "# HELP a_things Things.\n# TYPE a_things counter\na_things 1\n"
    done = subprocess.run([promtool(), "check", "metrics"], input=bad, capture_output=True, text=True, check=False)
    assert "_total" in done.stderr + done.stdout
    good = "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total 1\n"
    done = subprocess.run([promtool(), "check", "metrics"], input=good, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


COLLECTOR = """
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:{grpc}}}}}}}
exporters:
  otlp_http: {{endpoint: {sink}, compression: gzip, sending_queue: {{enabled: false}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_http]}}
"""


def test_collector_forwards_what_loadgen_and_telemetrygen_send() -> None:
    health, grpc = free_port(), free_port()
    with run_nullsink() as sink:
        text = COLLECTOR.format(health=health, grpc=grpc, sink=sink.url)
        with run_collector(text, f"http://127.0.0.1:{health}/"):
            report = _run(
                loadgen_binary(),
                *("send", "-dir", payload_dir(), "-addr", f"127.0.0.1:{grpc}"),
                *("-signal", "traces", "-max", "5120", "-streams", "2", "-dur", "30s"),
            )
            accepted = json.loads(report)["accepted"]
            assert accepted >= 5120
            _run(
                telemetrygen_binary(),
                *("traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{grpc}", "--traces", "3"),
                *("--child-spans", "1"),
            )
            count = accepted + 6
            wait_for(lambda: json.loads(http_get(f"{sink.url}/count")[1])["traces"] == count, 20, f"{count} spans")


def _run(*arguments: object) -> str:
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_npm_packages_can_be_required() -> None:
    modules = npm_project({"ms": "2.1.3"})
    script = f"console.log(require({json.dumps(str(modules / 'ms'))})('2 days'))"
    assert _run("node", "-e", script).strip() == "172800000"
