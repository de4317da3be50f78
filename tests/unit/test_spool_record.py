"""The spool's format, on plain bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.spool import record

LINES = st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8)


def piece(lines: list[bytes], first: int = 1) -> bytes:
    return b"".join(record.encode(first + index, line) for index, line in enumerate(lines))


def test_a_record_is_a_checksum_a_number_and_the_line() -> None:
    assert record.encode(17, b"camera frames=100i 1") == b"cb79e6bf 17 camera frames=100i 1\n"


@given(LINES)
def test_encoding_and_decoding_round_trips(lines: list[bytes]) -> None:
    data = piece(lines)
    assert record.decode(data) == ([(1 + index, line) for index, line in enumerate(lines)], len(data), 0)


def test_a_piece_that_is_torn_anywhere_gives_the_records_before_and_never_half_a_line() -> None:
    lines = [b"camera_event score=1.5 1", b"", b"a b=1 2", b"c d=2 3"]
    data = piece(lines)
    ends = [len(piece(lines[:count])) for count in range(len(lines) + 1)]
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert record.decode(data[:cut]) == ([(1 + index, lines[index]) for index in range(whole)], ends[whole], 0)


def test_any_damaged_byte_costs_its_own_record_and_at_most_the_next() -> None:
    lines = [b"a b=1 1", b"a b=2 2", b"a b=3 3"]
    data = piece(lines)
    for place in range(len(data)):
        for value in (0, data[place] ^ 1, ord("\n"), ord(" ")):
            if value == data[place]:
                continue
            found = record.decode(data[:place] + bytes([value]) + data[place + 1 :])
            assert set(found.records) <= {(1 + index, line) for index, line in enumerate(lines)}
            assert len(found.records) >= 1
            # A line break that is lost at the very end leaves half a record, and no damaged one.
            assert found.damaged or found.end < len(data)


def test_a_record_of_another_number_is_not_taken_for_it() -> None:
    assert record.decode(record.encode(1, b"a b=1 1").replace(b" 1 a", b" 2 a")).records == []


@pytest.mark.parametrize("number", [0, 1, 42, 2**63])
def test_names_of_segments_sort_as_their_numbers(number: int) -> None:
    assert record.segment_first(record.segment_name(number)) == number
    assert record.segment_name(number) < record.segment_name(number + 1)


@pytest.mark.parametrize(
    "name", ["position", "1.lines", "x" * 20 + ".lines", "00000000000000000001.tmp", "²" * 20 + ".lines"]
)
def test_another_file_is_no_segment(name: str) -> None:
    assert record.segment_first(name) is None


@pytest.mark.parametrize("number", [0, 9, 10, 2**63])
def test_a_position_is_read_back_and_always_of_one_length(number: int) -> None:
    data = record.encode_position(number)
    assert record.decode_position(data) == number
    assert len(data) == len(record.encode_position(1))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 43, record.encode_position(7)[:-1], record.encode(7, b"another line"), b"00000000 7 delivered\n"],
)
def test_a_damaged_position_is_none(data: bytes) -> None:
    assert record.decode_position(data) is None
