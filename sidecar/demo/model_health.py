"""The demo's second part: the truth arrives, and then a client sends a column in another unit than in training."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from sidecar.demo.ask import answer, request, samples
from sidecar.demo.processes import DemoError
from sidecar.demo.traffic import Wines

MODEL = "RandomForestClassifier"
MOVED = "f12"
"""Proline, the last column: an array's columns have no names, so they are numbered."""
FACTOR = 0.1
HEADER = "X-Prediction-Id"
"""In which the model server's answers carry the id that labels name."""
REQUESTS = 100
ROWS = 8
"""Of a request."""
TIMEOUT_SECONDS = 90
SEED = 4


def environment(reference: Path) -> dict[str, str]:
    """What the sidecar is given for it. A day is a window by default; here it has to be seen within the demo."""
    return {
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(reference),
        "SIDECAR_DERIVE__DRIFT__WINDOW": "30s",
        "SIDECAR_DERIVE__DRIFT__SUB_WINDOWS": "10",
        "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "2s",
        "SIDECAR_DERIVE__DRIFT__WARM_UP": "0s",
        # Of 1,800 times as many checks as by default: one a year would ask for more rows than a demo sends.
        "SIDECAR_DERIVE__DRIFT__FALSE_PAGES_PER_YEAR": "1000",
        "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
    }


