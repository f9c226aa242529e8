from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sidecar import demo
from sidecar.demo import processes, sampling

SENT = demo.Sent({200: 8, 400: 1, 500: 1}, rows=20)


def seen(**change: Any) -> demo.Seen:
    """What there is to see when all is well, but for what a test changes."""
    whole: dict[str, Any] = {
        "requests": {("POST /predict", str(status)): count for status, count in SENT.by_status.items()},
        "p95": {},
        "logs": {"INFO": 9, "WARN": 1, "ERROR": 1},
        "predictions": {"forest 0": 12, "forest 1": 8},
        "trace": {"traceId": "1", "spans": [{}], "logs": [{}]},
        "ledger": {"problems": [], "consumers": {"derive": {"waiting": {"spans": 0, "metrics": 7}}}},
        "decoder": "native",
    }
    return demo.Seen(**{**whole, **change})


def test_nothing_is_missing_when_all_was_seen() -> None:
    assert demo._missing(SENT, seen()) == []


def test_predictions_are_not_asked_for_where_there_are_none() -> None:
    assert demo._missing(SENT, seen(predictions=None)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requests": {("POST /predict", "200"): 9}}, "status 200: 9 calls, 8 were sent"),
        ({"logs": {"INFO": 9, "WARN": 1}}, "ERROR log records: 0"),
        ({"predictions": {"forest 0": 12}}, "predictions by class: 12 rows, 20 were predicted"),
        ({"trace": {}}, "a failed request's trace"),
        ({"ledger": {}}, "a balanced ledger"),
        ({"ledger": {"problems": ["store/spans: off"]}}, "store/spans: off"),
        ({"ledger": {"consumers": {"store": {"waiting": {"logs": 2}}}}}, "2 items that store has not finished with"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], message: str) -> None:
    assert any(message in gone for gone in demo._missing(SENT, seen(**change)))


def test_telemetry_settings_of_the_shell_stay_out_of_the_demo() -> None:
    environ = {"PATH": "/bin", "SIDECAR_DELIVER__ELASTICSEARCH__URL": "https://real", "OTEL_TRACES_EXPORTER": "none"}
    assert processes.clean(environ) == {"PATH": "/bin"}


def test_the_end_of_a_log_is_shown_indented(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(40)))
    assert processes.end_of(log).splitlines() == ["", *(f"  line {n}" for n in range(25, 40))]


GOOD = sampling.Counts(requests=500, rows=1250, spans=132, calls=1320, requests_by_red=440, predictions=1250)


def test_a_sample_that_came_whole_misses_nothing_however_far_off_its_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sampling.missing(GOOD) == []
    sampling.show(GOOD)
    shown = capsys.readouterr().out
    assert "440   -12% (within ±27% in 19 runs of 20)" in shown
    assert "1250   every one" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions": 1249}, "predictions under sampling: 1249 rows, 1250 were predicted"),
        ({"calls": 132}, "132 calls of 132 spans that each stand for ten"),
        ({"spans": 0, "calls": 0}, "0 calls of 0 spans"),
    ],
)
def test_what_a_sample_misses_is_said(change: dict[str, int], message: str) -> None:
    assert any(message in gone for gone in sampling.missing(dataclasses.replace(GOOD, **change)))
