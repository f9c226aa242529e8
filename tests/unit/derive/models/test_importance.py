"""How much features count, as models say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.derive_fakes import lines
from unit.derive.models.test_predictions import SECOND, event_payload

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import decoder
from sidecar.derive.models.importance import ImportanceDeriver
from sidecar.derive.series import Arrival, Budget

CHURN = {"ml.model.name": "churn", "ml.model.version": "8", "ml.framework": "sklearn"}


def loaded(features: Any, attributes: dict[str, Any] = CHURN) -> tuple[str, dict[str, Any], Any]:
    return "ml.model.loaded", attributes, {"schema": 1, "features": features}


def shown(deriver: ImportanceDeriver) -> dict[str, float]:
    found = lines(list(deriver.collect()))
    return {k.removeprefix("model_feature_importance"): float(v) for k, v in found.items() if not k.startswith("#")}


@pytest.fixture(params=[ReferenceDecoder(), decoder()], ids=lambda d: d.name)
def read(request: pytest.FixtureRequest) -> Any:
    found: Decoder = request.param

    def feed(deriver: ImportanceDeriver, *payloads: bytes) -> None:
        times = np.full(len(payloads), 12 * SECOND)
        deriver.apply(deriver.decode(found, payloads), Arrival(np.arange(1, len(payloads) + 1), times, 12 * SECOND))

    return feed


def test_shares_are_shown_and_a_later_event_replaces_them(read: Any) -> None:
    deriver = ImportanceDeriver(Budget())
    read(deriver, event_payload(loaded({"age": 0.75, "plan": 0.25}), loaded({"x": 1.0}, {"ml.model.name": "other"})))
    assert shown(deriver) == {
        '{model="churn",version="8",feature="age"}': 0.75,
        '{model="churn",version="8",feature="plan"}': 0.25,
        '{model="other",feature="x"}': 1.0,
    }
    read(deriver, event_payload(loaded({"age": 0.5})), event_payload(loaded({"plan": 0.5})))
    assert shown(deriver)['{model="churn",version="8",feature="age"}'] == 0.5
    assert shown(deriver)['{model="churn",version="8",feature="plan"}'] == 0.5


@pytest.mark.parametrize(
    "features",
    [None, {}, "age", [1.0], {"age": None}, {"age": "1"}, {"age": [0.5, 0.5]}, {"age": []}, {"age": -0.1}, {"age": 1.1},
     {"age": math.nan}, {"age": math.inf}, {"age": True}],
)  # fmt: skip
def test_what_is_no_share_of_one_is_not_taken(read: Any, features: Any) -> None:
    deriver = ImportanceDeriver(Budget())
    read(deriver, event_payload(loaded(features)))
    assert shown(deriver) == {}


def test_features_of_predictions_are_no_importance(read: Any) -> None:
    deriver = ImportanceDeriver(Budget())
    prediction = ("ml.prediction", {**CHURN, "ml.prediction.count": 1}, {"rows": 1, "features": {"age": [0.5]}})
    read(deriver, event_payload(prediction, loaded({"age": 0.25}), prediction))
    assert shown(deriver) == {'{model="churn",version="8",feature="age"}': 0.25}


def test_series_past_the_budget_are_counted_and_not_shown(read: Any) -> None:
    deriver = ImportanceDeriver(Budget(series=3, values=2))
    read(deriver, event_payload(loaded({f"f{n}": 0.1 for n in range(10)})))
    assert list(shown(deriver)) == [f'{{model="churn",version="8",feature="f{n}"}}' for n in range(2)]
    assert sum(records for table in deriver.kept for _, _, records in table.overflow()) == 8


def test_a_restart_keeps_them_and_an_idle_model_loses_them(read: Any) -> None:
    deriver = ImportanceDeriver(Budget())
    read(deriver, event_payload(loaded({"age": 0.75})))
    state = {key: value for key, value in deriver.kept[0].checkpoint() if value is not None}
    again = ImportanceDeriver(Budget())
    again.kept[0].restore(state)
    assert shown(again) == shown(deriver) != {}
    again.expire(12 * SECOND + 3601 * SECOND, 3600 * SECOND)
    assert shown(again) == {}
