"""Features in lines of JSON beside those of events and payloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.drift_data import HOUR, START, at, event_request
from support.drift_model import DECODER, DriftedModel

from sidecar.decode.select import decoder as own_decoder


def line_requests(rows: dict[str, Any], decoder: Any, **said: Any) -> bytes:
    """A line of JSON for each row, as a program logs it."""
    names = list(rows)
    found = [dict(zip(names, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    log = [
        json.dumps({"message": "scored", "model": "churn", "prediction": "stays", "features": one} | said)
        for one in found
    ]
    payload: bytes = decoder.json_lines("\n".join(log).encode(), 1).payload
    return payload


@pytest.mark.parametrize("decoder", [DECODER, own_decoder()], ids=["reference", "own"])
def test_features_of_lines_count_as_those_of_events(tmp_path: Path, decoder: Any) -> None:
    events, logged = DriftedModel(tmp_path), DriftedModel(tmp_path, attributes=True, payloads=False)
    for hour in range(3):
        rows = events.rows(300, shift=6)
        events.feed(hour, rows, **{"class": ["stays"] * 300})
        found = logged.deriver.decode(decoder, [line_requests(rows, decoder, model_version="7")])
        logged.deriver.apply(found, at(START + hour * HOUR))
    assert logged.shown() == events.shown()
    assert logged.value("data_drift_detected", feature="age", method="psi") == 1


def test_events_and_lines_of_one_payload_count_once_each(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    rows = model.rows(10)
    payload = event_request(rows, "churn") + line_requests(rows, DECODER, model_version="7")
    model.deriver.apply(model.deriver.decode(DECODER, [payload]), at(START))
    counted = model.shown('model_feature_observations_total{model="churn",version="7",feature="plan"')
    assert sum(n for key, n in counted.items() if 'bin="unseen"' not in key) == 20


def test_features_of_lines_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path)
    assert model.deriver.decode(DECODER, [line_requests(model.rows(3), DECODER)]) == []


def test_a_payload_of_a_protocol_with_features_beside_it(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, attributes=True)
    beside = line_requests(model.rows(2), DECODER, predictions=["a"])
    within = line_requests({"x": [1]}, DECODER, instances=[{"age": 3}, {"age": 4}], predictions=["a", "b"])
    model.deriver.apply(model.deriver.decode(DECODER, [beside, within]), at(START, START))
    counted = model.shown('model_feature_observations_total{model="churn",feature="age",bin="')
    assert sum(n for key, n in counted.items() if 'bin="below"' not in key and 'bin="above"' not in key) == 4
