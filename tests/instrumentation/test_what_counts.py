"""What counts as a prediction and what does not, in real frameworks: repeats, evaluations, odd shapes of answers."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support.frameworks import Event, Recorded, environment, recording, run

pytestmark = [pytest.mark.engine]


def _run(python: Path, agent: Path, code: str) -> tuple[Recorded, Any]:
    with recording() as recorded:
        out = run(python, ["-c", textwrap.dedent(code)], environment(agent, recorded.url))
    return recorded, json.loads(out.splitlines()[-1])


def _by_model(recorded: Recorded) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in recorded.predictions():
        found.setdefault(event.attributes["ml.model.name"], []).append(event)
    return found


REPEATS = """
import asyncio, json
import numpy as np, pandas as pd
from opentelemetry import trace
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

class Named(LogisticRegression):
    pass
X = np.random.default_rng(1).random((60, 3))
y = (X[:, 0] * 3).astype(int)
made = {}
def model(name):
    made[name] = type(name, (Named,), {})().fit(X, y)
    return made[name]
m = model("Copies")
m.predict_proba(X[:10]); m.predict(X[:10].copy()); m.decision_function(X[:10].tolist()); m.predict_log_proba(X[:10])
m = model("Frames")
frame = lambda city: pd.DataFrame({"n": [1.0, None], "city": ["a", city]})
class Frames(BaseEstimator):
    def fit(self, X, y=None):
        return self
    def predict(self, X):
        return ["in" if city == "b" else "out" for city in X["city"]]
    def predict_proba(self, X):
        return np.array([[0.25, 0.75]] * len(X))
m = Frames()
m.predict(frame("b")); m.predict_proba(frame("b")); m.predict(frame("c")); m.predict_proba(frame("d"))
m = model("Span")
with trace.get_tracer("app").start_as_current_span("request"):
    m.predict_proba([[1, 2, 3]]); m.predict([[1, 2, 4]]); m.predict([[1, 2, 3]])
m = model("Again")
for _ in range(5):
    m.predict(X[:10])
m = model("Threads")
async def ask(rows):
    loop = asyncio.get_running_loop()
    await asyncio.gather(*[loop.run_in_executor(None, method, rows.copy()) for method in (m.predict, m.predict_proba)])
async def many():
    await ask(X[:4])
    await asyncio.gather(*[ask(X[:7]) for _ in range(6)])
asyncio.run(many())
m = model("Fixed")
class Broken(Named):
    def predict_proba(self, X):
        raise NotImplementedError
m = Broken().fit(X, y)
try:
    m.predict_proba(X[:3])
except NotImplementedError:
    m.predict(X[:3])
print(json.dumps({}))
"""


def test_methods_with_the_same_rows_are_one_prediction(agent: Path, frameworks: Path) -> None:
    recorded, _ = _run(frameworks, agent, REPEATS)
    found = _by_model(recorded)
    counts = {name: sum(e.attributes["ml.prediction.count"] for e in events) for name, events in found.items()}
    assert counts == {"Copies": 10, "Frames": 6, "Span": 2, "Again": 50, "Threads": 46, "Broken": 3}
    reported = [sorted(e.body.keys() & {"features", "scores"}) for e in found["Copies"]]
    assert reported == [["features", "scores"], [], [], []], "features and scores are reported once"
    assert [e.body.get("class") for e in found["Frames"][:2]] == [["out", "in"], ["1", "1"]]


EVALUATIONS = """
import json
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, GradientBoostingClassifier, StackingClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV, cross_val_predict, cross_val_score, cross_validate, learning_curve, permutation_test_score,
    validation_curve)
from sklearn.naive_bayes import GaussianNB

X = np.random.default_rng(1).random((60, 3))
y = (X[:, 0] * 3).astype(int)
m = LogisticRegression().fit(X, y)
cross_val_score(m, X, y, cv=2, n_jobs=2)
cross_validate(m, X, y, cv=2, scoring=["accuracy", "roc_auc_ovr"])
cross_val_predict(m, X, y, method="predict_proba", cv=2)
learning_curve(m, X, y, cv=2, train_sizes=[0.5, 1.0])
validation_curve(m, X, y, param_name="C", param_range=[1, 2], cv=2)
permutation_test_score(m, X, y, n_permutations=2, cv=2)
permutation_importance(m, X, y, n_repeats=2)
partial_dependence(m, X, [0])
get_scorer("neg_log_loss")(m, X, y)
GridSearchCV(m, {"C": [1, 2]}, cv=2).fit(X, y).score(X, y)
KMeans(2, n_init=1).fit(X).score(X)
ada = AdaBoostClassifier(n_estimators=3).fit(X, y)
assert len(list(ada.staged_score(X, y))) == len(list(ada.staged_predict_proba(X)))
stages = ada.staged_predict(X)
next(stages)
KMeans(3, n_init=1).fit(X).predict(X[:1])  # between two stages: seen
stages.close()
assert len(list(AdaBoostRegressor(n_estimators=2).fit(X, y).staged_predict(X))) > 0
assert len(list(GradientBoostingClassifier(n_estimators=2).fit(X, y).staged_predict(X))) == 2
StackingClassifier([("a", LogisticRegression())], cv=2).fit(X, y).transform(X)
VotingClassifier([("a", m), ("b", GaussianNB())]).fit(X, y).transform(X)

class Scorer(LogisticRegression):
    def score(self, X):
        return self.predict_proba(X)[:, 1]
