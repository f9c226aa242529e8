import gzip
import os
import zlib
from collections.abc import Callable

import pytest
import zstandard

from sidecar.errors import DecodeError, TooLarge
from sidecar.receive.compression import inflate, sniff


def _raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


SQUEEZE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
DATA = [b"x", b"hello " * 4000, os.urandom(200_000), bytes(300_000)]


@pytest.mark.parametrize("coding", list(SQUEEZE))
@pytest.mark.parametrize("data", DATA, ids=len)
def test_round_trip_up_to_the_limit_and_not_over(coding: str, data: bytes) -> None:
    body = SQUEEZE[coding](data)
    assert inflate(body, coding, len(data)) == data
    with pytest.raises(TooLarge, match=f"{len(data) - 1} bytes"):
        inflate(body, coding, len(data) - 1)


@pytest.mark.parametrize("coding", list(SQUEEZE))
@pytest.mark.parametrize("data", DATA[1:], ids=len)
def test_a_body_that_ends_early_is_reported_at_every_length(coding: str, data: bytes) -> None:
    body = SQUEEZE[coding](data)
    for end in range(1, len(body), max(1, len(body) // 200)):
        with pytest.raises(DecodeError):
            inflate(body[:end], coding, 1 << 20)


@pytest.mark.parametrize("coding", list(SQUEEZE))
@pytest.mark.parametrize("body", [b"junk", b"\x00" * 20, b"\x78\x9c", b"\xff" * 100])
def test_what_is_not_of_the_coding(coding: str, body: bytes) -> None:
    with pytest.raises(DecodeError):
        inflate(body, coding, 1 << 20)


@pytest.mark.parametrize("coding", list(SQUEEZE))
def test_junk_behind_the_body(coding: str) -> None:
    with pytest.raises(DecodeError):
        inflate(SQUEEZE[coding](b"hello" * 100) + b"junk behind", coding, 1 << 20)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body(coding: str) -> None:
    body = SQUEEZE[coding](b"one") + SQUEEZE[coding](b"two")
    assert inflate(body, coding, 100) == b"onetwo"
    with pytest.raises(TooLarge):
        inflate(body, coding, 5)


@pytest.mark.parametrize("coding", list(SQUEEZE))
def test_empty_in_empty_out(coding: str) -> None:
    assert inflate(b"", coding, 10) == b""
    assert inflate(SQUEEZE[coding](b""), coding, 10) == b""


def test_deflate_without_the_zlib_header() -> None:
    assert inflate(_raw_deflate(b"hello" * 100), "deflate", 1000) == b"hello" * 100


@pytest.mark.parametrize("window_log", [20, 23, 24, 27])
def test_zstd_window_is_bounded(window_log: int) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log, write_content_size=False)
    squeeze = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = squeeze.compress(b"x" * 100) + squeeze.flush()
    if window_log <= 23:
        assert inflate(body, "zstd", 100) == b"x" * 100
    else:
        with pytest.raises(DecodeError):
            inflate(body, "zstd", 100)


def test_sniff() -> None:
    assert sniff(gzip.compress(b"x")) == "gzip"
    for level in range(10):
        assert sniff(zlib.compress(b"x", level)) == "deflate"
    assert sniff(b"\x0a\x10resource_spans..") is None
    assert sniff(b"") is None
    assert sniff(b"\x78") is None
