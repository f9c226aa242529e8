"""Makes what Prometheus, Alertmanager and Grafana take, and the runbook pages, from the sources in this folder.

    python monitoring/build.py

Deterministic: a second run changes nothing; a contract test holds the files to it. Change `thresholds.yaml` or
`source/`, run it, and reload Prometheus (`POST /-/reload`, or SIGHUP).
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generator import alerts, promtests, rules, runbooks, text  # noqa: E402


def files() -> dict[Path, str]:
    """Path from the repository's root -> text of every file that is made."""
    thresholds = text.thresholds()
    found = alerts.load(thresholds)
    made = rules.files(found, thresholds)
    recording = {
        path.name: yaml.safe_load(content)["groups"]
        for path, content in made.items()
        if path.name.startswith("recording-")
    }
    return made | promtests.files(found, recording) | runbooks.files(found, thresholds)


def stale(made: dict[Path, str]) -> list[Path]:
    """Files in the folders that are made whole, and that nothing makes any more."""
    folders = {path.parent for path in made}
    there = {file.relative_to(HERE.parent) for folder in folders for file in (HERE.parent / folder).glob("*.*")}
    return sorted(there - set(made))


def main() -> None:
    """Write what differs, delete what is made no more; say which."""
    root, made = HERE.parent, files()
    for path in stale(made):
        (root / path).unlink()
        print(f"{path} (deleted)")
    text.write(made)


if __name__ == "__main__":
    main()
