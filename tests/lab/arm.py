"""ARM userland without a machine: Debian roots whose programs qemu-user runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from tests.e2e import outside, roots, wheels
from tests.lab.images import PROJECT, cache, layers

BINFMT = Path("/proc/sys/fs/binfmt_misc")

#: The libraries of the tests, with their dependencies.
TEST_LIBRARIES = (
    "hypothesis",
    "iniconfig",
    "packaging",
    "pluggy",
    "pygments",
    "pytest",
    "pytest-timeout",
    "sortedcontainers",
)


class Architecture(NamedTuple):
    """An architecture of a Pi's operating system.

    Args:
        name: Debian's.
        platforms: tags of wheels, best first.
        emulator: of qemu-user-static.
        machine: number in the header of a program (elf.h).
        bits: of an address.
    """

    name: str
    platforms: tuple[str, ...]
    emulator: str
    machine: int
    bits: int

    @property
    def magic(self) -> tuple[str, str]:
        """The start of its programs and the mask of the bytes that count, for binfmt_misc."""
        kind = 2 if self.bits == 64 else 1
        start = bytes([0x7F, *b"ELF", kind, 1, 1, *bytes(9), 2, 0, self.machine, 0])
        # Any operating system's ABI, and programs as well as shared objects (types 2 and 3).
        mask = bytes([0xFF] * 7 + [0x00] + [0xFF] * 8 + [0xFE] + [0xFF] * 3)
        return tuple("".join(f"\\x{byte:02x}" for byte in text) for text in (start, mask))  # type: ignore[return-value]


ARM64 = Architecture(
    "arm64", ("manylinux_2_28_aarch64", "manylinux2014_aarch64"), "/usr/bin/qemu-aarch64-static", 183, 64
)
ARMHF = Architecture("armhf", ("manylinux2014_armv7l",), "/usr/bin/qemu-arm-static", 40, 32)


@contextmanager
def emulated(architecture: Architecture) -> Iterator[str]:
    """Let the kernel run the programs of an architecture; yields a sentence if that fails."""
    name = f"sensetig-lab-{architecture.name}"
    if not (BINFMT / "register").exists():
        done = subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], capture_output=True, text=True, check=False
        )
        if done.returncode:
            yield f"binfmt_misc cannot be mounted: {done.stderr.strip()}"
            return
    if (BINFMT / name).exists():
        (BINFMT / name).write_text("-1")  # a run that was killed has left it
    start, mask = architecture.magic
    # F: the emulator is opened now, so that it need not be in the root.
    (BINFMT / "register").write_text(f":{name}:M::{start}:{mask}:{architecture.emulator}:F")
    try:
        yield ""
    finally:
        (BINFMT / name).write_text("-1")


def resolve(architecture: Architecture, version: str, extras: str, pins: Path) -> None:
    """Let pip choose wheels for the package with these extras. Raises RuntimeError if there are none."""
    pins.write_text(wheels.pinned_for(version, (PROJECT / "constraints.txt").read_text()))
    outside.pip(
        "install", f"wheels of {extras} for {architecture.name}", cache(), "--dry-run", "--ignore-installed",
        *_for(architecture, version, pins.parent / "none"), "--constraint", pins, f"{PROJECT}[{extras}]", seconds=900,
    )  # fmt: skip


def libraries(architecture: Architecture, version: str, extras: Sequence[str]) -> Path:
    """A folder with the pinned libraries of extras, and pytest's, as wheels for a Python of another architecture.

    psutil is left out: it comes from the operating system, as on a 32-bit Pi, for which it has no wheel.
    """
    pins = sorted({*_pins(architecture, version, extras), *_pins_of_tests()})
    name = sha256(repr((architecture.name, version, pins)).encode()).hexdigest()[:12]
    return roots.kept(cache() / f"libraries-{name}", partial(_install, architecture, version, pins))


def _pins(architecture: Architecture, version: str, extras: Sequence[str]) -> Iterator[str]:
    environment = {"python_version": version, "python_full_version": f"{version}.0", "platform_machine": "aarch64"}
    if architecture.bits == 32:
        environment["platform_machine"] = "armv7l"
    for extra in extras:
        for line in (PROJECT / "requirements" / f"{extra}.txt").read_text().splitlines():
            if line and not line.startswith((" ", "#")):
                found = Requirement(line.removesuffix("\\"))
                if found.name != "psutil" and (found.marker is None or found.marker.evaluate(environment)):
                    yield f"{found.name}{found.specifier}"


def _pins_of_tests() -> Iterator[str]:
    for line in (PROJECT / "constraints.txt").read_text().splitlines():
        if line.split("==")[0] in TEST_LIBRARIES:
            yield line.split(" ")[0]


def _install(architecture: Architecture, version: str, pins: Sequence[str], folder: Path) -> None:
    outside.pip(
        "install", f"wheels for {architecture.name}", cache(), "--no-deps", "--no-compile",
        *_for(architecture, version, folder), *pins, seconds=900,
    )  # fmt: skip


def _for(architecture: Architecture, version: str, folder: Path) -> Iterator[str]:
    """Options of pip for a folder of libraries of another architecture."""
    yield from (f"--target={folder}", "--only-binary=:all:", f"--python-version={version}")
    yield from (f"--platform={platform}" for platform in architecture.platforms)


#: Runs pytest in a root. All mounts are in a namespace that ends with the programs in it: whatever ends the lab, no
#: folder of this machine is left mounted below one that the lab removes.
_RUN_TESTS = """
set -e
options=$1 system=$2 checkout=$3 libraries=$4
shift 4
mount -t overlay overlay -o "$options" "$system"
mkdir -p "$system/opt/checkout" "$system/opt/libraries"
mount --bind "$checkout" "$system/opt/checkout"
mount --bind "$libraries" "$system/opt/libraries"
mount --rbind /dev "$system/dev"
mount -t proc proc "$system/proc"
exec chroot "$system" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/checkout:/opt/libraries sh -c 'cd /opt/checkout && exec python3 -m pytest "$@"' sh "$@"
"""


def run_tests(root: Path, libraries: Path, work: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of the checkout with pytest in a root.

    Args:
        root: with Python, not written to.
        libraries: installed for it.
        work: an empty folder on the disk of the cache.
        tests: paths and options.
    """
    options, system = layers(root, work)
    return subprocess.run(
        [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _RUN_TESTS, "sh",
            options, system, PROJECT, libraries, "-q", "-p", "no:cacheprovider", "--hypothesis-profile=emulated",
            *tests,
        ],
        capture_output=True, text=True, check=False, timeout=1700,
    )  # fmt: skip
