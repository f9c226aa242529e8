"""Scores of NannyML. Runs in an environment that has it: `python run_nannyml.py < pairs.json > scores.json`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")

import pandas as pd
from nannyml.drift.univariate import UnivariateDriftCalculator

METHODS = {"ks": "kolmogorov_smirnov", "wasserstein": "wasserstein", "jensen_shannon": "jensen_shannon"}
CATEGORY_METHODS = {"jensen_shannon": "jensen_shannon", "chi_squared": "chi2"}


def scores(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """By our names of the methods; `ks` is D, `wasserstein` W1 and `chi_squared` the statistic."""
    found: dict[str, Any] = {}
    texts = isinstance(before[0], str)
    for name, method in (CATEGORY_METHODS if texts else METHODS).items():
        methods = {"categorical_methods" if texts else "continuous_methods": [method]}
        calculator = UnivariateDriftCalculator(["x"], chunk_number=1, **methods)
        calculator.fit(pd.DataFrame({"x": before}))
        result = calculator.calculate(pd.DataFrame({"x": after})).filter(period="analysis")
        found[name] = float(result.to_df()[("x", method, "value")].iloc[0])
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump({name: scores(*pair) for name, pair in json.load(sys.stdin).items()}, sys.stdout)
