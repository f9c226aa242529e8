"""`sidecar demo --once` sees everything that it sent, or says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIDECAR = Path(sys.executable).with_name("sidecar")


@pytest.mark.slow
def test_the_demo_ends_by_itself_and_shows_what_it_saw() -> None:
    done = subprocess.run([SIDECAR, "demo", "--once"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = (
        "RED per route",
        "POST /predict",
        "Logs by level",
        "Predictions by model and class",
        "RandomForestClassifier 1",
        "How often the model is right",
        "of 800 rows",
        "f12 is in another unit",
        "One trace in ten kept",
        "predictions counted                  1250   every one",
        "An A/B test (wine-enhanced)",
        "lift of conversions",
        "A failed request: trace",
        "prediction failed   (in span POST /predict)",
        "Ledger",
        "/ui/traces/",
        "/lookup/traces/",
    )
    for part in parts:
        assert part in done.stdout
    (drifted,) = (line for line in done.stdout.splitlines() if line.endswith("   drifted"))
    assert drifted.split()[0] == "f12"
