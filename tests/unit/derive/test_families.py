from __future__ import annotations

import pytest

from sidecar.derive.families import escape, label_name, label_text, labels_of


@pytest.mark.parametrize(
    ("attribute", "label"),
    [
        ("http.route", "http_route"),
        ("http..route", "http_route"),
        ("a__b", "a_b"),
        ("2xx", "key_2xx"),
        ("größe", "gr_e"),
        ("", "_"),
        ("_x", "_x"),
    ],
)
def test_attribute_names_become_labels(attribute: str, label: str) -> None:
    assert label_name(attribute) == label


def test_values_of_names_that_become_the_same_label_are_joined() -> None:
    assert labels_of([("a.b", "2"), ("a_b", "3"), ("a-b", "1"), ("z", "")]) == {"a_b": "1;2;3"}


def test_empty_values_are_left_out() -> None:
    assert label_text(("a", "b", "c"), ("1", "", "3")) == 'a="1",c="3"'


def test_escaping() -> None:
    assert escape('a\\b"c\nd') == r"a\\b\"c\nd"
