"""What commands share."""

from __future__ import annotations

import click
import pytest

from sidecar.cli.shared import AGE, DURATION


@pytest.mark.parametrize(("given", "seconds"), [("7d", 604_800), ("1.5h", 5_400), ("250ms", 0.25), ("0s", 0)])
def test_times_with_a_unit(given: str, seconds: float) -> None:
    assert DURATION.convert(given, None, None) == AGE.convert(given, None, None) == seconds


def test_a_bare_number_is_seconds_but_for_an_age() -> None:
    assert DURATION.convert("7", None, None) == 7
    with pytest.raises(click.BadParameter, match="invalid duration: '7'; expected a number with its unit, such as 7d"):
        AGE.convert("7", None, None)


@pytest.mark.parametrize("given", ["-1d", "7 parsecs", "inf", "nan"])
@pytest.mark.parametrize("kind", [DURATION, AGE])
def test_what_is_no_time_is_refused(kind: click.ParamType[float], given: str) -> None:
    with pytest.raises(click.BadParameter, match=r"duration|unit"):
        kind.convert(given, None, None)
