"""Rows and results as columns: every kind of value, within bounds, nothing of the app's kept."""

from __future__ import annotations

import datetime
import decimal
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_sidecar_instrumentation import columns, event, outputs, settings
from model_sidecar_instrumentation.identity import ByObject, Known, class_name, file_stem, identify
from model_sidecar_instrumentation.patching import is_ours, observed
from model_sidecar_instrumentation.sample import Sample, choose
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import plain, plain_list
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value
from scipy import sparse

DEFAULT = CaptureSettings()


@given(st.integers(0, 5000), st.integers(0, 400), st.integers(1, 50))
def test_a_sample_is_even_within_the_caps_and_every_row_has_its_chance(rows: int, width: int, one_in: int) -> None:
    chosen = choose(rows, width, CaptureSettings(one_in=one_in))
    kept = list(range(rows))[chosen.first :: chosen.one_in]
    assert len(kept) == chosen.kept <= 100
    assert chosen.kept * min(width, 256) <= 2000
    assert chosen.first < chosen.one_in or not kept
    assert chosen.one_in >= one_in


def test_small_calls_are_kept_whole_and_no_rows_are_kept_where_none_are_wanted() -> None:
    assert choose(100, 20, DEFAULT) == Sample(100)
    assert choose(5, 3, CaptureSettings(rows=0)).kept == 0


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_every_plain_value_can_be_encoded(value: Any) -> None:
    _encode_value(plain(value, 10)).SerializeToString()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**63, float(2**63)),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        ("a\ud800b", "a?b"),
        ("x" * 300, "x" * 256),
        (b"\xff", "\ufffd"),
        (decimal.Decimal("1.5"), 1.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (np.float32(0.5), 0.5),
        (np.uint64(2**63), float(2**63)),
        (np.str_("s"), "s"),
        (object(), "<object>"),
    ],
)
def test_values_that_are_not_plain(value: Any, expected: Any) -> None:
    assert plain(value, 256) == expected


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "u8", "i8", "f2", "f4", "f8", "g", "U3", "S3", "O", "M8[s]"])
def test_arrays_of_every_type_can_be_encoded(kind: str) -> None:
    array = np.array([1, 0, 1]).astype(kind)
    _encode_value(plain_list(array, 10)).SerializeToString()
    _encode_value(plain_list(np.stack([array, array]), 10)).SerializeToString()


def test_features_are_copies_and_the_conversion_waits_for_the_exporter() -> None:
    rows = np.arange(12.0).reshape(4, 3)
    found = columns.features(rows, ["a", "b", "c"], Sample(4), DEFAULT)
    rows[:] = -1
    assert dict(found) == {"a": [0, 3, 6, 9], "b": [1, 4, 7, 10], "c": [2, 5, 8, 11]}
    assert _encode_value(found).kvlist_value.values[1].key == "b"
    assert list(found) == ["a", "b", "c"]
    assert len(found) == 3


def test_other_threads_get_their_turn_while_an_event_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []
    monkeypatch.setattr(columns.time, "sleep", turns.append)
    found = columns.features(np.zeros((4, 3)), None, Sample(4), DEFAULT)
    mixed = columns.features(np.array([[1, "a"]], dtype=object), None, Sample(1), DEFAULT)
    body = event.body(4, True, {"features": found, "mixed": mixed})
    assert not turns, "the app's thread does not wait"
    _encode_value(body).SerializeToString()
    assert turns == [0] * (len(body) + len(found) + len(mixed))


@pytest.mark.parametrize(
    ("data", "size", "expected"),
    [
        ([[1, 2], [3, 4]], (2, 2), {"f0": [1, 3], "f1": [2, 4]}),
        ([{"a": 1, "b": "x"}, {"a": 2}], (2, 2), {"a": [1, 2], "b": ["x", None]}),
        ([1.5, 2.5], (2, 1), {"f0": [1.5, 2.5]}),
        (["a text", "another"], (2, 0), {}),
        (np.array(["a text", "another"]), (2, 0), {}),
        (np.array([[1, "x"], [2, "y"]], dtype=object), (2, 2), {"f0": [1, 2], "f1": ["x", "y"]}),
        ({"a": np.array([[1.0], [2.0]]), "b": np.array([3, 4])}, (2, 2), {"a": [1.0, 2.0], "b": [3, 4]}),
        (np.zeros((2, 3, 3)), (2, 0), {}),
        ([], (0, 0), {}),
        (None, (None, 0), None),
        ("text", (None, 0), None),
    ],
)
def test_sizes_and_features_of_what_models_are_given(data: Any, size: Any, expected: Any) -> None:
    assert columns.size(data) == size
    if expected is not None:
        assert dict(columns.features(data, None, Sample(size[0]), DEFAULT)) == expected


