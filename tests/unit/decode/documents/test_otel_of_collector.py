"""Our documents are those of the Collector's Elasticsearch exporter, field by field, but for the differences that the
decision record lists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.json import TRANSCODERS
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

ROOT = Path(__file__).parents[4]
CORPUS = json.loads((ROOT / "tests" / "golden" / "documents_of_collector.json").read_text("utf-8"))["cases"]
RECORD = ROOT / "docs" / "decisions" / "007-documents.md"
TIMES = ("@timestamp", "observed_timestamp")


def ours(theirs: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Their document with the differences that hold everywhere (padded times, nothing that is empty), and those of the
    case."""
    document = {name: value for name, value in theirs.items() if (name, value) not in ALWAYS_WRITTEN_BY_THEM}
    for name in TIMES:
        if name in document:
            milliseconds, _, below = document[name].partition(".")
            document[name] = f"{milliseconds}.{below.ljust(6, '0') if below == '0' else below}"
    return document | overrides


ALWAYS_WRITTEN_BY_THEM = [("observed_timestamp", "0.0"), ("links", [])]


def rendered(decoder: Decoder, request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    signal = "spans" if "resourceSpans" in request else "logs"
    transcoded = TRANSCODERS[signal](json.dumps(request).encode())  # type: ignore[index]
    assert transcoded.check.rejected == 0, transcoded.check.errors
    payload = [transcoded.payload]
    lines = decoder.span_lines(payload) if signal == "spans" else decoder.log_lines(payload, ["j-1"])
    rows = [json.loads(row) for row in lines.body.split(b"\n")[:-1]]
    return [(action["create"]["_index"], document) for action, document in zip(rows[::2], rows[1::2], strict=True)]


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


@pytest.mark.parametrize("case", CORPUS, ids=[case["case"] for case in CORPUS])
def test_documents_are_the_collectors(case: dict[str, Any], decoder: Decoder) -> None:
    found = rendered(decoder, case["request"])
    first, *others = case["documents"]
    expected = [(case.get("ours_index", first["index"]), ours(first["document"], case.get("ours", {})))]
    expected += [(other["index"], ours(other["document"], {})) for other in others]
    assert found == expected
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)  # 1 is not 1.0, nor true.


def test_every_difference_is_in_the_record_and_the_other_way_round() -> None:
    listed = set(re.findall(r"^\| ([a-z ]+) \|", RECORD.read_text("utf-8"), re.MULTILINE)) - {"difference"}
    assert listed == {case["differs"] for case in CORPUS if "differs" in case} | {"empty fields"}
    assert all(("ours" in case or "ours_index" in case) == ("differs" in case) for case in CORPUS)
