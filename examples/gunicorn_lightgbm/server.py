"""House prices by lightgbm behind Flask. `gunicorn --workers 2 server:app`."""

from __future__ import annotations

import os

import lightgbm
import numpy
import pandas
from flask import Flask, request

FEATURES = ["rooms", "area", "age", "distance"]


def train() -> lightgbm.LGBMRegressor:
    random = numpy.random.default_rng(7)
    rows = pandas.DataFrame(random.uniform(0, 1, (500, len(FEATURES))), columns=FEATURES)
    price = 100 + 40 * rows["rooms"] + 80 * rows["area"] - 20 * rows["age"] - 30 * rows["distance"]
    return lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(rows, price)


app = Flask(__name__)
model = train()


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/price")
def price() -> dict[str, object]:
    """A list of objects with the features; the prices, and which worker found them."""
    rows = pandas.DataFrame(request.get_json(), columns=FEATURES)
    return {"prices": model.predict(rows).round(2).tolist(), "worker": os.getpid()}
