"""Media on disk: complete or absent, within the budget, and without touching other files."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.camera.media.recorder import Worker
from collectors.camera.media.store import MediaError, Store
from collectors.core.api import Unavailable
from tests.unit.camera_media_support import BASE_NS, Usage

ROOT = Path(__file__).resolve().parents[2]
DAY_NS = 86_400 * 10**9
NOBODY = 65_534


def store(
    root: Path,
    *,
    max_bytes: int = 10**9,
    max_days: int = 30,
    now_ns: int = BASE_NS,
    usage: Callable[[], Usage] = Usage,
) -> Store:
    return Store(
        str(root),
        max_bytes=max_bytes,
        max_days=max_days,
        clock_ns=lambda: now_ns,
        disk_usage=lambda _: usage(),
    )


def name(number: int, ending: str = "jpg") -> str:
    return f"20261121T08{number:04d}.000000Z-door.{ending}"


def files(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file() and each.name != ".lock")


def test_file_is_stored_in_the_folder_of_its_utc_day(tmp_path: Path) -> None:
    made = store(tmp_path)
    path = made.relative(BASE_NS, name(1))
    made.write(path, b"picture")
    assert path == f"2026/11/21/{name(1)}"
    assert (tmp_path / path).read_bytes() == b"picture"
    assert files(tmp_path) == [path]
    assert made.size == 7


def test_oldest_files_and_their_folders_are_deleted_beyond_the_size_limit(tmp_path: Path) -> None:
    made = store(tmp_path, max_bytes=1000)
    for day in range(5):
        made.write(made.relative(BASE_NS + day * DAY_NS, f"2026112{1 + day}T080000.000000Z-door.jpg"), b"x" * 400)
    assert [path[:10] for path in files(tmp_path)] == ["2026/11/24", "2026/11/25"]
    assert sorted(each.name for each in (tmp_path / "2026/11").iterdir()) == ["24", "25"]
    assert made.size == 800


def test_rewritten_file_counts_once(tmp_path: Path) -> None:
    made = store(tmp_path)
    path = made.relative(BASE_NS, name(1))
    made.write(path, b"x" * 100)
    made.write(path, b"x" * 50)
    assert made.size == 50


def test_media_beyond_the_maximum_age_are_deleted(tmp_path: Path) -> None:
    first = store(tmp_path)
    for day in (0, 5, 9):
        first.write(first.relative(BASE_NS + day * DAY_NS, f"2026112{1 + day}T080000.000000Z-door.mp4"), b"x")
    first.close()
    later = store(tmp_path, max_days=7, now_ns=BASE_NS + 10 * DAY_NS)
    later.make_room()
    assert [path[:10] for path in files(tmp_path)] == ["2026/11/26", "2026/11/30"]


def test_age_is_counted_to_the_second(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.write(f"2026/11/21/{name(0)}", b"1")
    made.write(f"2026/11/21/{name(10)}", b"1")
    made.close()
    old = store(tmp_path, now_ns=BASE_NS + 30 * DAY_NS + 5 * 10**9)
    old.expire()
    assert files(tmp_path) == [f"2026/11/21/{name(10)}"]
    old.close()


def test_other_files_are_neither_counted_nor_deleted(tmp_path: Path) -> None:
    others = [
        "2026/11/21/holiday.jpg",
        "2026/11/21/.holiday.part",
        "2026/notes.txt",
        "keep.mp4",
        "music/11/21/" + name(1),
    ]
    for path in others:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x" * 5000)
    made = store(tmp_path, max_bytes=1000)
    for number in range(4):
        made.write(made.relative(BASE_NS, name(number)), b"x" * 400)
    assert files(tmp_path) == sorted([*others, f"2026/11/21/{name(2)}", f"2026/11/21/{name(3)}"])
    assert made.size == 800


def test_file_beyond_the_size_limit_is_rejected_without_remains(tmp_path: Path) -> None:
    made = store(tmp_path, max_bytes=1000)
    with pytest.raises(MediaError, match="one file exceeds the limit for all media in"):
        made.write(made.relative(BASE_NS, name(1)), b"x" * 1001)
    assert files(tmp_path) == []


def test_oldest_files_are_deleted_to_keep_a_twentieth_of_the_disk_free(tmp_path: Path) -> None:
    made = store(tmp_path, usage=lambda: Usage(total=100_000, free=6_200 - used()))

    def used() -> int:
        return sum((tmp_path / path).stat().st_size for path in files(tmp_path))

    for number in range(6):
        made.write(made.relative(BASE_NS, name(number)), b"x" * 400)
    assert 6_200 - used() >= 5_000
    assert files(tmp_path) == [f"2026/11/21/{name(number)}" for number in (3, 4, 5)]


def test_disk_filled_by_other_files_is_reported_and_keeps_the_media(tmp_path: Path) -> None:
    free = 50_000
    made = store(tmp_path, usage=lambda: Usage(total=100_000, free=free))
    made.write(made.relative(BASE_NS, name(1)), b"x" * 400)
    free = 1_000
    with pytest.raises(MediaError, match="is full except for 5%, which is kept free; nothing is recorded until"):
        made.write(made.relative(BASE_NS, name(2)), b"x" * 400)
    assert files(tmp_path) == [f"2026/11/21/{name(1)}"]


def test_unwritable_folder_is_reported_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match=r"the folder for media, .*file, cannot be used: File exists"):
        store(tmp_path / "file")
    made = store(tmp_path)
    (tmp_path / "2026").write_text("in the way")
    with pytest.raises(MediaError, match="cannot be created: Not a directory"):
        made.write(made.relative(BASE_NS, name(1)), b"x")


def test_file_removed_by_others_is_not_an_error(tmp_path: Path) -> None:
    made = store(tmp_path, max_bytes=1000)
    made.write(made.relative(BASE_NS, name(1)), b"x" * 600)
    (tmp_path / f"2026/11/21/{name(1)}").unlink()
    made.write(made.relative(BASE_NS, name(2)), b"x" * 600)
    assert files(tmp_path) == [f"2026/11/21/{name(2)}"]
    assert made.size == 600


def test_day_removed_by_others_is_created_again(tmp_path: Path) -> None:
    made = store(tmp_path, max_bytes=1000)
    for number in (1, 2):
        made.write(made.relative(BASE_NS, name(number)), b"x" * 400)
    shutil.rmtree(tmp_path / "2026/11/21")
    made.write(made.relative(BASE_NS + DAY_NS, "20261122T080000.000000Z-door.jpg"), b"x" * 700)
    made.write(made.relative(BASE_NS, name(3)), b"x" * 300)
    assert files(tmp_path) == [f"2026/11/21/{name(3)}", "2026/11/22/20261122T080000.000000Z-door.jpg"]
    assert made.size == 1000


class Swept(Store):
    """A store whose folders are removed between their creation and the first write."""

    sweeps = 0

    def begin(self, relative: str) -> str:
        """Begin as the store does, then remove the folder, up to *sweeps* times."""
        part = super().begin(relative)
        if self.sweeps > 0:
            self.sweeps -= 1
            shutil.rmtree(os.path.join(self.root, "2026"))
        return part


def test_folder_removed_during_a_write_is_created_again_once(tmp_path: Path) -> None:
    made = Swept(str(tmp_path), max_bytes=1000, max_days=30, clock_ns=lambda: BASE_NS, disk_usage=lambda _: Usage())
    path = made.relative(BASE_NS, name(1))
    made.sweeps = 1
    made.write(path, b"x" * 400)
    assert files(tmp_path) == [path]
    made.sweeps = 2
    with pytest.raises(MediaError, match="cannot be written: No such file or directory"):
        made.write(made.relative(BASE_NS, name(2)), b"x" * 400)


def test_file_that_cannot_be_deleted_is_reported_and_still_counted(tmp_path: Path) -> None:
    made = store(tmp_path, max_bytes=1000)
    made.write(made.relative(BASE_NS, name(1)), b"x" * 600)
    path = tmp_path / f"2026/11/21/{name(1)}"
    path.unlink()
    path.mkdir()  # not even root can unlink a folder
    for _ in range(2):
        with pytest.raises(MediaError, match="cannot be deleted to make room: Is a directory"):
            made.write(made.relative(BASE_NS, name(2)), b"x" * 600)
        assert made.size == 600
    path.rmdir()
    made.write(made.relative(BASE_NS, name(2)), b"x" * 600)
    assert made.size == 600


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder of an ordinary user, as whom the test goes on: root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_unreadable_day_is_reported_at_the_start_and_releases_the_folder(own_folder: Path) -> None:
    day = own_folder / "2026/11/20"
    day.mkdir(parents=True)
    day.chmod(0)
    try:
        with pytest.raises(Unavailable, match=r"the media in .* cannot be counted: .*/2026/11/20: Permission denied; "):
            store(own_folder)
    finally:
        day.chmod(0o700)
    store(own_folder).close()


def test_incomplete_file_that_cannot_be_removed_is_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / f"2026/11/20/.{name(1)}.part").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"cannot be counted: .*\.part: Is a directory; "):
        store(tmp_path)


def test_file_of_unknown_size_is_reported_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / f"2026/11/20/{name(1)}"
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    with pytest.raises(Unavailable, match=r"cannot be counted: .*\.jpg: Too many levels of symbolic links; "):
        store(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
from tests.unit.camera_media_support import MOVING, Bench
bench = Bench(Path(sys.argv[1]))
bench.show(0, 3)
bench.event("start", 3, 0.2, bench.show(3, 3.3, MOVING))
bench.show(3.3, 8, MOVING)
while not any(name.endswith(".part") for name in bench.files()):
    time.sleep(0.01)
print("recording", flush=True)
bench.show(8, 60, MOVING)
time.sleep(600)
"""


