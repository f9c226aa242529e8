"""What is sent to the model server: rows of the wine data set, some of them bad."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from sidecar.demo.ask import request


@dataclass(slots=True)
class Sent:
    """What the driver sent, by the status that came back."""

    by_status: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    """Rows of the requests that were answered with predictions."""

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


def drive(port: int, table: Sequence[list[float]], requests: int, label: str) -> Sent:
    """Send so many requests, with a progress bar on stderr."""
    sent = Sent()
    with click.progressbar(range(requests), label=label, file=sys.stderr) as numbers:
        for n in numbers:
            status, count = predict(port, table, n)
            sent.by_status[status] = sent.by_status.get(status, 0) + 1
            sent.rows += count if status == 200 else 0
    return sent


@dataclass(frozen=True, slots=True)
class Wines:
    """The data set that the example is trained with."""

    rows: list[list[float]]
    truth: list[int]
    """Class of each row."""


def wines() -> Wines:
    """In any order: the set is sorted by class, and some hundred requests are to be like all of it."""
    from sklearn.datasets import load_wine  # type: ignore[import-untyped,unused-ignore]

    data = load_wine()
    order = list(range(len(data.target)))
    random.Random(1).shuffle(order)
    rows, truth = data.data.tolist(), data.target.tolist()
    return Wines([rows[n] for n in order], [truth[n] for n in order])


def predict(port: int, rows: Sequence[list[float]], n: int) -> tuple[int, int]:
    """The `n`th request: rows of the wine data set; of twenty requests one is empty and one has rows too short.
    Gives the status of the answer, and how many rows were sent."""
    if n % 20 == 7:
        body: list[list[float]] = []
    elif n % 20 == 13:
        body = [rows[n % len(rows)][:3]]
    else:
        body = [rows[(n + k) % len(rows)] for k in range(1 + n % 4)]
    payload = json.dumps({"rows": body}).encode()
    return request("POST", port, "/predict", payload, {"Content-Type": "application/json"})[0], len(body)
