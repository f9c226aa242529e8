"""What models are called: by the file that they came from, MLflow's names, and what the environment says."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from model_sidecar_instrumentation import settings
from model_sidecar_instrumentation.identity import Known, Names, identify
from model_sidecar_instrumentation.instrumentor import models_in
from model_sidecar_instrumentation.model_file import digest, of_file
from support.frameworks import Recorded, environment, recording, run, torch_python


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [
        ("/models/churn.joblib", "churn", ""),
        ("/models/fraud.v2.onnx", "fraud", ""),
        ("/models/fraud/3/model.pkl", "fraud", "3"),
        ("/srv/cards/v1.2/weights/best.pt", "cards", "v1.2"),
        ("/app/model.pkl", "", ""),
        ("/tmp/tmpab3d_x9q/model.joblib", "", ""),
        ("/tmp/tmpab3d_x9q", "", ""),
        (f"/hub/models--org--bert-tiny/snapshots/{'6f75de8b60' * 4}/model.safetensors", "bert-tiny", ""),
        ("/mlruns/0/models/m-347f841a30d94b66921be675314a07a2/artifacts/model.pkl", "", ""),
        ("text\nof a model", "", ""),
    ],
)
def test_the_path_of_a_file_names_its_model(path: str, name: str, version: str) -> None:
    assert of_file(path) == Known(name, version)


def test_the_content_of_a_file_is_its_version(tmp_path: Path) -> None:
    file = tmp_path / "churn.pkl"
    file.write_bytes(b"one")
    first = of_file(file).version
    assert len(first) == 12
    with file.open("rb") as opened:
        assert of_file(opened) == Known("churn", first)
    file.write_bytes(b"two")
    assert of_file(file).version != first
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(17 << 20))
    before = digest(str(large))
    large.write_bytes(bytes((17 << 20) - 1) + b"1")
    assert digest(str(large)) != before
    assert digest(str(tmp_path)) == ""


def test_models_are_found_among_other_things_in_a_file() -> None:
    assert models_in({"model": 1.5, "names": ["a"], 3: 2.5}, lambda found: isinstance(found, float)) == {
        "model": 1.5,
        "3": 2.5,
    }
    assert models_in((1.5, "a"), lambda found: isinstance(found, float)) == {"0": 1.5}
    assert models_in(1.5, lambda found: isinstance(found, float)) == {"": 1.5}
    assert models_in("text", lambda found: isinstance(found, float)) == {}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [("churn", "v1"), ("fraud", ""), ("churn", "v2")]),
        ({"SIDECAR_MODEL_NAME": "credit"}, [("credit", "v1"), ("credit.fraud", ""), ("credit", "v2")]),
        (
            {"SIDECAR_MODEL_NAME": "credit", "SIDECAR_MODEL_VERSION": "7"},
            [("credit", "7"), ("credit.fraud", ""), ("credit", "7")],
        ),
        ({"SIDECAR_MODEL_NAME": "fraud=cards, churn = leavers"}, [("leavers", "v1"), ("cards", ""), ("leavers", "v2")]),
        ({"SIDECAR_MODEL_NAME": "fraud=cards"}, [("churn", "v1"), ("cards", ""), ("churn", "v2")]),
        ({"SIDECAR_MODEL_VERSION": "7"}, [("churn", "7"), ("fraud", ""), ("churn", "7")]),
    ],
)
def test_the_environment_names_one_model_or_each(environ: Mapping[str, str], expected: list[tuple[str, str]]) -> None:
    read = settings.read(environ)
    names = Names(read)
    given = [Known("churn", "v1"), Known("fraud"), Known("churn", "v2")]
    found = [identify(object(), known, "sklearn", read, names).attributes for known in given]
    assert [(a["ml.model.name"], a.get("ml.model.version", "")) for a in found] == expected


def _loaded(recorded: Recorded) -> list[tuple[str, str, bool]]:
    found = [e.attributes for e in recorded.predictions()]
    return [(a["ml.model.name"], a["ml.framework"], len(a.get("ml.model.version", "")) == 12) for a in found]


FILES = """
import gzip, json, os, pickle, warnings
warnings.simplefilter("ignore")
import catboost, cloudpickle, joblib, lightgbm, numpy as np, onnxruntime, xgboost
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).random((60, 4)).astype("float32")
y = (X[:, 0] > 0.5).astype(int)
m = LogisticRegression().fit(X, y)
joblib.dump(m, "churn.joblib")
joblib.dump({"model": LogisticRegression(C=2).fit(X, y), "features": ["a"]}, "fraud.joblib")
joblib.dump({"north": m, "south": m.__class__(C=3).fit(X, y)}, "regions.joblib")
with open("cards.pkl", "wb") as file:
    pickle.dump(m, file)
with gzip.open("zipped.pkl.gz", "wb") as file:
    pickle.dump(m, file)
