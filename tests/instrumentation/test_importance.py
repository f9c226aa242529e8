"""How much features count, as models of each library say, arrives with the event of their loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from instrumentation.test_framework_calls import _run

pytestmark = [pytest.mark.engine]

SCRIPT = """
    import json, warnings
    warnings.simplefilter("ignore")
    import catboost, lightgbm, numpy as np, pandas as pd, xgboost
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(5)
    X = pd.DataFrame({"age": rng.normal(size=400), "plan_fee": rng.normal(size=400), "noise": rng.normal(size=400)})
    X["city"] = rng.choice(["Oslo", "La Paz"], 400)
    y = (2 * X["age"] + X["plan_fee"] + 3 * (X["city"] == "Oslo") > 1.5).astype(int)
    N = X[["age", "plan_fee", "noise"]]
    prepared = ColumnTransformer([("n", StandardScaler(), list(N)), ("c", OneHotEncoder(), ["city"])])

    forest = RandomForestRegressor(20, random_state=0, n_jobs=2).fit(N, y)
    forest.predict(N[:2])
    linear = make_pipeline(prepared, LogisticRegression()).fit(X, y)
    linear.predict(X[:2])
    class Components(LogisticRegression):
        pass

    made = make_pipeline(PCA(2), Components()).fit(N.to_numpy(), y)
    made.predict(N[:2].to_numpy())
    nearest = KNeighborsClassifier().fit(N, y)
    nearest.predict(N[:2])
    outliers = IsolationForest(n_estimators=5).fit(N)
    outliers.predict(N[:2])
    boosted = xgboost.XGBClassifier(n_estimators=5).fit(N, y)
    boosted.predict(N[:2])
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(N, y), 5)
    booster.predict(xgboost.DMatrix(N[:2]))
    light = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(N, y)
    light.predict(N[:2])
    cat = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(N, y)
    cat.predict(N[:2])

    def reported(sizes):
        return dict(zip(N, (np.abs(sizes) / np.abs(sizes).sum()).tolist()))

    gain = booster.get_score(importance_type="gain")
    print(json.dumps({
        "RandomForestRegressor": reported(forest.feature_importances_),
        "XGBClassifier": reported(boosted.feature_importances_),
        "Booster": {name: size / sum(gain.values()) for name, size in gain.items()},
        "LGBMClassifier": reported(light.booster_.feature_importance("gain")),
        "CatBoostClassifier": reported(cat.feature_importances_),
        "KNeighborsClassifier": {},
        "IsolationForest": {},
        "coefficients": dict(zip(["age", "plan_fee", "noise", "city 0", "city 1"], abs(linear[-1].coef_[0]).tolist())),
    }))
"""


def test_what_each_library_says_is_reported_as_shares_of_the_columns_given(agent: Path, frameworks: Path) -> None:
    recorded, expected = _run(frameworks, agent, SCRIPT)
    found: dict[str, Any] = {e.attributes["ml.model.name"]: e.body["features"] for e in recorded.loaded()}
    sizes = expected.pop("coefficients")
    total = sum(sizes.values())
    expected["LogisticRegression"] = {
        "age": sizes["age"] / total,
        "plan_fee": sizes["plan_fee"] / total,
        "noise": sizes["noise"] / total,
        "city": (sizes["city 0"] + sizes["city 1"]) / total,
    }
    assert set(found.pop("Components")) == {"pca0", "pca1"}
    assert found.keys() == expected.keys()
    for model, shares in expected.items():
        assert found[model] == pytest.approx({name: share for name, share in shares.items() if share}), model
        assert list(found[model].values()) == sorted(found[model].values(), reverse=True)


def test_names_of_features_are_not_reported_where_features_are_not_captured(agent: Path, frameworks: Path) -> None:
    recorded, _ = _run(
        frameworks,
        agent,
        """
        import json
        from sklearn.linear_model import LinearRegression
        LinearRegression().fit([[1], [2]], [1, 2]).predict([[3]])
        print(json.dumps(1))
        """,
        {"SIDECAR_CAPTURE": "predictions"},
    )
    assert [event.body["features"] for event in recorded.loaded()] == [{}]
