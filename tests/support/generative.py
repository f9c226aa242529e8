"""A Python with a client of language models, and the instrumentations of that client, each in a folder of its own:
they all have the name `openai`, so an environment can have one only."""

from __future__ import annotations

from pathlib import Path

from support.environments import folder_of_packages, python_with

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
    return python_with("generative", CLIENTS)


def instrumentation(name: str) -> Path:
    """A folder for PYTHONPATH with one of `INSTRUMENTATIONS`, and of what it needs only what no one else brings."""
    return folder_of_packages(clients_python(), f"generative-{name}", "--no-deps", *INSTRUMENTATIONS[name])
