"""One record to one label: which names are read, what a truth may be, and what is refused and how."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sidecar.decode.predictions.label_names import ALIASES
from sidecar.decode.predictions.label_record import (
    MAX_ID_CHARS,
    MAX_ROW,
    InvalidLabel,
    Label,
    log_record,
    members,
    read_label,
)

TIME = 1_767_323_045_000_000_000
SAMPLES: dict[str, tuple[Any, Any]] = {
    "id": ("p-1", "p-1"),
    "truth": ("cat", "cat"),
    "model": ("churn", "churn"),
    "version": ("7", "7"),
    "time": ("2026-01-02T03:04:05Z", TIME),
    "row": (3, 3),
    "source": ("review", "review"),
    "trace_id": ("0AF7651916CD43DD8448EB211C80319C", bytes.fromhex("0af7651916cd43dd8448eb211c80319c")),
    "span_id": ("00f067aa0ba902b7", bytes.fromhex("00f067aa0ba902b7")),
}
FIELDS = {"id": "prediction", "truth": "value"}
EVERY = [(concept, name) for concept, names in ALIASES.items() for name in names]


def record(**more: Any) -> dict[str, Any]:
    return {"ml.prediction.id": "p-1", "ml.label.value": "cat", **more}


@pytest.mark.parametrize(("concept", "name"), EVERY)
def test_every_name_is_read(concept: str, name: str) -> None:
    given, expected = SAMPLES[concept]
    rest = {ALIASES[c][0]: SAMPLES[c][0] for c in ("id", "truth") if c != concept}
    assert getattr(read_label({**rest, name: given}, written=False), FIELDS.get(concept, concept)) == expected


@pytest.mark.parametrize("given", ["2026-01-02", "2026-01-02T00:00", "2026-01-02T01:00:00+01:00", "20260102"])
def test_a_date_is_its_midnight(given: str) -> None:
    assert read_label(record(time=given), written=False).time == TIME - (3 * 3600 + 4 * 60 + 5) * 10**9


@pytest.mark.parametrize(("concept", "name"), [(c, n) for c, n in EVERY if "." in n])
def test_a_name_with_dots_is_a_member_of_an_object_too(concept: str, name: str) -> None:
    given, expected = SAMPLES[concept]
    nested: Any = given
    for part in reversed(name.split(".")):
        nested = {part: nested}
    rest = {ALIASES[c][0]: SAMPLES[c][0] for c in ("id", "truth") if c != concept}
    assert getattr(read_label({**rest, **nested}, written=False), FIELDS.get(concept, concept)) == expected


def test_the_first_name_that_holds_something_counts() -> None:
    found = read_label({"id": "last", "eventId": "", "prediction_id": None, "request_id": "r", "label": 1}, False)
    assert found == Label("r", 1)


def test_sagemaker_ground_truth() -> None:
    given = {
        "groundTruthData": {"data": "1", "encoding": "CSV"},
        "eventMetadata": {"eventId": "aaaa-bbbb-cccc"},
        "eventVersion": "0",
    }
    assert read_label(given, written=False) == Label("aaaa-bbbb-cccc", 1)
    given["groundTruthData"] = {"data": "MQ==", "encoding": "BASE64"}
    with pytest.raises(InvalidLabel, match=r"groundTruthData\.encoding: 'BASE64' is not understood"):
        read_label(given, written=False)


@pytest.mark.parametrize(
    ("written", "given", "expected"),
    [
        (False, "1", "1"),
        (False, 1, 1),
        (False, 1.5, 1.5),
        (False, True, "true"),
        (False, False, "false"),
        (False, " cat ", " cat "),
        (False, 2**63 - 1, 2**63 - 1),
        (False, 2**63, str(2**63)),
        (False, -(2**63) - 1, str(-(2**63) - 1)),
        (True, "1", 1),
        (True, " 1 ", 1),
        (True, "-0", 0),
        (True, "1.50", 1.5),
        (True, "1e3", 1000.0),
        (True, "-2.5E-1", -0.25),
        (True, "007", "007"),
        (True, "+1", "+1"),
        (True, ".5", ".5"),
        (True, "1.", "1."),
        (True, "1_000", "1_000"),
        (True, "0x10", "0x10"),
        (True, "true", "true"),
        (True, " cat ", "cat"),
        (True, "9223372036854775807", 2**63 - 1),
        (True, "9223372036854775808", "9223372036854775808"),
        (True, "1" * 40, "1" * 40),
        (True, "١", "١"),
        (True, "none", "none"),
        (False, ["b", "a", "b"], ("a", "b")),
        (False, [], ()),
        (False, [1, True, 2.5, "x"], ("1", "2.5", "true", "x")),
        (True, '["b", "a"]', ("a", "b")),
        (True, "[]", ()),
        (True, "[b", "[b"),
        (True, '{"a": 1}', '{"a": 1}'),
        (False, '["a"]', '["a"]'),
    ],
)
def test_truths(written: bool, given: Any, expected: Any) -> None:
    found = read_label({"id": "p", "label": given}, written).value
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("given", ["nan", "NaN", "-nan", "inf", "-Infinity", "+INF"])
def test_what_stands_for_no_number_is_no_truth(written: bool, given: str) -> None:
    with pytest.raises(InvalidLabel, match=r"label: .* is no truth"):
        read_label({"id": "p", "label": given}, written)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no prediction id (any of ml.prediction.id, prediction_id, "),
        ({"id": ""}, "no prediction id"),
        ({"id": " \t"}, "no prediction id"),
        ({"id": None}, "no prediction id"),
        ({"id": 1.0}, "id: a prediction id must be text or a whole number"),
        ({"id": True}, "id: a prediction id must be text or a whole number"),
        ({"id": ["p"]}, "id: a prediction id must be text or a whole number"),
        ({"id": "x" * (MAX_ID_CHARS + 1)}, f"id: 257 characters, at most {MAX_ID_CHARS}"),
        ({"id": 10**5000}, "id: more than 256 digits"),
        ({"id": "\ud800"}, "id: not valid Unicode"),
        ({"id": "p"}, "no truth (any of ml.label.value, label, "),
        ({"id": "p", "label": None}, "no truth"),
        ({"id": "p", "label": "  "}, "no truth"),
        ({"id": "p", "label": math.nan}, "label: nan is no truth"),
        ({"id": "p", "label": -math.inf}, "label: -inf is no truth"),
        ({"id": "p", "label": b"x"}, "label: must be a text, a number, a boolean or an array of classes"),
        ({"id": "p", "label": [["a"]]}, "label: an array of classes must hold texts, numbers and booleans only"),
        ({"id": "p", "label": [None]}, "label: an array of classes must hold"),
        ({"id": "p", "label": ["a", " "]}, "label: an array of classes holds one that is no class"),
        ({"id": "p", "label": [math.nan]}, "label: an array of classes holds one that is no class"),
        ({"id": "p", "label": list(range(101))}, "label: 101 classes, at most 100"),
        ({"id": "p", "label": ["x" * 600, "y" * 600]}, "label: 1201 characters, at most 1024"),
        ({"id": "p", "label": ["\ud800"]}, "label: not valid Unicode"),
        ({"id": "p", "label": {"a": 1}}, "no truth"),
        ({"id": "p", "label": "x" * 1025}, "label: 1025 characters, at most 1024"),
        ({"id": "p", "label": "\udfff"}, "label: not valid Unicode"),
        (record(model=[1]), "model: must be text"),
        (record(model=True), "model: must be text"),
        (record(version="x" * 1025), "version: 1025 characters, at most 1024"),
        (record(row=-1), f"row: must be a whole number from 0 to {MAX_ROW}"),
        (record(row=MAX_ROW + 1), "row: must be"),
        (record(row=1.5), "row: must be"),
        (record(row=False), "row: must be"),
        (record(row="one"), "row: must be"),
        (record(row="²"), "row: must be"),
        (record(time="yesterday"), "time: 'yesterday' is no time (ISO 8601, or epoch in s, ms, us or ns)"),
        (record(time=12), "time: '12' is no time"),
        (record(time=math.inf), "time: 'inf' is no time"),
        (record(time=math.nan), "time: 'nan' is no time"),
        (record(time=True), "time: 'True' is no time"),
        (record(trace_id="abc"), "trace_id: must be 32 hexadecimal digits"),
        (record(trace_id="g" * 32), "trace_id: must be 32 hexadecimal digits"),
        (record(span_id=7), "span_id: must be 16 hexadecimal digits"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidLabel) as caught:
        read_label(given, written=False)
    assert str(caught.value).startswith(message)


def test_versions_and_ids_may_be_numbers() -> None:
    assert read_label({"id": 17, "label": 1, "model": 5, "version": 1.5, "row": "2"}, False) == Label(
        "17", 1, "5", "1.5", 2
    )


def test_the_log_record() -> None:
    label = Label("p-1", 0.25, "churn", "7", 0, "review", TIME, bytes(range(1, 17)), bytes(range(1, 9)))
    made = LogRecord.FromString(log_record(label, 5))
    assert (made.event_name, made.time_unix_nano, made.observed_time_unix_nano) == ("ml.label", TIME, 5)
    assert (made.severity_number, made.severity_text) == (9, "INFO")
    assert (made.trace_id, made.span_id) == (label.trace_id, label.span_id)
    assert {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in made.attributes} == {
        "ml.prediction.id": "p-1",
        "ml.label.value": 0.25,
        "ml.model.name": "churn",
        "ml.model.version": "7",
        "ml.label.row": 0,
        "ml.label.source": "review",
    }


def test_a_log_record_has_nothing_that_the_label_does_not_say() -> None:
    made = LogRecord.FromString(log_record(Label("p", "cat", trace_id=bytes(16)), 5))
    assert [a.key for a in made.attributes] == ["ml.prediction.id", "ml.label.value"]
    assert (made.time_unix_nano, made.trace_id, made.span_id) == (0, b"", b"")


LABELS = st.builds(
    Label,
    st.text(min_size=1, max_size=20).filter(str.strip),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["cat", "007", "1", "true", (), ("a", "b")]),
    ),
    st.sampled_from(["", "churn"]),
    st.sampled_from(["", "7"]),
    st.none() | st.integers(0, MAX_ROW),
    st.sampled_from(["", "review"]),
    st.just(0) | st.integers(1, 2**63 - 1),
    st.just(b"") | st.binary(min_size=16, max_size=16),
    st.just(b"") | st.binary(min_size=8, max_size=8),
)


@given(LABELS)
def test_its_members_give_the_same_label_again(label: Label) -> None:
    assert read_label(members(label), written=False) == label
