from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.logs.line_splitter import CUT_BYTES, LineSplitter
from sidecar.decode.otlp.limits import MAX_LINE_BYTES


@given(st.lists(st.binary(max_size=20)))
def test_any_cut_gives_the_same_lines(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    got = b"".join(splitter.feed(part) for part in parts) + splitter.finish()
    whole = b"".join(parts)
    assert got == (whole if not whole or whole.endswith(b"\n") else whole + b"\n")


def test_a_long_line_is_cut_once_and_the_rest_left_out() -> None:
    splitter = LineSplitter()
    got = b"".join(splitter.feed(b"x" * 100_000) for _ in range(30))
    assert MAX_LINE_BYTES < len(got.rstrip(b"\n")) == CUT_BYTES
    assert got.count(b"\n") == 1
    assert splitter.feed(b"yy\nnext\n") == b"next\n"
