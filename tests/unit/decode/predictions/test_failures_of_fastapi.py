"""What FastAPI itself answers to a request that fails is an error, and what it answers to a good one is not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from sidecar.decode.predictions.failures import is_empty, is_error


class Question(BaseModel):
    instances: list[float]


def app() -> FastAPI:
    built = FastAPI()

    @built.post("/predict")
    def predict(question: Question) -> Any:
        if not question.instances:
            raise HTTPException(503, {"reason": "no model", "retry": True})
        return {"predictions": question.instances}

    @built.post("/nothing")
    def nothing() -> None:
        return None

    return built


def answer(path: str, body: bytes, method: str = "POST") -> Any:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"}}
    scope |= {"headers": [(b"content-type", b"application/json")], "client": ("c", 1), "server": ("s", 1)}
    asyncio.run(app()(scope, receive, send))
    return json.loads(b"".join(message.get("body", b"") for message in sent))


@pytest.mark.parametrize(
    ("path", "body", "method"),
    [
        ("/elsewhere", b"{}", "POST"),
        ("/predict", b"{}", "GET"),
        ("/predict", b"{}", "POST"),
        ("/predict", b'{"instances": "x"}', "POST"),
        ("/predict", b"{", "POST"),
        ("/predict", b'{"instances": []}', "POST"),
    ],
)
def test_errors(path: str, body: bytes, method: str) -> None:
    assert is_error(answer(path, body, method))


def test_answers() -> None:
    good = answer("/predict", b'{"instances": [1.5]}')
    assert not is_error(good)
    assert not is_empty(good)
    assert is_empty(answer("/nothing", b""))
