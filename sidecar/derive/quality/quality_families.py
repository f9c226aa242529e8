"""Metric families of expectations, from the state of all models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.derive.families import FamilySnapshot, Number, Points, label_text
from sidecar.derive.quality.checks import ModelChecks

_ABOUT = {
    "data_quality_expectation_met": "1 where the window of the last check met an expectation of a suite, else 0.",
    "data_quality_expectation_unexpected_ratio": "Share of the window's values that an expectation forbids.",
    "data_quality_expectation_observed_value": "Figure that an expectation of the window is about, such as a mean.",
    "data_quality_expectation_undecided_values": "Texts of the window that were cut, of which a pattern needs the end.",
    "data_quality_expectations": "Expectations at the last check by state; left_out is beyond max_expectations.",
}


def families(models: Iterable[ModelChecks]) -> Iterator[FamilySnapshot]:
    """The families; nothing of a model before its first check."""
    found: dict[str, tuple[list[str], list[Number]]] = {name: ([], []) for name in _ABOUT}

    def add(name: str, labels: str, value: Number | None) -> None:
        if value is not None:
            found[name][0].append(labels)
            found[name][1].append(value)

    for one in models:
        for place, result in one.quality.results.items():
            expectation = one.quality.expectations[place]
            labels = label_text(
                ("model", "version", "feature", "expectation"),
                (*one.model, expectation.column, one.quality.labels[place]),
            )
            add("data_quality_expectation_met", labels, None if result.met is None else int(result.met))
            add("data_quality_expectation_unexpected_ratio", labels, result.unexpected)
            add("data_quality_expectation_observed_value", labels, result.observed)
            add("data_quality_expectation_undecided_values", labels, result.undecided or None)
        for state, number in one.states().items():
            add("data_quality_expectations", label_text(("model", "version", "state"), (*one.model, state)), number)
    for name, about in _ABOUT.items():
        yield FamilySnapshot(name, "gauge", about, "", (Points(*found[name]),))
