"""Any body of labels gives a request that every later reader accepts, or a DecodeError, and never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decode.predictions.label_bodies import Transcode, from_csv, from_json, from_lines
from sidecar.decode.predictions.label_event import label_events
from sidecar.decode.predictions.label_names import ALIASES
from sidecar.decode.python import ReferenceDecoder
from sidecar.errors import DecodeError

DECODER = ReferenceDecoder()
NAMES = st.sampled_from([name for names in ALIASES.values() for name in names]) | st.text(max_size=5)
SCALARS: Any = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["1", "007", "nan", "2026-01-02T03:04:05Z", "0af7651916cd43dd8448eb211c80319c", "\ud800"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)
DOCUMENTS = st.lists(RECORDS, max_size=5).map(lambda records: json.dumps(records).encode())
LINES = st.lists(RECORDS.map(json.dumps) | st.text(max_size=10), max_size=5).map(
    lambda lines: "\n".join(lines).encode("utf-8", "replace")
)
CELLS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8) | NAMES, max_size=5).map(",".join)
QUOTED = st.text("\",\n\r \t;'a1é\0", max_size=40)
CSV = st.tuples(CELLS | st.just("id,label,time"), st.lists(CELLS | QUOTED, max_size=5)).map(
    lambda made: "\n".join([made[0], *made[1]]).encode("utf-8", "replace")
)


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body, or one that is cut or has bytes put in."""
    body = draw(bodies)
    place = draw(st.integers(0, len(body)))
    return draw(st.sampled_from([body, body[:place], body[:place] + draw(st.binary(max_size=4)) + body[place:]]))


@pytest.mark.parametrize("transcode", [from_csv, from_json, from_lines])
@settings(max_examples=400, deadline=None)
@given(damaged(DOCUMENTS | LINES | CSV | st.binary(max_size=60)))
def test_any_body(transcode: Transcode, body: bytes) -> None:
    try:
        made = transcode(body, 5, b"")
    except DecodeError:
        return
    check = made.check
    assert len(check.errors) == min(check.rejected, 5)
    later = DECODER.check_logs(made.payload)
    assert (later.items, later.rejected) == (check.items, 0)
    events = list(label_events(made.payload, check.items))
    assert len(events) == check.items
    assert all(event.label is not None for event in events)
    assert not made.payload or len(DECODER.log_lines([made.payload], ["p"]).ends) == check.items
