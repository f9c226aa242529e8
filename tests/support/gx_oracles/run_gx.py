"""Runs in the environment of a Great Expectations: the suite as it writes it, and what it says of the rows.

Reads {"columns", "cases", "only_written"} as JSON, writes {"version", "suite", "results"}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import great_expectations as gx
import pandas as pd

FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 1}


def main() -> None:
    """One suite with all expectations; the results are of those that are evaluated."""
    given = json.load(sys.stdin)
    frame = pd.DataFrame({name: pd.Series(values) for name, values in given["columns"].items()})
    old = gx.__version__.startswith("0.")
    suite, results = (_old if old else _new)(given["cases"], given["only_written"], frame)
    json.dump({"version": gx.__version__, "suite": suite, "results": [_result(one) for one in results]}, sys.stdout)


def _old(cases: Any, only_written: Any, frame: pd.DataFrame) -> tuple[Any, Any]:
    from great_expectations.core import ExpectationConfiguration, ExpectationSuite

    def suite_of(some: Any) -> Any:
        suite = ExpectationSuite(expectation_suite_name="churn.warning", meta={"model": "churn"})
        # `add_expectation` would replace one of the same type and column.
        suite.expectations = [ExpectationConfiguration(expectation_type=name, kwargs=kwargs) for name, kwargs in some]
        return suite

    context = gx.get_context(mode="ephemeral")
    asset = context.sources.add_pandas("pandas").add_dataframe_asset("rows")
    request = asset.build_batch_request(dataframe=frame)
    found = []
    for case in cases:  # One by one: equal configurations of a suite are evaluated once.
        validator = context.get_validator(batch_request=request, expectation_suite=suite_of([case]))
        found += validator.validate(result_format=FORMAT).to_json_dict()["results"]
    return suite_of([*cases, *only_written]).to_json_dict(), found


def _new(cases: Any, only_written: Any, frame: pd.DataFrame) -> tuple[Any, Any]:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    def suite_of(some: Any) -> Any:
        made = [ExpectationConfiguration(type=name, kwargs=kwargs) for name, kwargs in some]
        return gx.ExpectationSuite(name="churn", expectations=made, meta={"model": "churn"})

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    found = []
    for case in cases:
        found += batch.validate(suite_of([case]), result_format=FORMAT).to_json_dict()["results"]
    return suite_of([*cases, *only_written]).to_json_dict(), found


def _result(found: Any) -> dict[str, Any]:
    result = found["result"]
    picked = {name: result[name] for name in ("unexpected_count", "element_count", "missing_count") if name in result}
    observed = result.get("observed_value")
    if isinstance(observed, (int, float, dict)):
        picked["observed_value"] = observed
    raised = found["exception_info"]
    exception = raised.get("raised_exception", True)
    return {"success": bool(found["success"]), **picked, **({"exception": True} if exception else {})}


if __name__ == "__main__":
    main()
