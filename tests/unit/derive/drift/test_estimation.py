"""Accuracy without labels: beside the real one, beside NannyML's estimate, over pods, and where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request, numbers
from support.drift_oracles.estimation_cases import MODELS, WINDOWS, Frame, cases, frame

from sidecar.cli.profile import command
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.estimation import Calibration, Estimate, calibration_of
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.reference import NumberColumn, load
from sidecar.derive.drift.reference_builder import NumberBuilder
from sidecar.derive.series import Budget
from sidecar.profile.merging import merge

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "drift" / "estimates.json").read_text())["estimates"]
CASES = cases()
UNSURE_OF_CLASSES = "too sure, five classes"
TOLERANCE = {name: 0.036 if name == UNSURE_OF_CLASSES else 0.006 for name in MODELS}
"""Between ours and NannyML's, which calibrates each class by itself."""
FROM_REAL = {name: 0.035 if name == UNSURE_OF_CLASSES else 0.025 for name in MODELS}
"""Between ours and the real accuracy."""
DECODER = ReferenceDecoder()


def score_column(found: Frame) -> NumberColumn:
    """The reference's column of scores, with labels."""
    builder = NumberBuilder("score", "score", found.scores)
    builder.add(*numbers(found.scores))
    builder.add_outcomes(*numbers(found.scores), [str(n) for n in found.predicted], [str(n) for n in found.actual])
    return builder.column()


def estimate(column: NumberColumn, scores: Any) -> Estimate:
    calibration = calibration_of(column)
    assert calibration is not None
    found = calibration.estimate(ColumnBins(column).observe(*numbers(scores), []).cells)
    assert found is not None
    return found


@pytest.mark.parametrize("name", MODELS)
def test_it_follows_the_real_accuracy_and_nannyml(name: str) -> None:
    before, windows = CASES[name]
    column = score_column(before)
    for window in WINDOWS:
        found = estimate(column, windows[window].scores)
        assert found.accuracy == pytest.approx(windows[window].accuracy, abs=FROM_REAL[name]), window
        assert found.accuracy == pytest.approx(GOLDEN[name][window], abs=TOLERANCE[name]), window
    # The drop is a real one, and is seen.
    assert windows["as before"].accuracy - windows["moved far"].accuracy > 0.15
    assert estimate(column, windows["moved far"].scores).upper < estimate(column, windows["as before"].scores).lower


@pytest.mark.parametrize("name", MODELS)
def test_it_is_blind_to_a_truth_that_has_changed(name: str) -> None:
    before, windows = CASES[name]
    changed = windows["the truth has changed"]
    found = estimate(score_column(before), changed.scores)
    assert found.lower > changed.accuracy + 0.1
    assert found.accuracy == pytest.approx(GOLDEN[name]["the truth has changed"], abs=TOLERANCE[name])


def test_a_model_that_is_too_sure_is_not_believed() -> None:
    before, windows = CASES["too sure, two classes"]
    window = windows["moved far"]
    assert window.scores.mean() > window.accuracy + 0.1
    assert estimate(score_column(before), window.scores).accuracy == pytest.approx(window.accuracy, abs=0.025)


@pytest.mark.parametrize("spread", [2.0, 0.7])
def test_the_interval_has_the_real_accuracy_in_95_of_100_windows(spread: float) -> None:
    """References and windows of their own for each."""
    inside = 0
    for n in range(200):
        column = score_column(frame(5000 + n, 2, 1500, 2.0, 1.5))
        window = frame(9000 + n, 2, 400, spread, 1.5)
        found = estimate(column, window.scores)
        inside += found.lower <= window.accuracy <= found.upper
    assert inside >= 0.9 * 200


def test_pods_add_up() -> None:
    """Weighted by their rows they are what all rows together are: the recording rule relies on it."""
    before, windows = CASES["too sure, five classes"]
    column, scores = score_column(before), windows["moved"].scores
    parts = [estimate(column, part) for part in (scores[:100], scores[100:1500], scores[1500:])]
    together = sum(one.accuracy * one.rows for one in parts) / sum(one.rows for one in parts)
    assert together == pytest.approx(estimate(column, scores).accuracy, abs=1e-12)


def test_shares_rise_and_cells_without_rows_take_the_nearest() -> None:
    found = Calibration(np.array([0, 10, 10, 0, 20, 0]), np.array([0, 6, 4, 0, 20, 0]))
    shares = [found.estimate(np.eye(6, dtype=np.int64)[cell] * 50) for cell in range(6)]
    assert [one.accuracy for one in shares if one] == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert shares[5] is not None
    assert shares[5].lower < 1  # Twenty rows that were all right are not for certain all.


