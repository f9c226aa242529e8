"""Each framework in a process of its own under the bundle: what it predicts arrives, once, as its columns."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support.frameworks import Event, Recorded, environment, recording, run

pytestmark = [pytest.mark.engine]


def _run(python: Path, agent: Path, code: str, env: dict[str, str] | None = None) -> tuple[Recorded, Any]:
    """Run the script under the bundle; what was recorded, and what it printed as its last line of JSON."""
    with recording() as recorded:
        out = run(python, ["-c", textwrap.dedent(code)], environment(agent, recorded.url, env))
    return recorded, json.loads(out.splitlines()[-1])


def _seen(recorded: Recorded) -> list[tuple[str, str, int, bool]]:
    """Framework, operation, rows and whether they count, in order."""
    return [
        (e.attributes["ml.framework"], e.attributes["ml.operation"], e.body["rows"], e.body["counted"])
        for e in recorded.predictions()
    ]


def _names(events: list[Event]) -> list[str]:
    return [e.attributes["ml.model.name"] for e in events]


def test_scikit_learn_calls_are_seen_once_however_they_nest(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        """
        import json, pickle, sys, warnings
        import joblib, numpy as np
        from sklearn.base import BaseEstimator, ClassifierMixin, clone
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.ensemble import RandomForestClassifier, StackingClassifier, IsolationForest
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn.naive_bayes import GaussianNB
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        class Own(ClassifierMixin, BaseEstimator):
            def __init__(self, at=0.5):
                self.at = at
            def fit(self, X, y):
                self.classes_ = np.unique(y)
                return self
            def predict(self, X):
                return self.classes_[(np.asarray(X)[:, 0] > self.at).astype(int)]

        X = np.random.default_rng(1).random((200, 3))
        y = np.where(X[:, 0] > 0.5, "yes", "no")
        forest = RandomForestClassifier(n_estimators=8, n_jobs=2, random_state=1)
        search = GridSearchCV(make_pipeline(StandardScaler(), forest), {"randomforestclassifier__max_depth": [2, 3]},
                              cv=2, n_jobs=2).fit(X, y)
        stack = StackingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], n_jobs=2, cv=2).fit(X, y)
        models = [search, stack, CalibratedClassifierCV(GaussianNB(), cv=2).fit(X, y), Own().fit(X, y)]
        said = {"classes": []}
        for model in models:
            said["classes"].append(model.predict(X[:7]).tolist())
        joblib.dump(models[0], sys.argv[1] if len(sys.argv) > 1 else "model.joblib")
        again = joblib.load("model.joblib")
        said["classes"].append(again.predict(X[7:9]).tolist())
        assert pickle.loads(pickle.dumps(models[1])).get_params().keys() == models[1].get_params().keys()
        assert clone(Own(at=0.25)).at == 0.25
        assert not hasattr(make_pipeline(StandardScaler(), LinearRegression()), "predict_proba")
        said["numbers"] = LinearRegression().fit(X, X[:, 1]).predict(X[:2]).tolist()
        said["odd"] = IsolationForest(n_estimators=5, random_state=1).fit(X).predict(X[:5]).tolist()
        print(json.dumps(said))
        """.replace(
            'sys.argv[1] if len(sys.argv) > 1 else "model.joblib"', repr(str(tmp_path / "model.joblib"))
        ).replace('joblib.load("model.joblib")', f"joblib.load({str(tmp_path / 'model.joblib')!r})"),
    )
    rows = [7, 7, 7, 7, 2, 2, 5]
    assert _seen(recorded) == [("sklearn", "predict", n, True) for n in rows]
    events = recorded.predictions()
    assert [e.body["class"] for e in events[:5]] == said["classes"]
    assert events[5].body["value"] == pytest.approx(said["numbers"])
    assert events[6].body["class"] == [str(v) for v in said["odd"]]
    assert _names(events)[:4] == ["RandomForestClassifier", "StackingClassifier", "CalibratedClassifierCV", "Own"]
    assert [len(c) for e in events for c in e.body["features"].values()] == [n for n in rows for _ in range(3)]
    durations = [e.attributes.get("ml.model.load.duration") for e in recorded.loaded()]
    assert len(durations) == 7, "each class once, and the model of the file under the file's name"
    assert [s.name for s, _ in recorded.spans] == [f"predict {name}" for name in _names(events)]
    assert {s.span_id for s, _ in recorded.spans} == {e.span_id for e in events}


def test_scikit_learn_probabilities_frames_errors_and_repeats(agent: Path, frameworks: Path) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        """
        import json
        import numpy as np, pandas as pd
        from opentelemetry import trace
        from sklearn.linear_model import LogisticRegression
        from sklearn.compose import make_column_transformer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        random = np.random.default_rng(2)
        frame = pd.DataFrame({"age": random.integers(18, 80, 400), "city": random.choice(["Ulm", "Köln"], 400),
                              "income": random.random(400)})
        frame.loc[3, "city"] = None
        target = np.where(frame["age"] > 50, 1, 0)
        model = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]),
                                                      remainder="passthrough"), LogisticRegression(max_iter=1000))
        model.fit(frame, target)
        said = {"proba": model.predict_proba(frame.head(5)).tolist(), "city": frame["city"].head(5).tolist()[:3]}
        said["classes"] = model.predict(frame).tolist()
        with trace.get_tracer("app").start_as_current_span("request"):
            rows = frame.head(2)
            model.predict_proba(rows)
            model.predict(rows)
            model.predict(rows)
        try:
            model.predict(frame[["age"]])
        except ValueError as error:
            said["error"] = type(error).__name__
        simple = LogisticRegression().fit(frame[["age"]].to_numpy(), target)
        said["margin"] = simple.decision_function([[20], [70]]).tolist()
        print(json.dumps(said))
        """,
        {"SIDECAR_MODEL_NAME": "credit", "SIDECAR_MODEL_VERSION": "7", "SIDECAR_CAPTURE_ROWS": "50"},
    )
    proba, labels, first, repeat, second, failed, margin = recorded.predictions()
    assert {(e.attributes["ml.model.name"], e.attributes["ml.model.version"]) for e in recorded.predictions()} == {
        ("credit", "7")
    }
    best = [max(range(2), key=lambda k, row=row: row[k]) for row in said["proba"]]
    assert proba.body["class"] == [str(k) for k in best]
    assert proba.body["score"] == pytest.approx([row[k] for row, k in zip(said["proba"], best, strict=True)])
    assert proba.body["scores"]["1"] == pytest.approx([row[1] for row in said["proba"]])
    assert set(proba.body["features"]) == {"age", "city", "income"}
    city = proba.body["features"]["city"]
    assert city[:3] == said["city"]
    assert city[3] is None or math.isnan(city[3])
    counts = {str(c): said["classes"].count(c) for c in (0, 1)}
    assert labels.body["class_counts"] == counts, "all rows are counted, not only the kept ones"
    assert labels.body["rows"] == 400
    assert labels.body["kept"] == len(labels.body["class"]) == len(labels.body["features"]["age"]) == 50
    at = range(labels.body["first"], 400, labels.body["one_in"])
    assert labels.body["class"] == [str(said["classes"][i]) for i in at]
    assert [e.body["counted"] for e in (first, repeat, second)] == [True, False, True]
    assert [e.attributes["ml.prediction.count"] for e in (first, repeat, second)] == [2, 0, 2]
    assert len({e.trace_id for e in (first, repeat, second)}) == 1
    assert failed.attributes["error.type"] == said["error"] == "ValueError"
    assert failed.attributes["ml.prediction.count"] == 0
    assert margin.body["decision"] == pytest.approx(said["margin"])
    assert margin.body["class"] == ["0", "1"]


def test_xgboost_estimators_and_boosters(agent: Path, frameworks: Path) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        """
        import json
        import numpy as np, xgboost
        X = np.random.default_rng(3).random((60, 3)).astype("float32")
        y = (X[:, 0] > 0.5).astype(int)
        model = xgboost.XGBClassifier(n_estimators=5).fit(X, y, eval_set=[(X, y)], verbose=False)
        said = {"proba": model.predict_proba(X[:4]).tolist(), "class": model.predict(X[:6]).tolist()}
        said["value"] = xgboost.XGBRegressor(n_estimators=5).fit(X, X[:, 1]).predict(X[:3]).tolist()
        data = xgboost.DMatrix(X, y, feature_names=["a", "b", "c"])
        booster = xgboost.train({"objective": "binary:logistic"}, data, 3, evals=[(data, "t")], verbose_eval=False)
        said["positive"] = booster.predict(data).tolist()
        booster.predict(data, output_margin=True)
        said["many"] = xgboost.train({"objective": "multi:softprob", "num_class": 3},
                                     xgboost.DMatrix(X, (X[:, 2] * 3).astype(int)), 3).inplace_predict(X[:5]).tolist()
        print(json.dumps(said))
        """,
    )
    assert _seen(recorded) == [
        ("xgboost", "predict_proba", 4, True),
        ("xgboost", "predict", 6, True),
        ("xgboost", "predict", 3, True),
        ("xgboost", "predict", 60, True),
        ("xgboost", "inplace_predict", 5, True),
    ]
    proba, label, value, booster, many = recorded.predictions()
    assert proba.body["scores"]["1"] == pytest.approx([row[1] for row in said["proba"]])
    assert label.body["class"] == [str(v) for v in said["class"]]
    assert value.body["value"] == pytest.approx(said["value"])
    assert booster.body["scores"]["1"] == pytest.approx(said["positive"])
    assert list(booster.body["features"]) == ["a", "b", "c"]
    assert many.body["scores"]["2"] == pytest.approx([row[2] for row in said["many"]])


def test_lightgbm_estimators_and_boosters(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "churn.txt")
    recorded, said = _run(
        frameworks,
        agent,
        f"""
        import json
        import lightgbm, numpy as np, pandas as pd
        X = pd.DataFrame(np.random.default_rng(4).random((200, 3)), columns=["a", "b", "c"])
        y = np.where(X["a"] > 0.5, "stay", "go")
        model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y, eval_set=[(X, y)])
        said = {{"class": model.predict(X.head(5)).tolist(), "proba": model.predict_proba(X.head(3)).tolist()}}
        model.booster_.save_model({file!r})
        booster = lightgbm.Booster(model_file={file!r})
        said["positive"] = booster.predict(X.to_numpy()[:4]).tolist()
        booster.predict(X.to_numpy()[:4], raw_score=True)
        print(json.dumps(said))
        """,
    )
    assert _seen(recorded) == [
        ("lightgbm", "predict", 5, True),
        ("lightgbm", "predict_proba", 3, True),
        ("lightgbm", "predict", 4, True),
    ]
    label, proba, booster = recorded.predictions()
    assert label.body["class"] == said["class"]
    assert proba.body["scores"]["stay"] == pytest.approx([row[1] for row in said["proba"]])
    assert booster.body["scores"]["1"] == pytest.approx(said["positive"])
    assert list(booster.body["features"]) == ["a", "b", "c"]
    assert booster.attributes["ml.model.name"] == "churn"
    assert [e.attributes["ml.model.load.duration"] > 0 for e in recorded.loaded()[1:]] == [True]


def test_catboost(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        """
        import json
        import catboost, numpy as np
        X = np.random.default_rng(5).random((60, 3))
        quiet = {"iterations": 3, "logging_level": "Silent", "allow_writing_files": False}
        model = catboost.CatBoostClassifier(**quiet).fit(X, np.where(X[:, 0] > 0.5, "b", "a"))
        said = {"class": model.predict(X[:5]).tolist(), "proba": model.predict_proba(X[:4]).tolist()}
        pool = catboost.Pool(X[:6])
        said["value"] = catboost.CatBoostRegressor(**quiet).fit(X, X[:, 1]).predict(pool).tolist()
        print(json.dumps(said))
        """,
    )
    assert _seen(recorded) == [
        ("catboost", "predict", 5, True),
        ("catboost", "predict_proba", 4, True),
        ("catboost", "predict", 6, True),
    ]
    label, proba, value = recorded.predictions()
    assert label.body["class"] == said["class"]
    assert proba.body["scores"]["b"] == pytest.approx([row[1] for row in said["proba"]])
    assert value.body["value"] == pytest.approx(said["value"])
    assert len(value.body["features"]) == 3


def test_keras_models_but_not_their_layers_training_or_graphs(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "digits.keras")
    recorded, said = _run(
        frameworks,
        agent,
        f"""
        import json
        import keras, numpy as np
        X = np.random.default_rng(6).random((20, 4)).astype("float32")
        inner = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(5, activation="relu")])
        given = keras.layers.Input((4,))
        model = keras.Model(given, keras.layers.Dense(3, activation="softmax")(inner(given)), name="digits")
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(X, np.arange(20) % 3, epochs=1, verbose=0)
        model.save({file!r})
        model = keras.saving.load_model({file!r})
        said = {{"predict": model.predict(X[:6], verbose=0).tolist(), "call": np.asarray(model(X[:2])).tolist()}}
        said["batch"] = model.predict_on_batch(X[:3]).tolist()
        print(json.dumps(said))
        """,
        {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)},
    )
    assert _seen(recorded) == [
        ("keras", "predict", 6, True),
        ("keras", "call", 2, True),
        ("keras", "predict_on_batch", 3, True),
    ]
    for event, rows in zip(recorded.predictions(), said.values(), strict=True):
        assert event.body["score"] == pytest.approx([max(row) for row in rows], rel=1e-4)
        assert event.body["class"] == [str(row.index(max(row))) for row in rows]
        assert event.attributes["ml.model.name"] == "digits"
    assert recorded.loaded()[0].attributes["ml.model.load.duration"] > 0


def test_onnxruntime_labels_scores_and_the_models_own_metadata(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        f"""
        import json
        import numpy as np, onnxruntime
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from skl2onnx import to_onnx
        X = np.random.default_rng(7).random((30, 3)).astype("float32")
        model = to_onnx(LogisticRegression().fit(X, np.where(X[:, 0] > 0.5, "hi", "lo")), X[:1])
        model.metadata_props.add(key="version", value="2026-11")
        path = {str(tmp_path / "level.onnx")!r}
        open(path, "wb").write(model.SerializeToString())
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        labels, scores = session.run(None, {{"X": X[:5]}})
        said = {{"labels": list(labels), "hi": [row["hi"] for row in scores]}}
        number = to_onnx(LinearRegression().fit(X, X[:, 1]), X[:1]).SerializeToString()
        said["value"] = onnxruntime.InferenceSession(number).run(None, {{"X": X[:4]}})[0].reshape(-1).tolist()
        print(json.dumps(said))
        """,
    )
    assert _seen(recorded) == [("onnxruntime", "run", 5, True), ("onnxruntime", "run", 4, True)]
    level, value = recorded.predictions()
    assert level.body["class"] == said["labels"]
    assert level.body["scores"]["hi"] == pytest.approx(said["hi"])
    assert (level.attributes["ml.model.name"], level.attributes["ml.model.version"]) == ("level", "2026-11")
    assert value.body["value"] == pytest.approx(said["value"])
    assert all(e.attributes["ml.model.load.duration"] > 0 for e in recorded.loaded())


def test_mlflow_names_models_by_the_registry_and_counts_them_once(
    agent: Path, frameworks: Path, tmp_path: Path
) -> None:
    recorded, said = _run(
        frameworks,
        agent,
        f"""
        import json, os
        os.chdir({str(tmp_path)!r})
        import mlflow, mlflow.pyfunc, mlflow.sklearn
        from sklearn.datasets import load_wine
        from sklearn.linear_model import LogisticRegression
        X, y = load_wine(return_X_y=True, as_frame=True)
        fitted = LogisticRegression(max_iter=5000).fit(X, y)
        mlflow.sklearn.save_model(fitted, "wine", serialization_format="cloudpickle")
        model = mlflow.pyfunc.load_model("wine")
        raw = mlflow.sklearn.load_model("wine")
        print(json.dumps({{"class": model.predict(X.head(40)).tolist(), "raw": raw.predict(X.tail(3)).tolist()}}))
        """,
        {"GIT_PYTHON_REFRESH": "quiet", "HOME": str(tmp_path)},
    )
    assert _seen(recorded) == [("mlflow", "predict", 40, True), ("sklearn", "predict", 3, True)]
    model, raw = recorded.predictions()
    assert model.body["class"] == [str(v) for v in said["class"]]
    assert "alcohol" in model.body["features"]
    assert raw.body["class"] == [str(v) for v in said["raw"]]
    assert recorded.loaded()[0].attributes["ml.model.load.duration"] > 0
