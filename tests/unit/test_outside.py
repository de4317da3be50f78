"""The messages of `make lab` and `make e2e` if neither the cache nor the network has a file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import outside
from tests.lab import images
from tests.lab.conftest import memory, processor


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_an_archive_that_is_unreachable_is_named_with_the_cache(closed: str, tmp_path: Path) -> None:
    with pytest.raises(outside.Unreachable) as raised:
        outside.reach_archive("trixie", closed, tmp_path)
    message = str(raised.value)
    assert message.startswith(
        f"packages of trixie are not in the cache {tmp_path}, and {closed}/dists/trixie/Release cannot be reached: "
    )
    assert "\n" not in message


def test_an_index_that_is_unreachable_is_named_with_the_cache(closed: str, tmp_path: Path) -> None:
    with pytest.raises(outside.Unreachable) as raised:
        outside.pip(
            "download", "wheels", tmp_path, "--isolated", "--index-url", closed, "--no-deps", "--dest", tmp_path,
            "sensetig-nothing", seconds=900,
        )  # fmt: skip
    message = str(raised.value)
    assert message.startswith(f"wheels are not in the cache {tmp_path}, and pip cannot reach its index: ")
    assert "127.0.0.1" in message
    assert "\n" not in message


def test_a_wheel_that_does_not_exist_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"pip cannot download wheels: .*sensetig-nothing") as raised:
        outside.pip("download", "wheels", tmp_path, "--no-index", "--dest", tmp_path, "sensetig-nothing", seconds=900)
    assert not isinstance(raised.value, outside.Unreachable)


def test_without_rtimulib_a_sentence_says_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENSETIG_CACHE", str(tmp_path))
    monkeypatch.setenv("SENSETIG_RTIMULIB", str(tmp_path / "clone"))
    assert images.rtimulib.__wrapped__() == (
        f"RTIMULib is not in the cache {tmp_path}/lab and cannot be fetched from {tmp_path}/clone; set "
        f"SENSETIG_RTIMULIB to a repository that has commit {images.RTIMULIB_COMMIT}"
    )


def test_a_machine_that_does_not_fit_into_the_memory_is_not_started(tmp_path: Path) -> None:
    source = tmp_path / "meminfo"
    source.write_text("MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 3145728 kB\n")
    assert memory(2, source) == ""
    assert memory(3, source) == "QEMU takes 4 GB of memory, and 3.0 GB are available"
    assert memory(0, source) == ""


def test_the_lab_runs_on_a_pc_alone() -> None:
    assert processor("x86_64") == ""
    assert processor("aarch64") == "the lab takes a 64-bit PC, and this machine is aarch64"
