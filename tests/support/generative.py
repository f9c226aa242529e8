"""A Python with a client of language models, and the instrumentations of that client, each in a folder of its own:
they all have the name `openai`, so an environment can have one only."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from support.engines.cache import command, entry

CLIENTS = (
    "langchain-openai==1.7.3",
    "mlflow-tracing==3.17.2",
    "openai==2.54.0",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
)
INSTRUMENTATIONS = {
    "opentelemetry-openai-v2": (
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==0.4b0",
    ),
    "opentelemetry-genai": ("opentelemetry-instrumentation-genai-openai==1.3b0", "opentelemetry-util-genai==1.3b0"),
    "traceloop": ("opentelemetry-instrumentation-openai==0.62.4", "opentelemetry-semantic-conventions-ai==0.5.1"),
    "openinference": (
        "openinference-instrumentation-openai==0.1.66",
        "openinference-instrumentation==0.1.72",
        "openinference-semantic-conventions==0.1.42",
    ),
    "openinference-langchain": (
        "openinference-instrumentation-langchain==0.1.80",
        "openinference-instrumentation==0.1.72",
        "openinference-semantic-conventions==0.1.42",
    ),
}


def clients_python() -> Path:
    """A Python with `CLIENTS`, about 170 MB."""
    key = hashlib.sha256("\n".join(("1", sys.version, *CLIENTS)).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        home = folder.parent / f"venv-generative-{key}"
        shutil.rmtree(home, ignore_errors=True)
        command([sys.executable, "-m", "venv", home], "an environment for clients of language models", 120)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command([*pip, "--no-compile", *CLIENTS], "pip install of clients of language models", 600)

    return entry(f"generative-{key}", make).parent / f"venv-generative-{key}" / "bin" / "python"


def instrumentation(name: str) -> Path:
    """A folder for PYTHONPATH with one of `INSTRUMENTATIONS`, and of what it needs only what no one else brings."""
    wanted = INSTRUMENTATIONS[name]
    key = hashlib.sha256("\n".join(("1", sys.version, *wanted)).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        command([*pip, "--no-deps", "--target", folder / "packages", *wanted], f"pip install of {name}", 300)

    return entry(f"generative-{name}-{key}", make) / "packages"
