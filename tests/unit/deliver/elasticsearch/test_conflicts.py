from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.elasticsearch.conflicts import EVERYTHING, KEY, conflicting_field, move_field

PREVIEW = "in document with id 'i1'. Preview of field's value: 'three'"
REASONS = {
    # OpenSearch 3.6
    f"mapper_parsing_exception: failed to parse field [attributes.a.x] of type [long] {PREVIEW}; caused by "
    'illegal_argument_exception: For input string: "three"': "attributes.a.x",
    "mapper_parsing_exception: object mapping for [body.structured.x] tried to parse field [x] as object, but found a "
    "concrete value": "body.structured.x",
    "illegal_argument_exception: can't merge a non object mapping [body.structured.a] with an object "
    "mapping": "body.structured.a",
    "illegal_argument_exception: mapper [body.structured.x] cannot be changed from type [keyword] to "
    "[long]": "body.structured.x",
    "illegal_argument_exception: object field starting or ending with a [.] makes object resolution ambiguous: "
    "[attributes..a]": "attributes..a",
    "mapper_parsing_exception: failed to parse; caused by illegal_argument_exception: object field starting or ending "
    "with a [.] makes object resolution ambiguous: [a..b]": "a..b",
    "illegal_argument_exception: object field cannot contain only whitespace: ['attributes.a. .b']": "attributes.a. .b",
    "mapper_parsing_exception: failed to parse; caused by parse_exception: The depth of the field has exceeded the "
    "allowed limit of [20]. This limit can be set by changing the [index.mapping.depth.limit] setting.": EVERYTHING,
    "illegal_argument_exception: Limit of total fields [1000] has been exceeded": EVERYTHING,
    "mapper_parsing_exception: Failed to parse mapping [_doc]: Invalid field name .": EVERYTHING,
    "strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [new] within [attributes] is not "
    "allowed": "attributes.new",
    "strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [newtop] within [_doc] is not "
    "allowed": "newtop",
    'illegal_argument_exception: Document contains at least one immense term in field="attributes.k" (whose UTF8 '
    "encoding is longer than the max length 32766)": "attributes.k",
    # Elasticsearch 8.19 and 9.5
    f"document_parsing_exception: [1:76] failed to parse field [body.structured.x] of type [keyword] {PREVIEW}; caused "
    "by illegal_argument_exception: Expected text at 1:69 but found START_OBJECT": "body.structured.x",
    "document_parsing_exception: [1:12453] failed to parse: Limit of total fields [1000] has been exceeded while "
    "adding new fields [971]": EVERYTHING,
    "document_parsing_exception: [1:171] failed to parse: Limit of mapping depth [20] has been exceeded due to object "
    "field [body.structured.k.k]": "body.structured.k.k",
    "document_parsing_exception: [1:64] failed to parse: field name cannot contain only whitespace: ['a..b']": "a..b",
    "document_parsing_exception: [1:64] failed to parse: field name cannot contain only dots": EVERYTHING,
    "document_parsing_exception: [1:62] failed to parse field [attributes.geo] of type [geo_point]": "attributes.geo",
    "mapper_parsing_exception: Could not dynamically add mapping for field [a.b]. Existing mapping for "
    "[body.structured.a] must be of type object but found [long].": "body.structured.a",
}


def pair(**document: Any) -> bytes:
    whole = {"@timestamp": "1.000000", "data_stream": {"type": "logs"}, **document}
    return b'{"create":{"_index":"i","_id":"1"}}\n' + json.dumps(whole).encode() + b"\n"


def refused(path: str) -> str:
    return f"document_parsing_exception: failed to parse field [{path}] of type [long]"


