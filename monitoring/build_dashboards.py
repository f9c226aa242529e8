"""Makes Grafana's dashboards, and the copies that the program carries for `sidecar setup grafana`.

    python monitoring/build_dashboards.py        needs the packages of the extra `dev`

Deterministic, as build.py. Thresholds that are drawn are those of `thresholds.yaml`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from dashboards import business, experiments, machines, models, quality, services, storage  # noqa: E402
from dashboards.panels import Board, rendered  # noqa: E402
from generator import text  # noqa: E402
from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402

FOLDER = Path("monitoring/grafana/dashboards")


def boards() -> list[Board]:
    """All dashboards."""
    thresholds = text.thresholds()
    makers = (
        services.overview,
        services.application,
        models.performance,
        quality.quality,
        experiments.complete,
        experiments.simple,
        business.business,
        machines.infrastructure,
        storage.storage,
        machines.pipeline,
    )
    return [make(thresholds) for make in makers]


def files() -> dict[Path, str]:
    """Path from the repository's root -> JSON of every dashboard, and of its copy."""
    runbooks = text.thresholds().links["runbooks"]
    made = {
        FOLDER / f"{board.uid}.json": as_json(JSONEncoder().encode(rendered(board, runbooks))) for board in boards()
    }
    return made | {Path("sidecar") / path: content for path, content in made.items()}


def as_json(encoded: str) -> str:
    """The form of the files, without what the SDK gives every variable and the schema has for intervals only."""
    body = json.loads(encoded)
    for variable in body["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write what differs; say which."""
    text.write(files())


if __name__ == "__main__":
    main()
