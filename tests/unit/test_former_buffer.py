"""Telegraf's former disk buffer: every readable point is delivered once, also behind damage."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sensetig.errors import OutboxError
from sensetig.outbox import former
from sensetig.outbox.batch import Destination
from sensetig.outbox.gob import BadGob, decode

#: A segment of Telegraf 1.39.3 with points of all types.
SEGMENT = (Path(__file__).parent / "telegraf_buffer" / "00000000000000000001").read_bytes()

LINES = [
    rb'cpu,cpu=cpu\ total,eq\=x=a\,b,host=hall usage=12.5,n=5i,u=7i,ok=true,s="say \"hi\" \\ there, = x" '
    b"1700000000123456789",
    b"m f=-1.5e-300 1700000001000000000",
    b'm f=0.0,z=0i,b=false,e="" 1700000002000000000',
    'big,ü=ö n=-9223372036854775808i,u=9223372036854775807i,t="Zeile" -5000000000'.encode(),
]


def test_points_of_all_types_are_read_as_telegraf_would_have_written_them() -> None:
    assert former.read(SEGMENT) == former.Content(LINES, 0)


DRAWS = 1200


def test_random_damage_costs_only_the_damaged_points() -> None:
    numbers = random.Random(20261130)
    clean = SEGMENT * 5
    ends = _ends(clean)
    for _ in range(DRAWS):
        content = bytearray(clean)
        at = numbers.randrange(len(content))
        kind = numbers.choice(["bit", "garbage", "zeros", "truncated", "inserted"])
        length = numbers.randint(1, 600)
        if kind == "bit":
            content[at] ^= 1 << numbers.randrange(8)
            touched = (at, at + 1)
        elif kind in ("garbage", "zeros"):
            length = min(length, len(content) - at)
            content[at : at + length] = numbers.randbytes(length) if kind == "garbage" else bytes(length)
            touched = (at, at + length)
        elif kind == "truncated":
            del content[at:]
            touched = (at, len(clean))
        else:
            content[at:at] = numbers.randbytes(length)
            touched = (at, at + 1)
        whole = [
            line
            for line, begin, end in zip(LINES * 5, [0, *ends], ends, strict=False)
            if end <= touched[0] or begin >= touched[1]
        ]
        found = former.read(bytes(content))
        position = 0
        for line in whole:
            assert line in found.lines[position:], kind
            position = found.lines.index(line, position) + 1
        assert len(found.lines) <= len(LINES) * 5


def _ends(data: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(data):
        size, begin = former._variable(data, at)
        at = begin + size
        ends.append(at)
    return ends


@pytest.mark.parametrize("length", [0, 1, 5, 60, 200, 400])
def test_half_a_value_is_refused(length: int) -> None:
    _, begin = former._variable(SEGMENT, 0)
    with pytest.raises(BadGob):
        decode(SEGMENT[begin : begin + length])


def buffer(folder: Path) -> Path:
    """A buffer of two outputs; one has a damaged segment."""
    for name, content in {
        "a1/00000000000000000001": SEGMENT,
        "a1/00000000000000000005": SEGMENT[:700] + bytes(64) + SEGMENT[764:],
        "b2/00000000000000000001": SEGMENT,
        "b2/00000000000000000003.START": SEGMENT,
        "damaged/old": b"x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_everything_readable_is_delivered_once_and_damaged_files_are_kept(tmp_path: Path) -> None:
    folder = buffer(tmp_path / "buffer")
    sent: list[bytes] = []
    log: list[str] = []
    outcome = former.deliver(folder, sent.extend, log.append)
    assert sent == [*LINES, LINES[0], *LINES[2:], *LINES]
    assert outcome.delivered == len(sent) == 11
    assert outcome.damaged > 0
    assert [path.name for path in folder.iterdir()] == ["damaged"]
    (kept,) = [path for path in (folder / "damaged").iterdir() if path.name != "old"]
    assert kept.read_bytes()[700:764] == bytes(64)
    damaged = folder / "a1" / "00000000000000000005"
    assert log == [f"{outcome.damaged} bytes of {damaged} cannot be read; the file is kept as {kept}"]
    assert former.deliver(folder, sent.extend, log.append) == former.Outcome()
    assert len(sent) == 11


def test_points_that_the_outbox_does_not_take_stay(tmp_path: Path) -> None:
    folder = buffer(tmp_path / "buffer")
    socket = former.Socket(str(tmp_path / "nothing.sock"), Destination("o", "b"))
    with pytest.raises(OutboxError, match=r"does not answer at .*nothing.sock .*start sensetig-outbox"):
        former.deliver(folder, socket.send, lambda _: None)
    assert len(list((folder / "a1").iterdir())) == 2


def test_a_machine_without_a_buffer_has_nothing_to_deliver(tmp_path: Path) -> None:
    assert former.deliver(tmp_path / "buffer", lambda _: None, lambda _: None) == former.Outcome()