def test_kill_9_leaves_no_incomplete_file_and_releases_the_folder(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recording\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    (left,) = files(tmp_path)
    assert left.endswith(".mp4.part")
    made = store(tmp_path)
    assert files(tmp_path) == []
    assert made.size == 0


# --- the thread --------------------------------------------------------------------------------------


def test_jobs_run_in_order_and_too_many_are_rejected() -> None:
    hold, held = threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        held.set()
        assert hold.wait(60)

    worker = Worker("test", print)
    assert worker.put(first)
    assert held.wait(60)
    taken = [worker.put(functools.partial(done.append, number), max_jobs=3) for number in range(5)]
    hold.set()
    assert worker.close(60)
    assert taken == [True, True, True, False, False]
    assert done == [0, 1, 2]
    assert not worker.put(hold.clear), "after the end nothing is taken"


def test_failed_job_is_reported_and_the_next_one_runs() -> None:
    told: list[str] = []
    done = threading.Event()
    worker = Worker("test", told.append)
    worker.put(lambda: [0].index(1))
    worker.put(done.set)
    assert worker.close(60)
    assert done.is_set()
    assert len(told) == 1
    assert told[0].startswith("ValueError: ")


def test_worker_that_does_not_finish_is_abandoned_after_the_timeout() -> None:
    hold = threading.Event()
    worker = Worker("test", print)
    worker.put(lambda: hold.wait(60))
    assert not worker.close(0.05)
    hold.set()
    assert worker.close(60)
