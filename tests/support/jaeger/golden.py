"""The real Jaeger's answers about the traces of `support.lookup_traces`, versions 1 and 2, and what it says of who
calls whom in those of `support.jaeger.calls`: written to tests/golden/jaeger.

    cd tests && ../.venv/bin/python -m support.jaeger.golden
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.engines.processes import wait_for
from support.jaeger import calls
from support.jaeger.programs import Jaeger, run_v1, run_v2
from support.lookup_traces import START, payloads, trace_hex

_FOLDER = Path(__file__).parents[2] / "golden/jaeger"
GOLDEN = {version: _FOLDER / f"answers-{version}.json" for version in ("v1", "v2")}
"""Version -> the file with its answers."""
CALLS = _FOLDER / "calls.json"


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
        f"/api/v3/traces?query.service_name=gateway&{v3_when}&query.num_traces=20",
        f"/api/v3/traces?query.service_name=gateway&query.operation_name=GET%20/health&{v3_when}&query.num_traces=20",
        f"/api/v3/traces?query.service_name=worker&query.duration_min=1s&{v3_when}&query.num_traces=20",
        f"/api/v3/traces?query.service_name=worker&query.duration_max=1s&{v3_when}&query.num_traces=20",
        f"/api/v3/traces?query.service_name=odd&{v3_when}&query.num_traces=20",
        f"/api/v3/traces?query.service_name=nobody&{v3_when}&query.num_traces=20",
    ]


def main() -> None:
    """Write the golden files."""
    for version, run in (("v1", run_v1), ("v2", run_v2)):
        with run() as jaeger:
            _send(jaeger, payloads())
            found = [{"ask": q, "status": s, "answer": a} for q in questions() for s, a in [_get(jaeger, q)]]
            _write(GOLDEN[version], found)
    with run_v1() as jaeger:
        _send(jaeger, calls.payloads())
        end = START // 1_000_000 + 3_600_000
        _write(CALLS, _get(jaeger, f"/api/dependencies?endTs={end}&lookback=7200000")[1]["data"])


def _send(jaeger: Jaeger, bodies: Iterable[bytes]) -> None:
    for body in bodies:
        # Its receivers open after its API.
        wait_for(lambda sent=body: _sent(jaeger, sent), 30, "Jaeger to take spans")  # type: ignore[misc]
    time.sleep(3)


def _sent(jaeger: Jaeger, body: bytes) -> bool:
    headers = {"content-type": "application/x-protobuf"}
    request = urllib.request.Request(f"{jaeger.otlp}/v1/traces", body, headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return int(reply.status) == 200


def _write(path: Path, found: Any) -> None:
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


def _get(jaeger: Jaeger, target: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(jaeger.query + target, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, _read(error.read())
    except OSError:
        return 0, None


def _read(body: bytes) -> Any:
    try:
        return json.loads(body or b"null")
    except ValueError:
        return body.decode()


if __name__ == "__main__":
    main()
