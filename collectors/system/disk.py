"""``disk``: size and usage of each file system."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import sentence
from collectors.system.mounts import Mount, Table, Tree, label_of, parse_mountinfo, read_mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

    from collectors.core.errors import ErrorReporter
    from collectors.core.slow_reads import Answer, Read

    Ask = Callable[[str], os.statvfs_result]

MEASUREMENT = Measurement(
    "disk",
    "Size and use of each file system.",
    (
        Tag("device", "The device, without /dev/; for a virtual file system its name."),
        Tag("fstype", "Type of the file system."),
        Tag("mode", "rw, or ro where it is read-only."),
        Tag("path", "Mount point."),
        Tag("label", "The file system's label.", optional=True),
    ),
    (
        Field("total", int, "bytes", "Size.", 0),
        Field("free", int, "bytes", "Free for every user; blocks reserved for root are neither free nor used.", 0),
        Field("used", int, "bytes", "In use.", 0),
        Field("used_percent", float, "percent", "Share of used in used and free together.", 0, 100),
        Field("inodes_total", int, "", "Maximum number of files; 0 without a limit.", 0),
        Field("inodes_free", int, "", "Files that can still be created.", 0),
        Field("inodes_used", int, "", "Files in use.", 0),
        Field("inodes_used_percent", float, "percent", "Share of inodes in use.", 0, 100),
    ),
)

#: Types without user data: the kernel's own, the firmware's variables, and a desktop's. They are not queried, and may
#: belong to another user.
SIZELESS = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts", "efivarfs"),
        *("functionfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "pipefs", "proc", "pstore", "ramfs"),
        *("resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sockfs", "sysfs", "tracefs"),
        *("fuse.gvfsd-fuse", "fuse.kio-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse", "fuse.squashfuse"),
        *("fuse.vmware-vmblock", "fuse.xrdp-chansrv"),
    )
)

#: Virtual paths of the kernel, some covered by a container; nothing is stored there.
_KERNEL_FOLDERS = ("/proc/", "/sys/")

#: What systemd mounts over a path that is hidden from a service.
_INACCESSIBLE = "/systemd/inaccessible/"


def usage(status: os.statvfs_result) -> dict[str, int | float]:
    """The fields of ``disk``."""
    block = status.f_frsize or status.f_bsize
    used, free = (status.f_blocks - status.f_bfree) * block, status.f_bavail * block
    # A few network file systems report more free inodes than they have.
    inodes_used = max(0, status.f_files - status.f_ffree)
    inodes = inodes_used + status.f_ffree
    return {
        "total": status.f_blocks * block,
        "free": free,
        "used": used,
        "used_percent": 100 * used / (used + free) if used + free else 0.0,
        "inodes_total": status.f_files,
        "inodes_free": status.f_ffree,
        "inodes_used": inodes_used,
        "inodes_used_percent": 100 * inodes_used / inodes if inodes else 0.0,
    }


class Disk:
    """Reads ``disk``.

    A sandbox gives a service different mounts than the machine has. A file system is therefore queried only if the
    mount that responds at its path, as seen by this process, is of the same device.

    Args:
        proc_root, sys_root, run_root: paths of the files of the kernel and udev.
        ignored: types of file systems to skip.
        patience: seconds after which a file system counts as not responding.
        report: receives a sentence for each file system that does not respond.
        ask: os.statvfs, or a double.
        mount_root: where a container sees the machine's file systems, such as /host; empty elsewhere.
    """

    name = MEASUREMENT.name

    def __init__(
        self,
        proc_root: str,
        sys_root: str,
        run_root: str,
        ignored: frozenset[str],
        patience: float,
        report: ErrorReporter,
        ask: Ask = os.statvfs,
        mount_root: str = "",
    ) -> None:
        self._proc = proc_root
        self._sys = sys_root
        self._run = run_root
        self._ignored = ignored | SIZELESS
        self.patience = patience
        self._report = report
        self._ask = ask
        self._root = mount_root.rstrip("/")
        self._table: Table | None = None
        self._reads: dict[Hashable, Read] = {}
        self._refused: list[str] = []
        self._series: dict[tuple[Mount, str], Series] = {}

    def reads(self) -> dict[Hashable, Read]:
        """A query for each visible file system. Raises OSError if the mounts cannot be read."""
        table = read_mountinfo(self._proc)
        if table != self._table:
            self._refused = []
            self._reads = {mount: partial(self._ask, self._seen(mount)) for mount in self._visible(table)}
            self._table = table
            self._series.clear()
        for refused in self._refused:
            self._report.error(f"disk: {refused}")
        return self._reads

    def _visible(self, table: Table) -> Iterator[Mount]:
        refuse = self._refused.append
        mounts = parse_mountinfo(table.machine, self._sys, refuse, whole=table.whole)
        if not mounts:
            refuse("mountinfo has no mount at all, not even that of /")
        machine = Tree(mounts)
        if table.own is None:
            yield from (mount for mount in mounts if not self._is_ignored(mount))
            return
        # A line in another format is counted once.
        own = machine if table.own == table.machine else Tree(parse_mountinfo(table.own, self._sys, lambda _: None))
        for mount in mounts:
            if self._is_ignored(mount):
                continue
            upper = machine.answering(mount.path)
            if upper is not None and upper.id != mount.id:
                if not table.whole and _INACCESSIBLE in upper.root:
                    refuse(_hidden(mount))
                elif upper.number != mount.number:
                    self._report.note(
                        f"disk: {mount.path} ({mount.device}) is left out, since {upper.device} is mounted over it"
                    )
                continue
            seen = own.answering(self._seen(mount))
            if seen is None or seen.number != mount.number:
                refuse(_hidden(mount))
            else:
                yield mount

    def _is_ignored(self, mount: Mount) -> bool:
        return mount.fstype in self._ignored or mount.path.startswith(_KERNEL_FOLDERS)

    def _seen(self, mount: Mount) -> str:
        """The path of a mount as seen by this process."""
        return self._root + mount.path if self._root and mount.path != "/" else self._root or mount.path

    def metrics(self, answers: Mapping[Hashable, Answer], late: Collection[Hashable], now: int) -> Iterator[Metric]:
        """A sample of each file system that has responded and has a size.

        Args:
            late: queries without an answer in time.
        """
        for mount in late:
            assert isinstance(mount, Mount)
            self._report.error(f"disk: {mount.path} ({mount.device}) does not answer, and has no sample in this batch")
        for mount, answer in answers.items():
            assert isinstance(mount, Mount)
            status = answer.value
            if isinstance(status, PermissionError):
                self._report.note(f"disk: {mount.path} ({mount.device}) is left out, since this user may not read it")
            elif isinstance(status, OSError):
                self._report.error(f"disk: {mount.path} ({mount.device}) cannot be read: {status.strerror}")
            elif isinstance(status, Exception):
                self._report.error(f"disk: {mount.path} ({mount.device}) cannot be read: {sentence(status)}")
            elif isinstance(status, os.statvfs_result) and status.f_blocks:  # virtual file systems have no size
                yield Metric(self._tags(mount), usage(status), answer.time(now))

    def _tags(self, mount: Mount) -> Series:
        device = mount.fstype if mount.device in ("none", "") else mount.device
        label = label_of(device, self._sys, self._run)
        series = self._series.get((mount, label))
        if series is None:
            tags = {"device": device.replace("/dev/", ""), "fstype": mount.fstype, "mode": mount.mode}
            series = Series("disk", {**tags, "path": mount.path, "label": label})
            self._series[mount, label] = series
        return series


def _hidden(mount: Mount) -> str:
    return (
        f"{mount.path} ({mount.device}) is not visible to this process, where another file system or none is at that "
        "path; open it in the service's unit, or leave its type out with ignore_fs"
    )
