"""The machines that the tests share. Each part is skipped with a reason where something for it is missing."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from tests.e2e import probe
from tests.e2e.outside import Unreachable
from tests.lab import images
from tests.lab.board import Board
from tests.lab.guest import Guest, Program
from tests.lab.machines import GIGABYTES, PI_GIGABYTES, joystick, raspberry_pi_machine, sense_hat_machine

Made = TypeVar("Made")

#: The programs that each part takes, and the packages that have them.
_ROOTS = {"debootstrap": "debootstrap", "depmod": "kmod", "git": "git"}
_PC = {**_ROOTS, "qemu-system-x86_64": "qemu-system-x86"}
_ARM = {**_ROOTS, "qemu-system-aarch64": "qemu-system-arm"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start machines only on request: it takes minutes, and root."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))
            if not os.environ.get("SENSETIG_LAB"):
                item.add_marker(pytest.mark.skip(reason="starts virtual machines, which `make lab` does"))


@contextmanager
def work() -> Iterator[Path]:
    """A folder for one machine, on the disk of the cache."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=images.cache()) as folder:
        yield Path(folder)


def today() -> date:
    """The date: roots are made again each month."""
    return datetime.now(UTC).date()


def need(programs: dict[str, str], gigabytes: int = 0) -> None:
    """Skip the part where it cannot run; *gigabytes* is the memory of its machine."""
    if reason := processor() or probe.root() or memory(gigabytes) or probe.programs(programs) or probe.overlay():
        pytest.skip(reason)


def processor(machine: str = platform.machine()) -> str:
    """A sentence if this is no PC, for which the images are made."""
    return "" if machine == "x86_64" else f"the lab takes a 64-bit PC, and this machine is {machine}"


def memory(gigabytes: int, source: Path = Path("/proc/meminfo")) -> str:
    """A sentence if the memory for a machine and for its RAM disk, which QEMU holds twice, is not available."""
    words = source.read_text().split()
    available = int(words[words.index("MemAvailable:") + 1]) / 1024**2
    wanted = gigabytes + 1 if gigabytes else 0
    return "" if available >= wanted else f"QEMU takes {wanted} GB of memory, and {available:.1f} GB are available"


def fetched(fetch: Callable[[], Made]) -> Made:
    """The result of *fetch*, from the cache or the network; skip the part if neither is possible."""
    try:
        return fetch()
    except Unreachable as error:
        pytest.skip(str(error))


def made(make: Callable[[date], Made]) -> Made:
    """The same for roots and images, which are made from packages of Debian."""
    try:
        return fetched(lambda: make(today()))
    except (RuntimeError, subprocess.TimeoutExpired):
        # The archive may have become unreachable since.
        if reason := probe.unreachable(images.SUITE):
            pytest.skip(reason)
        raise


@pytest.fixture(scope="session")
def guest() -> Iterator[Guest]:
    """The machine with the simulated board and camera."""
    need(_PC, GIGABYTES)
    with work() as folder, sense_hat_machine(made(images.sense_hat), folder) as machine:
        yield machine


@pytest.fixture(scope="session")
def board(guest: Guest) -> Board:
    """A healthy Sense HAT, with what its collector needs of Python."""
    if isinstance(missing := images.rtimulib(), str):
        pytest.skip(missing)
    found = Board(guest)
    found.plug()
    return found


@pytest.fixture(scope="session")
def raspberry_pi() -> Iterator[Guest]:
    """An emulated Raspberry Pi 3B."""
    need(_ARM, PI_GIGABYTES)
    with work() as folder, raspberry_pi_machine(made(images.raspberry_pi), folder) as machine:
        yield machine


@pytest.fixture(scope="module", name="joystick")
def plugged_joystick(guest: Guest, board: Board) -> Iterator[Program]:
    """The board's joystick, which sense-hat cannot do without."""
    del board
    with joystick(guest) as program:
        yield program
