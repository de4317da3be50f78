"""The mounted file systems, from the kernel's mountinfo."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from collectors.system.files import read, read_optional


class Mount(NamedTuple):
    """One mount.

    Args:
        device: a device's path, or the name of a virtual file system.
        path: the mount point.
        fstype: the file system's type.
        mode: rw, ro or unknown.
        number: the file system's device number, ``major:minor``, the same in every mount namespace.
        id, parent: numbers of this mount and of its parent mount, in one mount namespace.
        root: the folder of the file system that is mounted.
    """

    device: str
    path: str
    fstype: str
    mode: str
    number: str = ""
    id: str = ""
    parent: str = ""
    root: str = "/"


class Table:
    """The content of mountinfo.

    Args:
        machine: the mounts of the first process, which are the machine's.
        own: those of this process, which differ in a sandbox; None if they cannot be compared.
        whole: False if the first process cannot be read, and *machine* is this process's view as well.
    """

    __slots__ = ("machine", "own", "whole")

    def __init__(self, machine: bytes, own: bytes | None, *, whole: bool) -> None:
        self.machine = machine
        self.own = own
        self.whole = whole

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and (self.machine, self.own, self.whole) == (
            other.machine,
            other.own,
            other.whole,
        )

    __hash__ = None  # type: ignore[assignment]


def read_mountinfo(proc_root: str) -> Table:
    """The mounts of the machine and of this process. Raises OSError if neither can be read."""
    try:
        own: bytes | None = read(f"{proc_root}/self/mountinfo")
    except FileNotFoundError:
        own = None  # a copy of a /proc, whose mounts are not those of this machine
    try:
        return Table(read(f"{proc_root}/1/mountinfo"), own, whole=True)
    except (FileNotFoundError, PermissionError):
        if own is None:
            raise
        return Table(own, own, whole=False)


def parse_mountinfo(content: bytes, sys_root: str, refuse: Callable[[str], None], *, whole: bool = True) -> list[Mount]:
    """Every mount, in the kernel's order (proc_pid_mountinfo(5)).

    A bind mount gets the device that was mounted first. /dev/root, the kernel's name on a Pi that boots without an
    initial file system, is replaced by the name of the actual device.

    Args:
        refuse: receives a sentence for each line in another format.
        whole: False ignores the mount's own options in its mode: a sandbox makes every mount read-only.
    """
    mounts = []
    first: dict[str, str] = {}
    # Split only at newlines: names may contain any other line separator.
    for line in os.fsdecode(content).split("\n"):
        if not line:
            continue
        try:
            mounts.append(_mount(line, sys_root, first, whole=whole))
        except ValueError:
            refuse(f"mountinfo has {line[:80]!r} where a mount was expected")
    return mounts


def _mount(line: str, sys_root: str, first: dict[str, str], *, whole: bool) -> Mount:
    left, _, right = line.partition(" - ")
    head, tail = left.split(" "), right.split(" ")
    if len(head) < 6 or len(tail) < 2:
        raise ValueError
    id, parent, number, root, path, options = head[:6]
    path, root = unescape(path), unescape(root)
    fstype, source = tail[0], unescape(tail[1])
    device = source if root == "/" or source.startswith("/") else root
    device = first.setdefault(number, device)
    if device.startswith("/dev/mapper/"):
        device = os.path.realpath(device)
    elif device == "/dev/root":
        device = "/dev/" + _root_device(sys_root, number)
    superblock = tail[2].split(",") if len(tail) > 2 else []
    return Mount(
        device, path, fstype, _mode(options.split(",") if whole else ["rw"], superblock), number, id, parent, root
    )


class Tree:
    """Mounts by mount point, to find the one that responds at a path."""

    def __init__(self, mounts: list[Mount]) -> None:
        known = {mount.id for mount in mounts}
        self._on = {(mount.parent, mount.path): mount for mount in mounts if mount.parent != mount.id}
        roots = [
            mount for mount in mounts if mount.path == "/" and (mount.parent not in known or mount.parent == mount.id)
        ]
        self._root = roots[-1] if roots else None

    def answering(self, path: str) -> Mount | None:
        """The mount that a process with this table reaches at the path: the topmost of stacked mounts."""
        mount = self._root
        if mount is None:
            return None
        left = len(self._on)  # limits the loop for an inconsistent table
        for prefix in _prefixes(path):
            while left and (upper := self._on.get((mount.id, prefix))) is not None:
                mount = upper
                left -= 1
        return mount


def _prefixes(path: str) -> Iterator[str]:
    """The parent folders of a path, and the path itself, without the root."""
    end = path.find("/", 1)
    while end > 0:
        yield path[:end]
        end = path.find("/", end + 1)
    if path != "/":
        yield path


def unescape(text: str) -> str:
    """Decode the octal escapes for white space in mountinfo.

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
    """The file system's label from the device mapper or udev; empty if there is none."""
    name = device.removeprefix("/dev/")
    mapped = read_optional(f"{sys_root}/block/{name}/dm/name")
    if mapped:
        return mapped
    number = read_optional(f"{sys_root}/class/block/{name}/dev")
    known = read_optional(f"{run_root}/udev/data/b{number}") if number else None
    for line in (known or "").split("\n"):
        if line.startswith("E:ID_FS_LABEL="):
            return line.removeprefix("E:ID_FS_LABEL=")
    return ""


def _mode(mount: list[str], superblock: list[str]) -> str:
    """A mount is writable if both the mount and the file system are.

    After an error, ext4 keeps rw among its options and adds emergency_ro (Linux 6.15).
    """
    if "ro" in mount or "ro" in superblock or "emergency_ro" in superblock:
        return "ro"
    return "rw" if "rw" in mount else "unknown"


def _root_device(sys_root: str, number: str) -> str:
    try:
        return os.path.basename(os.readlink(f"{sys_root}/dev/block/{number}"))
    except OSError:
        return "root"
