"""A line in a registry is all that a new component takes: toys that are known by their line alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from sidecar.config.fields import fields
from sidecar.derive.deriver import DeriverContext
from sidecar.derive.registry import (
    DERIVERS,
    DeriverType,
    derive_options,
    memory_bound_bytes,
    shared_families,
)
from sidecar.derive.rule_metrics import Rule
from sidecar.options import Section


class ToyOptions(Section):
    enabled: bool = Field(False, description="Derive toys.")


def toy_derivers(options: ToyOptions, context: DeriverContext) -> list[Any]:
    return []


TOY_DERIVER = DeriverType(
    "toys",
    ToyOptions,
    toy_derivers,
    "Toys from spans.",
    lambda options, budget: 1000 + budget.series,
    prefixes=("toys_",),
    shared_families=("toys_seen",),
)


def test_a_deriver_is_one_line() -> None:
    types = (*DERIVERS, TOY_DERIVER)
    model = derive_options(types)
    options = model.model_validate({"series_budget": 7, "toys": {"enabled": True}})
    assert options.section("toys") == ToyOptions(enabled=True)
    assert model.model_json_schema()["properties"]["toys"]["description"] == "Toys from spans."
    (field,) = [field for field in fields(model, ("derive",)) if field.path[1] == "toys"]
    assert (field.variable, field.default, field.description) == (
        "SIDECAR_DERIVE__TOYS__ENABLED",
        False,
        "Derive toys.",
    )
    assert memory_bound_bytes(options, types) - memory_bound_bytes(options, DERIVERS) == 1007
    assert shared_families(types) == shared_families(DERIVERS) | {"toys_seen"}


@pytest.mark.parametrize("name", ["toys_x", *(prefix + "x" for kind in DERIVERS for prefix in kind.prefixes)])
def test_names_of_derivers_are_reserved(name: str) -> None:
    model = derive_options((*DERIVERS, TOY_DERIVER))
    with pytest.raises(ValidationError, match=f"{name}: names that begin so are the program's own"):
        model.model_validate({"rules": [{"name": name}]})
    assert model.model_validate({"rules": [{"name": f"my_{name}"}]}).section("rules") == (Rule(name=f"my_{name}"),)
