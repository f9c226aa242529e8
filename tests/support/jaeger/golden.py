"""Jaeger's answers about the traces of `support.lookup_traces`, from the real program: written to tests/golden/jaeger.

    cd tests && ../.venv/bin/python -m support.jaeger.golden

Builds Jaeger 1.76 with Go into the cache of the engine tests (some ten minutes, once), sends it the payloads over OTLP
and asks what `questions` has. `SIDECAR_JAEGER` names a binary (`all-in-one`) that is there already.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.engines import cache
from support.engines.ports import free_port
from support.engines.processes import wait_for
from support.lookup_traces import START, payloads, trace_hex

VERSION = "v1.76.0"
GOLDEN = Path(__file__).parents[2] / "golden/jaeger/answers.json"
_MODULE = "github.com/jaegertracing/jaeger/cmd/all-in-one"
_SARAMA = "github.com/Shopify/sarama"


def jaeger_binary() -> Path:
    """Jaeger's all-in-one, built where it is not there. Raises `EngineUnavailable`."""
    if given := os.environ.get("SIDECAR_JAEGER"):
        return Path(given)

    def make(directory: Path) -> None:
        go = cache.need("go", "Jaeger")
        for arguments in (
            ["mod", "init", "x"],
            ["mod", "edit", f"-replace={_SARAMA}={_SARAMA}@v1.33.0"],
            ["get", "-tool", f"{_MODULE}@{VERSION}"],
            ["build", "-o", "all-in-one", _MODULE],
        ):
            cache.command([go, *arguments], f"build Jaeger {VERSION}", 1800, cwd=directory)

    return cache.entry(f"jaeger-{VERSION}", make) / "all-in-one"


def questions() -> list[str]:
    """Paths and queries of Jaeger's API, about the traces of `lookup_traces`."""
    begin, end = START // 1_000 - 1_000_000, START // 1_000 + 1_000_000_000
    when = f"start={begin}&end={end}"
    v3_when = "query.start_time_min=2026-01-01T00:00:00Z&query.start_time_max=2027-01-01T00:00:00Z"

    def tags(**wanted: str) -> str:
        return quote(json.dumps({key.replace("__", "."): value for key, value in wanted.items()}))

    return [
        "/api/services",
        *(f"/api/services/{name}/operations" for name in ("gateway", "wine-classifier", "worker", "odd", "nobody")),
        "/api/operations?service=wine-classifier",
        "/api/operations?service=worker&spanKind=consumer",
        "/api/operations",
        *(f"/api/traces/{trace_hex(n)}" for n in (1, 2, 3, 4)),
        "/api/traces/1",
        "/api/traces/" + trace_hex(99),
        "/api/traces/zz",
        f"/api/traces?service=gateway&{when}",
        f"/api/traces?service=gateway&{when}&limit=1",
        f"/api/traces?service=nobody&{when}",
        f"/api/traces?service=wine-classifier&operation=explain&{when}",
        f"/api/traces?service=gateway&operation=explain&{when}",
        f"/api/traces?service=gateway&{when}&tags={tags(error='true')}",
        f"/api/traces?service=gateway&{when}&tags={tags(http__status_code='200')}",
        f"/api/traces?service=gateway&{when}&tags={tags(http__status_code='200', http__route='/predict')}",
        f"/api/traces?service=gateway&{when}&tag=http.route:/health",
        f"/api/traces?service=wine-classifier&{when}&tags={tags(span__kind='client')}",
        f"/api/traces?service=wine-classifier&{when}&tags={tags(deployment__environment='test')}",
        f"/api/traces?service=worker&{when}&tags={tags(rows='7')}",
        f"/api/traces?service=odd&{when}&tags={tags(yes='true')}",
        f"/api/traces?service=worker&{when}&minDuration=1s",
        f"/api/traces?service=worker&{when}&maxDuration=1s",
        f"/api/traces?service=worker&{when}&minDuration=1s&maxDuration=2s",
        f"/api/traces?service=worker&{when}&minDuration=2s&maxDuration=1s",
        f"/api/traces?service=worker&{when}&minDuration=soon",
        f"/api/traces?service=worker&{when}&tags=notjson",
        f"/api/traces?service=worker&{when}&limit=x",
        f"/api/traces?service=worker&start={end}&end={end + 1_000_000}",
        f"/api/traces?traceID={trace_hex(2)}&traceID={trace_hex(3)}",
        f"/api/dependencies?endTs={end // 1_000}&lookback=3600000",
        f"/api/dependencies?endTs={begin // 1_000}&lookback=1000",
        "/api/v3/services",
        "/api/v3/operations?service=worker",
        "/api/v3/operations?service=worker&span_kind=producer",
        *(f"/api/v3/traces/{trace_hex(n)}" for n in (1, 2, 3, 4)),
        "/api/v3/traces/" + trace_hex(99),
        "/api/v3/traces?query.service_name=gateway",
        f"/api/v3/traces?query.service_name=gateway&{v3_when}",
        f"/api/v3/traces?query.service_name=gateway&query.operation_name=GET%20/health&{v3_when}",
        f"/api/v3/traces?query.service_name=worker&query.duration_min=1s&{v3_when}",
        f"/api/v3/traces?query.service_name=nobody&{v3_when}",
    ]


def main() -> None:
    """Write the golden file."""
    ports = {
        name: free_port()
        for name in (
            "query.http-server.host-port", "query.grpc-server.host-port", "collector.otlp.http.host-port",
            "collector.otlp.grpc.host-port", "admin.http.host-port", "collector.grpc-server.host-port",
            "collector.http-server.host-port",
        )
    }  # fmt: skip
    flags = [f"--{name}=127.0.0.1:{port}" for name, port in ports.items()]
    query, otlp = ports["query.http-server.host-port"], ports["collector.otlp.http.host-port"]
    process = subprocess.Popen([str(jaeger_binary()), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _get(query, "/api/services")[0] == 200, 30, "Jaeger to answer")
        for body in payloads():
            request = urllib.request.Request(
                f"http://127.0.0.1:{otlp}/v1/traces", body, {"content-type": "application/x-protobuf"}
            )
            urllib.request.urlopen(request, timeout=60).close()
        time.sleep(2)
        found = [{"ask": q, "status": s, "answer": a} for q in questions() for s, a in [_get(query, q)]]
    finally:
        process.terminate()
        process.wait()
    GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


def _get(port: int, target: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{target}", timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
    except OSError:
        return 0, None


if __name__ == "__main__":
    main()
