"""A model's stand-in: what pods run in the tests of the lifecycle, by the standard library alone. Its lines are
numbered, and say whose they are, so that each can be looked for in the search engine."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request

POD = os.environ["K8S_POD_NAME"]
LOGS = "/logs/model.jsonl"


def line(text: str) -> str:
    return json.dumps({"time": time.time_ns(), "level": "info", "message": text, "service": POD}) + "\n"


def send(*texts: str) -> None:
    """Until the sidecar has acknowledged it: it may be away."""
    body = "".join(map(line, texts)).encode()
    key = f"{POD}/{texts[0]}"
    headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
    while True:
        request = urllib.request.Request("http://127.0.0.1:4318/v1/json", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError) as error:
            print("again:", error, flush=True)
            time.sleep(0.05)


def until_the_end(last_words: bool) -> None:
    """Wait for SIGTERM; the sidecar is asked then whether it is still there."""

    def end(*_: object) -> None:
        if last_words:
            send("last words")
            time.sleep(1)
        print("ends", flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        signal.pause()


def serve() -> None:
    """Says something at once: the sidecar has to be there already."""
    body = line("first words").encode()
    request = urllib.request.Request("http://127.0.0.1:4318/v1/json", body, {"content-type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        print("first words", answer.status, flush=True)
    until_the_end(last_words=True)


def lines(count: str, pause: str) -> None:
    for number in range(int(count)):
        send(f"line {number}")
        time.sleep(float(pause))
    print("sent", count, flush=True)
    until_the_end(last_words=False)


def job(count: str) -> None:
    for number in range(int(count)):
        send(f"line {number}")


def memory(count: str) -> None:
    """Lines to a file, and then more memory than there is."""
    with open(LOGS, "a", encoding="utf-8") as file:
        for number in range(int(count)):
            file.write(line(f"line {number}"))
        file.flush()
        taken = []
        while True:
            taken.append(bytearray(b"x" * (8 << 20)))


def fill(count: str) -> None:
    """Lines, and then more on a volume than it may hold."""
    for number in range(int(count)):
        send(f"line {number}")
    with open("/cache/data", "wb") as file:
        file.write(b"x" * (64 << 20))
    until_the_end(last_words=False)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
