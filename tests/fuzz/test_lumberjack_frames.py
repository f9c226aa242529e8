"""Any bytes give frames or DecodeError; how a stream is cut makes no difference; nothing is counted twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

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
from sidecar.errors import DecodeError

LIMITS = Limits(window=50, document_bytes=300, batch_bytes=2000)
documents = st.binary(max_size=60)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames of all kinds in any order, here and there damaged."""
    frame = st.one_of(
        st.integers(0, 60).map(window_frame),
        st.builds(data_frame, st.integers(0, 2**32 - 1), documents),
        st.lists(documents, max_size=4).map(
            lambda d: compressed_frame(b"".join(data_frame(n, x) for n, x in enumerate(d, 1)))
        ),
        st.integers(0, 2**32 - 1).map(ack_frame),
        st.binary(max_size=12),
    )
    data = bytearray(b"".join(draw(st.lists(frame, max_size=8))))
    for position in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=2)):
        if data:
            data[position] = draw(st.integers(0, 255))
    return bytes(data)


def read(data: bytes, pieces: Sequence[int]) -> tuple[list[Batch], bool]:
    reader, found, at = BatchReader(LIMITS), list[Batch](), 0
    try:
        for size in [*pieces, len(data)]:
            found += reader.feed(data[at : at + size])
            at += size
    except DecodeError:
        return found, False
    return found, True


@settings(max_examples=300, deadline=None)
@given(streams(), st.lists(st.integers(1, 20), max_size=30))
def test_a_reader_gives_batches_or_decode_error_however_the_stream_is_cut(data: bytes, pieces: list[int]) -> None:
    cut, cut_well = read(data, pieces)
    whole, whole_well = read(data, [])
    assert cut_well == whole_well
    assert cut[: len(whole)] == whole  # an error takes along what the same piece gave before it
    if whole_well:
        assert cut == whole
    for batch in cut:
        assert 0 < len(batch.documents) <= LIMITS.window
        assert sum(map(len, batch.documents)) <= LIMITS.batch_bytes


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 40))
def test_acknowledgements_are_read_or_decode_error(data: bytes, cut: int) -> None:
    def numbers(*pieces: bytes) -> list[int] | None:
        reader = AckReader()
        try:
            return [n for piece in pieces for n in reader.feed(piece)]
        except DecodeError:
            return None

    assert numbers(data) == numbers(data[:cut], data[cut:])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(documents, min_size=1, max_size=6), max_size=6), st.integers(1, 3), st.data())
def test_a_conversation_ends_with_everything_acknowledged_once(
    contents: list[list[bytes]], pipelining: int, data: st.DataObject
) -> None:
    """Any way of cutting writes, of partial and empty acknowledgements in between."""

    def windows() -> Iterator[tuple[int, bytes]]:
        for content in contents:
            frames = b"".join(data_frame(n, d) for n, d in enumerate(content, 1))
            yield len(content), compressed_frame(frames) if data.draw(st.booleans()) else frames

    sending, reader = Sending(windows(), pipelining), BatchReader()
    got: list[bytes] = []
    unsaid: list[int] = []
    while not sending.done:
        piece = bytes(sending.output()[: data.draw(st.integers(1, 200))])
        sending.wrote(len(piece))
        for batch in reader.feed(piece):
            got += batch.documents
            unsaid.append(len(batch.documents))
        assert len(unsaid) <= pipelining
        if unsaid and (not piece or data.draw(st.booleans())):
            said = data.draw(st.integers(0, unsaid[0]))
            before = sending.acknowledged
            sending.received(ack_frame(said))
            assert sending.acknowledged >= before
            if said == unsaid[0]:
                unsaid.pop(0)
        assert sending.acknowledged <= len(got)
    assert got == [d for content in contents for d in content]
    assert sending.acknowledged == len(got)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=4), st.binary(max_size=30))
def test_no_destination_can_have_more_acknowledged_than_was_sent(counts: list[int], data: bytes) -> None:
    sending = Sending(((n, b"".join(data_frame(i, b"") for i in range(n))) for n in counts), 2)
    while piece := sending.output():
        sending.wrote(len(piece))
    with contextlib.suppress(DecodeError):
        sending.received(data.replace(b"!", b"2A\0\0\0"))
    assert 0 <= sending.acknowledged <= sum(counts[:2])
