"""Series that both spans and apps give are shown once."""

from __future__ import annotations

import pytest
from support.derive_fakes import lines

from sidecar.derive.families import Block, FamilySnapshot, Histograms, Kind, Points
from sidecar.derive.family_dedupe import dedupe_families

NAME = "tokens"


def family(kind: Kind, *blocks: Block, name: str = NAME) -> FamilySnapshot:
    return FamilySnapshot(name, kind, "", "", blocks)


def points(*labels: str) -> Points:
    return Points(labels, list(range(1, len(labels) + 1)), [float(n) for n in range(len(labels))])


def shown(*families: FamilySnapshot) -> set[str]:
    return {series.removeprefix(f"{NAME}_total") for series in lines(dedupe_families(families, {NAME}))}


DERIVED = family("counter", points('service_name="shop",model="m"', 'service_name="a\\"b"'))


@pytest.mark.parametrize(
    ("labels", "is_shown"),
    [
        ('job="shop"', False),
        ('job="shop",instance="1",model="x"', False),
        ('job="space/shop"', False),
        ('job="a\\"b"', False),
        ('job="other"', True),
        ('job="shop/other"', True),
        ('job="shopping"', True),
        ('model="m",job="shop"', True),
        ("", True),
    ],
)
def test_of_services_whose_spans_give_it_what_they_send_is_left_out(labels: str, is_shown: bool) -> None:
    found = shown(DERIVED, family("counter", points(labels, 'job="kept"')))
    assert ((f"{{{labels}}}" if labels else "") in found) == is_shown
    assert '{job="kept"}' in found
    assert '{service_name="shop",model="m"}' in found


def test_values_stay_with_their_series() -> None:
    sent = Histograms(
        ['job="shop"', 'job="b"', 'job="c"'], (1.0,), [[1, 2], [3, 4], [5, 6]], [0.1, 0.2, None], [7.0, 8.0, 9.0]
    )
    derived = family("histogram", Histograms(['service_name="shop"'], (1.0,), [[0, 1]], [5.0]))
    left = dedupe_families([derived, family("histogram", sent)], {NAME})[1].blocks[0]
    assert left == Histograms(['job="b"', 'job="c"'], (1.0,), [[3, 4], [5, 6]], [0.2, None], [8.0, 9.0])


def test_other_names_and_kinds_are_not_touched() -> None:
    sent = family("counter", points('job="shop"'))
    assert dedupe_families([DERIVED, sent], {"another"}) == [DERIVED, sent]
    gauge = family("gauge", points('job="shop"'))
    assert dedupe_families([DERIVED, gauge], {NAME}) == [DERIVED, gauge]
    assert dedupe_families([sent], {NAME}) == [sent]


def test_a_family_of_its_own_without_series_hides_nothing() -> None:
    sent = family("counter", points('job="shop"'))
    assert shown(family("counter", points()), sent) == {'{job="shop"}'}
