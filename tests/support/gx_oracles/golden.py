"""Suites that Great Expectations 0.18 and 1.x write, and what they say of the same rows: tests/golden/quality.

    cd tests && ../.venv/bin/python -m support.gx_oracles.golden

Installs each into an environment of its own in the cache of the engine tests (a minute, 700 MB, the first time).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from support.drift_oracles.golden import Library, python_of
from support.gx_oracles.cases import CASES, COLUMNS, NOT_EVALUATED, ONLY_1

FOLDER = Path(__file__).parents[2] / "golden" / "quality"
HERE = Path(__file__).parent

_QUIET = {"GX_ANALYTICS_ENABLED": "false", "TQDM_DISABLE": "1"}
LIBRARIES = (
    Library("gx-0.18", ("great_expectations==0.18.22", "numpy==1.26.4", "pandas==2.3.3", "scipy==1.17.1"), _QUIET),
    Library("gx-1", ("great_expectations==1.24.1", "numpy==2.4.6", "pandas==2.3.3", "scipy==1.17.1"), _QUIET),
)


def main() -> None:
    """Write a file for each library."""
    for library in LIBRARIES:
        cases = [*CASES, *(ONLY_1 if library.name == "gx-1" else ())]
        given = json.dumps({"columns": COLUMNS, "cases": cases, "only_written": NOT_EVALUATED})
        command = [str(python_of(library)), str(HERE / "run_gx.py")]
        environment = {**os.environ, **library.environment}
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=environment)
        found = json.loads(done.stdout[done.stdout.index('{"version"') :])
        for expectation in found["suite"]["expectations"]:
            expectation.pop("id", None)  # Drawn by chance.
        found["suite"].pop("id", None)
        lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in found.pop("results"))
        head = json.dumps(found, ensure_ascii=False)
        (FOLDER / f"{library.name}.json").write_text(f'{head[:-1]}, "results": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