def relieved(line_pair: bytes | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(document without what was moved, what was moved)"""
    assert line_pair is not None
    action, source, end = line_pair.split(b"\n")
    assert (action, end) == (b'{"create":{"_index":"i","_id":"1"}}', b"")
    document = json.loads(source)
    assert document.pop("@timestamp") == "1.000000"
    assert document.pop("data_stream") == {"type": "logs"}
    return document, json.loads(document["attributes"].pop(KEY))


@pytest.mark.parametrize(("reason", "path"), REASONS.items())
def test_the_field_at_fault_is_read_from_the_engines_words(reason: str, path: str) -> None:
    assert conflicting_field(reason) == path


@pytest.mark.parametrize(
    "reason",
    ["", "security_exception: no", "version_conflict_engine_exception: document already exists", "unknown: [a] [b]"],
)
def test_other_refusals_blame_no_field(reason: str) -> None:
    assert conflicting_field(reason) is None
    assert move_field(pair(attributes={"a": 1}), reason) is None


@pytest.mark.parametrize(
    ("document", "path", "left", "moved"),
    [
        ({"attributes": {"n": "x", "m": 1}}, "attributes.n", {"attributes": {"m": 1}}, {"attributes.n": "x"}),
        ({"attributes": {"a.b": "x"}}, "attributes.a.b", {"attributes": {}}, {"attributes.a.b": "x"}),
        (
            {"body": {"structured": {"q": {"x": [1, "s"], "y": 2}}}},
            "body.structured.q.x",
            {"body": {"structured": {"q": {"y": 2}}}, "attributes": {}},
            {"body.structured.q.x": [1, "s"]},
        ),
        (  # A scalar and an object of one name in one document: both go.
            {"body": {"structured": {"a": 1, "a.b": 2, "ab": 3}}},
            "body.structured.a",
            {"body": {"structured": {"ab": 3}}, "attributes": {}},
            {"body.structured.a": 1, "body.structured.a.b": 2},
        ),
        (
            {"links": [{"attributes": {"x": 1}}, {"attributes": {"x": "s", "y": 1}}]},
            "links.attributes.x",
            {"links": [{"attributes": {}}, {"attributes": {"y": 1}}], "attributes": {}},
            {"links.attributes.x": [1, "s"]},
        ),
        (
            {"resource": {"attributes": {"x": {"y": 1}}}},
            "resource.attributes.x",
            {"resource": {"attributes": {}}, "attributes": {}},
            {"resource.attributes.x": {"y": 1}},
        ),
        (  # Some refusals leave out the object around the field.
            {"body": {"structured": {"a..b": 1, "c": 2}}},
            "a..b",
            {"body": {"structured": {"c": 2}}, "attributes": {}},
            {"body.structured.a..b": 1},
        ),
        ({"severity_number": 1000}, "severity_number", {"attributes": {}}, {"severity_number": 1000}),
    ],
)
def test_the_field_moves_to_text_and_nothing_else(
    document: dict[str, Any], path: str, left: dict[str, Any], moved: dict[str, Any]
) -> None:
    assert relieved(move_field(pair(**document), refused(path))) == (left, moved)


def test_what_was_moved_before_stays_and_after_four_fields_all_go() -> None:
    line_pair: bytes | None = pair(
        attributes={str(n): n for n in range(9)}, resource={"attributes": {"r": 1}}, body={"text": "t"}
    )
    for n in range(4):
        assert line_pair is not None
        line_pair = move_field(line_pair, refused(f"attributes.{n}"))
    document, moved = relieved(line_pair)
    assert moved == {f"attributes.{n}": n for n in range(4)}
    line_pair = move_field(line_pair or b"", refused("attributes.4"))
    document, moved = relieved(line_pair)
    assert document == {"resource": {"attributes": {"r": 1}}, "body": {"text": "t"}, "attributes": {}}
    assert moved["attributes"] == {str(n): n for n in range(4, 9)}
    document, moved = relieved(move_field(line_pair or b"", refused("attributes.5")))
    assert document == {"resource": {}, "body": {"text": "t"}, "attributes": {}}
    assert moved["resource.attributes"] == {"r": 1}


def test_at_the_limit_of_fields_those_of_the_record_go_and_then_those_of_the_sender() -> None:
    limit = "illegal_argument_exception: Limit of total fields [1000] has been exceeded"
    line_pair: bytes | None = pair(
        attributes={"a": 1}, body={"structured": {"b": 2}}, scope={"attributes": {"s": 3}}, links=[{"trace_id": "t"}]
    )
    document, moved = relieved(line_pair := move_field(line_pair or b"", limit))
    assert moved == {"attributes": {"a": 1}, "body.structured": {"b": 2}}
    document, moved = relieved(line_pair := move_field(line_pair or b"", limit))
    assert document == {"body": {}, "scope": {}, "attributes": {}}
    assert move_field(line_pair or b"", limit) is None


@pytest.mark.parametrize("path", ["@timestamp", "data_stream.type", f"attributes.{KEY}"])
def test_what_a_document_cannot_be_without_is_never_moved(path: str) -> None:
    assert move_field(pair(), refused(path)) is None
    assert move_field(pair(attributes={KEY: "{}"}), refused(path)) is None


@pytest.mark.parametrize("source", [b"", b"[]", b"{", b'{"attributes":[]}', b'{"attributes":{"sidecar.conflicts":3}}'])
def test_what_is_no_document_of_ours_is_left_alone(source: bytes) -> None:
    assert move_field(b'{"create":{}}\n' + source + b"\n", refused("attributes.x")) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab.", max_size=4), _VALUES, max_size=4), st.text("ab.", min_size=1, max_size=6))
def test_it_ends_and_loses_no_value(attributes: dict[str, Any], path: str) -> None:
    line_pair: bytes | None = pair(attributes=attributes)
    rounds = 0
    while (following := move_field(line_pair or b"", refused(f"attributes.{path}"))) is not None:
        line_pair = following
        rounds += 1
        assert rounds <= 8
    document = json.loads((line_pair or b"").split(b"\n")[1])["attributes"]
    moved = json.loads(document.pop(KEY, "{}"))
    assert _leaves([document, moved]) == _leaves(attributes)


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(leaf for inner in value.values() for leaf in _leaves(inner))
    if isinstance(value, list):
        return sorted(leaf for inner in value for leaf in _leaves(inner))
    return [repr(value)]