joblib.load("churn.joblib").predict(X[:1])
joblib.load("fraud.joblib")["model"].predict(X[:1])
regions = joblib.load("regions.joblib")
regions["south"].predict(X[:1])
for opened in (open("cards.pkl", "rb"), gzip.open("zipped.pkl.gz"), open("cards.pkl", "rb")):
    with opened as file:
        (pickle if opened.name.endswith("gz") else cloudpickle).load(file).predict(X[:1])
fitted = xgboost.XGBClassifier(n_estimators=2).fit(X, y)
fitted.save_model("estimator.json")
fitted.save_model("boosted.ubj")
again = xgboost.XGBClassifier()
again.load_model("boosted.ubj")
again.predict(X[:1])
xgboost.Booster(model_file="boosted.ubj").inplace_predict(X[:1])
lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, y).booster_.save_model("light.txt")
lightgbm.Booster(None, None, "light.txt").predict(X[:1])
quiet = {"iterations": 2, "logging_level": "Silent", "allow_writing_files": False}
catboost.CatBoostClassifier(**quiet).fit(X, y).save_model("cat.cbm")
catboost.CatBoostClassifier().load_model("cat.cbm").predict(X[:1])
os.makedirs("level/2")
with open("level/2/model.onnx", "wb") as file:
    file.write(to_onnx(m, X[:1]).SerializeToString())
onnxruntime.InferenceSession("level/2/model.onnx").run(None, {"X": X[:1]})
print(json.dumps({}))
"""


@pytest.mark.engine
def test_models_are_named_by_their_files(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    with recording() as recorded:
        run(frameworks, ["-c", FILES], environment(agent, recorded.url), tmp_path)
    assert _loaded(recorded) == [
        ("churn", "sklearn", True),
        ("fraud", "sklearn", True),
        ("regions.south", "sklearn", True),
        ("cards", "sklearn", True),
        ("zipped", "sklearn", True),
        ("cards", "sklearn", True),
        ("boosted", "xgboost", True),
        ("boosted", "xgboost", True),
        ("light", "lightgbm", True),
        ("cat", "catboost", True),
        ("level", "onnxruntime", False),
    ]


MLFLOW = """
import json, warnings
warnings.simplefilter("ignore")
import mlflow, mlflow.pyfunc, mlflow.sklearn, numpy as np
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).random((60, 4))
m = LogisticRegression().fit(X, (X[:, 0] > 0.5).astype(int))
with mlflow.start_run() as started:
    logged = mlflow.sklearn.log_model(m, name="wine", serialization_format="cloudpickle", input_example=X[:2])
mlflow.register_model(logged.model_uri, "cellar")
addresses = [logged.model_uri, f"runs:/{started.info.run_id}/wine", "models:/cellar/1"]
for address in addresses:
    model = mlflow.pyfunc.load_model(address)
    model.predict(X[:3])
    model.get_raw_model().predict_proba(X[:3])
    mlflow.sklearn.load_model(address).predict(X[:4])
print(json.dumps([logged.model_id, started.info.run_id]))
"""


@pytest.mark.engine
def test_mlflow_addresses_name_models(agent: Path, frameworks: Path, tmp_path: Path) -> None:
    more = {
        "MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "HOME": str(tmp_path),
    }
    with recording() as recorded:
        out = run(frameworks, ["-c", MLFLOW], environment(agent, recorded.url, more), tmp_path)
    model, started = (text[:12] for text in json.loads(out.splitlines()[-1]))
    found = [e.attributes for e in recorded.predictions()]
    said = [(a["ml.model.name"], a["ml.model.version"], a["ml.prediction.count"]) for a in found]
    expected = [("wine", model), ("wine", started), ("cellar", "1")]
    assert said == [(name, version, rows) for name, version in expected for rows in (3, 0, 4)]


TORCH = """
import json, torch
x = torch.zeros(2, 4)
torch.save({"epoch": 3, "model": torch.nn.Linear(4, 2).state_dict()}, "checkpoint-pets.pt")
torch.save(torch.nn.Linear(4, 2).state_dict(), "shapes.pt")
torch.save(torch.nn.Linear(4, 2).eval(), "whole.pt")
for file in ("checkpoint-pets.pt", "shapes.pt"):
    state = torch.load(file)
    model = torch.nn.Linear(4, 2)
    model.load_state_dict(state.get("model", state))
    model.eval()(x)
torch.load("whole.pt")(x)
print(json.dumps({}))
"""


@pytest.mark.engine
@pytest.mark.slow
def test_torch_modules_are_named_by_the_file_of_their_state(agent: Path, tmp_path: Path) -> None:
    torch = torch_python()
    with recording() as recorded:
        env = environment(agent, recorded.url, torch.env)
        run(torch.python, ["-c", textwrap.dedent(TORCH)], env, tmp_path)
    assert _loaded(recorded) == [(name, "torch", True) for name in ("checkpoint-pets", "shapes", "whole")]
