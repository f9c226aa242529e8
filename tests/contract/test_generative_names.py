"""The page about generative models lists the attributes and operations that are read, all of them and no others."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.decode.predictions.genai_names import FIRST_CHUNK_EVENTS, NUMBERS, OPERATIONS, TEXTS, attributes
from sidecar.derive.genai.genai_tables import LABELS, METRICS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "generative-models.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> names in code in the second."""
    found = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|", text)
    return {first.strip("`"): re.findall(r"`([^`]+)`", second) or [second] for first, second in found}


def test_the_table_of_attributes_is_that_of_the_program() -> None:
    listed = rows(section("Which attributes are read").partition("Operations that are calls")[0])
    del listed["what"]
    assert listed == {concept: list(names) for concept, names in {**TEXTS, **NUMBERS}.items()}


def test_every_attribute_and_event_is_named() -> None:
    text = section("Which attributes are read")
    assert [name for name in (*attributes(), *FIRST_CHUNK_EVENTS) if f"`{name}`" not in text] == []


def test_the_table_of_operations_is_that_of_the_program() -> None:
    listed = rows(section("Which attributes are read").partition("Operations that are calls")[2])
    del listed["value"]
    assert listed == {value: [operation] for value, operation in OPERATIONS.items()}


def test_every_metric_and_label_is_named() -> None:
    text = section("What is shown")
    shown = set(re.findall(r"(?m)^\| `(gen_ai_\w+)`", text))
    assert shown == {metric.name if metric.bounds else f"{metric.name}_total" for metric in METRICS}
    assert [label for label in (*LABELS, *(m.extra for m in METRICS if m.extra)) if f"`{label}`" not in text] == []
