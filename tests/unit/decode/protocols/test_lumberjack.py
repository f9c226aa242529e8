from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import pytest

from sidecar.decode.protocols.lumberjack import (
    AckReader,
    Batch,
    BatchReader,
    Limits,
    Sending,
    ack_frame,
    compressed_frame,
    data_frame,
    window_frame,
)
from sidecar.errors import DecodeError, TooLarge


def frames(*documents: bytes) -> bytes:
    return b"".join(data_frame(n, d) for n, d in enumerate(documents, 1))


def windows(*counts: int) -> Iterator[tuple[int, bytes]]:
    for count in counts:
        yield count, frames(*[b"{}"] * count)


def drain(sending: Sending) -> bytes:
    out = b""
    while piece := bytes(sending.output()):
        sending.wrote(len(piece))
        out += piece
    return out


# -- frames


def test_frames_are_as_the_protocol_says() -> None:
    assert window_frame(258) == b"2W\x00\x00\x01\x02"
    assert data_frame(3, b'{"a":1}') == b"2J\x00\x00\x00\x03\x00\x00\x00\x07" + b'{"a":1}'
    assert ack_frame(7) == b"2A\x00\x00\x00\x07"
    packed = compressed_frame(b"abc")
    assert packed[:2] == b"2C"
    assert struct.unpack(">I", packed[2:6])[0] == len(packed) - 6
    assert zlib.decompress(packed[6:]) == b"abc"


# -- acknowledgements


@pytest.mark.parametrize("cut", range(1, 12))
def test_acknowledgements_may_be_cut_anywhere(cut: int) -> None:
    data = ack_frame(1) + ack_frame(70000)
    reader = AckReader()
    assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [1, 70000]


@pytest.mark.parametrize("garbage", [b"H", b"1A\0\0\0\1", b"2W\0\0\0\1", b"2", b"HTTP/1.1 400 Bad Request\r\n"])
def test_anything_but_an_acknowledgement_is_an_error(garbage: bytes) -> None:
    reader = AckReader()
    reader.feed(ack_frame(1))
    if garbage == b"2":
        assert reader.feed(garbage) == []
        garbage = b"B"
    with pytest.raises(DecodeError, match="not a lumberjack acknowledgement") as caught:
        reader.feed(garbage)
    assert caught.value.offset == 6


# -- sending


def test_no_more_windows_are_under_way_than_allowed() -> None:
    sending = Sending(windows(2, 3, 4), pipelining=2)
    assert drain(sending) == window_frame(2) + frames(b"{}", b"{}") + window_frame(3) + frames(*[b"{}"] * 3)
    assert not sending.done
    sending.received(ack_frame(2))
    assert sending.acknowledged == 2
    assert drain(sending).startswith(window_frame(4))
    sending.received(ack_frame(3) + ack_frame(4))
    assert sending.acknowledged == 9
    assert sending.done


def test_windows_are_made_only_when_there_is_room() -> None:
    made = []

    def making() -> Iterator[tuple[int, bytes]]:
        for number in range(5):
            made.append(number)
            yield 1, frames(b"{}")

    sending = Sending(making(), pipelining=2)
    drain(sending)
    assert made == [0, 1]


def test_partial_acknowledgements_count_and_are_cumulative() -> None:
    sending = Sending(windows(5, 5), pipelining=2)
    drain(sending)
    for said, acknowledged in ((0, 0), (2, 2), (4, 4), (3, 4), (0, 4), (5, 5), (1, 6), (5, 10)):
        sending.received(ack_frame(said))
        assert sending.acknowledged == acknowledged
    assert sending.done


def test_writing_may_stop_anywhere() -> None:
    sending = Sending(windows(3), pipelining=1)
    out = b""
    while not sending.done:
        piece = bytes(sending.output()[:7])
        sending.wrote(len(piece))
        out += piece
        if not piece:
            sending.received(ack_frame(3))
    assert out == window_frame(3) + frames(b"{}", b"{}", b"{}")


def test_nothing_to_send_is_done() -> None:
    assert Sending(iter(()), 2).done