Scorer().fit(X, y).score(X[:4])
CalibratedClassifierCV(m, cv=2).fit(X, y).predict(X[:3])
VotingClassifier([("a", m), ("b", GaussianNB())], voting="soft", n_jobs=2).fit(X, y).predict_proba(X[:2])
print(json.dumps({}))
"""


def test_evaluating_a_model_is_no_prediction(agent: Path, frameworks: Path) -> None:
    recorded, _ = _run(frameworks, agent, EVALUATIONS)
    assert {name: [e.body["rows"] for e in events] for name, events in _by_model(recorded).items()} == {
        "KMeans": [1],
        "Scorer": [4],
        "CalibratedClassifierCV": [3],
        "VotingClassifier": [2],
    }


SHAPES = """
import json
import catboost, numpy as np, xgboost
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVC, SVC

X = np.random.default_rng(1).random((90, 4))
y = (X[:, 0] * 3).astype(int)
many = (X[:, :3] > 0.5).astype(int)
said = {}
for make in (SVC, NuSVC):
    m = make_pipeline(StandardScaler(), make(decision_function_shape="ovo", nu=0.2) if make is NuSVC
                      else make(decision_function_shape="ovo")).fit(X, y)
    m.decision_function(X)
    said[make.__name__] = [str(v) for v in m.predict(X)]
for m in (OneVsRestClassifier(LogisticRegression()), ClassifierChain(LogisticRegression()), MLPClassifier(max_iter=9)):
    said[type(m).__name__] = np.asarray(m.fit(X, many).predict_proba(X[:5])).tolist()
for m in (KNeighborsClassifier(), RandomForestClassifier(5)):
    said[type(m).__name__] = [part.tolist() for part in m.fit(X, many).predict_proba(X[:5])]
m = xgboost.XGBClassifier(n_estimators=3).fit(X, many[:, :2])
said["XGBClassifier"] = m.predict_proba(X[:5]).tolist()
said["GaussianNB"] = np.exp(GaussianNB().fit(X, y).predict_log_proba(X[:5])).tolist()
said["KernelDensity"] = KernelDensity().fit(X).score_samples(X[:5]).tolist()
m = IsolationForest(n_estimators=10).fit(X)
m.decision_function(X[:20])
said["IsolationForest"] = [str(v) for v in m.predict(X[:20])]
quiet = {"iterations": 3, "logging_level": "Silent", "allow_writing_files": False}
m = catboost.CatBoostClassifier(**quiet).fit(X, np.array(["a", "b", "c"])[y])
said["CatBoostClassifier"] = [m.predict(X[0].tolist()).tolist(), m.predict_proba(X[0].tolist()).tolist(),
                              m.predict(X[1]).tolist(), m.predict(X[2:4], "Probability").tolist()]
m.predict(X, "RawFormulaVal")
said["CatBoostRegressor"] = catboost.CatBoostRegressor(**quiet).fit(X, X[:, 1]).predict(X[0].tolist())
class Lister(GaussianNB):
    def predict(self, X):
        return ["even" if round(float(row[0]) * 10) % 2 == 0 else "odd" for row in X]
said["Lister"] = Lister().fit(X, y).predict(X[:6])
class Yielder(GaussianNB):
    def predict(self, X):
        return (row[0] for row in X)
assert len(list(Yielder().fit(X, y).predict(X[:6]))) == 6
print(json.dumps(said))
"""


def test_answers_of_every_shape_are_read_as_what_they_are(agent: Path, frameworks: Path) -> None:
    recorded, said = _run(frameworks, agent, SHAPES)
    found = _by_model(recorded)
    for name in ("SVC", "NuSVC"):
        assert found[name][0].body["class_counts"] == {label: said[name].count(label) for label in set(said[name])}
        assert found[name][1].body["counted"] is False
    for name in ("OneVsRestClassifier", "ClassifierChain", "MLPClassifier", "XGBClassifier"):
        columns = [list(column) for column in zip(*said[name], strict=True)]
        body = found[name][0].body
        assert body["outputs"] == {str(i): pytest.approx(column) for i, column in enumerate(columns)}
        assert "class" not in body
    for name in ("KNeighborsClassifier", "RandomForestClassifier"):
        assert found[name][0].body["outputs"]["2.1"] == [row[1] for row in said[name][2]]
    assert found["GaussianNB"][0].body["score"] == pytest.approx([max(row) for row in said["GaussianNB"]])
    assert found["KernelDensity"][0].body["value"] == pytest.approx(said["KernelDensity"])
    margin = found["IsolationForest"][0].body
    assert margin["class"] == said["IsolationForest"]
    assert [e.attributes["ml.prediction.count"] for e in found["IsolationForest"]] == [20, 0]
    one, same, array, proba = found["CatBoostClassifier"]
    assert [e.body["rows"] for e in found["CatBoostClassifier"]] == [1, 1, 1, 2]
    label, scores, other, both = said["CatBoostClassifier"]
    assert (one.body["class"], array.body["class"]) == (label, other)
    assert one.body["features"].keys() == {"0", "1", "2", "3"}
    assert (same.body["counted"], same.body["score"]) == (False, pytest.approx([max(scores)]))
    assert proba.body["score"] == pytest.approx([max(row) for row in both])
    assert found["CatBoostRegressor"][0].body["value"] == pytest.approx([said["CatBoostRegressor"]])
    assert found["Lister"][0].body["class"] == said["Lister"]
    assert found["Yielder"][0].body["rows"] == 6
