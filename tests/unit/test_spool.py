"""The two ends of a spool on real files: crashes, bounds, locks, full disks."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from errno import EIO, ENOSPC
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from collectors.spool.folder import Busy, Disk, segments
from collectors.spool.reader import CHUNK_BYTES, Reader
from collectors.spool.record import encode, encode_position, segment_name
from collectors.spool.writer import SEGMENTS, Writer


class Broken:
    """A disk that takes so many bytes more, and counts what is put on it for good."""

    def __init__(self, bytes_left: int | None = None) -> None:
        self.bytes_left = bytes_left
        self.truncates = True
        self.synced = 0

    def write(self, descriptor: int, data: bytes, /) -> int:
        if self.bytes_left is None:
            return os.write(descriptor, data)
        if not self.bytes_left:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        written = os.write(descriptor, data[: self.bytes_left])
        self.bytes_left -= written
        return written

    def ftruncate(self, descriptor: int, length: int, /) -> None:
        if not self.truncates:
            raise OSError(EIO, os.strerror(EIO))
        os.ftruncate(descriptor, length)

    def fdatasync(self, descriptor: int, /) -> None:
        if not self.truncates:
            raise OSError(EIO, os.strerror(EIO))
        os.fdatasync(descriptor)
        self.synced += 1


class Ends:
    """A folder, and the writers and readers that a test opens on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.seconds = 0.0
        self._opened: list[Writer | Reader] = []

    def writer(self, *, max_bytes: int = 1 << 20, sync_seconds: float = 60.0, disk: Disk = os) -> Writer:
        writer = Writer(
            str(self.directory),
            events=("camera_event",),
            max_bytes=max_bytes,
            sync_seconds=sync_seconds,
            complain=self.said.append,
            timer=lambda: self.seconds,
            disk=disk,
        )
        self._opened.append(writer)
        return writer

    def reader(self) -> Reader:
        reader = Reader(str(self.directory))
        self._opened.append(reader)
        return reader

    def end(self, *ends: Writer | Reader) -> None:
        for each in ends or self._opened:
            if each in self._opened:
                self._opened.remove(each)
                each.close()

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("*.lines"))


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


def everything(reader: Reader) -> list[bytes]:
    lines = []
    while found := reader.read():
        lines += found
    return lines


def numbered(count: int, first: int = 1, length: int = 0) -> list[bytes]:
    return [b"a b=%d %d" % (each, each) + b" " * length for each in range(first, first + count)]


