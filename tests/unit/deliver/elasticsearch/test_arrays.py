"""Arrays of attributes are spread where an engine refuses them, and are the same when they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.elasticsearch.arrays import join, spread, spread_arrays
from sidecar.deliver.elasticsearch.conflicts import KEY, move_field
from sidecar.lookup.document_traces import joined

DOTTED = (
    "mapper_parsing_exception: Failed to parse mapping [_doc]: Field mapping conflict: Cannot add nested object field "
    "[attributes.ml] when disable_objects is enabled for [attributes]. With disable_objects=true, all fields must use "
    "flat field notation (e.g., 'field.name' as a single field) rather than nested object structures."
)
TYPED = "mapper_parsing_exception: failed to parse field [attributes.x] of type [{}] in document with id '1'. "
MAPPED = TYPED.format("keyword") + "Preview of field's value: '[age]'"
SCALAR = TYPED.format("long") + "Preview of field's value: 'three'"
ACTION = b'{"create":{"_index":"i","_id":"1"}}\n'

values = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
attributes = st.dictionaries(st.text(min_size=1, max_size=4), values | st.lists(values, max_size=3), max_size=4)


def pair(**document: Any) -> bytes:
    return ACTION + json.dumps({"@timestamp": "1.0", **document}).encode() + b"\n"


@pytest.mark.parametrize("reason", [DOTTED, MAPPED])
def test_elements_are_apart_and_all_else_stays(reason: str) -> None:
    given = {"a.b": ["x", "y"], "n": [1], "m": {"k": 2}, "s": "t", "e": []}
    changed = spread_arrays(
        pair(attributes=given, resource={"attributes": {"args": ["-m"]}, "schema_url": "u"}), reason
    )
    assert changed is not None
    action, source, end = changed.split(b"\n")
    assert (action + b"\n", end) == (ACTION, b"")
    assert json.loads(source) == {
        "@timestamp": "1.0",
        "attributes": [{"m": {"k": 2}, "s": "t", "e": []}, {"a.b": "x", "n": 1}, {"a.b": "y"}],
        "resource": {"attributes": [{}, {"args": "-m"}], "schema_url": "u"},
    }


def test_what_is_not_about_arrays_is_left_to_others() -> None:
    assert spread_arrays(pair(attributes={"x": [1]}), SCALAR) is None
    assert spread_arrays(pair(attributes={"x": 1, "e": []}), DOTTED) is None
    assert spread_arrays(pair(attributes=[{}, {"x": 1}]), DOTTED) is None
    assert spread_arrays(ACTION + b"no document\n", DOTTED) is None


def test_arrays_further_inside_become_text() -> None:
    document = {"attributes": {"m": {"l": [1, 2]}, "d": [[1], {"q": ["é"]}]}}
    assert spread(document)
    assert document == {"attributes": [{"m": {"l": "[1, 2]"}}, {"d": "[1]"}, {"d": {"q": '["é"]'}}]}


@given(attributes, attributes)
def test_what_was_spread_is_read_as_it_was_sent(own: dict[str, Any], of_resource: dict[str, Any]) -> None:
    document = {"attributes": dict(own), "resource": {"attributes": dict(of_resource)}}
    changed = spread(document)
    assert joined(document["attributes"]) == own
    assert joined(document["resource"]["attributes"]) == of_resource
    assert join(document) == changed
    assert document == {"attributes": own, "resource": {"attributes": of_resource}}


@pytest.mark.parametrize("odd", [None, "text", 1, [1], [{}, "x"]])
def test_attributes_that_are_none(odd: Any) -> None:
    assert joined(odd) == {}


def test_a_field_is_moved_to_text_beside_arrays_that_were_spread() -> None:
    changed = move_field(pair(attributes=[{"x": "three", "s": 1}, {"a": "p"}, {"a": "q"}]), SCALAR)
    assert changed is not None
    document = json.loads(changed.split(b"\n")[1])
    assert document["attributes"] == [{"s": 1, KEY: '{"attributes.x":"three"}'}, {"a": "p"}, {"a": "q"}]
