"""What key rules cannot change need not be walked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Filter, KeyRule, Rules, ValueRule, sure_literals

DECODER = ReferenceDecoder()


@pytest.mark.parametrize(
    ("rules", "texts"),
    [
        (Rules(keys=(KeyRule(("ml.features", "ml.features.*"), "drop"),)), (b"\0ml", b"\x02ml", b"ml.features")),
        (Rules(keys=(KeyRule(("a.*",), "drop"),)), ()),
        (Rules(keys=(KeyRule(("x",), "drop", ("ml.prediction", "abc")),)), ()),
        (Rules(keys=(KeyRule(("a*password",), "mask"),)), (b"password",)),
        (Rules(keys=(KeyRule(("inputs",), "drop", nested=True),)), (b"\0inputs", b"\x06inputs")),
        (Rules(keys=(KeyRule(("x",), "drop", ("ml.prediction",)),)), (b"ml.prediction",)),
        (Rules(keys=(KeyRule(("id*",), "drop"),)), ()),
        (Rules(keys=(KeyRule(("password",), "drop"),), max_field_bytes=100), ()),
        (Rules(keys=(KeyRule(("password",), "drop"),), add=(("a", "b"),)), ()),
        (Rules(keys=(KeyRule(("password",), "drop"),), filter=Filter(sampling_ratio=1 / 2)), ()),
        (Rules(values=(ValueRule("secret", "s3cret", "mask"),)), ()),
    ],
)  # fmt: skip
def test_texts_that_must_stand(rules: Rules, texts: tuple[bytes, ...]) -> None:
    assert sure_literals(rules) == texts


KEYS = st.sampled_from(["ml", "features", "ML.Features", "ml.features.age", "FEATURES", "age", "password", "Pass.word"])
VALUES: Any = st.recursive(
    st.integers() | st.text(max_size=3), lambda v: st.dictionaries(KEYS, v, max_size=3), max_leaves=6
)
RULES = st.lists(
    st.sampled_from(["ml.features", "ml.features.*", "*features*", "password", "pass.word", "f*res", "ml.*.age"]),
    min_size=1,
    max_size=3,
).map(lambda globs: Rules(keys=(KeyRule(tuple(globs), "drop"),)))


@given(RULES, st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_payload_in_which_none_stands_stays_as_it_is(rules: Rules, record: dict[str, Any]) -> None:
    payload = DECODER.json_lines(json.dumps(record).encode(), 1).payload
    texts = sure_literals(rules)
    if texts and not DECODER.contains_any(payload, texts, fold=True):
        assert DECODER.redactor(rules).logs(payload).payload is payload


def test_a_key_whose_length_takes_more_bytes_than_it_needs_is_found_too() -> None:
    payload = DECODER.json_lines(b'{"ml": {"features": 1}}', 1).payload
    at = payload.index(b"\x0a\x02ml")
    odd = payload[: at + 1] + b"\x82\x80\x00" + payload[at + 2 :]
    texts = sure_literals(Rules(keys=(KeyRule(("ml.features",), "drop"),)))
    assert DECODER.contains_any(odd, texts, fold=True)
