"""Telegraf's buffer on disk: damaged, outgrown, interrupted, and meant for another address."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sensetig import buffer
from sensetig.buffer import Outcome
from sensetig.cli.buffer import command

MOST, PLENTY = 100_000_000, 10**12


def entry(text: str) -> bytes:
    """A point as Telegraf's log has it: a length, and within it a message with a length of its own."""
    body = text.encode()
    message = bytes([len(body)]) + body if len(body) < 128 else bytes([254]) + len(body).to_bytes(2, "big") + body
    size, out = len(message), b""
    while size >= 128:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size]) + message


def log(directory: Path, name: str, *segments: list[str]) -> Path:
    """A log with these points in its segments."""
    made = directory / name
    made.mkdir(parents=True)
    first = 1
    for texts in segments:
        (made / f"{first:020d}").write_bytes(b"".join(map(entry, texts)))
        first += len(texts)
    return made


def points(of: Path) -> list[str]:
    """The points of a sound log, in order, with nothing missing between its segments."""
    assert buffer.is_sound(of)
    found, data = [], b"".join(each.path.read_bytes() for each in buffer.segments(of))
    while data:
        _, end = next((count, end) for end in range(1, len(data) + 1) if (count := buffer.whole(data[:end])[0]) == 1)
        found.append(data[:end])
        data = data[end:]
    return [one[2:].decode() for one in found]


def guard(directory: Path, most: int = MOST, *, one_output: bool = True) -> Outcome:
    return buffer.guard(directory, most, 0, lambda: PLENTY, one_output=one_output)


def test_a_sound_log_is_left_as_it_is(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a", "b"], ["c"])
    before = {path: path.stat() for path in made.iterdir()}
    assert guard(tmp_path) == Outcome()
    assert {path: path.stat().st_ino for path in made.iterdir()} == {path: was.st_ino for path, was in before.items()}


@pytest.mark.parametrize("damage", [b"\x05", b"\x00" * 4096, b"\xff" * 30, b"\x06\x03ab"], ids=repr)
def test_what_is_whole_is_kept_and_the_damaged_log_is_put_aside(tmp_path: Path, damage: bytes) -> None:
    made = log(tmp_path, "one", ["a", "b"], ["c"])
    with (made / f"{3:020d}").open("ab") as file:
        file.write(damage)
    assert guard(tmp_path) == Outcome(damaged=len(damage))
    assert points(made) == ["a", "b", "c"]
    assert (tmp_path / "damaged" / f"{3:020d}").read_bytes().endswith(damage)
    assert guard(tmp_path) == Outcome()


def test_damage_in_the_middle_costs_no_more_than_its_own_segment(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a", "b"], ["c", "d"], ["e"])
    (made / f"{3:020d}").write_bytes(entry("c") + b"\x00\x00\x00")
    assert guard(tmp_path) == Outcome(damaged=3)
    assert points(made) == ["a", "b", "c", "e"]


def test_a_segment_that_is_missing_is_no_reason_to_stay_away(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a"], ["b"], ["c"])
    (made / f"{2:020d}").unlink()
    assert guard(tmp_path) == Outcome()
    assert points(made) == ["a", "c"]


def test_what_telegraf_had_begun_to_cut_off_is_not_brought_back(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a", "b", "c"])
    (made / f"{3:020d}.START").write_bytes(entry("c") + b"\x09")
    assert guard(tmp_path) == Outcome(damaged=1)
    assert points(made) == ["c"]


def test_an_outgrown_log_loses_its_oldest_points_and_they_are_counted(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a" * 100] * 3, ["b" * 100] * 2, ["c" * 100])
    assert guard(tmp_path, most=320) == Outcome(dropped=3)
    assert [one[:1] for one in points(made)] == ["b", "b", "c"]


def test_a_full_disk_costs_what_the_bound_says(tmp_path: Path) -> None:
    log(tmp_path, "one", ["a" * 100], ["b" * 100])
    assert buffer.excess(tmp_path, MOST, least_free=1000, free=950) == 50
    assert buffer.excess(tmp_path, MOST, least_free=1000, free=0) == buffer.size(tmp_path)
    assert buffer.guard(tmp_path, MOST, 1000, lambda: 950, one_output=True) == Outcome(dropped=1)


def test_points_for_an_older_address_go_to_the_present_one(tmp_path: Path) -> None:
    log(tmp_path, "older", ["a"], ["b"])
    newer = log(tmp_path, "newer", ["c"])
    for path in (tmp_path / "older").iterdir():
        path.touch()
    (newer / f"{1:020d}").write_bytes(entry("c"))
    assert guard(tmp_path, one_output=False) == Outcome()
    assert guard(tmp_path) == Outcome(adopted=2)
    assert points(newer) == ["a", "b", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["newer"]


@pytest.mark.parametrize("there", [True, False])
def test_an_interrupted_guard_is_finished(tmp_path: Path, there: bool) -> None:
    made = log(tmp_path, "one", ["a"])
    log(tmp_path, "one.new", ["a"])
    if not there:
        made.rename(tmp_path / "damaged")
    assert guard(tmp_path) == Outcome()
    assert points(made) == ["a"]
    assert not (tmp_path / "one.new").exists()


def test_no_buffer_is_no_fault(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--directory", str(tmp_path / "none")])
    assert (done.exit_code, done.output) == (0, "")


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a"])
    with (made / f"{1:020d}").open("ab") as file:
        file.write(b"\x00\x00")
    done = CliRunner().invoke(command, ["--directory", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output == f"2 bytes of the buffer could not be read, and are in {tmp_path / 'damaged'}\n"


def test_looking_changes_nothing_and_tells_by_its_status(tmp_path: Path) -> None:
    made = log(tmp_path, "one", ["a"])
    (made / f"{2:020d}").write_bytes(b"\x00" * 41 * 1_048_576)
    looked = ["--directory", str(tmp_path), "--only-look", "--free-megabytes", "0"]
    assert CliRunner().invoke(command, looked).exit_code == 0
    assert CliRunner().invoke(command, [*looked, "--most-megabytes", "40"]).exit_code == 3
    assert len(list(made.iterdir())) == 2


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd_to_be_looked_at(data: bytes) -> None:
    count, end = buffer.whole(data)
    assert 0 <= end <= len(data)
    assert (count == 0) == (end == 0)
    assert buffer.whole(data[:end]) == (count, end)
