"""Scores of whylogs. Runs in an environment that has it: `python run_whylogs.py < pairs.json > scores.json`."""

from __future__ import annotations

import json
import math
import sys
import warnings
from typing import Any

import pandas as pd
import whylogs
from whylogs.viz.drift.column_drift_algorithms import KS, ChiSquare


def scores(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """By our names of the methods; `ks` is D, `chi_squared` the statistic."""
    reference, current = (whylogs.log(pd.DataFrame({"x": values})).view().get_column("x") for values in (before, after))
    name, algorithm = ("chi_squared", ChiSquare()) if isinstance(before[0], str) else ("ks", KS())
    found = algorithm.calculate(current, reference)
    value = None if found is None else float(found.statistic)
    return {name: value if value is None or math.isfinite(value) else "infinite"}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump({name: scores(*pair) for name, pair in json.load(sys.stdin).items()}, sys.stdout)
