"""The format of a spool, on plain bytes: records with a number and a checksum, and the names of their files.

A record is one line::

    f8a3c17e 17 camera,camera=hall frames=100i 1700000000000000000

The checksum (CRC-32 of the rest, eight hexadecimal digits), the number of the line, counted from 1 for the life of the
spool, and the line. A crash leaves at worst a record without its line break. The checksum reveals a damaged record, and
the numbers reveal missing ones.

A segment is a file of records, named after the number of its first one, so that the names sort like the lines.
"""

from __future__ import annotations

from binascii import crc32
from typing import NamedTuple

#: Suffix of a segment's name.
SUFFIX = ".lines"

#: Number of digits in a name: enough for any 64-bit number.
_DIGITS = 20

_CHECKSUM = 8


class Record(NamedTuple):
    """A line and its number."""

    number: int
    line: bytes


class Decoded(NamedTuple):
    """The content of a piece of a segment.

    Args:
        records: the complete and undamaged ones.
        end: bytes up to and including the last line break; an incomplete record can follow.
        damaged: lines that are not records.
    """

    records: list[Record]
    end: int
    damaged: int


def encode(number: int, line: bytes) -> bytes:
    """Encode a line, which must not contain a line break, as a record."""
    body = b"%d %b" % (number, line)
    return b"%08x %b\n" % (crc32(body), body)


def decode(data: bytes) -> Decoded:
    """Decode the records of a piece that starts with a record."""
    end = data.rfind(b"\n") + 1
    pieces = data[:end].split(b"\n")
    pieces.pop()
    found = [_record(piece) for piece in pieces]
    records = [record for record in found if record is not None]
    return Decoded(records, end, len(found) - len(records))


def _record(piece: bytes) -> Record | None:
    checksum, body = piece[:_CHECKSUM], piece[_CHECKSUM + 1 :]
    if checksum != b"%08x" % crc32(body) or piece[_CHECKSUM : _CHECKSUM + 1] != b" ":
        return None
    number, space, line = body.partition(b" ")
    return Record(int(number), line) if space and number.isdigit() else None


def segment_name(first: int) -> str:
    """The name of the segment that begins with the record of this number."""
    return f"{first:0{_DIGITS}}{SUFFIX}"


def segment_first(name: str) -> int | None:
    """The number of the first record in the segment with this name; None for another file."""
    digits = name.removesuffix(SUFFIX)
    return int(digits) if len(name) == _DIGITS + len(SUFFIX) and digits.isdigit() and digits.isascii() else None


def encode_position(delivered: int) -> bytes:
    """The content of the position file: the number of the last delivered line, in a fixed length."""
    return encode(delivered, b"delivered".ljust(32 - len(str(delivered))))


def decode_position(data: bytes) -> int | None:
    """The number in a position file; None if it is missing or damaged."""
    records = decode(data).records
    return records[0].number if records and records[0].line.rstrip() == b"delivered" else None
