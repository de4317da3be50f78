"""Kernels and RAM disks of the virtual machines, kept in the user's cache under a hash of their sources.

A machine has no disk: its whole root is the initial RAM disk. It boots without drivers for storage and without
initramfs-tools, whose scripts take minutes on a busy host.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tests.e2e import roots, wheels

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent

SUITE = "trixie"

#: The machine with the simulated board and camera: its kernel, and what builds modules and RTIMULib in its root.
PACKAGES = (
    "g++",
    "kmod",
    "linux-headers-amd64",
    "linux-image-amd64",
    "make",
    "python3-dev",
    "python3-pil",
    "python3-pip",
    "python3-setuptools",
    "python3-smbus",
    "python3-wheel",
)

#: Of the machine that QEMU emulates as a Raspberry Pi.
PI_PACKAGES = ("linux-image-arm64", "python3", "python3-psutil")

#: The extras of the collectors that the machine runs.
EXTRAS = "camera,mqtt,sensehat"

#: Where RTIMULib comes from, on which sense-hat builds: Debian does not have it, and the archive on PyPI is incomplete.
RTIMULIB = "https://github.com/RPi-Distro/RTIMULib"
RTIMULIB_COMMIT = "6a6e784b744bfa2d56788fc1f13d0dd62260bea7"

#: Beginnings of paths that a finished machine does not need; without them its RAM disk is half as large.
BUILD_ONLY = (
    "boot",
    "build",
    "etc/udev",
    "usr/bin/x86_64-linux-gnu-",
    "rtimulib",
    "usr/include",
    "usr/lib/gcc",
    "usr/lib/python3.13/config-",
    "usr/lib/python3.13/test",
    "usr/lib/systemd",
    "usr/lib/udev",
    "usr/lib/x86_64-linux-gnu/libasan.so",
    "usr/lib/x86_64-linux-gnu/liblsan.so",
    "usr/lib/x86_64-linux-gnu/libtsan.so",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/libexec/gcc",
    "usr/share",
    "usr/src",
    "var",
    "wheels",
)

#: The kernel's modules that the machine loads, with those that they need; the others take 400 MB.
MODULES = ("evdev", "i2c-dev", "uinput", "vivid", "sensetig_lab_i2c", "sensetig_lab_fb")

#: Of the Raspberry Pi: the card and the thermometer.
PI_MODULES = ("bcm2835", "bcm2835_thermal", "mmc_block", "sdhci-iproc")

#: Counted up when the same inputs are made into a disk in another way.
_FORM = 1


class Image(NamedTuple):
    """A machine that QEMU can boot.

    Args:
        kernel: Linux.
        initrd: initial RAM disk.
        tree: device tree, or None.
    """

    kernel: Path
    initrd: Path
    tree: Path | None = None


def cache() -> Path:
    """Where images are kept."""
    made = roots.cache().with_name("lab")
    made.mkdir(parents=True, exist_ok=True)
    return made


@lru_cache
def rtimulib() -> Path | str:
    """RTIMULib's source; a sentence if it is not in the cache and cannot be fetched.

    SENSETIG_RTIMULIB has another address, or the path of a clone.
    """
    source = os.environ.get("SENSETIG_RTIMULIB") or RTIMULIB
    try:
        return roots.kept(cache() / f"rtimulib-{RTIMULIB_COMMIT[:12]}", partial(_clone, source))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return (
            f"RTIMULib is not in the cache {cache()} and cannot be fetched from {source}; set SENSETIG_RTIMULIB to a "
            f"repository that has commit {RTIMULIB_COMMIT}"
        )


def _clone(source: str, folder: Path) -> None:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    for words in (
        ("init", "--quiet"),
        ("fetch", "--quiet", "--depth=1", source, RTIMULIB_COMMIT),
        ("checkout", "--quiet", "FETCH_HEAD"),
    ):
        subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, timeout=120, env=environ)


def sense_hat(today: date) -> Image:
    """The machine with the board and the camera, on this architecture."""
    base = roots.extended(roots.root(SUITE, today), PACKAGES)
    house = wheels.house(PROJECT, EXTRAS, pythons={SUITE: wheels.PYTHONS[SUITE]})
    source = rtimulib()
    commit = RTIMULIB_COMMIT if isinstance(source, Path) else ""
    inputs = [str(base), house.name, str(_FORM), str(BUILD_ONLY), str(MODULES), commit]
    inputs += [path.read_text() for path in sorted((HERE / "modules").iterdir())]
    name = sha256("\0".join(inputs).encode()).hexdigest()[:12]
    folder = roots.kept(cache() / f"sense-hat-{name}", partial(_make_sense_hat, base, house, source))
    return Image(folder / "vmlinuz", folder / "initrd")


def _make_sense_hat(base: Path, house: Path, source: Path | str, folder: Path) -> None:
    with overlay(base, folder / "work") as system:
        (kernel,) = (system / "lib/modules").iterdir()
        shutil.copytree(HERE / "modules", system / "build")
        _run("chroot", system, "make", "-C", f"/lib/modules/{kernel.name}/build", "M=/build", "modules")
        (kernel / "updates").mkdir()
        for each in (system / "build").glob("*.ko"):
            shutil.move(each, kernel / "updates")
        _keep_modules(system, kernel, MODULES)
        shutil.copytree(house, system / "wheels")
        pip = ("chroot", system, "python3", "-m", "pip", "install", "--quiet", "--break-system-packages", "--no-index")
        # Debian's own packages cannot be removed by pip.
        _run(
            *pip, "--ignore-installed", "--no-deps", *(f"/wheels/{wheel.name}" for wheel in sorted(house.glob("*.whl")))
        )
        if isinstance(source, Path):
            shutil.copytree(source, system / "rtimulib")
            _run(*pip, "--no-build-isolation", "--no-deps", "/rtimulib/Linux/python")
        shutil.copy(system / "boot" / f"vmlinuz-{kernel.name}", folder / "vmlinuz")
        with (folder / "initrd").open("wb") as archive:
            write_archive(archive, system, without=BUILD_ONLY)
    shutil.rmtree(folder / "work")


def _keep_modules(system: Path, kernel: Path, names: Sequence[str]) -> None:
    """Remove the kernel's modules except these and those that they need."""
    _run("depmod", "--basedir", system, kernel.name)
    listed = _run(
        "modprobe",
        "--dirname",
        system,
        "--set-version",
        kernel.name,
        "--show-depends",
        "--ignore-install",
        "--all",
        *names,
    )
    wanted = {Path(line.split()[1]).name for line in listed.splitlines() if line.startswith("insmod")}
    for each in kernel.rglob("*.ko*"):
        if each.name not in wanted:
            each.unlink()
    _run("depmod", "--basedir", system, kernel.name)


