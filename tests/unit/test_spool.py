"""The two ends of a spool on real files: lines in their order, the bell, crashes, locks."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Iterator
from errno import EIO
from pathlib import Path

import pytest

from collectors.core.api import Unwritable
from collectors.spool.folder import Busy
from collectors.spool.reader import CHUNK_BYTES, Reader
from collectors.spool.record import encode, encode_position, segment_name
from tests.unit.spool_support import Ends, batch, batch_of_records, everything, numbered


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    opened = Ends(tmp_path / "spool")
    yield opened
    while opened._opened:
        opened.end(opened._opened[-1])


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


def test_a_line_longer_than_a_read_is_returned_whole(ends: Ends) -> None:
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


def test_lines_after_the_committed_position_are_redelivered_and_earlier_ones_are_not(ends: Ends) -> None:
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
    assert reader.fifo is not None
    assert select.select([reader.fifo], [], [], 0)[0] == []
    writer.append(b"a b=1 1\n")
    writer.append(b"a b=2 2\n")
    assert select.select([reader.fifo], [], [], 5)[0] == [reader.fifo]
    reader.clear_notification()
    assert select.select([reader.fifo], [], [], 0)[0] == []
    reader.clear_notification()


def test_a_notification_without_a_reader_does_not_block(ends: Ends) -> None:
    writer = ends.writer(max_bytes=1 << 24)
    for _ in range(70_000):  # more rings than a pipe holds
        writer._notify()
    writer.append(b"a b=1 1\n")
    assert everything(ends.reader()) == [b"a b=1 1"]


def test_a_bell_that_a_backup_has_made_a_file_is_no_bell_until_the_writer_makes_it_again(ends: Ends) -> None:
    ends.end(ends.writer())
    bell = ends.directory / "bell"
    bell.unlink()
    bell.write_bytes(b"")
    reader = ends.reader()
    assert reader.fifo is None
    reader.clear_notification()
    ends.end(reader)
    ends.writer().append(b"a b=1 1\n")
    reader = ends.reader()
    assert reader.fifo is not None
    assert select.select([reader.fifo], [], [], 5)[0] == [reader.fifo]
    reader.clear_notification()
    assert select.select([reader.fifo], [], [], 0)[0] == []
    assert everything(reader) == [b"a b=1 1"]


def test_a_writer_that_ends_is_no_ring(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    ends.end(writer)
    assert reader.fifo is not None
    assert select.select([reader.fifo], [], [], 0)[0] == []


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


def test_a_removed_segment_is_recreated(ends: Ends) -> None:
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


def test_a_spool_that_was_moved_away_is_known_though_another_is_in_its_place(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    ends.directory.rename(ends.directory.with_name("old"))
    assert reader.removed is True
    writer.append(b"a b=1 1\n")
    assert ends.directory.exists()
    assert reader.removed is True


def test_a_removed_folder_is_recreated_with_the_next_line_and_losses_are_counted(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    writer.append(batch(numbered(5)))
    everything(reader)
    reader.commit(2)
    shutil.rmtree(ends.directory)
    writer.append(batch(numbered(1, first=6)))
    writer.append(batch(numbered(1, first=7)))
    assert ends.said == [
        f"the spool {ends.directory} was removed, and is made again; up to 3 lines were in it that were not delivered"
    ]
    again = ends.reader()
    assert everything(again) == numbered(2, first=6)
    assert (again.number, again.missing) == (7, 3)
    assert again.fifo is not None
    with pytest.raises(Busy):
        ends.writer()


def test_a_removed_folder_that_held_nothing_more_costs_nothing(ends: Ends) -> None:
    writer, reader = ends.writer(), ends.reader()
    writer.append(batch(numbered(5)))
    everything(reader)
    reader.commit(5)
    shutil.rmtree(ends.directory)
    writer.append(batch(numbered(1, first=6)))
    assert ends.said == [f"the spool {ends.directory} was removed, and is made again"]
    again = ends.reader()
    assert everything(again) == numbered(1, first=6)
    assert again.missing == 0


def test_a_removed_folder_that_cannot_be_made_again_ends_the_writer(ends: Ends) -> None:
    writer = ends.writer()
    writer.append(b"a b=1 1\n")
    shutil.rmtree(ends.directory)
    ends.directory.touch()
    for _ in range(2):
        with pytest.raises(Unwritable, match="was removed, and cannot be made again: File exists"):
            writer.append(b"a b=2 2\n")


# --- one writer, one reader -------------------------------------------------------------------------


def test_a_second_writer_and_a_second_reader_are_rejected(ends: Ends) -> None:
    ends.writer()
    with pytest.raises(
        Busy, match=f"the process {os.getpid()} writes to the spool .*; give each collector its own folder"
    ):
        ends.writer()
    ends.reader()
    with pytest.raises(Busy, match="another process reads the spool"):
        ends.reader()


def test_without_a_spool_there_is_nothing_to_read_and_nothing_is_made(ends: Ends) -> None:
    with pytest.raises(FileNotFoundError):
        ends.reader()
    assert not ends.directory.exists()


def test_a_folder_of_something_else_is_no_spool_and_nothing_is_left_in_it(ends: Ends) -> None:
    ends.directory.mkdir()
    (ends.directory / "letter.txt").touch()
    with pytest.raises(FileNotFoundError):
        ends.reader()
    assert [path.name for path in ends.directory.iterdir()] == ["letter.txt"]


def test_a_spool_that_holds_no_line_yet_is_one(ends: Ends) -> None:
    ends.end(ends.writer())
    assert everything(ends.reader()) == []


def test_the_group_may_write_the_position_and_the_bell_and_nothing_else(ends: Ends) -> None:
    mask = os.umask(0o027)
    try:
        ends.writer().append(b"a b=1 1\n")
    finally:
        os.umask(mask)
    rights = {path.name: path.stat().st_mode & 0o777 for path in ends.directory.iterdir()}
    assert rights == {"bell": 0o660, "position": 0o660, "writer": 0o640, segment_name(1): 0o640}
    assert ends.directory.stat().st_mode & 0o777 == 0o750


# --- whole segments that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["first", "last", "all"])
def test_lines_of_segments_that_are_gone_are_missing(ends: Ends, gone: str) -> None:
    writer = ends.writer(max_bytes=1 << 14)
    writer.append(batch(numbered(150)))
    ends.end(writer)
    files = ends.files()
    assert len(files) > 2
    for path in {"first": files[:1], "last": files[-1:], "all": files}[gone]:
        path.unlink()
    again = ends.writer(max_bytes=1 << 14)
    again.append(batch(numbered(1, first=151)))
    reader = ends.reader()
    found = everything(reader)
    assert found[-1:] == numbered(1, first=151)
    assert len(found) + reader.missing == 151
    assert reader.missing > 0


def test_lines_with_the_position_of_another_spool_are_delivered_and_that_is_reported(ends: Ends) -> None:
    writer = ends.writer()
    writer.append(batch(numbered(20)))
    ends.end(writer)
    (ends.directory / "position").write_bytes(encode_position(5000))
    reader = ends.reader()
    assert "there is no such line" in reader.notice
    assert reader.waiting()[0] == 20
    assert everything(reader) == numbered(20)
    ends.writer().append(batch(numbered(1, first=5001)))
    assert everything(reader) == numbered(1, first=5001)
    assert reader.missing == 0


def test_a_position_that_fits_is_not_reported(ends: Ends) -> None:
    ends.writer().append(batch(numbered(20)))
    reader = ends.reader()
    assert reader.notice == ""
    everything(reader)
    reader.commit(20)
    ends.end(reader)
    again = ends.reader()
    assert (again.notice, everything(again)) == ("", [])


def test_lines_before_the_oldest_are_named_where_the_position_is_lost(ends: Ends) -> None:
    writer = ends.writer(max_bytes=1 << 14)
    writer.append(batch(numbered(150)))
    ends.files()[0].unlink()
    (ends.directory / "position").write_bytes(b"damaged")
    reader = ends.reader()
    first = int(ends.files()[0].name.removesuffix(".lines"))
    assert f"up to {first - 1} before them may not have been delivered" in reader.notice
    assert len(everything(reader)) == 151 - first
