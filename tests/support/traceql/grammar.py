"""What Grafana's published grammar says of the corpus: `python -m support.traceql.grammar` in `tests` (needs npm)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support.engines.cache import need
from support.engines.toolchains import npm_project
from support.traceql.corpus import FINDS, REFUSED, SYNTAX, TAKEN

_PACKAGES = {"@grafana/lezer-traceql": "1.0.0", "@lezer/common": "1.2.3", "@lezer/lr": "1.4.2"}


def main() -> None:
    """Write the golden file."""
    done = subprocess.run(
        [need("node", "the grammar of TraceQL"), str(Path(__file__).with_name("syntax.cjs"))],
        input=json.dumps([*FINDS, *TAKEN, *REFUSED]).encode(),
        env={"NODE_PATH": str(npm_project(_PACKAGES)), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    SYNTAX.write_bytes(done.stdout)


if __name__ == "__main__":
    main()
