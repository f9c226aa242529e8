"""The native core counts feature columns as numpy does: windows, counters and failures are the same, whatever came."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, events_request, reference
from support.odd_requests import mutated
from support.payloads import resource, resource_spans, span, trace_payload

from sidecar.decode.api import Decoder, FeatureColumns, FeatureKind
from sidecar.decode.predictions.feature_counter import CategoryCells, NumberCells
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.span_deriver import SpanDeriver
from sidecar.derive.series import Budget
from sidecar.errors import DecodeError

NATIVE = native_decoder()
REFERENCE = ReferenceDecoder()

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

NUMBERS = (0, -0.0, 1, 3.5, -7, 1e300, -1e300, 5e-324, 2**60, 0.1, float(np.float32(0.1)), math.nan, math.inf)
ODD = (*NUMBERS, -math.inf, None, "text", "", True, False, [1.0], {"a": 1}, b"bytes", "x" * 70, "3", "true")


def trained(rng: random.Random) -> dict[str, Any]:
    """Columns of a reference: numbers of several shapes, and categories, of which some look like numbers."""
    seeded = np.random.default_rng(rng.randrange(2**32))
    rows = rng.choice([1, 2, 40, 3000])
    texts = ["3", "true", "0.1", "basic", "pro", "x" * 64, "1e+300", "inf", "nan", "-0"]
    columns: dict[str, Any] = {
        "normal": seeded.normal(10, 3, rows),
        "skewed": seeded.exponential(50, rows),
        "constant": np.full(rows, 0.1),
        "ties": seeded.integers(0, 4, rows).astype(float),
        "tiny": seeded.normal(0, 1, rows) * 1e-310,
        "huge": seeded.normal(0, 1, rows) * 1e140,
        "category": [str(one) for one in seeded.choice(texts[: rng.randrange(1, len(texts) + 1)], rows)],
        "many": [f"c{n}" for n in seeded.integers(0, 90, rows)],
    }
    return {name: columns[name] for name in rng.sample(sorted(columns), rng.randrange(1, len(columns) + 1))}


def value(rng: random.Random, columns: dict[str, Any], name: str) -> Any:
    if name in columns and rng.random() < 0.7:
        found = rng.choice(list(columns[name]))
        return found if isinstance(found, str) else float(found) * rng.choice([1, 1, 1, 0.5, 2, -1])
    return rng.choice(ODD)


def events(rng: random.Random, columns: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    names = [*columns, "unexpected", "other"]
    made = []
    for _ in range(rng.randrange(1, 6)):
        rows = rng.choice([0, 1, 1, 1, 3, 40])
        own = names if rng.random() < 0.7 else rng.sample(names, rng.randrange(len(names) + 1))
        body: dict[str, Any] = rng.choice([{}, {}, {"counted": False}, {"features_left_out": 2}, {"value": [1.0, 2.0]}])
        made.append(({name: [value(rng, columns, name) for _ in range(rows)] for name in own}, body))
    return made


class Side:
    """A deriver with one decoder."""

    def __init__(self, decoder: Decoder, file: Path) -> None:
        self.decoder = decoder
        options = DriftOptions(reference=file, warm_up=0, max_features=200)
        self.deriver = DriftDeriver(options, Budget())

    def feed(self, payloads: list[bytes], *times: int) -> None:
        self.deriver.apply(self.deriver.decode(self.decoder, payloads), at(*times))

    def state(self) -> tuple[dict[bytes, bytes | None], dict[str, Any]]:
        self.deriver.mark_exported()
        return dict(self.deriver.checkpoint()), dict(lines(list(self.deriver.collect())))


@fuzzed
@given(st.integers(0, 2**48).map(random.Random))
def test_of_any_values(tmp_path_factory: pytest.TempPathFactory, rng: random.Random) -> None:
    assert NATIVE is not None
    columns = trained(rng)
    file = tmp_path_factory.mktemp("reference") / "reference.json"
    file.write_text(reference(columns).dump())
    sides = [Side(NATIVE, file), Side(REFERENCE, file)]
    for hour in range(rng.randrange(1, 4)):
        payloads = [
            events_request(events(rng, columns), rng.choice(["churn", "churn", "price"]), rng.choice(["7", "7", "8"]))
            for _ in range(rng.randrange(1, 4))
        ]
        times = [START + hour * HOUR + n * rng.choice([1, HOUR // 2]) for n in range(len(payloads))]
        for side in sides:
            side.feed(payloads, *sorted(times))
        assert sides[0].state() == sides[1].state()
    for state in sides[0].deriver.models.values():
        assert all(reference.counter(NATIVE) is not None for reference in [state.reference])


@fuzzed
@given(st.integers(0, 2**48).map(random.Random))
def test_values_beyond_limits(rng: random.Random) -> None:
    assert NATIVE is not None
    columns = trained(rng)
    payloads = [events_request(events(rng, columns)) for _ in range(3)]
    found = [decoder.predictions(payloads, True).features for decoder in (NATIVE, REFERENCE)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].names == found[1].names
    size = len(found[1].left_out)
    group = np.array([rng.randrange(3) for _ in range(size)], np.uint32)
    ends = [-math.inf, math.inf, *(one for one in NUMBERS if math.isfinite(one))]
    least, greatest = (np.array([[rng.choice(ends) for _ in found[1].names] for _ in range(3)]) for _ in range(2))
    first = rng.randrange(size + 1)
    last = rng.randrange(first, size + 1)
    for a, b in ((0, size), (first, last)):
        sides = [one.between(a, b).beyond(group[a:b], least, greatest, 1e150) for one in found]
        for column in ("event", "name", "row"):
            np.testing.assert_array_equal(getattr(sides[0], column), getattr(sides[1], column))


def alike(rng: random.Random) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Events of which most have the same columns, each of one kind, as one model's do."""
    kinds = {f"f{n}" + "y" * rng.choice([0, 2, 30, 120]): rng.choice("nnnnntbi") for n in range(rng.randrange(1, 12))}
    made = []
    for _ in range(rng.randrange(2, 60)):
        rows = rng.choice([1, 1, 1, 1, 3])
        of = {"n": lambda: rng.choice([rng.gauss(10, 3), rng.gauss(10, 3), math.nan]), "i": lambda: rng.randrange(400)}
        of |= {
            "t": lambda: rng.choice(["pro", "free", "basic", "x" * rng.randrange(70)]),
            "b": lambda: rng.random() < 0.5,
        }
        event = {name: [of[kind]() for _ in range(rows)] for name, kind in kinds.items()}
        for name in rng.sample(sorted(event), rng.choice([0, 0, 0, 0, 1])):
            event[name] = rng.choice([[], [None], ["text"], [1.5, 2.5], [rng.choice(ODD)]])
        if rng.random() < 0.05:
            event.pop(rng.choice(sorted(event)))
        made.append((event, rng.choice([{}, {}, {}, {}, {"counted": False}])))
    return made


