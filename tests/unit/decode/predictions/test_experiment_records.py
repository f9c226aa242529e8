"""Exposures and conversions as log records say them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.outcome_data import event, logged

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.experiment_records import Conversion, ExperimentReader, Exposure
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    return native_decoder() or pytest.skip("the native core is not installed")


def read(decoder: Decoder, payload: bytes, **names: Any) -> list[Exposure | Conversion]:
    reader = ExperimentReader(**names)
    if not reader.may_read(decoder, payload):
        return []
    return list(reader.read(payload, decoder.check_logs(payload).items))


def test_an_event(decoder: Decoder) -> None:
    attributes = {
        "ml.experiment": "x",
        "ml.variant": "B",
        "enduser.id": "u",
        "ml.prediction.count": 6,
        "ml.prediction.duration": 0.25,
    }
    payload = event({"class": ["a", "b"], "one_in": 3, "first": 2}, trace=0xAB, attributes=attributes)
    (found,) = read(decoder, payload)
    assert isinstance(found, Exposure)
    assert (found.experiment, found.variant, found.user, found.rows) == ("x", "B", "u", 6)
    assert found.prediction == f"{0xAB:032x}"
    assert [answer.name for answer in found.answers] == ["a", "b"]
    assert (found.predicted.first, found.predicted.step, found.seconds, found.is_call, found.failed) == (
        2,
        3,
        0.25,
        True,
        False,
    )


def test_lines(decoder: Decoder) -> None:
    line = {"experiment": "x", "variant": "B", "model": "m", "predicted_class": "a", "prediction_id": "p"}
    payload = logged(line, line | {"duration_ms": 5, "error.type": "E", "user_id": 3}, {"message": "x"})
    first, second = read(decoder, payload)
    assert isinstance(first, Exposure)
    assert isinstance(second, Exposure)
    assert (first.prediction, first.failed, first.user) == ("p", False, "")
    assert math.isnan(first.seconds)
    assert (second.failed, second.user, second.seconds, second.answers) == (True, "3", 0.005, ())


def test_conversions(decoder: Decoder) -> None:
    payload = logged(
        {"event": "conversion", "prediction_id": "p", "revenue": "2.5", "row": 3},
        {"event.name": "purchase", "message": "sold", "user.id": "u", "amount": "much"},
        {"event": "conversion", "experiment": "x"},
        {"event": "conversion", "experiment": "x", "variant": "B", "value": True},
        {"event": "conversions"},
    )
    found = read(decoder, payload, conversions=["purchase"])
    assert found[0] == Conversion("", "", "p", "", row=3, value=2.5)
    assert found[2] == Conversion("x", "", "", "", by_trace=True)
    sold, last = found[1], found[3]
    assert isinstance(sold, Conversion)
    assert sold.value is not None
    assert math.isnan(sold.value)
    assert sold.user == "u"
    assert isinstance(last, Conversion)
    assert last.value is not None
    assert math.isnan(last.value)
    assert len(found) == 4


def test_names_of_the_users_go_first(decoder: Decoder) -> None:
    line = {"experiment": "x", "variant": "B", "event": "exposure", "prediction_id": "p", "order": "o", "user_id": "u"}
    (found,) = read(decoder, logged(line | {"shopper": "s"}), ids=["order"], users=["shopper"])
    assert (found.prediction, found.user) == ("o", "s")


@pytest.mark.parametrize(
    "line",
    [
        {"experiment": "x", "model": "m", "predicted_class": "a"},
        {"experiment": "x", "variant": "B", "message": "a line"},
        {"experiment": "x", "variant": "", "model": "m", "predicted_class": "a"},
        {"experiment": "x", "variant": "B", "event": "ml.label", "id": "p", "label": "a", "model": "m"},
        {"experiment": "x", "variant": "B", "event": "ml.model.loaded", "model": "m"},
    ],
)
def test_what_is_no_exposure(decoder: Decoder, line: dict[str, Any]) -> None:
    assert read(decoder, logged(line)) == []


def test_long_ids_are_none(decoder: Decoder) -> None:
    line = {"experiment": "x", "variant": "B", "event": "exposure", "prediction_id": "p" * 257, "user_id": "u" * 257}
    (found,) = read(decoder, logged(line))
    assert (found.prediction, found.user) == ("", "")
