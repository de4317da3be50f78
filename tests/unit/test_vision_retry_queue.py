"""The folder of pictures that wait for a later try: bounded, whole, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.vision.retry_queue import RetryQueue

DAY_NS = 86_400 * 10**9


class Clock:
    """A wall clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        self.now += 10**9
        return self.now


def contents(kept: RetryQueue) -> list[bytes | None]:
    """The contents of the queue, in the order of their retries."""
    return [kept.read(kept.next() or "") for _ in range(len(kept))]


def test_messages_return_oldest_first_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    kept = RetryQueue(str(tmp_path / "new"), 1000, 1, clock)
    for text in (b"one", b"two", b"three"):
        assert kept.add(text) == 0
    assert contents(kept) == [b"one", b"two", b"three"]
    again = RetryQueue(str(tmp_path / "new"), 1000, 1, clock)
    assert contents(again) == [b"one", b"two", b"three"]
    assert again.bytes == kept.bytes == 11


def test_oldest_messages_are_dropped_and_counted_beyond_the_size_limit(tmp_path: Path) -> None:
    kept = RetryQueue(str(tmp_path), 250, 1, Clock())
    dropped = [kept.add(bytes([number]) * 100) for number in range(4)]
    assert dropped == [0, 0, 1, 1]
    assert contents(kept) == [bytes([2]) * 100, bytes([3]) * 100]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == kept.bytes == 200


def test_message_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    kept = RetryQueue(str(tmp_path), 10, 1, Clock())
    assert kept.add(b"x" * 11) == 1
    assert list(tmp_path.iterdir()) == []
    assert kept.bytes == 0


def test_same_message_is_stored_once(tmp_path: Path) -> None:
    clock = Clock()
    kept = RetryQueue(str(tmp_path), 1000, 1, clock)
    kept.add(b"one")
    kept.add(b"one")
    RetryQueue(str(tmp_path), 1000, 1, clock).add(b"one")
    assert len(list(tmp_path.iterdir())) == 1


def test_expired_messages_are_dropped_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    kept = RetryQueue(str(tmp_path), 1000, 1, clock)
    kept.add(b"one")
    clock.now += DAY_NS // 2
    kept.add(b"two")
    assert kept.expire() == 0
    clock.now += DAY_NS // 2
    assert kept.expire() == 1
    assert contents(kept) == [b"two"]


def test_clock_set_back_expires_nothing(tmp_path: Path) -> None:
    clock = Clock()
    kept = RetryQueue(str(tmp_path), 1000, 1, clock)
    kept.add(b"one")
    clock.now = 0
    assert kept.expire() == 0


def test_incomplete_file_is_removed_and_other_files_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    RetryQueue(str(tmp_path), 1000, 1, clock).add(b"one")
    (whole,) = tmp_path.iterdir()
    (tmp_path / f".{whole.name}.0123abcd.part").write_bytes(b"o")
    (tmp_path / "readme.txt").write_text("mine")
    kept = RetryQueue(str(tmp_path), 1000, 1, clock)
    assert len(kept) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((whole.name, "readme.txt"))


def test_message_removed_by_hand_is_forgotten(tmp_path: Path) -> None:
    kept = RetryQueue(str(tmp_path), 1000, 1, Clock())
    kept.add(b"one")
    name = kept.next()
    assert name is not None
    (tmp_path / name).unlink()
    assert kept.read(name) is None
    assert (len(kept), kept.bytes) == (0, 0)
    assert kept.next() is None


def test_message_that_fails_again_does_not_block_the_next(tmp_path: Path) -> None:
    kept = RetryQueue(str(tmp_path), 1000, 1, Clock())
    for text in (b"one", b"two"):
        kept.add(text)
    assert [kept.read(kept.next() or "") for _ in range(3)] == [b"one", b"two", b"one"]


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = RetryQueue(str(tmp_path / "other" / "folder"), 1000, 1, Clock())
    (tmp_path / "other").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        kept.add(b"one")