def raspberry_pi(today: date) -> Image:
    """The machine that QEMU emulates as a Raspberry Pi 3B: everything is in its RAM disk."""
    base = roots.unpacked(SUITE, today, "arm64", PI_PACKAGES)
    name = sha256(repr((base.name, PI_MODULES, _FORM)).encode()).hexdigest()[:12]
    folder = roots.kept(cache() / f"raspberry-pi-{name}", partial(_make_raspberry_pi, base))
    return Image(folder / "vmlinuz", folder / "initrd", tree=folder / "tree.dtb")


def _make_raspberry_pi(base: Path, folder: Path) -> None:
    with overlay(base, folder / "work") as system:
        (kernel,) = (system / "lib/modules").iterdir()
        shutil.copy(system / "boot" / f"vmlinuz-{kernel.name}", folder / "vmlinuz")
        tree = system / "usr/lib" / f"linux-image-{kernel.name}" / "broadcom/bcm2837-rpi-3-b.dtb"
        shutil.copy(tree, folder / "tree.dtb")
        _keep_modules(system, kernel, PI_MODULES)
        with (folder / "initrd").open("wb") as archive:
            write_archive(archive, system, without=("boot", f"usr/lib/{tree.parts[-3]}", "usr/share", "var"))
    shutil.rmtree(folder / "work")


def layers(lower: Path, work: Path) -> tuple[str, Path]:
    """The options of an overlay whose layers are in *work*, and where to mount it."""
    upper, scratch, merged = (work / name for name in ("upper", "work", "merged"))
    for each in (upper, scratch, merged):
        each.mkdir(parents=True)
    return f"lowerdir={lower},upperdir={upper},workdir={scratch}", merged


@contextmanager
def overlay(lower: Path, work: Path) -> Iterator[Path]:
    """A root that can be written to. The changes go into *work*, which must be on the disk of the cache."""
    options, merged = layers(lower, work)
    _run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    try:
        yield merged
    finally:
        _run("umount", "--lazy", merged)  # an interrupted program may still be ending in it


def write_archive(archive: BinaryIO, top: Path, *, without: Sequence[str] = (), prefix: str = "") -> None:
    """Write the files of a folder in the format of initial RAM disks ("newc" of cpio(5)).

    Args:
        archive: to write to.
        top: the folder.
        without: what their paths must not begin with.
        prefix: of their paths in the archive.
    """
    for parent in reversed([Path(prefix), *Path(prefix).parents][:-1]):
        _entry(archive, str(parent), stat.S_IFDIR | 0o755, b"")
    for current, folders, files in os.walk(top):
        here = Path(current).relative_to(top)
        folders[:], files[:] = (
            sorted(name for name in names if not str(here / name).startswith(tuple(without)))
            for names in (folders, files)
        )
        for name in (*folders, *files):
            path = Path(current, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                data = os.readlink(path).encode()
            elif stat.S_ISREG(mode):
                data = path.read_bytes()
            elif stat.S_ISDIR(mode):
                data = b""
            else:
                continue  # the kernel makes devices itself
            _entry(archive, str(Path(prefix) / here / name), mode, data)
    _entry(archive, "TRAILER!!!", 0, b"")
    archive.write(bytes(-archive.tell() % 512))


def _entry(archive: BinaryIO, name: str, mode: int, data: bytes) -> None:
    path = name.encode() + b"\0"
    values = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in values) + path
    archive.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1200
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout
