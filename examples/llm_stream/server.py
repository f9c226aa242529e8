"""A stand-in for a language model behind the OpenAI protocol: streamed chats and embeddings. `server.py PORT`.

It answers with the words of the last message, one chunk each, and counts words as tokens.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "echo-1-2026"
SECONDS_PER_TOKEN = 0.005
CACHED = 2
"""Words of each prompt that are said to come from a cache: a part of the prompt's tokens."""


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions and /v1/embeddings, as a client of OpenAI's calls them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] != "echo-1":
            self.answer({"error": {"message": "no such model", "type": "not_found_error"}}, 404)
        elif self.path == "/v1/embeddings":
            self.embed(asked)
        else:
            self.complete(asked)

    def embed(self, asked: dict[str, Any]) -> None:
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        tokens = sum(len(text.split()) for text in texts)
        vectors = [{"object": "embedding", "index": n, "embedding": [0.1, 0.2]} for n in range(len(texts))]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self.answer({"object": "list", "model": MODEL, "data": vectors, "usage": usage})

    def complete(self, asked: dict[str, Any]) -> None:
        prompt = [word for message in asked["messages"] for word in message["content"].split()]
        reply = asked["messages"][-1]["content"].split()
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(reply),
            "total_tokens": len(prompt) + len(reply),
            "prompt_tokens_details": {"cached_tokens": min(CACHED, len(prompt))},
            "completion_tokens_details": {"reasoning_tokens": 1},
        }
        if asked.get("stream"):
            self.stream(reply, usage if asked.get("stream_options", {}).get("include_usage") else None)
            return
        time.sleep(SECONDS_PER_TOKEN * len(reply))
        message = {"role": "assistant", "content": " ".join(reply)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(self.body("chat.completion", [choice]) | {"usage": usage})

    def stream(self, reply: list[str], usage: dict[str, Any] | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in reply:
            time.sleep(SECONDS_PER_TOKEN)
            self.event({"index": 0, "delta": {"role": "assistant", "content": word + " "}, "finish_reason": None})
        self.event({"index": 0, "delta": {}, "finish_reason": "stop"})
        if usage is not None:
            self.chunk("data: " + json.dumps(self.body("chat.completion.chunk", []) | {"usage": usage}) + "\n\n")
        self.chunk("data: [DONE]\n\n")
        self.chunk("")

    def event(self, choice: dict[str, Any]) -> None:
        self.chunk("data: " + json.dumps(self.body("chat.completion.chunk", [choice])) + "\n\n")

    def chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": MODEL, "choices": choices}

    def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
