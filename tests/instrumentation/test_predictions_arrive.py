"""Predictions of a real model reach the sidecar and nobody else, whatever proxies there are and whatever is logged."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import model_sidecar_instrumentation
from support.frameworks import environment, recording
from support.taps import http_tap

STARTUP = Path(model_sidecar_instrumentation.__file__).parent / "startup"
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy")
SECRET = "1234.5678"
FIT = """
import logging, os, urllib.request
import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
rows, classes = [[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"]
log = logging.getLogger("app")
"""
MODELS = {
    "LogisticRegression": "LogisticRegression().fit(rows, classes)",
    "DecisionTreeRegressor": "DecisionTreeRegressor().fit(np.asarray(rows), range(4))",
    "KMeans": "KMeans(2, n_init=1, random_state=0).fit(np.asarray(rows))",
    "Pipeline": "make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, classes)",
}


def _run(code: str, endpoint: str, more: Mapping[str, str]) -> None:
    env = environment(STARTUP, endpoint, more)
    words = [sys.executable, "-c", FIT + code]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, "model-sidecar:" in done.stderr) == (0, False), done.stderr


def test_feature_values_pass_no_proxy() -> None:
    calls = "\n".join(f"{made}.predict([[{SECRET}]])" for made in MODELS.values())
    code = f'{calls}\nurllib.request.urlopen("http://model.example/score", b"of the app").close()'
    with http_tap() as proxy, recording() as recorded:
        _run(code, recorded.url, dict.fromkeys(PROXIES, proxy.url))
    found = recorded.predictions()
    assert [list(e.body["features"].values()) for e in found] == [[[float(SECRET)]]] * len(MODELS)
    assert len(proxy.bodies) == 1, "only what the app asks for itself"
    assert b"of the app" in proxy.wire
    assert SECRET.encode() not in proxy.wire


LINES = {
    "a file name that is no UTF-8": 'log.warning("read %s", os.fsdecode(b"caf\\xe9.csv"))',
    "half a pair of surrogates": 'log.warning("\\ud83d")',
    "in a member": 'log.warning("m", extra={"file": "caf\\udce9.csv", "deep": {"\\udce9": ["\\udce9"]}})',
    "in the logger's name": 'logging.getLogger("app.\\udce9").warning("m")',
    "in an exception": """
            try:
                raise ValueError("no \\udce9")
            except ValueError:
                log.exception("failed")""",
    "an integer of 100 bits": 'log.warning("m", extra={"id": 1 << 100})',
    "a message of another kind": 'log.warning({"a": {1, 2}, "b": object})',
    "a time far away": 'log.handle(logging.makeLogRecord({"msg": "m", "created": 1e300, "levelno": 40}))',
    "no time": 'log.handle(logging.makeLogRecord({"msg": "m", "created": float("nan"), "levelno": 40}))',
    "a time before 1970": 'log.handle(logging.makeLogRecord({"msg": "m", "created": -1.5, "levelno": 40}))',
}


def test_bad_lines_cost_no_prediction_beside_them() -> None:
    """Each kind has ten predictions between its lines, all in the same few batches."""
    code = "model = LogisticRegression().fit(rows, classes)\n"
    for kind, line in enumerate(LINES.values()):
        code += f"for n in range(10):\n    model.predict([[{kind}], [n + 0.5]])\n"
        code += textwrap.indent(textwrap.dedent(line).strip(), "    ") + "\n"
    with recording() as recorded:
        _run(code, recorded.url, {"OTEL_BLRP_SCHEDULE_DELAY": "600000"})
    found = [tuple(e.body["features"]["f0"]) for e in recorded.predictions()]
    assert found == [(float(kind), n + 0.5) for kind in range(len(LINES)) for n in range(10)]
    assert recorded.rows() == 20 * len(LINES)
    lines = [e for e in recorded.events if not e.name]
    assert len(lines) == 10 * len(LINES), "and each bad line is there too"