def batch(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


# --- both ends --------------------------------------------------------------------------------------


def test_lines_come_out_as_they_went_in_also_over_many_segments(ends: Ends) -> None:
    writer, lines = ends.writer(max_bytes=1 << 16), numbered(500, length=60)
    for start in range(0, 500, 7):
        writer.append(batch(lines[start : start + 7]))
    assert len(ends.files()) > 3
    reader = ends.reader()
    assert everything(reader) == lines
    assert (reader.missing, reader.damaged, ends.said) == (0, 0, [])


def test_a_batch_without_its_last_line_break_is_whole_too(ends: Ends) -> None:
    ends.writer().append(b"a b=1 1\na b=2 2")
    assert everything(ends.reader()) == [b"a b=1 1", b"a b=2 2"]


def test_a_line_longer_than_what_is_read_at_a_time_comes_whole(ends: Ends) -> None:
    lines = [b"a" * (2 * CHUNK_BYTES), b"b"]
    ends.writer(max_bytes=1 << 24).append(batch(lines))
    assert everything(ends.reader()) == lines


def test_a_reader_follows_a_writer_from_segment_to_segment(ends: Ends) -> None:
    writer, reader = ends.writer(max_bytes=1 << 14), ends.reader()
    assert reader.read() == []
    for line in numbered(300, length=40):
        writer.append(line + b"\n")
        assert reader.read() == [line]
        assert reader.read() == []
        reader.commit(reader.number)
    assert reader.missing == 0
    assert len(ends.files()) <= 2, "what was delivered goes when a segment begins"


def test_what_was_not_put_down_is_delivered_again_and_what_was_is_not(ends: Ends) -> None:
    ends.writer().append(batch(numbered(5)))
    reader = ends.reader()
    assert everything(reader) == numbered(5)
    reader.commit(3)
    ends.end(reader)
    again = ends.reader()
    assert everything(again) == numbered(2, first=4)
    assert again.missing == 0


def test_a_position_never_goes_back(ends: Ends) -> None:
    ends.writer().append(batch(numbered(5)))
    reader = ends.reader()
    everything(reader)
    reader.commit(4)
    reader.commit(2)
    ends.end(reader)
    assert everything(ends.reader()) == numbered(1, first=5)


@pytest.mark.parametrize("content", [b"", b"\0" * 43, encode_position(3)[:20]])
def test_a_lost_position_means_everything_again_and_nothing_missing(ends: Ends, content: bytes) -> None:
    writer = ends.writer()
    writer.append(batch(numbered(5)))
    (ends.directory / "position").write_bytes(content)
    reader = ends.reader()
    assert everything(reader) == numbered(5)
    assert reader.missing == 0


def test_what_waits_is_counted(ends: Ends) -> None:
    writer, reader = ends.writer(max_bytes=1 << 12), ends.reader()
    assert reader.waiting() == (0, 0)
    writer.append(batch(numbered(9, length=100)))
    total = sum(path.stat().st_size for path in ends.files())
    assert reader.waiting() == (9, total)
    first = reader.read()
    assert reader.waiting()[0] == 9 - len(first)
    everything(reader)
    assert reader.waiting() == (0, 0)


# --- the bell ---------------------------------------------------------------------------------------


def test_the_bell_rings_for_each_append_until_it_is_heard(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    assert reader.bell is not None
    assert select.select([reader.bell], [], [], 0)[0] == []
    writer.append(b"a b=1 1\n")
    writer.append(b"a b=2 2\n")
    assert select.select([reader.bell], [], [], 5)[0] == [reader.bell]
    reader.heard()
    assert select.select([reader.bell], [], [], 0)[0] == []
    reader.heard()


def test_a_bell_that_nobody_hears_holds_nobody_up(ends: Ends) -> None:
    writer = ends.writer(max_bytes=1 << 24)
    for _ in range(70_000):  # more rings than a pipe holds
        writer._ring()
    writer.append(b"a b=1 1\n")
    assert everything(ends.reader()) == [b"a b=1 1"]


def test_a_writer_that_ends_is_no_ring(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    ends.end(writer)
    assert reader.bell is not None
    assert select.select([reader.bell], [], [], 0)[0] == []


# --- crashes ----------------------------------------------------------------------------------------


def test_a_tail_torn_at_any_byte_is_cut_off_and_the_next_lines_follow(tmp_path: Path) -> None:
    whole, torn = batch_of_records(numbered(3)), encode(4, b"camera_event score=1.5 4")
    for cut in range(len(torn)):
        ends = Ends(tmp_path / str(cut))
        ends.directory.mkdir()
        (ends.directory / segment_name(1)).write_bytes(whole + torn[:cut])
        reader = ends.reader()
        assert everything(reader) == numbered(3)
        writer = ends.writer()
        writer.append(b"a b=4 4\n")
        assert everything(reader) == [b"a b=4 4"]
        assert (reader.missing, reader.damaged) == (0, 0)
        assert bool(ends.said) == bool(cut)
        assert all("half a line" in sentence for sentence in ends.said)
        ends.end(reader)
        ends.end(writer)


def batch_of_records(lines: list[bytes]) -> bytes:
    return b"".join(encode(1 + index, line) for index, line in enumerate(lines))


def test_a_damaged_line_is_passed_over_and_is_missing(ends: Ends) -> None:
    ends.directory.mkdir()
    data = batch_of_records(numbered(3))
    (ends.directory / segment_name(1)).write_bytes(data.replace(b"b=2", b"b=7"))
    ends.writer().append(b"a b=4 4\n")
    reader = ends.reader()
    assert everything(reader) == [b"a b=1 1", b"a b=3 3", b"a b=4 4"]
    assert (reader.missing, reader.damaged) == (1, 1)


def test_a_damaged_last_line_keeps_its_number(ends: Ends) -> None:
    ends.directory.mkdir()
    (ends.directory / segment_name(1)).write_bytes(batch_of_records(numbered(3)).replace(b"b=3", b"b=7"))
    ends.writer().append(b"a b=4 4\n")
    reader = ends.reader()
    assert everything(reader) == [b"a b=1 1", b"a b=2 2", b"a b=4 4"]
    assert (reader.missing, reader.damaged) == (1, 1)


def test_half_a_line_in_an_older_segment_is_passed_over(ends: Ends) -> None:
    ends.directory.mkdir()
    (ends.directory / segment_name(1)).write_bytes(batch_of_records(numbered(2)) + encode(3, b"lost")[:9])
    (ends.directory / segment_name(4)).write_bytes(encode(4, b"a b=4 4"))
    reader = ends.reader()
    assert everything(reader) == [b"a b=1 1", b"a b=2 2", b"a b=4 4"]
    assert reader.damaged == 1


def test_a_segment_that_the_disk_cannot_read_holds_up_no_other(ends: Ends) -> None:
    writer = ends.writer(max_bytes=4096)
    lines = numbered(12, length=100)
    for line in lines:
        writer.append(line + b"\n")
    bad = ends.files()[1]

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == bad.stat().st_ino:
            raise OSError(EIO, os.strerror(EIO))
        return os.pread(descriptor, length, offset)

    reader = Reader(str(ends.directory), pread)
    found = everything(reader)
    in_bad = bad.read_bytes().count(b"\n")
    assert len(found) == 12 - in_bad
    assert found == [line for line in lines if line in found]
    assert (reader.missing, reader.damaged) == (in_bad, 1)
    reader.close()


def test_lines_that_were_delivered_and_then_lost_with_the_power_leave_no_number_to_be_mistaken(ends: Ends) -> None:
    ends.directory.mkdir()
    (ends.directory / segment_name(1)).write_bytes(batch_of_records(numbered(3)))
    (ends.directory / "position").write_bytes(encode_position(10))
    writer = ends.writer()
    writer.append(b"a b=11 11\n")
    reader = ends.reader()
    assert everything(reader) == [b"a b=11 11"]
    assert reader.missing == 0


def test_a_segment_that_somebody_removed_is_begun_anew(ends: Ends) -> None:
    writer = ends.writer()
    writer.append(batch(numbered(2)))
    ends.files()[0].unlink()
    writer.append(b"a b=3 3\n")
    reader = ends.reader()
    assert everything(reader) == [b"a b=3 3"]
    assert reader.missing == 2


def test_a_removed_spool_is_known(ends: Ends) -> None:
    ends.writer()
    reader = ends.reader()
    assert reader.removed is False
    shutil.rmtree(ends.directory)
    assert reader.removed is True


# --- what is put on the disk, and when --------------------------------------------------------------


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


def test_a_disk_that_does_not_keep_what_it_took_is_told(ends: Ends) -> None:
    disk = Broken()
    disk.truncates = False
    ends.writer(disk=disk).append(b"camera_event score=1 5\n")
    assert ends.said == [
        f"the spool {ends.directory} cannot be put on the disk: Input/output error; "
        "its newest lines may be lost at a power cut"
    ]


# --- bounds -----------------------------------------------------------------------------------------


def test_the_oldest_lines_give_way_and_every_one_is_told(ends: Ends) -> None:
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


def test_what_was_delivered_gives_way_without_a_word(ends: Ends) -> None:
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


def test_on_a_full_disk_what_was_delivered_goes_first(small_disk: Path) -> None:
    ends = Ends(small_disk / "spool")
    writer, reader = ends.writer(max_bytes=1 << 18), ends.reader()
    for line in numbered(3000, length=77):  # four times what the disk holds
        writer.append(line + b"\n")
        assert reader.read() == [line]
        reader.commit(reader.number)
    assert ends.said == []
    assert reader.missing == 0
    ends.end(reader)
    ends.end(writer)


def test_a_read_only_disk_is_said(small_disk: Path) -> None:
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


# --- one writer, one reader -------------------------------------------------------------------------


def test_a_second_writer_and_a_second_reader_are_told(ends: Ends) -> None:
    ends.writer()
    with pytest.raises(Busy, match=f"the process {os.getpid()} writes to the spool .*; give each collector a folder"):
        ends.writer()
    ends.reader()
    with pytest.raises(Busy, match="another process reads the spool"):
        ends.reader()


def test_without_a_spool_there_is_nothing_to_read_and_nothing_is_made(ends: Ends) -> None:
    with pytest.raises(FileNotFoundError):
        ends.reader()
    assert not ends.directory.exists()


def test_the_group_may_write_the_position_and_the_bell_and_nothing_else(ends: Ends) -> None:
    mask = os.umask(0o027)
    try:
        ends.writer().append(b"a b=1 1\n")
    finally:
        os.umask(mask)
    rights = {path.name: path.stat().st_mode & 0o777 for path in ends.directory.iterdir()}
    assert rights == {"bell": 0o660, "position": 0o660, "writer": 0o640, segment_name(1): 0o640}
    assert ends.directory.stat().st_mode & 0o777 == 0o750


# --- any order of all of that -----------------------------------------------------------------------


class Lives(RuleBasedStateMachine):
    """A writer and a reader that are killed and started again at any time."""

    make: Callable[[], Path]

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(type(self).make())
        self.writer: Writer | None = self.ends.writer(max_bytes=8192)
        self.reader: Reader | None = None
        self.appended = 0
        self.delivered: set[int] = set()
        self.committed = 0
        self.seen = 0
        self.missing = 0

    def teardown(self) -> None:
        """What was appended and not dropped is delivered in the end, and every other line is counted."""
        if self.writer is None:
            self.start_writer()
        if self.reader is None:
            self.start_reader()
        self.read()
        assert self.seen == self.appended
        while self.ends._opened:
            self.ends.end(self.ends._opened[-1])
        super().teardown()

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.integers(1, 5), length=st.integers(0, 700))
    def append(self, count: int, length: int) -> None:
        assert self.writer is not None
        self.writer.append(batch([b"%d %s" % (self.appended + each, b"x" * length) for each in range(1, count + 1)]))
        self.appended += count

    @precondition(lambda self: self.writer is not None)
    @rule(torn=st.integers(0, 30))
    def kill_writer(self, torn: int) -> None:
        """A process that is killed leaves what it has written, and maybe a part of what it was writing."""
        assert self.writer is not None
        self.ends.end(self.writer)
        self.writer = None
        if torn and self.ends.files():
            with self.ends.files()[-1].open("ab") as file:
                file.write(encode(self.appended + 1, b"y" * 40)[:torn])

    @precondition(lambda self: self.writer is None)
    @rule()
    def start_writer(self) -> None:
        self.writer = self.ends.writer(max_bytes=8192)

    @precondition(lambda self: self.reader is None)
    @rule()
    def start_reader(self) -> None:
        self.reader = self.ends.reader()
        assert self.reader.number == self.committed
        self.seen = self.committed
        self.missing = 0

    @precondition(lambda self: self.reader is not None)
    @rule()
    def read(self) -> None:
        """Every line once and in its order; what lies between is counted."""
        assert self.reader is not None
        for line in everything(self.reader):
            number = int(line.split()[0])
            assert number > self.seen
            self.missing += number - self.seen - 1
            self.seen = number
            self.delivered.add(number)
        assert self.reader.missing == self.missing
        assert self.reader.damaged == 0

    @precondition(lambda self: self.reader is not None)
    @rule(back=st.integers(0, 5))
    def commit(self, back: int) -> None:
        assert self.reader is not None
        self.reader.commit(self.seen - back)
        self.committed = max(self.committed, self.seen - back)

    @precondition(lambda self: self.reader is not None)
    @rule()
    def kill_reader(self) -> None:
        assert self.reader is not None
        self.ends.end(self.reader)
        self.reader = None

    @invariant()
    def within_bounds(self) -> None:
        assert sum(path.stat().st_size for path in self.ends.files()) <= 8192 + 30


def test_no_order_of_deaths_and_starts_loses_a_line_or_gives_it_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    Lives.make = staticmethod(lambda: tmp_path_factory.mktemp("lives") / "spool")
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
