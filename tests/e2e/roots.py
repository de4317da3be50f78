"""Roots that machines are booted from, made once a month by debootstrap and kept in the user's cache.

The machines of `make e2e` share a root per suite. `make lab` extends one with packages for a virtual machine, and has
roots for ARM, whose packages are unpacked and not configured: none of their programs can run while a root is made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from sensetig.engines.cache import top
from tests.e2e import outside


class Archive(NamedTuple):
    """The archive of an operating system.

    Args:
        mirror: its address.
        components: the parts of it that the playbook installs from.
        script: the script of debootstrap, whose older versions do not know each suite by name.
    """

    mirror: str
    components: str
    script: str


_DEBIAN = Archive("http://deb.debian.org/debian", "main", "sid")
_UBUNTU = Archive("http://archive.ubuntu.com/ubuntu", "main,universe", "gutsy")

ARCHIVES = {"bookworm": _DEBIAN, "trixie": _DEBIAN, "noble": _UBUNTU}

#: What an operating system for a Pi brings along, as far as the playbook needs it to begin.
INCLUDED = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "python3-venv",
    "iproute2",
    "openssh-server",
    "sudo",
    "ca-certificates",
)

#: Packages that the playbook installs from the operating system's archive, stored with the root for offline machines.
FETCHED = (
    "gpg",
    "mosquitto",
    "mosquitto-clients",
    "nginx",
    "openssl",
    "python3-apt",
    "python3-cryptography",
    "python3-debian",
    "rsync",
    "systemd-timesyncd",
)


class Root(NamedTuple):
    """A Debian or Ubuntu system that was never booted.

    Args:
        suite: a name of ARCHIVES.
        folder: its file system, which is never modified.
        packages: the .deb files that the playbook installs from the operating system's archive.
    """

    suite: str
    folder: Path
    packages: Path


def cache() -> Path:
    """Where roots, packages and wheels are kept: under SENSETIG_CACHE, or under the user's cache."""
    made = top(os.environ) / "e2e"
    made.mkdir(parents=True, exist_ok=True)
    return made


def _folder(suite: str, today: date) -> Path:
    digest = sha256(repr((INCLUDED, FETCHED)).encode()).hexdigest()[:8]
    return cache() / f"root-{suite}-{today:%Y-%m}-{digest}"


def is_made(suite: str, today: date) -> bool:
    """Whether the root of that suite and month is there."""
    return _folder(suite, today).is_dir()


def root(suite: str, today: date) -> Root:
    """The root of that suite and month, made if it is missing (two or three minutes)."""
    folder = kept(_folder(suite, today), partial(_make, suite))
    return Root(suite, folder / "root", folder / "packages")


def extended(base: Root, packages: Sequence[str]) -> Path:
    """A copy of a root with further packages installed, made if it is missing."""
    folder = base.folder.parent
    folder = folder.with_name(f"{folder.name}-{_digest(packages)}")
    return kept(folder, partial(_extend, base, packages))


def unpacked(suite: str, today: date, architecture: str, packages: Sequence[str]) -> Path:
    """A root of another architecture with the required packages and further ones, made if it is missing.

    Args:
        suite: trixie or bookworm.
        today: roots are made once a month.
        architecture: Debian's name, such as arm64.
        packages: in addition to the required ones.
    """
    folder = cache() / f"root-{suite}-{architecture}-{today:%Y-%m}-{_digest(packages)}"
    return kept(folder, partial(_unpack, suite, architecture, packages))


def kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder of the cache; *make* fills it where it is missing, and a failure leaves nothing of it."""
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        made.chmod(0o755)
        try:
            make(made)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return folder


def reach(suite: str) -> None:
    """Raise Unreachable unless the archive of a suite answers."""
    outside.reach_archive(suite, ARCHIVES[suite].mirror, cache())


def _digest(packages: Sequence[str]) -> str:
    return sha256(repr(tuple(packages)).encode()).hexdigest()[:8]


def _extend(base: Root, packages: Sequence[str], system: Path) -> None:
    reach(base.suite)
    _run("cp", "--archive", "--reflink=auto", f"{base.folder}/.", system)
    _write_sources(system, base.suite)
    # Nothing is started in a root.
    policy = system / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    _run("chroot", system, "apt-get", "update", "--quiet")
    _run("chroot", system, "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)
    _run("chroot", system, "apt-get", "clean")
    policy.unlink()


def _unpack(suite: str, architecture: str, packages: Sequence[str], system: Path) -> None:
    reach(suite)
    _run(
        "debootstrap", "--foreign", f"--arch={architecture}", "--variant=minbase", f"--include={','.join(packages)}",
        suite, system, ARCHIVES[suite].mirror,
    )  # fmt: skip
    archives = system / "var/cache/apt/archives"
    for deb in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "--extract", deb, system)
        deb.unlink()
    masters = system / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        shutil.copy(masters / f"{name}.master", system / "etc" / name)


def _write_sources(system: Path, suite: str) -> None:
    (system / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    archive = ARCHIVES[suite]
    (system / "etc/apt/sources.list").write_text(
        f"deb {archive.mirror} {suite} {archive.components.replace(',', ' ')}\n"
    )


def _make(suite: str, made: Path) -> None:
    reach(suite)
    system = made / "root"
    archive = ARCHIVES[suite]
    script = Path("/usr/share/debootstrap/scripts") / archive.script
    _run(
        "debootstrap", "--variant=minbase", f"--components={archive.components}", f"--include={','.join(INCLUDED)}",
        suite, system, archive.mirror, script,
    )  # fmt: skip
    (system / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    _run("chroot", system, "apt-get", "update", "--quiet")
    _run("chroot", system, "apt-get", "install", "--yes", "--download-only", "--no-install-recommends", *FETCHED)
    keep(system, made / "packages")


def keep(system: Path, packages: Path) -> None:
    """Move the packages that a root has fetched out of it, and close its way to the operating system's archive."""
    packages.mkdir()
    for deb in (system / "var/cache/apt/archives").glob("*.deb"):
        shutil.move(deb, packages / deb.name.replace("%3a", ":"))
    shutil.rmtree(system / "var/lib/apt/lists")
    (system / "etc/apt/sources.list").write_text("")
    (system / "etc/resolv.conf").unlink()


def _run(*command: str | Path) -> None:
    # Nothing here boots a root from its own RAM disk, which takes minutes to make.
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "INITRD": "No", "LC_ALL": "C"}
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1200
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