@fuzzed
@given(st.integers(0, 2**48).map(random.Random))
def test_of_events_that_are_alike(rng: random.Random) -> None:
    assert NATIVE is not None
    payloads = [events_request(alike(rng)) for _ in range(rng.randrange(1, 3))]
    found = [decoder.predictions(payloads, True).features for decoder in (NATIVE, REFERENCE)]
    assert found[0] is not None
    assert found[1] is not None
    size = len(found[1].left_out)
    first = rng.randrange(size)
    last = rng.randrange(first, size + 1)
    names = found[1].names
    numbers = [NumberCells(name, [8.0, 9.5, 12.0], [0, 0, 1, 1], 10.0, 0.5, 2.0, 15.0, True) for name in names[::2]]
    texts = [CategoryCells(name, ["pro", "free", "7"], [(7.0, 2)], 2, True) for name in names[1::2]]
    counter = NATIVE.feature_counter([*numbers, *texts])
    assert counter is not None
    wanted = np.array([rng.random() < 0.9 for _ in range(last - first)], np.uint8)
    sides = [one.between(first, last) for one in found]
    for side in (found, sides):
        for column in ("event", "name", "ends", "kind", "number", "left_out"):
            np.testing.assert_array_equal(getattr(side[0], column), getattr(side[1], column), column)
        assert (side[0].names, side[0].texts) == (side[1].names, side[1].texts)
    counts = [counter.count(side, wanted) for side in sides]
    for column in ("counts", "values", "last", "others"):
        np.testing.assert_array_equal(getattr(counts[0], column), getattr(counts[1], column), column)


@pytest.mark.parametrize("decoder", [NATIVE, REFERENCE], ids=["native", "reference"])
def test_limits_that_are_absent_are_refused(decoder: Decoder) -> None:
    found = decoder.predictions([events_request([({"a": [1.0], "b": [2.0, 5.0]}, {})])], True).features
    assert found is not None
    far = found.beyond(np.zeros(1, np.uint32), np.array([[0.0, 2.5]]), np.array([[9.0, 4.0]]), 1e150)
    assert (far.event.tolist(), far.name.tolist(), far.row.tolist()) == ([0, 0], [1, 1], [0, 1])
    for group, names in ((0, 1), (1, 2)):
        with pytest.raises(ValueError, match="no limits"):
            found.beyond(np.full(1, group, np.uint32), np.zeros((1, names)), np.zeros((1, names)), 1e150)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 20, 63, 64, 127, 128, 150, 254, 255, 300])
def test_cells_of_as_many_edges(length: int) -> None:
    assert NATIVE is not None
    edges = np.sort(np.random.default_rng(length).normal(0, 1, length))
    edges[: length // 2] -= np.finfo(np.float64).max / 4
    edges[length // 2 : length // 2 + 1] = -0.0
    edges.sort()
    values = np.concatenate(
        [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), [0.0, -0.0, 5e-324, -1e308]]
    )
    counter = NATIVE.feature_counter([NumberCells("x", edges.tolist(), [0] * (length + 1), 0.0, 1.0, 0.0, 1.0, False)])
    assert counter is not None
    assert counter.edges(0).tolist() == edges.tolist()
    assert not np.signbit(counter.edges(0)[counter.edges(0) == 0]).any()
    columns = FeatureColumns(
        event=np.zeros(1, np.uint32),
        name=np.zeros(1, np.uint32),
        names=["x"],
        ends=np.array([len(values)], np.uint32),
        kind=np.full(len(values), FeatureKind.NUMBER, np.uint8),
        number=values,
        texts=[],
        left_out=np.zeros(1, np.uint32),
        left_out_names=[],
    )
    counted = counter.count(columns, np.ones(1, np.uint8)).counts[: length + 1]
    np.testing.assert_array_equal(counted, np.bincount(np.searchsorted(edges, values), minlength=length + 1))


def test_parts_that_contradict_each_other_are_refused() -> None:
    assert NATIVE is not None
    numbers = NumberCells("x", [1.0, 2.0], [0, 0], 0.0, 1.0, 0.0, 1.0, False)
    with pytest.raises(ValueError, match="contradict"):
        NATIVE.feature_counter([numbers])
    with pytest.raises(ValueError, match="contradict"):
        NATIVE.feature_counter([CategoryCells("c", ["a"], [(1.0, 1)], 2, True)])
    counter = NATIVE.feature_counter([NumberCells("x", [1.0, 2.0], [0, 0, 0], 0.0, 1.0, 0.0, 1.0, False)])
    for ends, wanted in (([3], [1]), ([2], []), ([2], [0])):
        columns = FeatureColumns(
            event=np.array([0], np.uint32),
            name=np.array([0], np.uint32),
            names=["x"],
            ends=np.array(ends, np.uint32),
            kind=np.array([1, 1], np.uint8),
            number=np.array([0.5, 9.0]),
            texts=[],
            left_out=np.zeros(1, np.uint32),
            left_out_names=[],
        )
        if wanted == [0]:
            assert not counter.count(columns, np.array(wanted, np.uint8)).values.any()
            continue
        with pytest.raises(ValueError, match="contradict"):
            counter.count(columns, np.array(wanted, np.uint8))


@fuzzed
@given(st.integers(0, 2**48).map(random.Random))
def test_of_spans(tmp_path_factory: pytest.TempPathFactory, rng: random.Random) -> None:
    """Attributes of spans among others, refused ones too, in requests that are perhaps damaged."""
    assert NATIVE is not None
    columns = trained(rng)
    file = tmp_path_factory.mktemp("reference") / "reference.json"
    file.write_text(reference(columns).dump())
    sides = [SpanSide(NATIVE, file), SpanSide(REFERENCE, file)]
    for hour in range(rng.randrange(1, 4)):
        payloads = [spans(rng, columns) for _ in range(rng.randrange(1, 4))]
        if rng.random() < 0.3:
            payloads[0] = mutated(rng, payloads[0])
        fed = [side.feed(payloads, *[START + hour * HOUR] * len(payloads)) for side in sides]
        assert fed[0] == fed[1]
        assert sides[0].state() == sides[1].state()


class SpanSide(Side):
    """The same of spans."""

    def feed(self, payloads: list[bytes], *times: int) -> str:  # type: ignore[override]
        """What is wrong with the payloads."""
        try:
            found = SpanDeriver(self.deriver).decode(self.decoder, payloads)
        except DecodeError as error:
            return str(error)
        SpanDeriver(self.deriver).apply(found, at(*times))
        return ""


def spans(rng: random.Random, columns: dict[str, Any]) -> bytes:
    return trace_payload(*(resource_spans(*some_spans(rng, columns), of=a_resource(rng)) for _ in range(2)))


def a_resource(rng: random.Random) -> Any:
    return resource("svc", rng.choice([{}, {"model": "churn"}, {"ml.framework": "sklearn"}, {"ml.features.x": 1}]))


def some_spans(rng: random.Random, columns: dict[str, Any]) -> Iterator[Any]:
    for _ in range(rng.randrange(5)):
        names = rng.sample([*columns, "unexpected"], rng.randrange(len(columns) + 2))
        row = {name: value(rng, columns, name) for name in names}
        own = rng.choice([{f"ml.features.{name}": one for name, one in row.items()}, {"features": row}, as_json(row)])
        said = rng.choice([{"model": "churn", "prediction": "a"}, {"prediction": 0.5}, {"model": "churn"}])
        odd = rng.choice([{}, {}, {}, {"error.type": "E"}, {"gen_ai.system": "x"}, {"ml.framework": "sklearn"}])
        trace = rng.choice([bytes(range(16))] * 5 + [b"short"])
        yield span(attributes={**own, **said, **odd}, status=rng.choice([0, 0, 1, 2]), trace_id=trace)


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    plain = {name: one.decode() if isinstance(one, bytes) else one for name, one in row.items()}
    return {"features": json.dumps(plain)}
