"""Gauges that are gathered series by series."""

from __future__ import annotations

import pytest

from sidecar.derive.families import Points
from sidecar.derive.gauges import Gauges
from sidecar.derive.shares import share

ABOUT = {name: f"About {name}." for name in ("rate", "rate_lower", "rate_upper", "rows")}


def test_what_has_no_value_has_no_series_and_families_keep_their_order() -> None:
    gauges = Gauges(ABOUT)
    gauges.add("rows", 'a="1"', 7)
    gauges.add("rows", 'a="2"', None)
    gauges.add_interval("rate", 'a="1"', share(3, 10))
    gauges.add_interval("rate", 'a="2"', None)
    found = list(gauges.families())
    assert [(family.name, family.help) for family in found] == list(ABOUT.items())
    points = {family.name: family.blocks[0] for family in found}
    expected = share(3, 10)
    for name, value in (("rate", 0.3), ("rate_lower", expected.lower), ("rate_upper", expected.upper), ("rows", 7)):
        assert points[name] == Points(['a="1"'], [value])


def test_a_family_that_is_not_known_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Gauges(ABOUT).add("rats", "", 1)
