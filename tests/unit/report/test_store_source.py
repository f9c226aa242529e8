"""Reports from the embedded store, beside what was put into it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from support.report_traffic import CLASSES, END, EVIL, SPLIT, START, WEEK, Joined, Weeks, quantile, stored, weeks

from sidecar.decode.select import decoder
from sidecar.deliver.store.span_store import FILE
from sidecar.derive.registry import DeriveOptions
from sidecar.errors import Permanent
from sidecar.report.building import build
from sidecar.report.contents import ModelReport, Report
from sidecar.report.period import Period, period
from sidecar.report.store_source import StoreSource

SECOND_WEEK = Period(SPLIT, END)


@pytest.fixture(scope="module")
def happened() -> Weeks:
    return weeks()


@pytest.fixture(scope="module")
def folder(happened: Weeks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(happened.in_order(), tmp_path_factory.mktemp("store"))


def report(folder: Path, of: Period = SECOND_WEEK, models: Sequence[str] = ()) -> Report:
    return build(StoreSource(folder, decoder(), DeriveOptions(), of, models), of, 1.0)


def model(found: Report, name: str, version: str) -> ModelReport:
    (one,) = [m for m in found.models if (m.model.name, m.model.version) == (name, version)]
    return one


def test_predictions_of_both_weeks(happened: Weeks, folder: Path) -> None:
    found = report(folder)
    one = model(found, "churn", "7")
    for rates, start, end in ((one.rates, SPLIT, END), (one.before, START, SPLIT)):
        calls = [call for call in happened.calls_of("churn", start, end) if call.version == "7"]
        assert rates is not None
        assert rates.errors is not None
        assert rates.inference is not None
        assert rates.predictions == sum(call.rows for call in calls)
        assert rates.errors.value == sum(call.failed for call in calls) / rates.predictions
        assert rates.inference.calls == len(calls)
        for shown, q in ((rates.inference.p50, 0.5), (rates.inference.p95, 0.95), (rates.inference.p99, 0.99)):
            assert shown == pytest.approx(quantile([call.seconds for call in calls], q) * 1e9, rel=0.02)
    calls = [call for call in happened.calls_of("churn", SPLIT, END) if call.version == "7"]
    classes = Counter(name for call in calls for name in call.classes)
    assert {c.name: c.predictions for c in one.classes} == classes
    assert one.rates.confidence_rows == classes.total()
    assert sum(point.predictions or 0 for point in one.points) == one.rates.predictions
    assert len(one.points) == 28
    assert model(found, "churn", "8").before is None
    assert model(found, EVIL, EVIL).model.service == EVIL
    assert [change.text.split(":")[0] for change in one.changes] == ["Errors", "Latency p95", "Accuracy"]


def test_outcomes_of_labels_that_came_in_the_week(happened: Weeks, folder: Path) -> None:
    one = model(report(folder), "churn", "7")
    for outcomes, start, end in ((one.outcomes, SPLIT, END), (one.outcomes_before, START, SPLIT)):
        rows = [row for row in happened.joined if start < row.labelled_at <= end]
        actual, predicted = [row.actual for row in rows], [row.predicted for row in rows]
        assert outcomes is not None
        assert outcomes.averages is not None
        assert (outcomes.rows, outcomes.correct) == (
            len(rows),
            sum(a == p for a, p in zip(actual, predicted, strict=True)),
        )
        averages = outcomes.averages
        assert averages.precision == pytest.approx(precision_score(actual, predicted, average="weighted"))
        assert averages.recall == pytest.approx(recall_score(actual, predicted, average="weighted"))
        assert averages.f1 == pytest.approx(f1_score(actual, predicted, average="weighted"))
    rows = [row for row in happened.joined if row.predicted_at > SPLIT]
    assert one.window is not None
    assert (one.window.name, one.window.samples) == ("7d", len(rows))
    assert one.auc == pytest.approx(
        roc_auc_score([row.actual == "stays" for row in rows], [_of_stays(r) for r in rows]), abs=0.005
    )


def _of_stays(row: Joined) -> float:
    return row.score if row.predicted == CLASSES[0] else 1 - row.score


def test_services_and_variants(happened: Weeks, folder: Path) -> None:
    found = report(folder)
    for name in ("churn-api", "gateway"):
        (shown,) = [one for one in found.services if one.name == name]
        own, before = happened.requests_of(name, SPLIT, END), happened.requests_of(name, START, SPLIT)
        assert (shown.requests, shown.before) == (len(own), len(before))
        assert shown.errors.value == sum(one.failed for one in own) / len(own)
        for value, q in ((shown.p50, 0.5), (shown.p95, 0.95), (shown.p99, 0.99)):
            assert value == pytest.approx(quantile([float(one.ns) for one in own], q), rel=0.02)
    (experiment,) = found.experiments
    calls = [call for call in happened.calls if call.variant]
    for one in experiment.variants:
        own_calls = [call for call in calls if call.variant == one.variant.name]
        assert one.variant.exposures == sum(call.rows for call in own_calls)
        assert one.requests == sum(call.time > SPLIT for call in own_calls)


def test_one_model_only(folder: Path, happened: Weeks) -> None:
    found = report(folder, models=["churn"])
    assert {one.model.name for one in found.models} == {"churn"}
    assert [one.name for one in found.services] == ["churn-api"]


def test_what_the_store_has_not_is_said(folder: Path) -> None:
    found = report(folder)
    assert found.source.missing[0] == "drift by feature"
    assert (found.source.begins, found.incidents, found.compared) == (None, None, True)


@pytest.mark.parametrize(("days", "data_from"), [(3, True), (10, False)])
def test_half_a_period_is_compared_with_nothing(happened: Weeks, tmp_path: Path, days: int, data_from: bool) -> None:
    kept = [one for one in happened.in_order() if one.time > END - days * 86_400]
    found = report(stored(kept, tmp_path))
    assert found.source.begins == kept[0].time
    assert found.data_from == (kept[0].time if data_from else None)
    assert not found.compared
    one = model(found, "churn", "7")
    assert (one.before, list(one.changes)) == (None, [])
    since = max(SPLIT, kept[0].time - 1)
    calls = [call for call in happened.calls_of("churn", since, END) if call.version == "7"]
    assert one.rates.predictions == sum(call.rows for call in calls)


def test_a_period_that_the_store_has_nothing_of(folder: Path) -> None:
    with pytest.raises(Permanent, match="has nothing about models in this time; expected spans of kind server"):
        report(folder, period(WEEK, START - WEEK, END))
    with pytest.raises(Permanent, match="has nothing about models"):
        report(folder, models=["nobody"])


def test_damaged_payloads_are_left_out_and_counted(happened: Weeks, tmp_path: Path) -> None:
    stored(happened.in_order(), tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE block SET payload = x'00' WHERE id IN (3, 5)")
    found = report(tmp_path / FILE)
    assert found.source.notes == ("2 payloads of the store are damaged, and in no figure.",)


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"no store; expected a folder with store\.db"):
        report(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database at all " * 100)
    with pytest.raises(Permanent, match="cannot be read as a store: file is not a database"):
        report(tmp_path)
    (tmp_path / FILE).unlink()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Permanent, match=r"of a newer version \(99\)"):
        report(tmp_path)


def test_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="has nothing about models"):
        report(stored((), tmp_path))
