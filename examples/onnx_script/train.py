"""A classifier of irises as an ONNX file. `train.py MODEL`."""

from __future__ import annotations

import sys
from pathlib import Path

from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

data = load_iris()
model = LogisticRegression(max_iter=500).fit(data.data, data.target_names[data.target])
file = to_onnx(model, data.data[:1].astype("float32"), options={"zipmap": False})
Path(sys.argv[1]).write_bytes(file.SerializeToString())
