"""A spool and its disk: when it syncs, its bounds, and a disk that is full, broken or read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.spool.folder import segments
from collectors.spool.writer import SEGMENTS
from tests.unit.spool_support import Broken, Ends, batch, everything, numbered


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    opened = Ends(tmp_path / "spool")
    yield opened
    while opened._opened:
        opened.end(opened._opened[-1])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


# --- syncing ------------------------------------------------------------------------------------------


def test_an_event_is_put_on_the_disk_at_once_and_other_lines_together(ends: Ends) -> None:
    disk = Broken()
    writer = ends.writer(sync_seconds=60, disk=disk)
    writer.append(b"camera frames=1i 1\n")
    ends.seconds = 59.9
    writer.append(b"camera_events frames=2i 2\n")
    assert disk.synced == 0
    ends.seconds = 60.0
    writer.append(b"camera frames=3i 3\n")
    assert disk.synced == 1
    writer.append(b"camera frames=4i 4\ncamera_event,camera=hall score=1 4\n")
    assert disk.synced == 2
    writer.append(b"camera_event score=1 5\n")
    assert disk.synced == 3
    writer.append(b"camera frames=6i 6\n")
    ends.end(writer)
    assert disk.synced == 4, "the end puts everything on the disk"


def test_without_a_time_to_wait_every_line_is_put_on_the_disk_at_once(ends: Ends) -> None:
    disk = Broken()
    writer = ends.writer(sync_seconds=0, disk=disk)
    for line in numbered(3):
        writer.append(line + b"\n")
    assert disk.synced == 3


def test_a_failed_sync_is_reported(ends: Ends) -> None:
    disk = Broken()
    disk.truncates = False
    ends.writer(disk=disk).append(b"camera_event score=1 5\n")
    assert ends.said == [
        f"the spool {ends.directory} cannot be synced to the disk: Input/output error; "
        "its newest lines may be lost at a power cut"
    ]


# --- bounds -----------------------------------------------------------------------------------------


def test_the_oldest_lines_are_dropped_and_each_one_is_reported(ends: Ends) -> None:
    writer, lines = ends.writer(max_bytes=16_000), numbered(2000, length=30)
    for line in lines:
        writer.append(line + b"\n")
        assert sum(each.size for each in segments(str(ends.directory))) <= 16_000
    reader = ends.reader()
    found = everything(reader)
    assert found == lines[-len(found) :]
    assert reader.missing == 2000 - len(found)
    assert sum(int(sentence.split("oldest ")[1].split()[0]) for sentence in ends.said) == reader.missing
    assert len(found) * 60 > 16_000 * (SEGMENTS - 2) / SEGMENTS * 0.8, "it is not emptied more than it must"


def test_delivered_lines_are_removed_silently(ends: Ends) -> None:
    writer, reader = ends.writer(max_bytes=16_000), ends.reader()
    for line in numbered(2000, length=30):
        writer.append(line + b"\n")
        assert reader.read() == [line]
        reader.commit(reader.number)
    assert ends.said == []
    assert reader.missing == 0


def test_a_reader_amid_a_segment_that_is_dropped_ends_it_and_counts_what_lies_between(ends: Ends) -> None:
    writer, reader = ends.writer(max_bytes=16_000), ends.reader()
    writer.append(batch(numbered(10, length=30)))
    assert len(reader.read()) == 10
    writer.append(batch(numbered(5, first=11, length=30)))
    for line in numbered(1985, first=16, length=30):
        writer.append(line + b"\n")
    found = everything(reader)
    assert found[:5] == numbered(5, first=11, length=30)
    assert 10 + len(found) + reader.missing == 2000


def test_a_line_larger_than_the_spool_is_refused_and_counted(ends: Ends) -> None:
    writer = ends.writer(max_bytes=4096)
    writer.append(batch([b"a b=1 1", b"x" * 5000, b"a b=3 3"]))
    reader = ends.reader()
    assert everything(reader) == [b"a b=1 1", b"a b=3 3"]
    assert reader.missing == 1
    assert len(ends.said) == 1
    assert "is more than the spool" in ends.said[0]


# --- a disk that is full, or cannot be written ------------------------------------------------------


def test_a_full_disk_loses_whole_lines_counts_them_and_ends_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    ends = Ends(small_disk / "spool")
    writer, lines = ends.writer(), numbered(600, length=77)
    for line in lines[:500]:
        writer.append(line + b"\n")
    assert {sentence.split(": ")[1].split(";")[0] for sentence in ends.said} == {"No space left on device"}
    ballast.unlink()
    for line in lines[500:]:
        writer.append(line + b"\n")
    reader = ends.reader()
    found = everything(reader)
    assert set(found) <= set(lines)
    assert found == sorted(set(found), key=lines.index)
    assert found[-100:] == lines[500:]
    assert 0 < reader.missing == 600 - len(found)
    assert reader.damaged == 0
    assert f"can be written again; {reader.missing} lines were lost" in ends.said[-1]
    ends.end(reader)
    ends.end(writer)


def test_on_a_full_disk_delivered_lines_are_removed_first(small_disk: Path) -> None:
    ends = Ends(small_disk / "spool")
    writer, reader = ends.writer(max_bytes=1 << 18), ends.reader()
    for line in numbered(3000, length=77):  # four times the capacity of the spool
        writer.append(line + b"\n")
        assert reader.read() == [line]
        reader.commit(reader.number)
    assert ends.said == []
    assert reader.missing == 0
    ends.end(reader)
    ends.end(writer)


def test_a_read_only_disk_is_reported(small_disk: Path) -> None:
    ends = Ends(small_disk / "spool")
    remount(small_disk, "ro")
    with pytest.raises(OSError, match="Read-only file system"):
        ends.writer()
    remount(small_disk, "rw")
    writer = ends.writer()
    writer.append(b"a b=1 1\n")
    ends.end(writer)
    remount(small_disk, "ro")
    with pytest.raises(OSError, match="Read-only file system"):
        ends.reader()


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


@pytest.mark.parametrize("room", range(0, 200, 9))
def test_half_a_write_is_taken_back(ends: Ends, room: int) -> None:
    disk = Broken()
    writer = ends.writer(disk=disk)
    writer.append(b"a b=1 1\n")
    disk.bytes_left = room
    writer.append(batch(numbered(9, first=2)))
    lost = "written: No space left on device; lines are lost until it can" in "".join(ends.said)
    disk.bytes_left = None
    writer.append(b"a b=11 11\n")
    reader = ends.reader()
    found = everything(reader)
    assert found == [*numbered(len(found) - 1), b"a b=11 11"]
    assert len(found) == 2 + min(8, room // 19) + (room >= 8 * 19 + 22)
    assert (reader.missing, reader.damaged) == (11 - len(found), 0)
    assert lost == bool(reader.missing)


def test_half_a_write_that_cannot_be_taken_back_costs_no_other_line(ends: Ends) -> None:
    disk = Broken(bytes_left=10)
    disk.truncates = False
    writer = ends.writer(disk=disk)
    writer.append(b"a b=1 1\n")
    disk.bytes_left = None
    writer.append(b"a b=2 2\n")
    reader = ends.reader()
    assert everything(reader) == [b"a b=2 2"]
    assert (reader.missing, reader.damaged) == (1, 1)
