"""The drill of slow changes, by a deriver beside which no Prometheus is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.derive_fakes import lines
from support.drift_data import START, at, reference

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.series import Budget
from sidecar.drills.catalog import DRILLS
from sidecar.drills.payloads import Telemetry

(DRILL,) = [drill for drill in DRILLS if drill.name == "drift-slow"]
DAY = 86_400
MIDNIGHT = START // (DAY * 10**9) * DAY


@pytest.mark.parametrize(
    ("learn", "window", "step", "times"),
    [(0, 20, 1, (60, 70, 90)), (200, DAY, 300, (2 * DAY, 2 * DAY, 2 * DAY))],
    ids=["windows of twenty seconds", "a learnt reference"],
)
def test_it_is_reported_is_no_drift_and_ends(
    tmp_path: Path, learn: int, window: int, step: int, times: tuple[int, int, int]
) -> None:
    given: dict[str, Any] = {"window": window, "sub_windows": 10, "check_interval": window / 20, "learn": learn}
    if not learn:
        values = np.random.default_rng(7)
        normal = reference({name: values.normal(0, 1, 2000) for name in ("width", "height", "depth")})
        (tmp_path / "reference.json").write_text(normal.dump())
        given |= {"reference": tmp_path / "reference.json", "warm_up": 0}
    deriver, decoder = DriftDeriver(DriftOptions(**given), Budget()), ReferenceDecoder()
    now = MIDNIGHT
    pages: set[str] = set()

    def sent(telemetry: Telemetry | None, seconds: int) -> dict[str, str]:
        nonlocal now
        assert telemetry is not None
        for _ in range(0, seconds, step):
            _, payload = telemetry(DRILL.service, now * 10**9)
            request = json_format.ParseDict(json.loads(json.dumps(payload)), ExportLogsServiceRequest())
            deriver.apply(deriver.decode(decoder, [request.SerializeToString()]), at(now * 10**9))
            now += step
        shown = lines(list(deriver.collect()))
        pages.update(value for key, value in shown.items() if key.startswith("data_drift_detected"))
        return {
            key.split('feature="')[1].split('"')[0]: value
            for key, value in shown.items()
            if key.startswith("data_drift_slow_detected")
        }

    assert set(sent(DRILL.before, times[0]).values()) <= {"0"}
    assert sent(DRILL.telemetry, times[1]) == {"width": "1", "height": "0", "depth": "0"}
    assert sent(DRILL.after, times[2]) == {"width": "0", "height": "0", "depth": "0"}
    assert pages == {"0"}
