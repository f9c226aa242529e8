"""A BentoML monitor at work: `python monitor.py default FOLDER` or `python monitor.py otlp ENDPOINT`, with the rows as
JSON on standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

import bentoml
from bentoml._internal.context import server_context


def main(kind: str, where: str, rows: list[dict[str, Any]]) -> None:
    server_context.bento_name, server_context.bento_version = "iris", "v3"
    options = {"log_path": where} if kind == "default" else {"endpoint": where, "protocol": "http"}
    for row in rows:
        with bentoml.monitor("watch", monitor_class=kind, monitor_options=options) as monitor:
            monitor.log(row["age"], name="age", role="feature", data_type="numerical")
            monitor.log(row["class"], name="class", role="prediction", data_type="categorical")
    if kind == "otlp":
        monitor.logger_provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.load(sys.stdin))