@pytest.mark.parametrize("sequence", [4, 2**32 - 1])
def test_an_acknowledgement_of_more_than_was_sent_is_an_error(sequence: int) -> None:
    sending = Sending(windows(3), pipelining=1)
    drain(sending)
    with pytest.raises(DecodeError, match=f"acknowledgement of {sequence} in a window of 3"):
        sending.received(ack_frame(sequence))
    assert sending.acknowledged == 0


def test_an_acknowledgement_of_no_window_is_an_error() -> None:
    sending = Sending(windows(1), pipelining=1)
    with pytest.raises(DecodeError, match="in a window of 0"):
        sending.received(ack_frame(1))


# -- reading


def test_a_window_is_given_when_it_is_complete() -> None:
    reader = BatchReader()
    assert reader.feed(window_frame(2) + data_frame(1, b'{"a":1}')) == []
    assert reader.pending == 1
    assert reader.feed(data_frame(2, b"{}") + window_frame(1)) == [Batch([b'{"a":1}', b"{}"], 2)]
    assert reader.feed(data_frame(1, b"{}")) == [Batch([b"{}"], 1)]
    assert reader.pending == 0


def test_plain_and_compressed_frames_may_be_mixed_and_cut_anywhere() -> None:
    data = window_frame(4) + data_frame(1, b"1") + compressed_frame(data_frame(2, b"22") + data_frame(3, b"3" * 900))
    data += data_frame(4, b"4") + window_frame(0) + window_frame(1) + compressed_frame(data_frame(1, b"5"))
    expected = [Batch([b"1", b"22", b"3" * 900, b"4"], 4), Batch([b"5"], 1)]
    assert BatchReader().feed(data) == expected
    reader = BatchReader()
    assert [b for byte in data for b in reader.feed(bytes([byte]))] == expected


def test_a_new_window_before_the_last_was_full_gives_what_there_is() -> None:
    reader = BatchReader()
    assert reader.feed(window_frame(3) + data_frame(1, b"{}") + window_frame(1)) == [Batch([b"{}"], 1)]
    assert reader.feed(data_frame(1, b"[]")) == [Batch([b"[]"], 1)]


def deflated(data: bytes) -> bytes:
    body = zlib.compress(data)
    return b"2C" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1W\0\0\0\1", "not version 2"),
        (b"GET / HTTP/1.1\r\n", "not version 2"),
        (b"2X", "unknown frame type"),
        (b"2A\0\0\0\1", "unknown frame type"),
        (data_frame(1, b"{}"), "outside of a window"),
        (compressed_frame(frames(b"{}")), "outside of a window"),
        (window_frame(2) + b"2C\0\0\0\4abcd", "not valid zlib"),
        (window_frame(2) + b"2C\0\0\0\0", "not one whole zlib stream"),
        (window_frame(2) + deflated(window_frame(1)), "something else than whole data frames"),
        (window_frame(2) + deflated(deflated(frames(b"{}"))), "something else than whole data frames"),
        (window_frame(2) + deflated(data_frame(1, b"{}")[:-1]), "ends past its compressed frame"),
        (window_frame(2) + deflated(data_frame(1, b"{}")[:7]), "something else than whole data frames"),
        (window_frame(1) + deflated(frames(b"{}", b"{}")), "outside of a window"),
    ],
)
def test_what_is_not_the_protocol_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        BatchReader().feed(data)


SMALL = Limits(window=4, document_bytes=100, batch_bytes=250)


@pytest.mark.parametrize(
    "data",
    [
        window_frame(5),
        window_frame(1) + data_frame(1, b"x" * 101)[:20],
        window_frame(4) + frames(*[b"x" * 90] * 3),
        window_frame(4) + b"2C\xff\xff\xff\xff",
        window_frame(4) + deflated(b"\0" * 1_000_000),
        window_frame(4) + deflated(frames(*[b"x" * 90] * 3)),
    ],
)
def test_a_reader_takes_no_more_than_its_limits(data: bytes) -> None:
    with pytest.raises(TooLarge):
        BatchReader(SMALL).feed(data)


def test_a_reader_takes_what_is_just_within_its_limits() -> None:
    reader = BatchReader(SMALL)
    data = frames(b"x" * 100, b"y" * 100, b"z" * 49, b"w")
    assert len(reader.feed(window_frame(4) + compressed_frame(data) + window_frame(4) + data)) == 2
