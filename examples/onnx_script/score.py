"""A batch job: classifies the rows of a CSV file, some at a time. `score.py MODEL CSV BATCH`."""

from __future__ import annotations

import sys

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
rows = numpy.loadtxt(sys.argv[2], delimiter=",", dtype="float32", ndmin=2)
batch = int(sys.argv[3])
for first in range(0, len(rows), batch):
    labels, _ = session.run(None, {name: rows[first : first + batch]})
    for label in labels:
        print(label)
