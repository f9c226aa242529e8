"""Makes from the sources in this folder what engines and dashboards take, and the copies that the program carries.

    python elk/build.py

Writes `elasticsearch/ingest_pipelines/*.json` (script put into place), `kibana/*.ndjson` (from `kibana/objects.yaml`),
and `sidecar/elk/`, from which `sidecar setup` and the start-up of the Elasticsearch sink read. Deterministic: a second
run changes nothing; a contract test holds the files to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "kibana"))

from saved_objects import ndjson  # noqa: E402

ENGINES = ("elasticsearch", "opensearch")


def pipelines(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, JSON) of every ingest pipeline written as YAML, scripts in files of their own put into place."""
    for source in sorted(folder.glob("*.yaml")):
        body = yaml.safe_load(source.read_text("utf-8"))
        for processor in body["processors"]:
            if script := processor.get("script"):
                script["source"] = (folder / script["source"]).read_text("utf-8")
        yield source.stem, as_json(body)


def as_json(body: Any) -> str:
    """The form of every JSON file here."""
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Path from the repository's root -> text of every file that is made."""
    made: dict[Path, str] = {}
    for engine in ENGINES:
        # The pipeline is one for both engines: the same processors and the same script language.
        for name, text in pipelines(HERE / "elasticsearch" / "ingest_pipelines"):
            made[Path("elk", engine, "ingest_pipelines", f"{name}.json")] = text
        for source in sorted((HERE / engine).glob("*/*.json")):
            path = Path("elk", source.relative_to(HERE))
            made.setdefault(path, as_json(json.loads(source.read_text("utf-8"))))
    made[Path("elk", "kibana", "objects.ndjson")] = ndjson(HERE / "kibana" / "objects.yaml")
    return made | {Path("sidecar", path): text for path, text in made.items()}


def main() -> None:
    """Write what differs; say which."""
    root = HERE.parent
    for path, text in files().items():
        target = root / path
        if not target.exists() or target.read_text("utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
