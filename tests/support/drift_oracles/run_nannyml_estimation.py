"""Accuracy as NannyML's CBPE estimates it. Runs in an environment that has it:
`python run_nannyml_estimation.py < frames.json > estimates.json`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")

import pandas as pd
from nannyml import CBPE


def estimates(case: dict[str, Any]) -> dict[str, float]:
    """Of each window, as one chunk."""
    classes = len(case["reference"]["probabilities"][0])
    if classes == 2:
        columns: Any = "p1"
    else:
        columns = {str(n): f"p{n}" for n in range(classes)}
    problem = "classification_binary" if classes == 2 else "classification_multiclass"
    estimator = CBPE(
        metrics=["accuracy"], y_pred="predicted", y_pred_proba=columns, y_true="actual", problem_type=problem,
        chunk_number=1,
    )  # fmt: skip
    estimator.fit(frame_of(case["reference"], classes))
    found = {}
    for name, window in case["windows"].items():
        result = estimator.estimate(frame_of(window, classes)).filter(period="analysis").to_df()
        found[name] = float(result[("accuracy", "value")].iloc[0])
    return found


def frame_of(given: dict[str, Any], classes: int) -> Any:
    """The data frame that it wants: classes are numbers where there are two, else texts."""
    made = {f"p{n}": [row[n] for row in given["probabilities"]] for n in range(classes)}
    for name in ("predicted", "actual"):
        made[name] = given[name] if classes == 2 else [str(value) for value in given[name]]
    return pd.DataFrame(made)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump({name: estimates(case) for name, case in json.load(sys.stdin).items()}, sys.stdout)
