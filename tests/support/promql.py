"""What tests ask a Prometheus, and promtool."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.engines import http_get, promtool


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """The result of an instant query. AssertionError with Prometheus' words where it has an error."""
    body = json.loads(http_get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}", timeout=30)[1])
    assert body["status"] == "success", (expression, body.get("error"))
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


def values(url: str, expression: str) -> list[float]:
    """The values of the series that an instant query gives."""
    return [float(one["value"][1]) for one in query(url, expression)]


def exemplars(url: str, expression: str) -> list[dict[str, Any]]:
    """The exemplars of the last ten minutes."""
    now = time.time()
    asked = urllib.parse.urlencode({"query": expression, "start": now - 600, "end": now + 60})
    body = json.loads(http_get(f"{url}/api/v1/query_exemplars?{asked}", timeout=30)[1])
    return [exemplar for series in body["data"] for exemplar in series["exemplars"]]


def check_rules(
    folder: Path, rules: Iterable[Path], series: Sequence[dict[str, str]], tests: Sequence[dict[str, Any]]
) -> None:
    """promtool's test of rules that are evaluated every minute, from input series and with tests of expressions, as its
    files have them. AssertionError with its words. A file is made in `folder`."""
    body = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": list(series), "promql_expr_test": list(tests)}],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(body), "utf-8")
    done = subprocess.run([promtool(), "test", "rules", file], capture_output=True, timeout=120, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
