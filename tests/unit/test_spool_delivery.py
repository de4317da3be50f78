"""The collector that delivers a spool: its batches, and when it records its position."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from errno import EACCES, ENOSPC
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.spool import SPOOL
from collectors.spool.delivery import POLL_SECONDS, REPORT_SECONDS, Delivery
from collectors.spool.reader import Reader
from collectors.spool.record import decode_position, encode, segment_name
from collectors.spool.writer import Writer
from tests.schema_check import violations

_SECONDS = 30


class Stage:
    """A spool, a clock that the test moves, and a delivery; its requested waits are recorded."""

    def __init__(
        self,
        folder: Path,
        *,
        redeliver_seconds: float = 60.0,
        once: bool = False,
        reader: type[Reader] = Reader,
    ) -> None:
        self.folder = folder
        self.seconds = 100.0
        self.said: list[str] = []
        self.waits: list[tuple[float, int | None]] = []
        self.writer = self.open_writer()
        self.reader = reader(str(folder))
        self.delivery = Delivery(
            self.reader,
            "hall",
            redeliver_seconds,
            once,
            ErrorReporter("spool", self.said.append),
            lambda: 17,
            lambda: self.seconds,
        )
        self.batches: Iterator[list[Metric]] = map(list, self.delivery.stream(self.wait))

    def open_writer(self) -> Writer:
        return Writer(
            str(self.folder),
            events=(),
            max_bytes=1 << 20,
            sync_seconds=60,
            complain=self.said.append,
            timer=lambda: self.seconds,
        )

    def wait(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Time passes as long as it is waited for; nothing rings."""
        self.waits.append((seconds, descriptor))
        self.seconds += seconds
        return False

    def write(self, *values: int) -> None:
        self.writer.append("".join(f"probe number={value}i {value}\n" for value in values).encode())

    @property
    def position(self) -> int | None:
        return decode_position((self.folder / "position").read_bytes())

    def close(self) -> None:
        self.delivery.close()
        self.writer.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path / "spool")
    yield opened
    opened.close()


def numbers(batch: list[Metric]) -> list[object]:
    return [metric.fields.get("number") for metric in batch]


def states(batches: list[list[Metric]]) -> list[dict[str, object]]:
    return [dict(metric.fields) for batch in batches for metric in batch if metric.series.measurement == "spool"]


def test_waiting_lines_are_reported_before_delivery(stage: Stage) -> None:
    stage.write(1, 2)
    stage.write(3)
    first, second, third = next(stage.batches), next(stage.batches), next(stage.batches)
    ((state,),) = (first,)
    assert [*violations(state, (SPOOL,))] == []
    assert state.series.tags == {"spool": "hall"}
    assert state.fields["waiting_lines"] == 3
    assert numbers(second) == [1, 2, 3]
    assert third[0].fields == {"waiting_lines": 0, "waiting_bytes": 0, "delivered": 3, "dropped": 0}


def test_lines_keep_their_own_times_and_tags(stage: Stage) -> None:
    stage.writer.append(
        b'camera_event,camera=Front\\ door,kind=start score=1.5,thumbnail="a,b c=\\"d\\"" 1700000000000000001\n'
    )
    next(stage.batches)
    (metric,) = next(stage.batches)
    assert metric.series.tags == {"camera": "Front door", "kind": "start"}
    assert metric.fields == {"score": 1.5, "thumbnail": 'a,b c="d"'}
    assert metric.time_ns == 1700000000000000001


def test_nothing_is_put_down_before_it_was_written_and_is_old_enough(stage: Stage) -> None:
    stage.write(1)
    next(stage.batches)
    next(stage.batches)
    begun = stage.seconds
    while stage.position == 0:
        next(stage.batches)
    assert stage.position == 1
    assert 60 < stage.seconds - begun <= 60 + 2 * REPORT_SECONDS
    assert all(seconds == 0 or descriptor == stage.reader.fifo for seconds, descriptor in stage.waits)


