"""A wine classifier saved as an MLflow model. `train.py FOLDER`, then `mlflow models serve --model-uri FOLDER`."""

from __future__ import annotations

import sys

import mlflow.sklearn
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows, target = load_wine(return_X_y=True, as_frame=True)
model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=20, random_state=7)).fit(rows, target)
mlflow.sklearn.save_model(model, sys.argv[1], serialization_format="cloudpickle")
