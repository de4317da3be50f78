"""The mounted file systems, as the kernel lists them in mountinfo."""

from __future__ import annotations

import os
from typing import NamedTuple

from collectors.system.files import read, read_text


class Mount(NamedTuple):
    """One mount.

    Args:
        device: a device's path, or the name of a virtual file system.
        path: the mount point.
        fstype: the file system's type.
        mode: rw, ro or unknown.
    """

    device: str
    path: str
    fstype: str
    mode: str


def read_mountinfo(proc_root: str) -> bytes:
    """The mounts of the first process, or of this one where the first one's cannot be read."""
    try:
        return read(f"{proc_root}/1/mountinfo")
    except (FileNotFoundError, PermissionError):
        return read(f"{proc_root}/self/mountinfo")


def parse_mountinfo(content: bytes, sys_root: str) -> list[Mount]:
    """Every mount, in the kernel's order (proc_pid_mountinfo(5)). Raises ValueError for a line of another form.

    A bind mount gets the device that was mounted first. /dev/root, the kernel's name on a Pi that starts without an
    initial file system, is replaced by the name of the device behind it.
    """
    mounts = []
    first: dict[str, str] = {}
    for line in os.fsdecode(content).splitlines():
        left, _, right = line.partition(" - ")
        head, tail = left.split(" "), right.split(" ")
        if len(head) < 6 or len(tail) < 2:
            raise ValueError(f"mountinfo has {line[:80]!r} where a mount was expected")
        number, root, path, options = head[2:6]
        fstype, source = tail[0], unescape(tail[1])
        device = source if root == "/" or source.startswith("/") else unescape(root)
        device = first.setdefault(number, device)
        if device.startswith("/dev/mapper/"):
            device = os.path.realpath(device)
        elif device == "/dev/root":
            device = "/dev/" + _root_device(sys_root, number)
        both = (options.split(","), tail[2].split(",") if len(tail) > 2 else [])
        mounts.append(Mount(device, unescape(path), fstype, _mode(*both)))
    return mounts


def unescape(text: str) -> str:
    """A name with the white space that mountinfo writes as octal numbers.

    >>> unescape(r"/media/my\\040stick")
    '/media/my stick'
    """
    if "\\" not in text:
        return text
    before, *parts = text.split("\\")
    return before + "".join(
        chr(int(part[:3], 8)) + part[3:] if part[:3].isdecimal() and len(part) >= 3 else "\\" + part for part in parts
    )


def label_of(device: str, sys_root: str, run_root: str) -> str:
    """The file system's label, as the device mapper or udev knows it; empty where there is none."""
    name = device.removeprefix("/dev/")
    mapped = read_text(f"{sys_root}/block/{name}/dm/name")
    if mapped:
        return mapped
    number = read_text(f"{sys_root}/class/block/{name}/dev")
    known = read_text(f"{run_root}/udev/data/b{number}") if number else None
    for line in (known or "").splitlines():
        if line.startswith("E:ID_FS_LABEL="):
            return line.removeprefix("E:ID_FS_LABEL=")
    return ""


def _mode(mount: list[str], superblock: list[str]) -> str:
    """A mount can be written to where both it and the file system can."""
    if "ro" in mount or "ro" in superblock:
        return "ro"
    return "rw" if "rw" in mount else "unknown"


def _root_device(sys_root: str, number: str) -> str:
    try:
        return os.path.basename(os.readlink(f"{sys_root}/dev/block/{number}"))
    except OSError:
        return "root"
