"""Mounts: those of the machine, those visible to this process, and the answer of each."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable
from pathlib import Path

import pytest

from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.slow_reads import Answer
from collectors.system import disk, mounts


def status(
    *, blocks: int = 1000, free: int = 600, available: int = 500, files: int = 100, ffree: int = 75
) -> os.statvfs_result:
    return os.statvfs_result((4096, 1024, blocks, free, available, files, ffree, ffree, 0, 255))


def test_reserved_space_is_neither_free_nor_used() -> None:
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


def parse(text: str, sys_root: Path, said: list[str] | None = None, *, whole: bool = True) -> list[mounts.Mount]:
    refused: list[str] = []
    found = mounts.parse_mountinfo(
        text.encode(), str(sys_root), (refused if said is None else said).append, whole=whole
    )
    assert refused == []
    return found


def shown(found: list[mounts.Mount]) -> list[tuple[str, str, str, str]]:
    return [(mount.device, mount.path, mount.fstype, mount.mode) for mount in found]


def test_mounts_are_those_of_the_kernel_with_their_names_read_back(tmp_path: Path) -> None:
    found = parse(
        "36 35 8:1 / /media/my\\040stick rw,noatime shared:1 master:2 - vfat /dev/sda1 rw,errors=remount-ro\n"
        "37 35 8:2 / /mnt ro - ext4 /dev/sda2 rw\n"
        "38 35 8:3 / /data rw - ext4 /dev/sda3 ro\n"
        "39 35 8:1 /music /music rw - vfat /dev/disk/by-label/stick rw\n"
        "40 35 0:4 net:[4026531840] /run/netns/a rw - nsfs nsfs rw\n"
        "41 35 0:5 / /odd relatime - fuse.odd odd\n"
        "42 35 8:4 / /broken rw - ext4 /dev/sda4 rw,emergency_ro\n"
        "43 35 0:6 / /none rw - tmpfs  rw\n",
        tmp_path,
    )
    assert shown(found) == [
        ("/dev/sda1", "/media/my stick", "vfat", "rw"),
        ("/dev/sda2", "/mnt", "ext4", "ro"),
        ("/dev/sda3", "/data", "ext4", "ro"),
        ("/dev/sda1", "/music", "vfat", "rw"),
        ("net:[4026531840]", "/run/netns/a", "nsfs", "rw"),
        ("odd", "/odd", "fuse.odd", "unknown"),
        ("/dev/sda4", "/broken", "ext4", "ro"),
        ("", "/none", "tmpfs", "rw"),
    ]
    assert (found[3].number, found[3].id, found[3].parent, found[3].root) == ("8:1", "39", "35", "/music")


def test_dev_root_is_replaced_by_the_real_device_if_known(tmp_path: Path) -> None:
    line = "22 1 179:2 / / rw - ext4 /dev/root rw\n"
    assert parse(line, tmp_path)[0].device == "/dev/root"
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/179:2").symlink_to("../../devices/mmcblk0p2")
    assert parse(line, tmp_path)[0].device == "/dev/mmcblk0p2"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "36 35 8:1 / /mnt rw - ext4",
        "36 35 8:1 - ext4 /dev/sda1 rw",
        r"36 35 8:1 / /a\999 rw - ext4 /dev/sda1 rw",
        "36 35",
    ],
)
def test_an_invalid_line_is_counted_and_the_others_are_read(line: str, tmp_path: Path) -> None:
    said: list[str] = []
    found = parse(f"{line}\n22 1 179:2 / / rw - ext4 /dev/root rw\n", tmp_path, said)
    assert [mount.path for mount in found] == ["/"]
    assert said == [f"mountinfo has {line!r} where a mount was expected"]


@pytest.mark.parametrize("sign", ["\r", "\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\u00a0"])
def test_a_name_may_have_every_sign_that_ends_a_line_elsewhere(sign: str, tmp_path: Path) -> None:
    found = parse(f"22 1 179:2 / / rw - ext4 /dev/a rw\n40 22 8:1 / /mnt/a{sign}b rw - vfat /dev/sda1 rw\n", tmp_path)
    assert [mount.path for mount in found] == ["/", f"/mnt/a{sign}b"]


def test_a_name_in_another_encoding_than_utf_8_is_kept(tmp_path: Path) -> None:
    (mount,) = mounts.parse_mountinfo(b"40 22 8:1 / /mnt/\xe4\xff rw - vfat /dev/sda1 rw\n", str(tmp_path), print)
    assert os.fsencode(mount.path) == b"/mnt/\xe4\xff"


@pytest.mark.parametrize(("text", "read"), [("a", "a"), (r"a\040b\134", "a b\\"), ("a\\", "a\\"), (r"a\x", r"a\x")])
def test_white_space_in_names_is_read_back(text: str, read: str) -> None:
    assert mounts.unescape(text) == read


def test_mounts_are_those_of_the_first_process_or_of_this_one_where_that_is_hidden(tmp_path: Path) -> None:
    root = str(tmp_path)
    with pytest.raises(FileNotFoundError):
        mounts.read_mountinfo(root)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("mine")
    assert mounts.read_mountinfo(root) == mounts.Table(b"mine", b"mine", whole=False)
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text("first")
    assert mounts.read_mountinfo(root) == mounts.Table(b"first", b"mine", whole=True)
    (tmp_path / "self/mountinfo").unlink()
    assert mounts.read_mountinfo(root) == mounts.Table(b"first", None, whole=True)


def answering(text: str, path: str, tmp_path: Path) -> str | None:
    mount = mounts.Tree(parse(text, tmp_path)).answering(path)
    return mount.id if mount is not None else None


ROOT = "22 1 8:1 / / rw - ext4 /dev/sda rw\n"


@pytest.mark.parametrize(
    ("text", "path", "id"),
    [
        (ROOT, "/", "22"),
        (ROOT, "/home/pi", "22"),
        (ROOT + "30 22 8:2 / /home rw - ext4 /dev/sda2 rw\n", "/home/pi", "30"),
        (ROOT + "30 22 8:2 / /home rw - ext4 /dev/sda2 rw\n", "/homes", "22"),
        # One over another at the same path.
        (ROOT + "30 22 8:2 / /usb rw - vfat a rw\n31 30 8:3 / /usb rw - vfat b rw\n", "/usb", "31"),
        # A mount over the folder that holds another mount.
        (
            ROOT + "30 22 8:2 / /home/pi/nas rw - nfs a rw\n31 22 0:9 / /home rw - tmpfs b rw\n",
            "/home/pi/nas",
            "31",
        ),
        # A mount below the upper one.
        (
            ROOT + "31 22 0:9 / /home rw - tmpfs b rw\n32 31 8:2 / /home/pi rw - ext4 c rw\n",
            "/home/pi/x",
            "32",
        ),
        # A process whose root is a separate mount; the other one is not reachable below it.
        ("40 39 0:50 / / rw - overlay overlay rw\n41 40 0:51 / /proc rw - proc proc rw\n", "/srv", "40"),
        # A root that is mounted on itself, as the kernel shows the first one.
        ("1 1 0:1 / / rw - rootfs rootfs rw\n30 1 8:2 / /usb rw - vfat a rw\n", "/usb", "30"),
        ("30 22 8:2 / /usb rw - vfat a rw\n", "/usb", None),
        # A table that contradicts itself ends.
        (ROOT + "30 22 8:2 / /a rw - vfat a rw\n22 30 8:3 / /a rw - vfat b rw\n", "/a", "30"),
    ],
)
def test_the_mount_that_answers_at_a_path_is_the_uppermost_on_the_way(
    text: str, path: str, id: str | None, tmp_path: Path
) -> None:
    assert answering(text, path, tmp_path) == id


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


class Bench:
    """The disk part on a fake /proc, with file systems that respond as the test specifies."""

    def __init__(self, root: Path, machine: str, own: str | None = None, mount_root: str = "") -> None:
        self.root = root
        self.said: list[str] = []
        self.report = ErrorReporter("system", self.said.append)
        self.asked: list[str] = []
        self.answers: dict[str, os.statvfs_result | Exception] = {}
        self.mount(machine, own)
        where = str(root)
        self.part = disk.Disk(where, where, where, frozenset({"tmpfs"}), 2.0, self.report, self.ask, mount_root)

    def mount(self, machine: str, own: str | None) -> None:
        for name, text in (("1", machine), ("self", own)):
            (self.root / name).mkdir(exist_ok=True)
            if text is not None:
                (self.root / name / "mountinfo").write_text(text)

    def ask(self, path: str) -> os.statvfs_result:
        self.asked.append(path)
        answer = self.answers.get(path, status())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def batch(self, late: tuple[str, ...] = ()) -> list[Metric]:
        answers: dict[Hashable, Answer] = {}
        missing = []
        for mount, read in self.part.reads().items():
            assert isinstance(mount, mounts.Mount)
            if mount.path in late:
                missing.append(mount)
                continue
            try:
                answers[mount] = Answer(read(), 0.0, 0)
            except Exception as error:  # noqa: BLE001 - as the thread that reads does
                answers[mount] = Answer(error, 0.0, 0)
        return list(self.part.metrics(answers, missing, 5))

    def paths(self) -> list[str]:
        return [metric.series.tags["path"] for metric in self.batch()]


def test_silence_and_failure_are_counted_and_the_rest_is_emitted(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        ROOT + "23 22 0:9 / /nas rw - nfs4 nas:/export rw\n24 22 0:8 / /stale rw - nfs4 nas:/old rw\n"
        "25 22 0:7 / /auto rw - autofs auto rw\n26 22 8:2 / /odd rw - ext4 /dev/sda2 rw\n",
    )
    bench.answers = {"/stale": OSError(errno.ESTALE, "Stale file handle"), "/odd": ValueError("embedded null byte")}
    assert [metric.series.tags["path"] for metric in bench.batch(late=("/nas",))] == ["/"]
    assert bench.said == [
        "E! system: disk: /nas (nas:/export) does not answer, and has no sample in this batch",
        "E! system: disk: /stale (nas:/old) cannot be read: Stale file handle",
        "E! system: disk: /odd (/dev/sda2) cannot be read: embedded null byte",
    ]
    assert bench.asked == ["/", "/stale", "/odd"]


def test_a_mount_of_another_user_is_noted_once_and_no_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ROOT + "24 22 0:8 / /home/alex/cloud rw - fuse.rclone cloud: rw\n")
    bench.answers = {"/home/alex/cloud": PermissionError(errno.EACCES, "Permission denied")}
    for _ in range(3):
        assert bench.paths() == ["/"]
    assert bench.said == ["I! system: disk: /home/alex/cloud (cloud:) is left out, since this user may not read it"]
    assert bench.report.errors == 0


@pytest.mark.parametrize(
    "line",
    [
        "24 22 0:8 / /run/credentials/systemd-sysctl.service ro - ramfs ramfs rw,mode=700",
        "24 22 0:4 net:[4026532178] /run/docker/netns/1a2b rw - nsfs nsfs rw",
        "24 22 0:12 / /sys/kernel/tracing rw - tracefs tracefs rw",
        "24 22 0:60 / /run/user/1000/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw,user_id=1000",
        "24 22 0:61 / /run/user/1000/doc rw - fuse.portal portal rw,user_id=1000",
        "24 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw",
        "24 22 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "24 22 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "24 22 0:33 / /var/lib/nfs/rpc_pipefs rw - rpc_pipefs sunrpc rw",
        "24 22 0:34 / /sys/fs/bpf rw - bpf bpf rw,mode=700",
        "24 22 0:40 /boot_id /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw",
    ],
)
def test_file_systems_of_the_kernel_are_not_queried(line: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, f"{ROOT}{line}\n")
    assert bench.paths() == ["/"]
    assert bench.asked == ["/"]
    assert bench.said == []


HOME = "30 22 8:2 / /home rw - ext4 /dev/sda2 rw\n"


def test_a_disk_that_the_sandbox_covers_is_counted_and_never_measured(tmp_path: Path) -> None:
    own = (
        "500 499 8:1 / / ro - ext4 /dev/sda1 rw\n501 500 8:2 / /home ro - ext4 /dev/sda2 rw\n"
        "502 501 0:20 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
    )
    bench = Bench(tmp_path, ROOT + HOME, own)
    for _ in range(2):
        (metric,) = bench.batch()
        assert metric.series.tags["path"] == "/"
        assert metric.series.tags["mode"] == "rw", "the machine's, although the sandbox has it read-only"
        assert bench.report.take() == 1
    assert bench.asked == ["/", "/"]
    assert bench.said[0].startswith("E! system: disk: /home (/dev/sda2) is not visible to this process")


def test_a_mount_below_a_folder_that_the_sandbox_covers_is_counted(tmp_path: Path) -> None:
    own = (
        "500 499 8:1 / / ro - ext4 /dev/sda1 rw\n501 500 0:9 / /home/pi/nas ro - nfs4 nas:/films rw\n"
        "502 500 0:20 / /home ro - tmpfs tmpfs rw\n"
    )
    bench = Bench(tmp_path, ROOT + "30 22 0:9 / /home/pi/nas rw - nfs4 nas:/films rw\n", own)
    assert bench.paths() == ["/"]
    assert bench.report.errors == 1


def test_a_private_folder_of_the_same_file_system_is_the_same_disk(tmp_path: Path) -> None:
    own = (
        "500 499 8:1 / / ro - ext4 /dev/sda1 rw\n501 500 8:5 / /scratch rw - ext4 /dev/sda5 rw\n"
        "502 501 8:5 /systemd-private-1/scratch /scratch rw - ext4 /dev/sda5 rw\n"
    )
    bench = Bench(tmp_path, ROOT + "30 22 8:5 / /scratch rw - ext4 /dev/sda5 rw\n", own)
    assert bench.paths() == ["/", "/scratch"]
    assert bench.said == []


@pytest.mark.parametrize("mount_root", ["/host", "/host/"])
def test_a_container_measures_the_machine_s_disks_where_they_are_mounted(mount_root: str, tmp_path: Path) -> None:
    own = (
        "900 800 0:50 / / rw - overlay overlay rw\n901 900 8:1 / /host ro - ext4 /dev/sda1 rw\n"
        "902 901 8:2 / /host/home ro - ext4 /dev/sda2 rw\n903 900 8:1 /x /etc/hosts rw - ext4 /dev/sda1 rw\n"
    )
    bench = Bench(tmp_path, ROOT + HOME, own, mount_root)
    found = {metric.series.tags["path"]: metric.series.tags["mode"] for metric in bench.batch()}
    assert found == {"/": "rw", "/home": "rw"}, "with the machine's own paths and modes"
    assert bench.asked == ["/host", "/host/home"]
    assert bench.said == []


def test_the_disks_of_the_machine_are_not_those_of_a_container_with_the_machine_s_proc(tmp_path: Path) -> None:
    own = "900 800 0:50 / / rw - overlay overlay rw\n901 900 8:1 /var/lib/docker/x /etc/hosts rw - ext4 /dev/sda1 rw\n"
    bench = Bench(tmp_path, ROOT + HOME, own)
    assert bench.paths() == []
    assert bench.report.errors == 2


def test_of_two_mounts_at_one_path_the_upper_one_is_measured_and_the_lower_one_noted(tmp_path: Path) -> None:
    text = ROOT + "30 22 8:17 / /usb rw - vfat /dev/sda1 rw\n31 30 8:33 / /usb rw - vfat /dev/sdb1 rw\n"
    bench = Bench(tmp_path, text, text)
    for _ in range(2):
        assert [metric.series.tags["device"] for metric in bench.batch()] == ["sda", "sdb1"]
    assert bench.report.errors == 0
    assert bench.said == ["I! system: disk: /usb (/dev/sda1) is left out, since /dev/sdb1 is mounted over it"]


def test_a_device_that_is_mounted_twice_at_one_path_is_one_disk(tmp_path: Path) -> None:
    text = ROOT + "30 22 8:17 / /usb rw - vfat /dev/sda1 rw\n31 30 8:17 / /usb rw - vfat /dev/sda1 rw\n"
    bench = Bench(tmp_path, text, text)
    assert bench.paths() == ["/", "/usb"]
    assert bench.said == []


def test_a_btrfs_whose_subvolumes_have_other_device_numbers_is_visible(tmp_path: Path) -> None:
    """stat(2) gives each subvolume a distinct device number, and mountinfo gives that of the file system."""
    own = "500 499 0:28 /@ / ro - btrfs /dev/sda2 rw\n501 500 0:28 /@home /home ro - btrfs /dev/sda2 rw\n"
    machine = "22 1 0:28 /@ / rw - btrfs /dev/sda2 rw\n23 22 0:28 /@home /home rw - btrfs /dev/sda2 rw\n"
    bench = Bench(tmp_path, machine, own)
    assert [(metric.series.tags["path"], metric.series.tags["device"]) for metric in bench.batch()] == [
        ("/", "sda2"),
        ("/home", "sda2"),
    ]
    assert bench.said == []


def test_where_the_machine_s_mounts_are_hidden_the_mode_is_the_file_system_s(tmp_path: Path) -> None:
    own = "500 499 8:1 / / ro - ext4 /dev/sda1 rw\n501 500 8:2 / /data ro - ext4 /dev/sda2 ro\n"
    bench = Bench(tmp_path, ROOT, own)
    (tmp_path / "1/mountinfo").unlink()
    assert [(metric.series.tags["path"], metric.series.tags["mode"]) for metric in bench.batch()] == [
        ("/", "rw"),
        ("/data", "ro"),
    ]


def test_where_the_machine_s_mounts_are_hidden_a_disk_that_systemd_covers_is_counted(tmp_path: Path) -> None:
    own = (
        "500 499 8:1 / / ro - ext4 /dev/sda1 rw\n501 500 8:2 / /home ro - ext4 /dev/sda2 rw\n"
        "502 501 0:20 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
    )
    bench = Bench(tmp_path, ROOT, own)
    (tmp_path / "1/mountinfo").unlink()
    assert bench.paths() == ["/"]
    assert bench.report.errors == 1


def test_a_line_of_another_form_is_counted_in_each_batch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ROOT + "nonsense\n", ROOT + "nonsense\n")
    for _ in range(2):
        assert bench.paths() == ["/"]
        assert bench.report.take() == 1


def test_disks_that_come_and_go_are_followed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ROOT)
    found = []
    for text in (ROOT, ROOT + "23 22 8:17 / /usb ro - vfat /dev/sdb1 ro\n", ROOT):
        bench.mount(text, text)
        found.append([(metric.series.tags["path"], metric.series.tags["mode"]) for metric in bench.batch()])
    assert found == [[("/", "rw")], [("/", "rw"), ("/usb", "ro")], [("/", "rw")]]


def test_a_file_system_without_a_size_is_left_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "22 1 0:1 / / rw - zfs tank rw\n")
    bench.answers = {"/": status(blocks=0, free=0, available=0)}
    assert bench.paths() == []
    assert bench.said == []


def test_a_list_without_any_mount_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "")
    assert bench.batch() == []
    assert bench.said == ["E! system: disk: mountinfo has no mount at all, not even that of /"]


#: Mounts of machines of other kinds, without the kernel's own: mountinfo, and the paths, devices and modes reported.
MACHINES = {
    "Docker": (
        "23 1 179:2 / / rw,noatime - ext4 /dev/root rw\n"
        "60 23 179:2 /var/lib/docker/containers /var/lib/docker/containers rw - ext4 /dev/root rw\n"
        "61 23 0:50 / /var/lib/docker/overlay2/f0/merged rw - tmpfs overlay rw,lowerdir=/l/A:/l/B\n"
        "62 24 0:4 net:[4026532456] /run/docker/netns/default rw - nsfs nsfs rw\n"
        "63 24 0:55 / /run/credentials/getty@tty1.service ro - ramfs none rw,mode=700\n",
        {("/", "root", "rw"), ("/var/lib/docker/containers", "root", "rw")},
    ),
    "Kubernetes": (
        "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "70 23 0:70 / /var/lib/kubelet/pods/0a-1/volumes/kubernetes.io~projected/token rw - tmpfs tmpfs rw\n"
        "71 23 8:17 / /var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount rw - ext4 /dev/sdb1 rw\n"
        "72 23 8:17 / /var/lib/kubelet/pods/0a-1/volumes/kubernetes.io~csi/pvc-1/mount rw - ext4 /dev/sdb1 rw\n"
        "73 23 0:71 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw,allow_other\n",
        {
            ("/", "sda1", "rw"),
            ("/var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount", "sdb1", "rw"),
            ("/var/lib/kubelet/pods/0a-1/volumes/kubernetes.io~csi/pvc-1/mount", "sdb1", "rw"),
        },
    ),
    "ZFS": (
        "23 1 0:27 / / rw - zfs rpool/ROOT/ubuntu_x rw,xattr\n"
        "24 23 0:40 / /boot rw - zfs bpool/BOOT/ubuntu_x rw\n"
        "25 24 8:1 / /boot/efi rw - vfat /dev/sda1 rw,errors=remount-ro\n"
        "26 23 0:41 / /home/a\\040b rw - zfs rpool/USERDATA/a\\040b rw\n",
        {
            ("/", "rpool/ROOT/ubuntu_x", "rw"),
            ("/boot", "bpool/BOOT/ubuntu_x", "rw"),
            ("/boot/efi", "sda1", "rw"),
            ("/home/a b", "rpool/USERDATA/a b", "rw"),
        },
    ),
    "Btrfs with snapshots": (
        "23 1 0:25 /@ / rw - btrfs /dev/nvme0n1p2 rw,subvol=/@\n"
        "24 23 0:25 /@home /home rw - btrfs /dev/nvme0n1p2 rw,subvol=/@home\n"
        "25 23 0:25 /@/.snapshots/7/snapshot /mnt/old ro - btrfs /dev/nvme0n1p2 rw\n",
        {("/", "nvme0n1p2", "rw"), ("/home", "nvme0n1p2", "rw"), ("/mnt/old", "nvme0n1p2", "ro")},
    ),
    "a desktop with snaps on UEFI": (
        "23 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n"
        "24 23 0:33 / /sys/firmware/efi/efivars rw - efivarfs efivarfs rw\n"
        "25 23 0:34 / /efivars rw - efivarfs efivarfs rw\n"
        "26 23 0:60 / /snap/core22/1 ro - fuse.snapfuse snapfuse ro\n"
        "27 23 0:61 / /run/user/1000/kio-fuse-x rw - fuse.kio-fuse kio-fuse rw\n"
        "28 23 0:62 / /home/a/thinclient_drives rw - fuse.xrdp-chansrv xrdp-chansrv rw\n"
        "29 23 0:63 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M\n"
        "30 23 0:64 / /proc/fs/nfsd rw - nfsd nfsd rw\n",
        {("/", "nvme0n1p2", "rw")},
    ),
    "a Pi with a read-only overlay": (
        "23 1 0:26 / / rw - tmpfs overlayroot rw,lowerdir=/media/root-ro\n"
        "24 23 179:2 / /media/root-ro ro - ext4 /dev/mmcblk0p2 ro\n"
        "25 23 179:1 / /boot/firmware ro - vfat /dev/mmcblk0p1 ro\n",
        {("/media/root-ro", "mmcblk0p2", "ro"), ("/boot/firmware", "mmcblk0p1", "ro")},
    ),
    "WSL": (
        "23 1 8:32 / / rw - ext4 /dev/sdc rw\n"
        "24 23 0:53 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:\\134;uid=0\n"
        "25 23 0:54 / /usr/lib/wsl/drivers ro - 9p drivers ro\n",
        {("/", "sdc", "rw"), ("/mnt/c", "C:/", "rw"), ("/usr/lib/wsl/drivers", "drivers", "ro")},
    ),
    "network and cloud": (
        "23 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n"
        "24 23 0:60 / /nas rw - cifs //nas/films\\040und\\040mehr rw,vers=3.1.1\n"
        "25 23 0:61 / /srv/a rw - nfs4 [fd00::1]:/srv/a rw\n"
        "26 23 0:62 / /cloud rw - fuse.rclone drive:a\\134b rw\n",
        {
            ("/", "mmcblk0p2", "rw"),
            ("/nas", "//nas/films und mehr", "rw"),
            ("/srv/a", "[fd00::1]:/srv/a", "rw"),
            ("/cloud", "drive:a\\b", "rw"),
        },
    ),
}


@pytest.mark.parametrize("kind", MACHINES)
def test_machines_of_other_kinds_report_their_disks_and_no_error(kind: str, tmp_path: Path) -> None:
    text, expected = MACHINES[kind]
    bench = Bench(tmp_path, text)
    found = {tuple(metric.series.tags[tag] for tag in ("path", "device", "mode")) for metric in bench.batch()}
    assert found == expected
    assert bench.said == []
    # Inside a service that sees them read-only, they are the same.
    inside = "".join(line.replace(" rw", " ro", 1) + "\n" for line in text.splitlines())
    bench.mount(text, inside)
    assert {
        tuple(metric.series.tags[tag] for tag in ("path", "device", "mode")) for metric in bench.batch()
    } == expected
    assert bench.said == []
