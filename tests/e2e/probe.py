"""Whether machines can be booted here: each thing that it takes is tried, since a container allows some alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from tests.e2e import machines, outside, roots

#: The programs that it takes, and the packages that have them.
PROGRAMS = {
    "debootstrap": "debootstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
}


def obstacle(suites: Sequence[str], today: date) -> str:
    """What keeps machines of those suites from being booted here; nothing, if they can be."""
    return (
        root()
        or programs(PROGRAMS)
        or overlay()
        or _network()
        or _control_groups()
        or _container()
        or archive(suites, today)
    )


def root() -> str:
    """Why this user may not boot machines; nothing for root."""
    return "" if os.geteuid() == 0 else "booting machines takes root"


def programs(wanted: Mapping[str, str]) -> str:
    """Why programs are missing and cannot be installed.

    Args:
        wanted: the package of each program.
    """
    missing = [package for program, package in wanted.items() if shutil.which(program) is None]
    if not missing:
        return ""
    if shutil.which("apt-get") is None:
        return f"{', '.join(missing)} is not there, nor apt-get to install it"
    for words in (("update", "--quiet"), ("install", "--yes", "--quiet", "--no-install-recommends", *missing)):
        said = _tried("apt-get", *words, seconds=600)
        if said:
            return f"{', '.join(missing)} cannot be installed: {said}"
    return ""


def overlay() -> str:
    """Why no overlay can be mounted on the disk of the cache."""
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=roots.cache()))
    try:
        lower, upper, work, merged = (folder / name for name in ("lower", "upper", "work", "merged"))
        for each in (lower, upper, work, merged):
            each.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        said = _tried("mount", "-t", "overlay", "overlay", "-o", options, merged)
        if said:
            return f"no overlay can be mounted in {roots.cache()}: {said}"
        return _tried("umount", merged)
    finally:
        shutil.rmtree(folder)


def _network() -> str:
    name = f"sensetig-p{os.getpid()}"[:15]
    said = _tried("ip", "netns", "add", name) or _tried("ip", "link", "add", name, "type", "bridge")
    for words in (("netns", "delete", name), ("link", "delete", name)):
        _tried("ip", *words)
    return f"no network namespace or bridge can be made: {said}" if said else ""


def _control_groups() -> str:
    try:
        machines.control_group(f"sensetig-probe-{os.getpid()}").rmdir()
    except (StopIteration, OSError) as error:
        return f"no control group of version 2 can be made: {error!r}"
    return ""


def _container() -> str:
    # This machine's own root, over which everything is thrown away.
    name = f"sensetig-probe-{os.getpid()}"
    said = _tried(
        "systemd-nspawn", "--directory=/", "--volatile=yes", f"--machine={name}", "--register=no", "--keep-unit",
        "--pipe", "--quiet", machines.FILTER, "/bin/true",
    )  # fmt: skip
    return f"systemd-nspawn starts nothing: {said}" if said else ""


def archive(suites: Sequence[str], today: date) -> str:
    """Why a root of one of those suites is not there and cannot be made."""
    return next((said for suite in suites if not roots.is_made(suite, today) and (said := unreachable(suite))), "")


def unreachable(suite: str) -> str:
    """Why a suite's archive cannot be reached, for packages that are not in the cache."""
    try:
        roots.reach(suite)
    except outside.Unreachable as error:
        return str(error)
    return ""


def _tried(*command: str | Path, seconds: float = 30) -> str:
    """The error output of a failing command; empty if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"{command[0]} has not ended after {seconds:g} s"
    return "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} ended with {done.returncode}")[-300:]
