"""The sink on the architecture page is a sink: what the page shows is what it takes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import cast

import pytest

from sidecar.deliver.registry import SinkType
from sidecar.deliver.sink import SinkContext
from sidecar.pipeline import Entry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_the_sink_of_the_page_settles_every_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8"))
    (tmp_path / "sink_of_the_page.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("sink_of_the_page")
    kind = SinkType("null", module.Options, module.build, "Nothing.")
    sink = kind.build("null", kind.options(), cast("SinkContext", None))
    assert sink.signals == kind.signals
    entries = [Entry(seq=7, time_ns=1, signal="spans", items=3, events=2, payload=b"")]
    prepared = sink.prepare(entries)
    results = [sink.send(batch) for batch in prepared.batches]
    assert prepared.expected == {7: 5}
    assert [(item.seq, sum(item.counts.values())) for result in results for item in result.settled] == [(7, 5)]


def test_files_and_folders_that_are_named_exist() -> None:
    root = PAGE.parents[1]
    pages = PAGE.read_text("utf-8") + (root / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"`((?:sidecar|native|tests|docs|instrumentation)/[a-zA-Z0-9_./-]+)`", pages))
    assert named
    assert [name for name in sorted(named) if not (root / name).exists()] == []
