"""The installed `sidecar lookup`: a process without state before a search engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from support.engines import free_port, http_get, sidecar_command, wait_for

CLOSED = "http://127.0.0.1:9"


@contextmanager
def looking_up(directory: Path, *arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running `sidecar lookup`, and its address."""
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
    settings = {"SIDECAR_SERVE__HOST": "127.0.0.1", "SIDECAR_SERVE__PORT": str(port), **environ}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sidecar_command(), "lookup", *arguments], env={**inherited, **settings}, stderr=log, cwd=directory
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _status(f"{url}/readyz") == 200, 30, "sidecar lookup to answer")
        yield process, url
    finally:
        process.kill()
        process.wait()


def _status(url: str) -> int:
    try:
        return http_get(url)[0]
    except OSError:
        return 0


def test_without_an_address_it_says_what_to_set(tmp_path: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
    for arguments, expected in (
        ([], "--elasticsearch https://es:9200"),
        (["--elasticsearch", "es:9200"], "expected http"),
    ):
        done = subprocess.run(
            [sidecar_command(), "lookup", *arguments], env=inherited, cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == 2
        assert expected in done.stderr.decode()
    assert not list(tmp_path.iterdir())


def test_it_answers_reports_an_engine_that_is_away_and_ends_at_a_signal(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("let-me-in\n")
    environ = {"SIDECAR_LOOKUP__ELASTICSEARCH__HOSTS": CLOSED, "SIDECAR_SERVE__AUTH__TOKEN_FILE": str(secret)}
    with looking_up(tmp_path, **environ) as (process, url):
        assert http_get(f"{url}/api/services")[0] == 401
        allowed = {"Authorization": "Bearer let-me-in"}
        status, body = http_get(f"{url}/api/services", allowed)
        assert (status, "cannot be reached" in json.loads(body)["errors"][0]["msg"]) == (502, True)
        status, body = http_get(f"{url}/tempo/api/search?q={quote('{ .a = }')}", allowed)
        assert (status, b"at character" in body) == (400, True)
        assert http_get(f"{url}/tempo/api/echo", allowed) == (200, b"echo")
        assert b"sidecar_build_info" in http_get(f"{url}/metrics", allowed)[1]
        assert json.loads(http_get(f"{url}/status", allowed)[1])["elasticsearch"] == [CLOSED]
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    assert "lookup_store_failed" in (tmp_path / "log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"log", "token"}
