"""The comparison with the Collector where none can be built: on what it gave when the golden files were made."""

from __future__ import annotations

import pytest
from support.red_cases import CASES, ours
from support.red_golden import DIFFERENT, GOLDEN, assert_same, expected, load

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    return native_decoder() or pytest.skip("the native core is not installed")


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, decoder: Decoder) -> None:
    payload, theirs = load(case)
    mine = ours(decoder, [payload])
    assert_same(mine, expected(case, theirs))
    if case in DIFFERENT:
        with pytest.raises(AssertionError):
            assert_same(mine, theirs)


def test_each_golden_file_has_its_case_and_payload() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == set(CASES)
    for case, make in CASES.items():
        assert load(case)[0] == make()
