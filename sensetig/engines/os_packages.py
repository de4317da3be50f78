"""Packages of the operating system: installed when run as root on Debian, otherwise listed in one command."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from sensetig.engines.catalogue import Need
from sensetig.engines.platforms import version_in

#: Maximum age of apt's lists, in seconds; a version on an older list may be gone from the mirror.
LISTS_AGE = 24 * 3600.0

#: Folders of daemons, which are not on an ordinary user's PATH.
_DAEMONS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class PackagesMissing(Exception):
    """Packages are missing and were not installed; the message has the command that installs them."""


class Outcome(NamedTuple):
    """The result of a command.

    Args:
        status: its exit status.
        text: its output, including errors.
    """

    status: int
    text: str


Run = Callable[[Sequence[str]], Outcome]


class System(NamedTuple):
    """The conditions for installing packages.

    Args:
        debian: Debian or a derivative.
        root: whether this process may install.
        lists: apt's folder of package lists.
        now: seconds since 1970.
        run: runs a command and waits for it.
    """

    debian: bool
    root: bool
    lists: Path
    now: float
    run: Run


def run(command: Sequence[str]) -> Outcome:
    """Run a command non-interactively."""
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
    )
    return Outcome(done.returncode, done.stdout)


def this_system() -> System:
    """This machine, as this user."""
    try:
        release: Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:  # no such file: not a Linux distribution
        release = {}
    return System(is_debian(release), os.geteuid() == 0, Path("/var/lib/apt/lists"), time.time(), run)


def is_debian(release: Mapping[str, str]) -> bool:
    """Whether an ``os-release`` file is that of Debian or of a derivative."""
    return "debian" in [release.get("ID", ""), *release.get("ID_LIKE", "").split()]


def program(name: str, environ: Mapping[str, str]) -> Path | None:
    """A program on PATH or in a folder of daemons, or None."""
    found = shutil.which(name, path=os.pathsep.join((environ.get("PATH", ""), *_DAEMONS)))
    return Path(found) if found else None


def ensure(packages: Collection[str], say: Callable[[str], None], system: System | None = None) -> None:
    """Install the missing packages among these, or raise an error with the command.

    Args:
        packages: Debian's names.
        say: receives a sentence before an installation.
        system: the target; by default this machine.

    Raises:
        PackagesMissing: this process may not install, or apt fails.
    """
    system = system or this_system()
    names = " ".join(packages)
    if not system.debian:
        raise PackagesMissing(f"install {names} with this system's package manager")
    absent = [package for package in packages if not _is_installed(package, system)]
    if not absent:
        return
    names = " ".join(absent)
    if not system.root:
        raise PackagesMissing(f"install it with: sudo apt-get install -y {names}")
    _update(say, system)
    say(f"installing {names} from the operating system's packages")
    _apt(("install", "-y", "--no-install-recommends", *absent), system)


def bring(need: Need, say: Callable[[str], None], system: System | None = None) -> None:
    """Install a program from its first package that is new enough.

    Args:
        need: the program.
        say: receives a sentence before an installation.
        system: the target; by default this machine.

    Raises:
        PackagesMissing: this process may not install, no package is new enough, or apt fails.
    """
    system = system or this_system()
    if not system.debian:
        raise PackagesMissing(f"install {need.title} from {need.otherwise}")
    if system.root:
        _update(say, system)
    versions = {package: candidate(package, system) for package in need.packages}
    for package, version in versions.items():
        if version is not None and is_new_enough(version, need.minimum):
            ensure((package, *need.together), say, system)
            return
    if not any(versions.values()) and not system.root:
        names = " ".join((need.packages[0], *need.together))
        raise PackagesMissing(f"install it with: sudo apt-get update && sudo apt-get install -y {names}")
    if not any(versions.values()):
        raise PackagesMissing(f"the lists of this system have no package {' or '.join(need.packages)}")
    raise PackagesMissing(
        f"the packages of this system ({', '.join(need.packages)}) are older than {need.title} {need.minimum}; "
        f"get it from {need.otherwise}"
    )


def candidate(package: str, system: System) -> str | None:
    """The version that apt would install, or None."""
    match = re.search(r"^\s*Candidate: (\S+)", system.run(("apt-cache", "policy", package)).text, re.MULTILINE)
    return match[1] if match and match[1] != "(none)" else None


def download(package: str, version: str, folder: Path, system: System) -> Path:
    """Download a package without installing it, verified by apt as for an installation; this needs no root.

    Args:
        package: Debian's name.
        version: its full Debian version.
        folder: the target folder.
        system: the source.

    Raises:
        PackagesMissing: apt cannot download it.
    """
    _apt(("download", f"{package}={version}"), system, folder)
    found = list(folder.glob("*.deb"))
    if len(found) != 1:
        raise PackagesMissing(f"apt-get download {package} left {len(found)} packages behind, and one was asked for")
    return found[0]


def upstream(version: str) -> str | None:
    """The program's version in a Debian version: ``1.24`` in ``2:1.24~2``; None if there is no number in it."""
    return version_in(version.partition(":")[2] or version)


def is_new_enough(version: str, minimum: str | None) -> bool:
    """Whether a Debian version (``2:1.24~2``) is at least a version of the program (``1.21``)."""
    number = upstream(version)
    try:
        return minimum is None or (number is not None and Version(number) >= Version(minimum))
    except InvalidVersion:
        return False


def _is_installed(package: str, system: System) -> bool:
    outcome = system.run(("dpkg-query", "-W", "-f=${db:Status-Status}", package))
    return outcome.status == 0 and outcome.text.strip() == "installed"


def _update(say: Callable[[str], None], system: System) -> None:
    ages = [system.now - file.stat().st_mtime for file in system.lists.glob("*InRelease")]
    # The date of InRelease is the mirror's; apt's download folder has the date of the last update.
    partial = system.lists / "partial"
    if partial.is_dir():
        ages.append(system.now - partial.stat().st_mtime)
    has_lists = any(system.lists.glob("*_Packages*"))
    if has_lists and min(ages, default=LISTS_AGE) < LISTS_AGE:
        return
    say("fetching the lists of the operating system's packages")
    _apt(("update",), system)


def _apt(words: Sequence[str], system: System, folder: Path | None = None) -> None:
    # apt downloads to the working directory.
    within = () if folder is None else ("env", "-C", str(folder))
    # Another apt may be running, for example unattended upgrades after boot.
    outcome = system.run((*within, "apt-get", "-o", "DPkg::Lock::Timeout=120", *words))
    if outcome.status != 0:
        lines = [line for line in outcome.text.splitlines() if line.strip()]
        last = lines[-1].strip() if lines else "it printed nothing"
        raise PackagesMissing(f"apt-get {words[0]} failed: {last}")
