"""`write FILE`: an app that is sent elsewhere, as Ray Serve does; `read FILE`: the process that answers with it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import cloudpickle
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger, get_logger_provider
from starlette.datastructures import State

HELD = (trace.get_tracer, metrics.get_meter, get_logger)
PROVIDERS = (trace.get_tracer_provider, metrics.get_meter_provider, get_logger_provider)


def write(file: Path) -> None:
    app = FastAPI()

    @app.get("/hello/{name}")
    def hello(name: str) -> str:
        return f"hello {name}"

    del app.state  # This Starlette's cannot be read again, with or without instrumentation.
    file.write_bytes(cloudpickle.dumps((app, [get("app", "1") for get in HELD], [get() for get in PROVIDERS])))


async def asked(app: Any, path: str) -> bytes:
    answered = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal answered
        answered += message.get("body", b"")

    app.state = State()
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    await app({**scope, "root_path": "", "headers": [], "http_version": "1.1", "scheme": "http"}, receive, send)
    return answered


def read(file: Path) -> None:
    app, held, providers = cloudpickle.loads(file.read_bytes())
    assert [type(one) for one in held] == [type(get("app", "1")) for get in HELD]
    assert providers == [get() for get in PROVIDERS]
    with held[0].start_as_current_span("read"):
        print(asyncio.run(asked(app, "/hello/you")).decode())


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
