"""Features in attributes of spans, set with the OpenTelemetry SDK and sent over gRPC: compared with a reference that
`sidecar profile` made, and in no byte that leaves."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.engines import sidecar_command, sidecar_process, wait_for
from support.every_sink import every_sink, forms_of, forms_of_number, leaks
from support.load import figures, total

RNG = np.random.default_rng(21)
WRONG, TEXT, INCOME = 48213.62517, "feature-text-of-jane", 31337.40625
SAID = {"ml.model.name": "churn", "ml.model.version": "7", "ml.prediction.class": "stays", "ml.prediction.score": 0.75}


def ages(rows: int, shift: float = 0.0) -> list[float]:
    return [float(age) for age in RNG.normal(40 + shift, 10, rows)]


def incomes(rows: int) -> list[float]:
    return [float(income) for income in RNG.lognormal(10, 1, rows)]


def environ(folder: Path, **options: str) -> dict[str, str]:
    """The options of a sidecar with a reference of the training data."""
    data, file = folder / "train.csv", folder / "reference.json"
    rows = zip(ages(4000), incomes(4000), strict=True)
    data.write_text("age,income\n" + "".join(f"{age!r},{income!r}\n" for age, income in rows))
    profile = [sidecar_command(), "profile", data, "--out", file, "--model", "churn", "--model-version", "7"]
    subprocess.run(profile, check=True, timeout=60)
    given = {"reference": str(file), "check_interval": "1s", "warm_up": "0", "attributes": "true", **options}
    return {f"SIDECAR_DERIVE__DRIFT__{name.upper()}": value for name, value in given.items()}


class Program:
    """A program that says on its spans what its model was asked and answered."""

    def __init__(self, target: str) -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": "scorer"}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self._tracer = provider.get_tracer("program")
        self._exporter = OTLPSpanExporter(endpoint=target, insecure=True, timeout=60)

    def score(self, attributes: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> None:
        with self._tracer.start_as_current_span("score", attributes={**SAID, **attributes}) as span:
            if event is not None:
                span.add_event("ml.prediction", event)

    def send(self) -> None:
        assert self._exporter.export(self._ended.get_finished_spans()) is SpanExportResult.SUCCESS
        self._ended.clear()

    def close(self) -> None:
        self._exporter.shutdown()


@contextmanager
def program(target: str) -> Iterator[Program]:
    made = Program(target)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("form", ["flat", "json"])
def test_the_moved_feature_is_detected(tmp_path: Path, form: str) -> None:
    with sidecar_process(environ(tmp_path)) as sidecar, program(sidecar.grpc_target) as model:

        def detected() -> dict[str, float]:
            values = figures(sidecar.serve_url)
            return {
                name: total(values, "data_drift_detected", f'feature="{name}"', 'model="churn"', 'version="7"')
                for name in ("age", "income")
                if any("data_drift_samples" in series and f'feature="{name}"' in series for series in values)
            }

        def after_a_check(shift: float) -> dict[str, float]:
            for _ in range(2):
                for age, income in zip(ages(300, shift), incomes(300), strict=True):
                    row = {"age": age, "income": income}
                    model.score(
                        {"features": json.dumps(row)}
                        if form == "json"
                        else {f"ml.features.{name}": value for name, value in row.items()}
                    )
                model.send()
                time.sleep(1.1)
            return detected()

        wait_for(lambda: len(after_a_check(0)) == 2, 60, "a check")
        assert detected() == {"age": 0, "income": 0}
        wait_for(lambda: after_a_check(8) == {"age": 1, "income": 0}, 60, "the moved feature to be detected")


@pytest.mark.parametrize("keep", [False, True], ids=["features stay", "features leave"])
def test_through_every_sink(tmp_path: Path, keep: bool) -> None:
    options = {**environ(tmp_path), "SIDECAR_DELIVER__EXPORT_FEATURES": "true" if keep else "false"}
    secret = {"ml.features.plan": TEXT, "features": json.dumps({"income": INCOME, "name": TEXT})}
    with every_sink(tmp_path, options) as (sidecar, delivered), program(sidecar.grpc_target) as model:
        model.score({"ml.features.age": WRONG, **secret})
        model.score({"ml.features.age": 40.0}, event={**secret, "features.age": WRONG, "prediction": "stays"})
        model.score({"features": [WRONG, INCOME]})
        model.send()
        found = delivered()
    needles = {"age": forms_of_number(WRONG), "income": forms_of_number(INCOME), "text": forms_of(TEXT)}
    everywhere = {sink for sink in found.bytes if sink != "log"}
    assert {sink for sink, _ in leaks(found.bytes, needles)} == (everywhere if keep else set())
    for sink in everywhere:
        # What the model answered leaves, and so does the mark of the outlier, with its name.
        assert b"ml.prediction.class" in found.bytes[sink], sink
        assert b"ml.outlier_features" in found.bytes[sink], sink
    metrics = found.served["/metrics"]
    assert b'model_outliers_total{model="churn",version="7"} 1\n' in metrics
    assert b'rule="unexpected"} ' in metrics
    assert found.ledger["problems"] == []


def test_nothing_is_read_of_spans_unless_asked_for(tmp_path: Path) -> None:
    with sidecar_process(environ(tmp_path, attributes="false")) as sidecar, program(sidecar.grpc_target) as model:
        model.score({"ml.features.age": WRONG})
        model.send()
        values = figures(sidecar.serve_url)
    assert not [series for series in values if series.startswith(("model_feature_", "data_drift_", "model_outliers"))]
