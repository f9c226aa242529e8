"""Estimates of accuracy without labels by NannyML on the frames of `estimation_cases`: written to
tests/golden/drift/estimates.json.

    cd tests && ../.venv/bin/python -m support.drift_oracles.estimation_golden
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.drift_oracles.estimation_cases import Frame, cases
from support.drift_oracles.golden import HERE, LIBRARIES, python_of

GOLDEN = Path(__file__).parents[2] / "golden" / "drift" / "estimates.json"


def write() -> None:
    """All of it."""
    (library,) = (one for one in LIBRARIES if one.name == "nannyml")
    given = json.dumps(
        {
            name: {"reference": _as_json(before), "windows": {window: _as_json(one) for window, one in windows.items()}}
            for name, (before, windows) in cases().items()
        }
    )
    command = [str(python_of(library)), str(HERE / "run_nannyml_estimation.py")]
    done = subprocess.run(
        command, input=given, stdout=subprocess.PIPE, text=True, check=True, env=dict(library.environment)
    )
    made = {"packages": list(library.packages), "estimates": json.loads(done.stdout)}
    GOLDEN.write_text(json.dumps(made, indent=1, allow_nan=False) + "\n")


def _as_json(frame: Frame) -> dict[str, Any]:
    return {
        "probabilities": frame.probabilities.tolist(),
        "predicted": frame.predicted.tolist(),
        "actual": frame.actual.tolist(),
    }


if __name__ == "__main__":
    write()
