"""Scores of Evidently. Runs in an environment that has it: `python run_evidently.py < pairs.json > scores.json`."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

METHODS = {"psi": "psi", "ks": "ks", "wasserstein": "wasserstein", "jensen_shannon": "jensenshannon"}
CATEGORY_METHODS = {"psi": "psi", "jensen_shannon": "jensenshannon", "chi_squared": "chisquare"}


def scores(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """By our names of the methods; `ks` and `chi_squared` are p-values."""
    texts = isinstance(before[0], str)
    definition = DataDefinition(categorical_columns=["x"]) if texts else DataDefinition(numerical_columns=["x"])
    reference, current = (
        Dataset.from_pandas(pd.DataFrame({"x": values}), data_definition=definition) for values in (before, after)
    )
    found: dict[str, Any] = {}
    for name, method in (CATEGORY_METHODS if texts else METHODS).items():
        run = Report([ValueDrift(column="x", method=method)]).run(current, reference)
        found[name] = float(run.dict()["metrics"][0]["value"])
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump({name: scores(*pair) for name, pair in json.load(sys.stdin).items()}, sys.stdout)
