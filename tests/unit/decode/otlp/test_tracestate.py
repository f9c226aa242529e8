"""Sampling adjusted_count from tracestate."""

from __future__ import annotations

import pytest

from sidecar.decode.otlp.tracestate import adjusted_count


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("", 1),
        ("ot=th:0", 1),
        ("ot=th:8", 2),
        ("ot=th:c", 4),
        ("ot=th:e", 8),
        ("ot=th:80000000000000", 2),
        ("ot=th:ffffffffffffff", 2**56),
        ("ot=rv:12345678901234;th:8", 2),
        ("vendor=th:e, ot=th:8 ,x=y", 2),
        ("ot=th:8,ot=th:e", 2),
        ("ot=th:8;th:e", 2),
        ("ot=th:", 1),
        ("ot=th:8f8f8f8f8f8f8f8", 1),
        ("ot=th:E", 1),
        ("ot=th:g", 1),
        ("ot=th:-8", 1),
        ("ot=TH:8", 1),
        ("xot=th:8", 1),
        ("ot", 1),
        ("th:8", 1),
    ],
)
def test_weight(state: str, expected: float) -> None:
    assert adjusted_count(state) == expected