def profile(wines: Wines, folder: Path) -> Path:
    """The reference of the training data, as `sidecar profile` makes it. Raises `DemoError`."""
    data, reference = folder / "training.csv", folder / "reference.json"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"f{column}" for column in range(len(wines.rows[0]))])
        writer.writerows(wines.rows)
    command = [sys.executable, "-m", "sidecar.cli.main", "profile", str(data), "--out", str(reference)]
    done = subprocess.run([*command, "--model", MODEL], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"sidecar profile ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return reference


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature at the last check."""

    name: str
    score: float
    critical: float
    drifted: bool
    unsure: bool
    """Too few rows to say that it has not."""
    importance: float


@dataclass(frozen=True, slots=True)
class Health:
    """What the sidecar shows of the model, after so many labels."""

    labels: int
    joined: int
    accuracy: tuple[float, float, float]
    """With the ends of its interval of 95 %; NaN where there is none."""
    features: tuple[Feature, ...]
    """The most important ones first."""

    @property
    def drifted(self) -> list[str]:
        return [feature.name for feature in self.features if feature.drifted]


@dataclass(frozen=True, slots=True)
class Story:
    """Before and after the unit changed."""

    before: Health
    after: Health


def run(model: int, ingest: int, serve: int, wines: Wines) -> Story:
    """Send wines as they are, then with column `MOVED` in another unit, each with their labels, until the sidecar shows
    what became of it or time is up. Ports of the model server, of OTLP/HTTP, and of the serve port."""
    client = _Client(model, ingest, wines, random.Random(SEED))
    client.send(REQUESTS, 1.0, "4/7 sending wines, then the truth about them")
    before = client.until(serve, lambda seen: bool(seen.features))
    client.send(REQUESTS, FACTOR, f"    the same, with {MOVED} in another unit (x {FACTOR:g})")
    return Story(before, client.until(serve, lambda seen: bool(seen.drifted), FACTOR))


@dataclass(slots=True)
class _Client:
    """Who sends wines and, later, the truth about them."""

    model: int
    ingest: int
    wines: Wines
    chance: random.Random
    labels: int = 0

    def send(self, requests: int, factor: float, title: str = "") -> None:
        """So many requests, and the labels of their rows. Raises `DemoError`."""
        labels = []
        with click.progressbar(range(requests), label=title, file=sys.stderr, hidden=not title) as numbers:
            for _ in numbers:
                chosen = [self.chance.randrange(len(self.wines.rows)) for _ in range(ROWS)]
                rows = [[*self.wines.rows[n][:-1], self.wines.rows[n][-1] * factor] for n in chosen]
                prediction = _predict(self.model, rows)
                labels += [
                    {"prediction_id": prediction, "row": row, "label": str(self.wines.truth[n])}
                    for row, n in enumerate(chosen)
                ]
        lines = "\n".join(map(json.dumps, labels)).encode()
        status, body = request("POST", self.ingest, "/v1/labels", lines, {"Content-Type": "application/x-ndjson"})
        if status != 200:
            raise DemoError(f"labels were answered with {status}: {body[:200]!r}")
        self.labels += len(labels)

    def until(self, serve: int, good: Callable[[Health], bool], factor: float | None = None) -> Health:
        """What the sidecar shows once all labels are joined and it is `good`; goes on sending with `factor` till then,
        so that a machine that is slow has a window full of it too."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        seen = _look(serve, self.labels)
        while not (good(seen) and seen.joined >= self.labels) and time.monotonic() < deadline:
            if factor is not None and not good(seen):
                self.send(5, factor)
            time.sleep(0.5)
            seen = _look(serve, self.labels)
        return seen


def _predict(port: int, rows: list[list[float]]) -> str:
    """The id of the answer."""
    body = json.dumps({"rows": rows}).encode()
    status, _, headers = answer("POST", port, "/predict", body, {"Content-Type": "application/json"})
    prediction = headers.get(HEADER)
    if status != 200 or prediction is None:
        raise DemoError(f"the model answered {status}, {HEADER}: {prediction}; expected 200 and an id")
    return prediction


def _look(serve: int, labels: int) -> Health:
    shown: dict[str, dict[str, float]] = {}
    for name, found, value in samples(request("GET", serve, "/metrics")[1].decode()):
        if found.get("model") != MODEL or found.get("method", "psi") != "psi" or found.get("window", "1h") != "1h":
            continue
        of = shown.setdefault(name, {})
        key = found.get("feature", "")
        of[key] = of.get(key, 0.0) + value
    accuracy = [shown.get(f"model_accuracy{end}", {}).get("", float("nan")) for end in ("", "_lower", "_upper")]
    joined = int(shown.get("model_outcome_samples", {}).get("", 0))
    return Health(labels, joined, (accuracy[0], accuracy[1], accuracy[2]), _features(shown))


def _features(shown: Mapping[str, Mapping[str, float]]) -> tuple[Feature, ...]:
    importance = shown.get("model_feature_importance", {})
    features = [
        Feature(
            name,
            score,
            shown.get("data_drift_critical_value", {}).get(name, float("nan")),
            shown.get("data_drift_detected", {}).get(name, 0) > 0,
            shown.get("data_drift_insufficient_data", {}).get(name, 0) > 0,
            importance.get(name, 0.0),
        )
        for name, score in shown.get("data_drift_score", {}).items()
        if name.startswith("f")
    ]
    return tuple(sorted(features, key=lambda feature: -feature.importance))


def missing(story: Story) -> list[str]:
    """What should be there and is not; empty when all is well."""
    gone = [
        f"labels joined: {seen.joined} of {seen.labels}"
        for seen in (story.before, story.after)
        if seen.joined != seen.labels
    ]
    if story.before.drifted:
        gone.append(f"no drift of wines as they were: {', '.join(story.before.drifted)}")
    if story.after.drifted != [MOVED]:
        gone.append(f"drift of {MOVED} alone: {', '.join(story.after.drifted) or 'none'}")
    return gone


def show(story: Story) -> None:
    """What it means, for people."""
    click.echo("\nHow often the model is right, by the labels that came (joined in the sidecar)")
    for title, seen in (("wines as in training", story.before), ("with those in another unit", story.after)):
        value, lower, upper = seen.accuracy
        click.echo(f"  {title:<28} {value:>12.3f}   95 %: {lower:.3f} to {upper:.3f}, of {seen.joined} rows")
    click.echo(f"\nDrift beside the training data, the most important features first ({MOVED} is in another unit)")
    for feature in story.after.features[:5]:
        result = "drifted" if feature.drifted else "too few rows to say" if feature.unsure else "no drift"
        click.echo(
            f"  {feature.name:<6} importance {feature.importance:.2f}   psi {feature.score:6.3f}, "
            f"by chance up to {feature.critical:.3f}   {result}"
        )
