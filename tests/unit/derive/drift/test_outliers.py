"""Rows far outside of the reference: how often rows like it are, and that wrong ones are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from support.derive_fakes import lines
from support.drift_data import START, at, event_request, events_request, reference
from support.payloads import span, trace_payload

from sidecar.decode.api import FeatureColumns, FeatureKind
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Rules
from sidecar.decode.select import native_decoder
from sidecar.deliver.redaction.annotating_redactor import AnnotatingRedactor
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.library import CompiledReference
from sidecar.derive.drift.observations import Observations, of_events
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.outlier_marks import OutlierMarker
from sidecar.derive.drift.outliers import LEAST_DISTANCE, RATE, RowLimits, outliers, records_of_rows
from sidecar.derive.series import Budget

DECODER = ReferenceDecoder()
DECODERS = [one for one in (DECODER, native_decoder()) if one is not None]
Table = Any


def frame(table: Table) -> dict[str, Any]:
    return {f"f{column}": table[:, column].tolist() for column in range(table.shape[1])}


def found_in(limits: RowLimits, table: Table) -> set[int]:
    """Rows that are outliers."""
    rows, size = table.shape
    names = [f"f{column}" for column in range(size)]
    kind = np.full(rows * size, FeatureKind.NUMBER, np.uint8)
    ends = np.arange(1, size + 1, dtype=np.uint32) * np.uint32(rows)
    none, one = np.zeros(0, np.uint32), np.zeros(1, np.uint32)
    features = FeatureColumns(
        one.repeat(size), np.arange(size, dtype=np.uint32), names, ends, kind, table.T.reshape(-1), [], one, []
    )
    empty = (none, none, [], np.zeros(0, np.uint64), none, np.zeros(0), none, np.zeros(0))
    found = outliers(Observations(one, one, one, [("m", "")], features, none, *empty), {0: limits})
    assert len(records_of_rows(found)) == len(set(found.row.tolist()))
    return set(found.row.tolist())


def limits_of(table: Table) -> RowLimits:
    return CompiledReference(reference({name: np.array(column) for name, column in frame(table).items()})).limits


def correlated(rng: np.random.Generator, rows: int) -> Table:
    common = rng.normal(0, 1, (rows, 1))
    return 5 + 3 * common + 0.1 * rng.normal(0, 1, (rows, 8))


SOURCES: dict[str, Callable[[np.random.Generator, int], Table]] = {
    "normal": lambda rng, rows: rng.normal(100, 15, (rows, 8)),
    "the same again in every column": lambda rng, rows: np.repeat(rng.normal(0, 1, (rows, 1)), 8, axis=1),
    "correlated": correlated,
    "lognormal": lambda rng, rows: rng.lognormal(0, 2, (rows, 8)),
    "amounts (Pareto 1.2)": lambda rng, rows: rng.pareto(1.2, (rows, 8)),
    "Cauchy": lambda rng, rows: rng.standard_cauchy((rows, 8)),
    "counts": lambda rng, rows: rng.poisson(0.05, (rows, 8)).astype(float),
    "heavy rows": lambda rng, rows: rng.normal(0, 1, (rows, 8)) * rng.pareto(1, (rows, 1)),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("rows", [100, 3000])
def test_rows_like_the_reference_are_outliers_no_more_often_than_stated(name: str, rows: int) -> None:
    """As often as the rank says: k of n + 1. Beyond that only what chance allows (five standard deviations, of pairs
    of a reference and its rows, since rows share their reference)."""
    rng = np.random.default_rng(7)
    stated = max(1, int(RATE * (rows + 1))) / (rows + 1)
    shares = []
    for _ in range(25):
        limits = limits_of(SOURCES[name](rng, rows))
        shares.append(len(found_in(limits, SOURCES[name](rng, 500))) / 500)
    assert np.mean(shares) <= stated + 5 * np.std(shares) / np.sqrt(len(shares)), (np.mean(shares), stated)
    assert stated <= max(RATE, 1 / (rows + 1))


DATA = {"breast cancer": load_breast_cancer, "wine": load_wine, "diabetes": lambda: load_diabetes(scaled=False)}


@pytest.mark.parametrize("name", DATA)
def test_of_its_own_rows_none_is_an_outlier(name: str) -> None:
    table = DATA[name]().data
    assert found_in(limits_of(table), table) == set()


@pytest.mark.parametrize("name", DATA)
def test_of_held_out_rows_few_are(name: str) -> None:
    rng = np.random.default_rng(1)
    table = DATA[name]().data
    shares = []
    for _ in range(25):
        mixed = rng.permutation(table)
        half = len(mixed) // 2
        shares.append(len(found_in(limits_of(mixed[:half]), mixed[half:])) / (len(mixed) - half))
    assert np.mean(shares) <= 1 / (half + 1) + 5 * np.std(shares) / np.sqrt(len(shares))


@pytest.mark.parametrize("name", DATA)
def test_a_unit_error_in_any_feature_is_found(name: str) -> None:
    """×1000 in one feature: in every feature but those around 0 in most rows."""
    table = DATA[name]().data
    limits = limits_of(table)
    rows = np.arange(0, len(table), 7)
    for column in range(table.shape[1]):
        wrong = table[rows].copy()
        wrong[:, column] *= 1000
        changed = {n for n in range(len(rows)) if wrong[n, column]}
        assert len(found_in(limits, wrong) & changed) >= 0.97 * len(changed), column


def test_swapped_columns_are_found() -> None:
    """Where the two are of other sizes; columns of one size can be swapped unseen, as the page says."""
    table = load_wine().data
    limits = limits_of(table)
    proline, magnesium, alcohol, ash = 12, 4, 0, 2
    for a, b in ((proline, alcohol), (magnesium, ash), (alcohol, ash)):
        swapped = table.copy()
        swapped[:, [a, b]] = swapped[:, [b, a]]
        assert len(found_in(limits, swapped)) == len(table), (a, b)


def test_what_only_the_combination_makes_strange_is_not_found() -> None:
    """The limits are those of single features: the page says so."""
    rng = np.random.default_rng(3)
    table = correlated(rng, 2000)
    against = table[:50].copy()
    against[:, ::2] = 10 - against[:, ::2]
    assert len(found_in(limits_of(table), against)) <= 1


def test_nearer_than_a_tenth_of_the_range_is_no_outlier() -> None:
    rng = np.random.default_rng(4)
    table = rng.uniform(0, 1, (100_000, 2))
    limits = limits_of(table)
    assert limits.bounds["f0"] == pytest.approx((-LEAST_DISTANCE, 1 + LEAST_DISTANCE), abs=1e-3)
    assert found_in(limits, np.array([[1.09, 0.5], [1.11, 0.5], [0.5, -0.11]])) == {1, 2}


@pytest.mark.parametrize("column", [[3.0] * 50, [0.0] * 49 + [1.0], [1.0], [float("nan")] * 4, ["a"] * 50], ids=str)
def test_columns_that_say_nothing_of_distances_are_not_looked_at(column: list[Any]) -> None:
    given = {"x": column if isinstance(column[0], str) else np.array(column)}
    assert "x" not in CompiledReference(reference({**given, "y": np.arange(50.0)})).limits.bounds


def test_a_reference_of_a_former_version_has_no_limits() -> None:
    made = reference({"y": np.arange(50.0)})
    old = made.model_copy(update={"columns": (made.columns[0].model_copy(update={"second": None}),)})
    assert CompiledReference(old).limits.bounds == {}


def test_what_is_no_number_is_no_outlier() -> None:
    limits = limits_of(np.random.default_rng(1).normal(0, 1, (500, 1)))
    for value in (float("inf"), -float("inf"), None, "far", "x" * 70, [1.0], 1e200):
        batch = DECODER.predictions([event_request({"f0": ["a", "b", value]})], True)
        assert not len(records_of_rows(outliers(of_events(batch), {0: limits}))), value
    batch = DECODER.predictions([event_request({"f0": [True, 1e100, -50]})], True)
    assert outliers(of_events(batch), {0: limits}).row.tolist() == [1, 2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    columns = {"age": rng.normal(40, 10, 5000), "income": rng.lognormal(10, 1, 5000)}
    (tmp_path / "r.json").write_text(reference(columns, "churn").dump())
    return tmp_path / "r.json"


def test_rows_are_counted_once_by_model_and_version(path: Path) -> None:
    deriver = DriftDeriver(DriftOptions(reference=path), Budget())
    normal = {"age": [40.0, 41.0, 42.0], "income": [20_000.0, 5000.0, 9000.0]}
    wrong = {"age": [4000.0, 41.0, 42_000.0], "income": [20_000.0, 5000.0, 9e9]}
    payloads = [
        events_request([(normal, {}), (wrong, {}), (wrong, {"counted": False})], version="7"),
        events_request([(normal, {})], version="8"),
        events_request([(wrong, {})], model="other"),
    ]
    for n, payload in enumerate(payloads):
        deriver.apply(deriver.decode(DECODER, [payload]), at(START + n))
    deriver.outliers.mark_exported()
    shown = {key: value for key, value in lines(list(deriver.collect())).items() if "model_outliers_total{" in key}
    assert shown == {
        'model_outliers_total{model="churn",version="7"}': "2",
        'model_outliers_total{model="churn",version="8"}': "0",
    }


def attributes(payload: bytes) -> list[dict[str, Any]]:
    return [dict(placed.record.attributes.values) for placed in records.log_records(payload)]  # type: ignore[union-attr]


def marker(path: Path) -> OutlierMarker:
    made = DriftDeriver(DriftOptions(reference=path), Budget()).annotator()
    assert isinstance(made, OutlierMarker)
    return made


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_the_mark_is_on_the_records_that_have_outliers(path: Path, decoder: Any) -> None:
    normal = {"age": [40.0, 41.0], "income": [20_000.0, 5000.0]}
    wrong = {"age": [4000.0, 41.0], "income": [20_000.0, 9e9]}
    payload = events_request([(normal, {}), (wrong, {}), (normal, {}), (wrong, {"counted": False})])
    marked = marker(path).annotate(decoder, payload, "logs")
    own = {"ml.outlier": True, "ml.outlier_rows": 2, "ml.outlier_features": ["age", "income"]}
    before = attributes(payload)
    assert attributes(marked) == [before[0], {**before[1], **own}, before[2], {**before[3], **own}]
    assert decoder.check_logs(marked).items == 4
    untouched = events_request([(normal, {})])
    assert marker(path).annotate(decoder, untouched, "logs") is untouched
    assert marker(path).annotate(decoder, events_request([(wrong, {})], model="other"), "logs").find(b"ml.outlier") < 0


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_records_that_were_refused_are_stepped_over(path: Path, decoder: Any) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    wrong = events_request([({"age": [4000.0]}, {})])
    request = ExportLogsServiceRequest.FromString(wrong)
    scope = request.resource_logs[0].scope_logs[0]
    good = scope.log_records[0]
    del scope.log_records[:]
    scope.log_records.add(trace_id=b"short", event_name="ml.prediction")
    scope.log_records.add().CopyFrom(good)
    scope.log_records.add(event_name="other")
    marked = ExportLogsServiceRequest.FromString(marker(path).annotate(decoder, request.SerializeToString(), "logs"))
    keys = [[one.key for one in record.attributes] for record in marked.resource_logs[0].scope_logs[0].log_records]
    assert [("ml.outlier" in one) for one in keys] == [False, True, False]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_payloads_of_serving_protocols_are_marked_too(path: Path, decoder: Any) -> None:
    body = b"\n".join(
        b'{"model_name":"churn","request":{"instances":[{"age":%d,"income":9000}]},"predictions":[1]}' % age
        for age in (40, 40_000)
    )
    payload = decoder.json_lines(b'{"message":"other"}\n' + body, 1).payload
    marked = attributes(marker(path).annotate(decoder, payload, "logs"))
    assert [one.get("ml.outlier") for one in marked] == [None, None, True]
    assert marked[2]["ml.outlier_features"] == ["age"]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_lines_with_features_are_marked_too(path: Path, decoder: Any) -> None:
    body = b"\n".join(
        b'{"model":"churn","prediction":"stays","features":{"age":%d,"income":9000}}' % age for age in (40, 40_000)
    )
    payload = decoder.json_lines(body, 1).payload
    assert marker(path).annotate(decoder, payload, "logs") is payload
    made = DriftDeriver(DriftOptions(reference=path, attributes=True), Budget()).annotator()
    assert isinstance(made, OutlierMarker)
    marked = attributes(made.annotate(decoder, payload, "logs"))
    assert [one.get("ml.outlier") for one in marked] == [None, True]
    assert marked[1]["ml.outlier_features"] == ["age"]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_spans_with_features_are_marked_too(path: Path, decoder: Any) -> None:
    said = {"model": "churn", "prediction": "stays", "features": '{"income": 9000}'}
    normal, wrong = ({**said, "ml.features.age": age} for age in (40, 40_000))
    full = {**wrong, **{f"k{n}": n for n in range(MAX_ATTRIBUTES - len(wrong) - 2)}}
    many = [normal, wrong, {**wrong, "ml.outlier": False}, full]
    payload = trace_payload(span(trace_id=b"short"), *(span(attributes=one) for one in many))
    assert marker(path).signals == {"logs"}
    made = DriftDeriver(DriftOptions(reference=path, attributes=True), Budget()).annotator()
    assert made is not None
    assert made.signals == {"logs", "spans"}
    assert made.may_annotate(decoder, payload)
    marked = made.annotate(decoder, payload, "spans")
    found = [one.record.attributes.values for one in records.spans(marked) if not one.rejection]
    own = {"ml.outlier": True, "ml.outlier_rows": 1, "ml.outlier_features": ["age"]}
    assert found == [normal, {**wrong, **own}, many[2], full]
    assert decoder.check_spans(marked).items == 4
    untouched = trace_payload(span(attributes=normal))
    assert made.annotate(decoder, untouched, "spans") is untouched
    inner = decoder.redactor(Rules())
    assert AnnotatingRedactor(inner, made, decoder).spans(payload).payload == inner.spans(marked).payload
    assert AnnotatingRedactor(inner, marker(path), decoder).spans(payload).payload == inner.spans(payload).payload


def test_what_an_app_marks_itself_stays(path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest.FromString(events_request([({"age": [4000.0]}, {})]))
    request.resource_logs[0].scope_logs[0].log_records[0].attributes.add(key="ml.outlier").value.bool_value = False
    payload = request.SerializeToString()
    assert attributes(marker(path).annotate(DECODER, payload, "logs")) == attributes(payload)


def test_a_learnt_reference_marks_from_when_it_is_there() -> None:
    deriver = DriftDeriver(DriftOptions(learn=500), Budget())
    made = deriver.annotator()
    assert made is not None
    wrong = event_request({"age": [4000.0]})
    assert made.annotate(DECODER, wrong, "logs") is wrong
    ages = np.random.default_rng(1).normal(40, 10, 500).tolist()
    deriver.apply(deriver.decode(DECODER, [event_request({"age": ages})]), at(START))
    assert attributes(made.annotate(DECODER, wrong, "logs"))[0]["ml.outlier"] is True


def test_without_a_reference_nothing_is_added(tmp_path: Path) -> None:
    assert DriftDeriver(DriftOptions(suites=tmp_path), Budget()).annotator() is None