def test_few_rows_have_no_figure() -> None:
    before, windows = CASES["calibrated, two classes"]
    column, scores = score_column(before), windows["moved"].scores
    calibration = calibration_of(column)
    assert calibration is not None
    assert calibration.estimate(ColumnBins(column).observe(*numbers(scores[:9]), []).cells) is None
    few = Frame(before.probabilities[:99], before.predicted[:99], before.actual[:99])
    assert calibration_of(score_column(few)) is None
    assert calibration_of(None) is None


def table(found: Frame, path: Path, label: bool = True, score: bool = True) -> Path:
    """A reference of a frame, as `sidecar profile` makes it."""
    names = {0: "stays", 1: "leaves"}
    rows = ["x,outcome" + ",p" * score + ",truth" * label]
    for n, (said, true, p) in enumerate(zip(found.predicted, found.actual, found.scores, strict=True)):
        rows.append(f"{n % 7},{names[int(said)]}" + f",{p:.6f}" * score + f",{names[int(true)]}" * label)
    path.write_text("\n".join(rows) + "\n")
    out = path.with_suffix(".json")
    roles = ["--prediction", "outcome", *(["--score", "p"] * score), *(["--label", "truth"] * label)]
    done = CliRunner().invoke(command, [str(path), "--out", str(out), "--model", "churn", *roles])
    assert done.exit_code == 0, done.output
    return out


def shown(deriver: DriftDeriver) -> dict[str, float]:
    found = lines(list(deriver.collect()))
    return {key: float(value) for key, value in found.items() if key.startswith("model_accuracy_estimated")}


def feed(deriver: DriftDeriver, found: Frame, hour: float) -> None:
    columns = {"x": [1.0] * len(found.predicted)}
    payload = event_request(columns, score=found.scores.tolist())
    deriver.apply(deriver.decode(DECODER, [payload]), at(START + int(hour * HOUR)))


def test_from_a_table_with_labels_to_the_gauge_and_through_a_restart(tmp_path: Path) -> None:
    before, windows = CASES["too sure, two classes"]
    options = DriftOptions(reference=table(before, tmp_path / "train.csv"))
    deriver = DriftDeriver(options, Budget())
    window = windows["moved far"]
    feed(deriver, window, 0)
    assert shown(deriver) == {}  # Not checked yet.
    feed(deriver, Frame(window.probabilities[:1], window.predicted[:1], window.actual[:1]), 1)
    found = shown(deriver)
    labels = '{model="churn",version="7",window="24h"}'
    assert found["model_accuracy_estimated" + labels] == pytest.approx(window.accuracy, abs=0.02)
    assert found["model_accuracy_estimated_lower" + labels] < window.accuracy
    assert found["model_accuracy_estimated_upper" + labels] > window.accuracy
    assert found["model_accuracy_estimated_samples" + labels] == len(window.predicted)
    kept = {key: value for part in deriver.kept for key, value in part.checkpoint() if value is not None}
    again = DriftDeriver(options, Budget())
    for part in again.kept:
        part.restore(kept)
    assert shown(again) == found


@pytest.mark.parametrize(("label", "score"), [(False, True), (True, False)], ids=["without labels", "without scores"])
def test_without_labels_or_scores_there_is_nothing(tmp_path: Path, label: bool, score: bool) -> None:
    before, windows = CASES["calibrated, two classes"]
    deriver = DriftDeriver(DriftOptions(reference=table(before, tmp_path / "train.csv", label, score)), Budget())
    for hour in (0, 1):
        feed(deriver, windows["moved"], hour)
    assert shown(deriver) == {}


def test_merged_references_estimate_as_one_of_all_rows(tmp_path: Path) -> None:
    before, windows = CASES["too sure, two classes"]
    halves = [
        Frame(before.probabilities[part], before.predicted[part], before.actual[part])
        for part in (slice(5000), slice(5000, None))
    ]
    made = [load(table(half, tmp_path / f"{n}.csv")) for n, half in enumerate(halves)]
    merged, whole = merge(*made).column("", "score"), load(table(before, tmp_path / "all.csv")).column("", "score")
    assert isinstance(merged, NumberColumn)
    assert isinstance(whole, NumberColumn)
    assert sum(merged.labelled or ()) == pytest.approx(len(before.predicted), abs=2)
    scores = windows["moved"].scores
    assert estimate(merged, scores).accuracy == pytest.approx(estimate(whole, scores).accuracy, abs=0.005)
