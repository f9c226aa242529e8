"""What is missing in the environment of a command for its telemetry: asked of the Python that runs it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sidecar.errors import SidecarError

NEEDED = ("model-sidecar-instrumentation", "opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http")
ALWAYS = ("logging", "threading")
"""Instrumentations of the standard library."""
BY_DISTRIBUTION = {
    "aiohttp": "aiohttp-server",
    "celery": "celery",
    "django": "django",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "grpcio": "grpc",
    "httpx": "httpx",
    "pyramid": "pyramid",
    "requests": "requests",
    "starlette": "starlette",
    "tornado": "tornado",
}
_SECONDS = 60
_LIST = "import json, importlib.metadata as m; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"


def missing(installed: Iterable[str]) -> list[str]:
    """Distributions to install beside these."""
    names = {_normal(name) for name in installed if name}
    wanted = [*ALWAYS, *(name for found, name in BY_DISTRIBUTION.items() if found in names)]
    if "fastapi" in wanted:
        wanted.remove("starlette")  # FastAPI's covers it.
    all_wanted = [*NEEDED, *(f"opentelemetry-instrumentation-{name}" for name in wanted)]
    return [name for name in all_wanted if name not in names]


def distributions(python: Path) -> list[str]:
    """What is installed for a Python; raises `SidecarError` where it cannot be run."""
    try:
        done = subprocess.run([python, "-c", _LIST], capture_output=True, text=True, timeout=_SECONDS, check=True)
        return [str(name) for name in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise SidecarError(f"{python} does not say what is installed: {error}") from error


def python_of(program: Path) -> Path:
    """The Python that runs a program: itself, or the one that its first line names."""
    if re.fullmatch(r"python[0-9.]*", program.name):
        return program
    with program.open("rb") as file:
        line = file.readline(512).decode("utf-8", "replace").strip()
    words = line.removeprefix("#!").split()
    if line.startswith("#!") and words and "python" in Path(words[0]).name:
        return Path(words[0])
    raise SidecarError(f"{program} is no Python script; give the command that starts Python")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