def test_a_batch_is_put_down_only_after_the_next_is_asked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "spool", redeliver_seconds=0, once=True)
    stage.write(1)
    next(stage.batches)
    assert numbers(next(stage.batches)) == [1]
    assert stage.position == 0, "the runner may not have written it yet"
    rest = list(stage.batches)
    assert stage.position == 1
    assert states(rest)[-1]["delivered"] == 1
    stage.close()


def test_once_ends_when_there_is_nothing_left_and_waits_for_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "spool", redeliver_seconds=0, once=True)
    assert [state["waiting_lines"] for state in states(list(stage.batches))] == [0]
    assert stage.waits == []
    stage.close()


def test_without_a_bell_it_looks_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / segment_name(1)).write_bytes(encode(1, b"probe number=1i 1"))
    reader = Reader(str(folder))
    waits: list[tuple[float, int | None]] = []

    def wait(seconds: float, descriptor: int | None = None, /) -> bool:
        waits.append((seconds, descriptor))
        return len(waits) == 2

    delivery = Delivery(reader, "x", 60, False, ErrorReporter("spool", pytest.fail), lambda: 17, lambda: 0.0)
    assert len(list(delivery.stream(wait))) == 2
    assert waits == [(0, None), (POLL_SECONDS, None)]
    delivery.close()


class FullDisk(Reader):
    """Its position cannot be written."""

    def commit(self, number: int) -> None:
        if number:
            raise OSError(ENOSPC, os.strerror(ENOSPC))


def test_a_position_that_cannot_be_put_down_is_counted_and_delivery_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "spool", redeliver_seconds=0, once=True, reader=FullDisk)
    stage.write(1)
    assert [numbers(batch) for batch in stage.batches][1] == [1]
    assert stage.said == [
        "E! spool: the position in the spool cannot be written: No space left on device; "
        "lines may be delivered again after a restart"
    ]
    stage.close()


def test_invalid_line_protocol_is_counted_and_skipped(stage: Stage) -> None:
    stage.writer.append(b"probe number=1i 1\nnonsense\nprobe number=3i 3\n")
    next(stage.batches)
    assert numbers(next(stage.batches)) == [1, 3]
    assert len(stage.said) == 1
    assert "a line that is not line protocol: column 1" in stage.said[0]


def test_lost_and_damaged_lines_are_reported_and_counted(stage: Stage) -> None:
    stage.write(1, 2, 3)
    (segment,) = stage.folder.glob("*.lines")
    segment.write_bytes(segment.read_bytes().replace(b"number=2i", b"number=9i"))
    assert next(stage.batches)[0].fields["dropped"] == 1
    assert numbers(next(stage.batches)) == [1, 3]
    assert stage.said == [
        "E! spool: lines missing from the spool: 1; it or the disk was full for a while, or a file is damaged",
        "E! spool: damaged records of the spool that were skipped: 1",
    ]
    assert next(stage.batches)[0].fields["dropped"] == 0


def test_a_spool_that_was_removed_ends_the_collector(stage: Stage) -> None:
    next(stage.batches)
    for path in stage.folder.iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match="the spool was removed"):
        next(stage.batches)


@pytest.mark.parametrize("after", [0.0, REPORT_SECONDS])
def test_a_spool_that_was_removed_with_its_folder_ends_the_collector_with_the_same_sentence(
    stage: Stage, after: float
) -> None:
    next(stage.batches)
    shutil.rmtree(stage.folder)
    stage.seconds += after
    with pytest.raises(Unavailable, match="the spool was removed; a restart of this collector opens it again"):
        next(stage.batches)


class Forbidden(Reader):
    """Its folder's rights were taken away after it was opened."""

    def read(self) -> list[bytes]:
        raise PermissionError(EACCES, os.strerror(EACCES))


def test_a_spool_that_cannot_be_read_any_more_ends_the_collector_with_a_sentence(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "spool", reader=Forbidden)
    with pytest.raises(Unavailable, match=r"^the spool cannot be read any more: Permission denied$"):
        next(stage.batches)
    stage.close()
