"""A batch of points as a file of self-contained blocks, so that damage costs only the points of one block.

A block is a marker, the length and CRC-32 of its payload, and the payload: zlib-compressed, a line of JSON with
the destination, then lines of line protocol.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sensetig.outbox.lines import PRECISIONS, split

_MARKER = b"\xf1STG"
_HEAD_BYTES = len(_MARKER) + 8

#: Uncompressed size at which a block ends, in bytes: some five points. Smaller blocks lose less to damage, larger ones
#: compress better: for the points of a Pi, a block of 8 KiB takes 69 bytes per point, 1 KiB 94, and single lines 191.
BLOCK_BYTES = 1024

#: Maximum uncompressed size of a block, in bytes; a damaged length or a bomb is not expanded further.
MAX_BLOCK_BYTES = 32 * 1024 * 1024


class Destination(NamedTuple):
    """Organisation and bucket for points, and the unit of their times."""

    organisation: str
    bucket: str
    precision: str = "ns"


class Block(NamedTuple):
    """Lines of line protocol for one destination."""

    destination: Destination
    lines: list[bytes]


def encode(destination: Destination, lines: Sequence[bytes]) -> bytes:
    """The content of a file with these lines."""
    head = json.dumps(destination).encode()
    blocks: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            blocks.append(_block(head, part))
            part, size = [], 0
    if part:
        blocks.append(_block(head, part))
    return b"".join(blocks)


def _block(head: bytes, lines: Sequence[bytes]) -> bytes:
    payload = zlib.compress(b"\n".join((head, *lines)), 6)
    return b"".join((_MARKER, len(payload).to_bytes(4, "big"), zlib.crc32(payload).to_bytes(4, "big"), payload))


def decode(content: bytes) -> Iterable[Block]:
    """The intact blocks of a file; damaged ones are skipped."""
    start = content.find(_MARKER)
    while start >= 0:
        block = _read(content, start)
        if block is None:
            start = content.find(_MARKER, start + 1)
        else:
            found, end = block
            yield found
            start = content.find(_MARKER, end)


def joined(blocks: Iterable[Block]) -> list[Block]:
    """Merge the blocks of each destination, so that each needs one request."""
    found: dict[Destination, list[bytes]] = {}
    for block in blocks:
        found.setdefault(block.destination, []).extend(block.lines)
    return [Block(destination, lines) for destination, lines in found.items()]


def _read(content: bytes, start: int) -> tuple[Block, int] | None:
    """The block at *start* and its end, or None if it is damaged."""
    length = int.from_bytes(content[start + 4 : start + 8], "big")
    begin, end = start + _HEAD_BYTES, start + _HEAD_BYTES + length
    payload = content[begin:end]
    if len(payload) != length or zlib.crc32(payload) != int.from_bytes(content[start + 8 : begin], "big"):
        return None
    try:
        inflate = zlib.decompressobj()
        head, _, body = inflate.decompress(payload, MAX_BLOCK_BYTES).partition(b"\n")
        organisation, bucket, precision = json.loads(head)
    except (zlib.error, ValueError, TypeError):
        return None
    if inflate.unconsumed_tail or precision not in PRECISIONS:
        return None
    return Block(Destination(str(organisation), str(bucket), precision), split(body)), end
