"""Frames cut from a stream, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.proto.faults import FrameTooLarge, MalformedFrame, TooManyFrames
from unhush.gossip.proto.framing import MAX_AT_ONCE, Deframer, frame
from unhush.identity.codec import MAX_FRAME_BYTES


@given(st.lists(st.binary(max_size=400), max_size=8), st.data())
def test_payloads_come_out_as_they_went_in_however_the_stream_is_cut(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    deframer, got = Deframer(), list[bytes]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += deframer.feed(stream[start:end])
    assert got == payloads
    assert deframer.is_between_frames


def test_the_largest_frame_passes_byte_by_byte_at_its_ends() -> None:
    stream = frame(bytes(MAX_FRAME_BYTES))
    deframer = Deframer()
    assert [deframer.feed(stream[at : at + 1]) for at in range(4)] == [[], [], [], []]
    assert deframer.feed(stream[4:-1]) == []
    assert not deframer.is_between_frames
    assert deframer.feed(stream[-1:]) == [bytes(MAX_FRAME_BYTES)]


def test_a_longer_frame_is_refused_at_its_length() -> None:
    # 1 MiB and one byte: 0x100001
    with pytest.raises(FrameTooLarge):
        Deframer().feed(b"\x81\x80\x40")


def test_a_longer_frame_is_not_made() -> None:
    with pytest.raises(ValueError, match="longer"):
        frame(bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("head", [b"\x80\x00", b"\x81\x00", b"\x80\x80\x00"], ids=bytes.hex)
def test_a_length_not_in_its_shortest_form_is_refused(head: bytes) -> None:
    with pytest.raises(MalformedFrame):
        Deframer().feed(head)


def test_a_length_without_end_is_refused_at_the_fourth_byte_at_latest() -> None:
    deframer = Deframer()
    assert deframer.feed(b"\xff\xff") == []
    with pytest.raises(FrameTooLarge):
        deframer.feed(b"\xff")


@given(st.binary(max_size=64))
def test_any_bytes_are_frames_or_a_named_fault(junk: bytes) -> None:
    deframer = Deframer()
    try:
        got = deframer.feed(junk)
    except RemoteProtocolError:
        return
    assert junk.startswith(b"".join(map(frame, got)))


def test_a_chunk_of_empty_frames_is_not_cut_to_its_end() -> None:
    assert len(Deframer().feed(bytes(MAX_AT_ONCE))) == MAX_AT_ONCE
    with pytest.raises(TooManyFrames):
        Deframer().feed(bytes(256 * 1024))
