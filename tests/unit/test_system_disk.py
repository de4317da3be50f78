"""Mounts, and file systems that do not answer."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.system import disk, mounts

#: Long enough for a thread to start on a machine however busy.
PATIENCE = 3.0


def status(
    *, blocks: int = 1000, free: int = 600, available: int = 500, files: int = 100, ffree: int = 75
) -> os.statvfs_result:
    return os.statvfs_result((4096, 1024, blocks, free, available, files, ffree, ffree, 0, 255))


def test_what_is_reserved_is_neither_free_nor_used() -> None:
    assert disk.usage(status()) == {
        "total": 1_024_000,
        "free": 512_000,
        "used": 409_600,
        "used_percent": pytest.approx(400 / 9),
        "inodes_total": 100,
        "inodes_free": 75,
        "inodes_used": 25,
        "inodes_used_percent": 25,
    }


def test_a_file_system_without_inodes_has_none_in_use() -> None:
    fields = disk.usage(status(files=0, ffree=0))
    assert (fields["inodes_used"], fields["inodes_used_percent"]) == (0, 0.0)


def test_more_free_inodes_than_there_are_is_none_in_use() -> None:
    fields = disk.usage(status(files=10, ffree=20))
    assert (fields["inodes_used"], fields["inodes_used_percent"]) == (0, 0.0)


def parse(text: str, sys_root: Path) -> list[mounts.Mount]:
    return mounts.parse_mountinfo(text.encode(), str(sys_root))


def test_mounts_are_those_of_the_kernel_with_their_names_read_back(tmp_path: Path) -> None:
    found = parse(
        "36 35 8:1 / /media/my\\040stick rw,noatime shared:1 master:2 - vfat /dev/sda1 rw,errors=remount-ro\n"
        "37 35 8:2 / /mnt ro - ext4 /dev/sda2 rw\n"
        "38 35 8:3 / /data rw - ext4 /dev/sda3 ro\n"
        "39 35 8:1 /music /music rw - vfat /dev/disk/by-label/stick rw\n"
        "40 35 0:4 net:[4026531840] /run/netns/a rw - nsfs nsfs rw\n"
        "41 35 0:5 / /odd relatime - fuse.odd odd\n",
        tmp_path,
    )
    assert found == [
        mounts.Mount("/dev/sda1", "/media/my stick", "vfat", "rw"),
        mounts.Mount("/dev/sda2", "/mnt", "ext4", "ro"),
        mounts.Mount("/dev/sda3", "/data", "ext4", "ro"),
        mounts.Mount("/dev/sda1", "/music", "vfat", "rw"),
        mounts.Mount("net:[4026531840]", "/run/netns/a", "nsfs", "rw"),
        mounts.Mount("odd", "/odd", "fuse.odd", "unknown"),
    ]


def test_what_the_kernel_calls_root_goes_by_its_device_where_that_is_known(tmp_path: Path) -> None:
    line = "22 1 179:2 / / rw - ext4 /dev/root rw\n"
    assert parse(line, tmp_path)[0].device == "/dev/root"
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/179:2").symlink_to("../../devices/mmcblk0p2")
    assert parse(line, tmp_path)[0].device == "/dev/mmcblk0p2"


@pytest.mark.parametrize("line", ["nonsense", "36 35 8:1 / /mnt rw - ext4", "36 35 8:1 - ext4 /dev/sda1 rw"])
def test_a_line_that_is_no_mount_is_an_error(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="where a mount was expected"):
        parse(line, tmp_path)


@pytest.mark.parametrize(("text", "read"), [("a", "a"), (r"a\040b\134", "a b\\"), ("a\\", "a\\"), (r"a\x", r"a\x")])
def test_white_space_in_names_is_read_back(text: str, read: str) -> None:
    assert mounts.unescape(text) == read


def test_mounts_are_read_as_this_process_sees_them_where_the_first_one_is_not_to_be_seen(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("mine")
    assert mounts.read_mountinfo(str(tmp_path)) == b"mine"
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text("first")
    assert mounts.read_mountinfo(str(tmp_path)) == b"first"


def test_a_label_comes_from_the_device_mapper_or_from_udev(tmp_path: Path) -> None:
    (tmp_path / "class/block/sda1").mkdir(parents=True)
    (tmp_path / "class/block/sda1/dev").write_text("8:1\n")
    (tmp_path / "udev/data").mkdir(parents=True)
    (tmp_path / "udev/data/b8:1").write_text("I:5\nE:ID_FS_LABEL=my label\nE:ID_FS_TYPE=ext4\n")
    (tmp_path / "block/dm-0/dm").mkdir(parents=True)
    (tmp_path / "block/dm-0/dm/name").write_text("vault\n")
    root = str(tmp_path)
    assert [mounts.label_of(f"/dev/{name}", root, root) for name in ("sda1", "dm-0", "sdb1")] == [
        "my label",
        "vault",
        "",
    ]


class Server:
    """File systems of which some do not answer until they are let."""

    def __init__(self) -> None:
        self.silent: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.threads: dict[str, threading.Thread] = {}

    def hold(self, path: str) -> None:
        self.silent[path] = threading.Event()

    def ask(self, path: str) -> os.statvfs_result:
        self.asked.append(path)
        self.threads[path] = threading.current_thread()
        if path == "/denied":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        if path in self.silent:
            self.silent[path].wait(120)
        return status()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    for event in server.silent.values():
        event.set()


def test_a_file_system_that_does_not_answer_does_not_keep_the_others(server: Server) -> None:
    patience = disk.Patience(server.ask, PATIENCE)
    server.hold("/nas")
    found = patience.answers(["/", "/nas", "/boot", "/denied"])
    assert found["/nas"] is None
    assert isinstance(found["/denied"], PermissionError)
    assert (found["/"], found["/boot"]) == (status(), status())
    patience.close()


def test_a_file_system_that_kept_a_thread_is_asked_again_once_that_is_back(server: Server) -> None:
    patience = disk.Patience(server.ask, PATIENCE)
    server.hold("/nas")
    assert patience.answers(["/nas"]) == {"/nas": None}
    assert patience.answers(["/nas", "/"]) == {"/nas": None, "/": status()}
    assert server.asked == ["/nas", "/"]
    server.silent["/nas"].set()
    server.threads["/nas"].join(60)
    assert patience.answers(["/nas"]) == {"/nas": status()}
    patience.close()


def test_as_long_as_all_answer_one_thread_serves_every_batch(server: Server) -> None:
    patience = disk.Patience(server.ask, 60)
    workers = set()
    for path in ("/", "/boot", "/usb"):
        patience.answers([path])
        workers.add(server.threads[path])
    assert len(workers) == 1
    assert threading.current_thread() not in workers
    patience.close()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()


def test_silence_and_refusal_are_counted_and_the_rest_is_emitted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "23 1 0:9 / /nas rw - nfs4 nas:/export rw\n"
        "24 1 0:8 / /denied rw - fuse.gvfsd gvfsd rw\n"
        "25 1 0:7 / /auto rw - autofs auto rw\n"
    )
    server.hold("/nas")
    said: list[str] = []
    root = str(tmp_path)
    patience = disk.Patience(server.ask, PATIENCE)
    metrics = disk.Disk(root, root, root, frozenset({"tmpfs"}), patience, said.append).read(5)
    patience.close()
    assert [metric.series.tags["path"] for metric in metrics] == ["/"]
    assert said == [
        "disk: /nas (nas:/export) does not answer, and has no sample in this batch",
        "disk: /denied (gvfsd) cannot be read: Permission denied",
    ]
    assert "/auto" not in server.asked


def test_disks_that_come_and_go_are_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    root = str(tmp_path)
    patience = disk.Patience(server.ask, 60)
    part = disk.Disk(root, root, root, frozenset(), patience, print)
    one = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    found = []
    for text in (one, one + "23 1 8:17 / /usb ro - vfat /dev/sdb1 ro\n", one):
        (tmp_path / "self/mountinfo").write_text(text)
        found.append([(metric.series.tags["path"], metric.series.tags["mode"]) for metric in part.read(0)])
    patience.close()
    assert found == [[("/", "rw")], [("/", "rw"), ("/usb", "ro")], [("/", "rw")]]


def test_a_file_system_without_a_size_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("22 1 0:1 / /proc rw - proc proc rw\n")
    root = str(tmp_path)
    patience = disk.Patience(lambda _: status(blocks=0, free=0, available=0), 60)
    assert disk.Disk(root, root, root, frozenset(), patience, print).read(0) == []
    patience.close()
