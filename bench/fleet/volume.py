"""What spans and log records take in a search engine: `python bench/fleet/volume.py`.

The payloads of the bench go through a sidecar into a real OpenSearch with the shipped templates and its own defaults;
printed is the store of the primary shards after a merge to one segment, by document. Events of spans are logs there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support.engines import loadgen_binary, opensearch, payload_dir, sidecar_process, wait_for
from support.load import waiting
from support.search_client import ask

ITEMS = 25_600
"""As many as the payloads have: those of a second round would be the same documents."""


def main() -> int:
    with opensearch() as engine:
        environ = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": engine.url, "SIDECAR_DELIVER__STORE__ENABLED": "false"}
        with sidecar_process(environ) as sidecar:
            for signal in ("traces", "logs"):
                command = [str(loadgen_binary()), "send", "-dir", str(payload_dir()), "-addr", sidecar.grpc_target]
                command += ["-signal", signal, "-max", str(ITEMS), "-dur", "20m"]
                subprocess.run(command, capture_output=True, check=True)
                wait_for(lambda: not waiting(sidecar.serve_url), 600, "delivery", interval=1)
                _show(engine.url, signal)
    return 0


def _show(url: str, signal: str) -> None:
    index = f"{signal}-*"
    ask(f"{url}/{index}/_refresh")
    ask(f"{url}/{index}/_forcemerge?max_num_segments=1")
    primaries = ask(f"{url}/{index}/_stats/store,docs", method="GET")["_all"]["primaries"]
    size, count = primaries["store"]["size_in_bytes"], primaries["docs"]["count"]
    print(f"{signal}: {count} documents, {size / count:.0f} bytes each")


if __name__ == "__main__":
    sys.exit(main())
