"""What the Collector gave (`tests/golden/red/*.json`), and where ours is meant to differ from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.red_cases import BOUNDS, Figures

_BOUNDS = (*(b / 1000 for b in BOUNDS), float("inf"))
GOLDEN = Path(__file__).parents[1] / "golden" / "red"

_UNSET = {
    "service_name": "shop",
    "span_kind": "SPAN_KIND_SERVER",
    "span_name": "GET /",
    "status_code": "STATUS_CODE_UNSET",
}


def expected(case: str, theirs: Figures) -> Figures:
    """The Collector's figures; written out by hand where it is wrong. Every such span lasted 3 ms."""
    return _written_out(_WRONG[case]) if case in _WRONG else theirs


def _written_out(right: list[tuple[dict[str, str], int, int]]) -> Figures:
    out: Figures = {"calls": {}, "count": {}, "sum": {}, "bucket": {}}
    for labels, calls, timed in right:
        key = _key(labels)
        out["calls"][key], out["count"][key], out["sum"][key] = calls, timed, timed * 0.003
        for bound in _BOUNDS:
            out["bucket"][_key({**labels, "le": repr(bound)})] = timed if bound >= 0.003 else 0
    return out


def assert_same(mine: Figures, theirs: Figures) -> None:
    """Series by series, bucket by bucket; sums to the last digits that adding in floating point leaves."""
    assert {kind: sorted(series) for kind, series in mine.items()} == {k: sorted(theirs[k]) for k in mine}
    for kind in ("calls", "count", "bucket"):
        assert mine[kind] == theirs[kind], kind
    assert mine["sum"] == pytest.approx(theirs["sum"], rel=1e-9, abs=1e-12)


def save(case: str, payload: bytes, status: int, theirs: Figures) -> None:
    """Write a golden file; buckets as a list for each series, in the order of `BOUNDS` and infinity."""
    counts = [[theirs["bucket"][_with_le(series, bound)] for bound in _BOUNDS] for series in theirs["count"]]
    kept = {
        "collector": "0.155.0",
        "payload": payload.hex(),
        "status": status,
        "series": [
            {
                "labels": series,
                "calls": theirs["calls"][series],
                "sum": theirs["sum"][series],
                "count": theirs["count"][series],
                "buckets": " ".join(f"{n:g}" for n in buckets),
            }
            for series, buckets in zip(theirs["count"], counts, strict=True)
        ],
    }
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{case}.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def load(case: str) -> tuple[bytes, Figures]:
    """The payload that the Collector was given, and its figures."""
    kept = json.loads((GOLDEN / f"{case}.json").read_text())
    out: Figures = {"calls": {}, "count": {}, "sum": {}, "bucket": {}}
    for series in kept["series"]:
        for kind in ("calls", "count", "sum"):
            out[kind][series["labels"]] = series[kind]
        for bound, count in zip(_BOUNDS, series["buckets"].split(), strict=True):
            out["bucket"][_with_le(series["labels"], bound)] = float(count)
    return bytes.fromhex(kept["payload"]), out


def _with_le(series: str, bound: float) -> str:
    return "|".join(sorted([*series.split("|"), f"le={bound!r}"]))


def _key(labels: dict[str, str]) -> str:
    return "|".join(f"{k}={v}" for k, v in sorted(labels.items()))


#: Case -> the right series: (labels, calls, spans in the histogram).
_WRONG: dict[str, list[tuple[dict[str, str], int, int]]] = {
    # It has no figures for a span without service.name.
    "no_service": [({**_UNSET, "service_name": "unknown_service"}, 1, 1)],
    # All names that are not text are one series without the label, and one of six spans is counted.
    "service_not_text": [
        ({**_UNSET, "service_name": "7"}, 1, 1),
        ({**_UNSET, "service_name": "true"}, 1, 1),
        ({**_UNSET, "service_name": "1.5"}, 1, 1),
        ({**_UNSET, "service_name": '["a",1]'}, 1, 1),
        ({**_UNSET, "service_name": "unknown_service"}, 2, 2),
    ],
    # It takes a span without start time for one of 53 years.
    "start_zero": [(_UNSET, 2, 1)],
    # It leaves the label empty.
    "unknown_kind_and_status": [
        ({**_UNSET, "span_kind": "SPAN_KIND_UNSPECIFIED"}, 1, 1),
        ({**_UNSET, "span_kind": "SPAN_KIND_UNSPECIFIED", "status_code": "STATUS_CODE_OK"}, 1, 1),
        ({**_UNSET, "span_kind": "SPAN_KIND_UNSPECIFIED", "status_code": "STATUS_CODE_ERROR"}, 1, 1),
        ({**_UNSET, "span_kind": "SPAN_KIND_INTERNAL"}, 1, 1),
        (_UNSET, 1, 1),
    ],
    # It shows `{model_name=""}` and `{}`, which are one series for Prometheus: one of two spans is lost.
    "empty_and_absent": [(_UNSET, 2, 2)],
    # The figures of one pod overwrite those of the other.
    "two_pods": [(_UNSET, 3, 3)],
    # The series with bytes that are not UTF-8 vanishes.
    "not_utf8": [
        (
            {
                **_UNSET,
                "service_name": "shop-\ufffd\ufffd",
                "span_name": "name-\ufffd\ufffd",
                "model_name": "model-\ufffd\ufffd",
            },
            1,
            1,
        ),
        ({**_UNSET, "service_name": "fine"}, 1, 1),
    ],
}
DIFFERENT = frozenset(_WRONG)
