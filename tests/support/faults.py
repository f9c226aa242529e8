"""What `sidecar drill --faults` calls in tests: a small program that asks this process to break or repair."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fault = tuple[Callable[[], Any], Callable[[], Any]]
"""How it begins and how it ends."""
_PROGRAM = """#!{python}
import sys, urllib.request
with urllib.request.urlopen("{url}/" + "/".join(sys.argv[1:]), timeout=300) as reply:
    assert reply.status == 200
"""


@contextmanager
def faults_program(folder: Path, faults: Mapping[str, Fault]) -> Iterator[Path]:
    """The program. It fails for a name that is not among the faults, and where one raises."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, what = self.path.strip("/").split("/")
            status = 200
            try:
                faults[name][("begin", "end").index(what)]()
            except Exception:  # noqa: BLE001 - the drill says that it failed, this why
                traceback.print_exc()
                status = 500
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    program = folder / "faults"
    program.write_text(_PROGRAM.format(python=sys.executable, url=f"http://127.0.0.1:{server.server_address[1]}"))
    program.chmod(0o755)
    try:
        yield program
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
