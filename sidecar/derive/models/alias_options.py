"""The option with additional names of what a prediction is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from sidecar.decode.predictions.attribute_names import ALIASES, MAX_FURTHER, aliases


def _lists(value: Any) -> Any:
    """One name, or names with commas between them, may stand for a list."""
    if not isinstance(value, Mapping):
        return value
    return {k: [name.strip() for name in v.split(",")] if isinstance(v, str) else v for k, v in value.items()}


def _checked(value: dict[str, tuple[str, ...]], about: ValidationInfo) -> dict[str, tuple[str, ...]]:
    aliases(value)
    if value and about.data.get("attributes") is False:
        raise ValueError("they are looked for only where derive.predictions.attributes is true")
    return value


AdditionalNames = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_lists), AfterValidator(_checked)]
"""Concept -> attributes, tried after the built-in ones (`decode.predictions.names.aliases` gives the whole table)."""

DESCRIPTION = (
    f"Further attributes that tell of predictions, tried after the built-in ones: a mapping of {', '.join(ALIASES)} to "
    f"at most {MAX_FURTHER} names each (in a variable as JSON); see docs/how-to/predictions.md."
)
