"""The libraries of serving protocols, in environments of their own, made to write payloads: see `make.py`.

TensorFlow Serving has no library that runs here: its payloads stand in `tensorflow_serving.json` as its documentation
gives them. KServe's logger is a Go program inside of KServe; `kservelogger` sends events by the same SDK, with the same
calls in the same order.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from support.engines.cache import ROOT, command, entry, need
from support.environments import python_with
from support.frameworks import frameworks_python

HERE = Path(__file__).parent
GOLDEN = ROOT / "tests" / "golden" / "serving"

BENTO = (
    "bentoml==1.4.36",
    # Its monitor needs the logging handler that later versions of the SDK have given up.
    "opentelemetry-exporter-otlp-proto-grpc==1.36.0",
    "opentelemetry-exporter-otlp-proto-http==1.36.0",
    "opentelemetry-instrumentation==0.57b0",
    "opentelemetry-instrumentation-aiohttp-client==0.57b0",
    "opentelemetry-instrumentation-asgi==0.57b0",
    "opentelemetry-sdk==1.36.0",
)
KSERVE = ("cloudevents==1.13.0", "kserve==0.21.0", "tritonclient[http]==2.73.0")
TORCHSERVE = ("torchserve==0.12.0",)
"""Installed without what it asks for: only what makes bodies is used of it."""
MADE = {
    "mlflow": ("mlflow",),
    "kserve": ("open_inference", "kserve_v1", "cloudevents", "torchserve"),
    "bento": ("bento",),
}
"""Environment -> files that `make.py` writes in it."""


def serving_python(name: str) -> Path:
    """The Python of an environment: that of the frameworks for MLflow, else some 400 MB of its own."""
    if name == "mlflow":
        return frameworks_python()
    whole, alone = {"kserve": (KSERVE, [("--no-deps", *TORCHSERVE)]), "bento": (BENTO, [])}[name]
    return python_with(f"serving-{name}", whole, *alone)


def make_all(folder: Path) -> None:
    """Have the libraries write their files into a folder. Raises `EngineUnavailable` where they cannot be had."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    for name, files in MADE.items():
        done = subprocess.run(
            [serving_python(name), HERE / "make.py", folder, *files],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def golden(name: str) -> list[dict[str, Any]]:
    """The payloads of one file; each has `about` beside them."""
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def kserve_logger() -> Path:
    """The Go program that sends events as KServe's logger does."""
    source = HERE / "kservelogger"
    key = hashlib.sha256(b"".join(sorted(f.read_bytes() for f in source.iterdir()))).hexdigest()[:12]

    def make(directory: Path) -> None:
        built = directory / "kservelogger"
        command([need("go", "kservelogger"), "build", "-C", source, "-trimpath", "-o", built, "."], "build it", 300)

    return entry(f"kservelogger-{key}", make) / "kservelogger"