def test_wide_rows_are_cut_and_sparse_ones_read() -> None:
    wide = columns.features(np.zeros((2, 300)), None, Sample(2), DEFAULT)
    assert len(wide) == 256
    matrix = sparse.csr_matrix([[0, 1.5], [2.5, 0]])
    assert dict(columns.features(matrix, None, Sample(2, 1, 2), DEFAULT)) == {"f0": [2.5], "f1": [0]}
    assert columns.features(sparse.csr_matrix((2, 100_000)), None, Sample(2), DEFAULT) == {}


@given(st.lists(st.sampled_from([0, 3, 7, -2]), min_size=1, max_size=300))
def test_classes_of_all_rows_are_counted_though_some_are_kept(labels: list[int]) -> None:
    sample = choose(len(labels), 0, CaptureSettings(rows=10))
    made = outputs.predicted(np.array(labels), None, sample, CaptureSettings(rows=10))
    assert made["class_counts"] == {str(k): v for k, v in Counter(labels).items()}
    assert made["class"] == [str(v) for v in labels[sample.first :: sample.one_in]]


def test_probabilities_margins_and_networks() -> None:
    rows = np.array([[0.2, 0.8], [0.9, 0.1]])
    made = outputs.probabilities(rows, ["no", "yes"], Sample(2), DEFAULT)
    assert made == {
        "class": ["yes", "no"],
        "score": [0.8, 0.9],
        "class_counts": {"no": 1, "yes": 1},
        "scores": {"no": [0.2, 0.9], "yes": [0.8, 0.1]},
    }
    second = outputs.probabilities(np.array([0.75]), None, Sample(1), DEFAULT)
    assert (second["class"], second["score"]) == (["1"], [0.75])
    assert outputs.margins(np.array([-2.0, 3.0]), ["a", "b"], Sample(2), DEFAULT)["class"] == ["a", "b"]
    assert outputs.margins(np.zeros((2, 6)), ["a", "b", "c", "d"], Sample(2), DEFAULT).keys() == {"outputs"}
    assert outputs.network(rows, Sample(2), DEFAULT)["class"] == ["1", "0"]
    logits = np.array([[2.0, -1.0], [-3.0, 5.0]])
    assert outputs.network(logits, Sample(2), DEFAULT) == {"outputs": {"0": [2.0, -3.0], "1": [-1.0, 5.0]}}
    named = outputs.network(logits, Sample(2), CaptureSettings(class_names=("cat", "dog")))
    assert named["class"] == ["cat", "dog"]
    assert outputs.network(np.array([[1.5], [2.5]]), Sample(2), DEFAULT) == {"value": [1.5, 2.5]}


def test_more_classes_than_the_cap_are_not_counted_by_name() -> None:
    made = outputs.predicted(np.arange(500), None, Sample(500, 0, 5), DEFAULT)
    assert "class_counts" not in made
    assert len(made["class"]) == 100


def test_settings_with_slips_warn_and_do_not_stop_the_app(caplog: pytest.LogCaptureFixture) -> None:
    read = settings.read({"SIDECAR_CAPTURE": "all", "SIDECAR_CAPTURE_ROWS": "many", "SIDECAR_CAPTURE_CELLS": "-1"})
    assert (read.features, read.predictions, read.rows, read.cells) == (False, True, 100, 2000)
    assert len(caplog.records) == 3
    assert settings.read({}) == CaptureSettings()
    assert not settings.read({"SIDECAR_CAPTURE": "none"}).predictions
    assert settings.read({"SIDECAR_MODEL_CLASSES": "cat, dog"}).class_names == ("cat", "dog")


def test_what_is_known_of_an_object_goes_with_it() -> None:
    class Model:
        pass

    known, model = ByObject(), Model()
    known.put(model, 1)
    assert known.get(model) == 1
    assert known.get(Model()) is None
    del model
    assert len(known) == 0
    known.put(7, "an int cannot be weakly referred to")
    assert known.get(7) is None


def test_names_of_models() -> None:
    class Pipeline:
        def __init__(self, steps: Any) -> None:
            self.steps = steps

    class Forest:
        pass

    assert class_name(Pipeline([("scale", object()), ("model", Forest())])) == "Forest"
    assert identify(Forest(), Known("fraud", "3"), "sklearn", DEFAULT).attributes == {
        "ml.model.name": "fraud",
        "ml.model.version": "3",
        "ml.framework": "sklearn",
    }
    named = CaptureSettings(model_name="env", model_version="1")
    assert identify(Forest(), Known("fraud"), "sklearn", named).attributes["ml.model.name"] == "env"
    assert [file_stem(p) for p in ("/models/fraud.v2.onnx", b"bytes", None)] == ["fraud", "", ""]


def test_a_decorated_override_is_not_taken_for_ours() -> None:
    import functools

    def predict(self: Any, X: Any) -> Any:
        return X

    ours = observed("sklearn.predict", predict)

    @functools.wraps(ours)
    def override(self: Any, X: Any) -> Any:
        return ours(self, X)

    assert is_ours(ours)
    assert not is_ours(override)
    assert ours(None, 3) == 3
