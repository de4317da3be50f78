"""The collectors on real mounts, in mount namespaces made as systemd makes those of a service.

Each test creates its own namespaces as root, and runs a collector there as an unprivileged user. The system outside
them is not modified.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode_lines
from tests.golden import ROOT

_SECONDS = 120

#: As a user without rights.
_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"

#: What systemd lays over /home with ProtectHome=yes: an empty folder of another file system, which only root may enter.
_PROTECT_HOME = """
mkdir -p $W/inaccessible; mount -t tmpfs -o size=8m run $W/inaccessible; mkdir -m 0 $W/inaccessible/dir
mount --bind $W/inaccessible/dir /home
"""

#: ProtectSystem=strict: every mount is read-only in the service's namespace.
_PROTECT_SYSTEM = "mount -o remount,bind,ro /\n"


@cache
def python() -> str:
    """A Python that a user without rights can run, with this project."""
    if os.geteuid() != 0:
        pytest.skip("to mount file systems takes root")
    missing = [name for name in ("unshare", "setpriv", "mount") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing: it comes with util-linux")
    done = subprocess.run(["unshare", "-mpf", "--mount-proc", "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"namespaces cannot be made here: {done.stderr.strip()}")
    for program in (sys.executable, "/usr/bin/python3"):
        tried = f"{_NOBODY} {shlex.quote(program)} -B -c 'import collectors.system'"
        done = subprocess.run(["sh", "-c", tried], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return program
    pytest.skip(f"a user without rights cannot run this project: {done.stderr.strip()[-200:]}")


class Seen:
    """The output of a collector."""

    def __init__(self, out: str, err: str) -> None:
        self.metrics = [metric for metric in decode_lines(out) if metric is not None]
        self.err = err

    def of(self, measurement: str) -> list[Metric]:
        """The lines of a measurement."""
        return [metric for metric in self.metrics if metric.series.measurement == measurement]

    def disks(self, folder: Path | str = "") -> dict[str, Metric]:
        """The disks at and below a folder, by path."""
        found = {metric.series.tags["path"]: metric for metric in self.of("disk")}
        return {path: metric for path, metric in found.items() if path.startswith(str(folder))}

    @property
    def errors(self) -> list[object]:
        """The number of errors of each batch."""
        return [metric.fields["errors"] for metric in self.of("collector")]

    def about(self, words: str) -> list[str]:
        """The lines of the log with these words: other mounts of this machine may have some, too."""
        return [line for line in self.err.splitlines() if words in line]


def run(
    folder: Path, machine: str, service: str = "", arguments: Sequence[str] = ("--parts", "disk"), *, batches: int = 1
) -> Seen:
    """Build a machine and the view of a service in it, and run the collector `system` there.

    Args:
        machine, service: shell scripts; ``$W`` is an empty folder.
        batches: more than one are requested from one process.
    """
    options = shlex.join(["--cpu-sample-seconds", "0", "--disk-timeout-seconds", "60", *arguments])
    program = f"{_NOBODY} {python()} -B -m collectors system {options}"
    if batches > 1:
        program = f"printf '%{batches}s' | tr ' ' '\\n' | {program} --execd"
    inner = f"set -e\n{service}\ncd {shlex.quote(str(ROOT))}\n{program}\n"
    (folder / "service.sh").write_text(inner)
    outer = f"set -e\n{machine}\nunshare -m sh {shlex.quote(str(folder / 'service.sh'))}\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    done = subprocess.run(
        ["unshare", "-mpf", "--mount-proc", "sh", "-c", outer],
        env={**environment, "W": str(folder), "SENSETIG_SETTINGS": os.devnull},
        capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Seen(done.stdout, done.stderr)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty folder that an unprivileged user can reach; mounts in it end with their namespace."""
    python()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


_FILMS = "mount -t tmpfs -o size=64m /dev/sda1 /home; head -c 50M /dev/zero > /home/film\n"
_REAL = ("--parts", "disk", "--ignore-fs", "devtmpfs")


def test_a_disk_that_protect_home_covers_is_counted_and_has_no_numbers(scratch: Path) -> None:
    seen = run(scratch, _FILMS, _PROTECT_HOME + _PROTECT_SYSTEM, _REAL)
    assert seen.disks("/home") == {}
    assert len(seen.about("/home (/dev/sda1) is not visible to this process")) == 1
    assert seen.errors[0] != 0


def test_a_disk_that_protect_home_leaves_readable_has_the_numbers_that_df_reports(scratch: Path) -> None:
    seen = run(scratch, _FILMS, "mount -o remount,bind,ro /home\n" + _PROTECT_SYSTEM, _REAL)
    home = seen.disks("/home")["/home"]
    assert home.fields["total"] == 64 * 1024 * 1024
    assert home.fields["used"] == 50 * 1024 * 1024
    assert home.series.tags["mode"] == "rw"
    assert seen.about("/home") == []


def test_a_mount_below_a_covered_home_is_counted(scratch: Path) -> None:
    machine = "mount -t tmpfs home /home; mkdir -p /home/pi/nas\n"
    machine += "mount -t tmpfs -o size=64m nas:/films /home/pi/nas\n"
    seen = run(scratch, machine, _PROTECT_HOME + _PROTECT_SYSTEM, _REAL)
    assert seen.disks("/home") == {}
    assert len(seen.about("/home/pi/nas (nas:/films) is not visible to this process")) == 1


def test_a_home_that_is_replaced_by_an_empty_one_with_a_bind_has_the_bound_disk(scratch: Path) -> None:
    """ProtectHome=tmpfs with BindReadOnlyPaths."""
    machine = "mount -t tmpfs home /home; mkdir -p /home/pi/nas\nmount -t tmpfs -o size=64m nas:/films /home/pi/nas\n"
    service = (
        "mkdir $W/kept; mount --bind /home/pi/nas $W/kept; mount -t tmpfs hidden /home; mkdir -p /home/pi/nas\n"
        "mount --bind $W/kept /home/pi/nas; umount $W/kept\n"
    )
    seen = run(scratch, machine, service + _PROTECT_SYSTEM, _REAL)
    assert seen.disks("/home")["/home/pi/nas"].fields["total"] == 64 * 1024 * 1024
    assert "/home" not in seen.disks("/home")


@pytest.mark.parametrize("hidepid", ["1", "2", "invisible", "noaccess"])
def test_behind_hidepid_the_mode_of_a_disk_is_the_machine_s_and_own_processes_are_counted(
    hidepid: str, scratch: Path
) -> None:
    seen = run(
        scratch,
        f"mount -o remount,hidepid={hidepid} /proc\n",
        _PROTECT_SYSTEM,
        ("--parts", "disk,processes"),
        batches=3,
    )
    (first, *_) = [metric for metric in seen.of("disk") if metric.series.tags["path"] == "/"]
    assert first.series.tags["mode"] == "rw"
    processes = seen.of("processes")
    assert [metric.fields["total"] for metric in processes] == [1, 1, 1]
    assert len(seen.about("I! system: processes: only those of this user are counted")) == 1
    assert seen.about("E! system: processes") == []


_ONE_OVER_ANOTHER = """
mkdir $W/usb; mount -t tmpfs -o size=64m /dev/sda1 $W/usb; head -c 50M /dev/zero > $W/usb/film
mount -t tmpfs -o size=8m /dev/sdb1 $W/usb
"""


@pytest.mark.parametrize("service", ["", _PROTECT_SYSTEM], ids=["outside", "inside"])
def test_of_two_disks_at_one_path_the_upper_one_is_measured(service: str, scratch: Path) -> None:
    seen = run(scratch, _ONE_OVER_ANOTHER, service, _REAL, batches=2)
    lines = [metric for metric in seen.of("disk") if metric.series.tags["path"] == f"{scratch}/usb"]
    assert [(metric.series.tags["device"], metric.fields["total"]) for metric in lines] == [("sdb1", 8388608)] * 2
    assert len(seen.about(f"{scratch}/usb (/dev/sda1) is left out")) == 1


_BY_DESIGN = {
    "credentials": """
d=$W/credentials; mkdir -m 700 $d
for s in systemd-sysctl systemd-tmpfiles-setup; do
  mkdir $d/$s.service; mount -t ramfs -o ro,nosuid,nodev,noexec,mode=700 ramfs $d/$s.service
done
""",
    "credentials of systemd 256": """
d=$W/credentials; mkdir -m 700 $d
mkdir $d/systemd-journald.service; mount -t tmpfs -o ro,size=1m,mode=700 tmpfs $d/systemd-journald.service
""",
    "docker": """
d=$W/docker; mkdir -m 700 $d; mkdir $d/netns
for n in 1a2b 3c4d; do touch $d/netns/$n; mount --bind /proc/self/ns/net $d/netns/$n; done
mkdir -p $d/overlay2/x/merged $d/l $d/u $d/w; mount -t tmpfs shm $d/overlay2/x/merged
""",
    "traces": "d=$W/traces; mkdir -m 700 $d; mkdir $d/t; mount -t tracefs tracefs $d/t 2>/dev/null || true\n",
    "desktop": """
u=$W/user; mkdir -m 700 $u; mkdir $u/gvfs $u/cloud; exec 9<>/dev/fuse 8<>/dev/fuse
mount -i -t fuse.gvfsd-fuse -o fd=9,rootmode=40000,user_id=1000,group_id=1000 gvfsd-fuse $u/gvfs
mount -i -t fuse.rclone -o fd=8,rootmode=40000,user_id=1000,group_id=1000 cloud: $u/cloud
""",
    "another user's": "mkdir -m 700 $W/u; mkdir $W/u/d; mount -t tmpfs -o size=8m /dev/sdc1 $W/u/d\n",
}


@pytest.mark.parametrize("name", _BY_DESIGN)
def test_a_mount_unreadable_by_design_is_noted_at_most_once_and_is_no_error(name: str, scratch: Path) -> None:
    if name == "desktop" and not Path("/dev/fuse").exists():
        pytest.skip("this machine has no /dev/fuse")
    seen = run(scratch, _BY_DESIGN[name], "", ("--parts", "mem,disk", "--ignore-fs", "overlay"), batches=3)
    mine = seen.about(str(scratch))
    assert [line for line in mine if not line.startswith("I! ")] == []
    assert len(mine) == len(set(mine))
    assert seen.disks(scratch) == {}
    assert len(seen.of("mem")) == 3


@pytest.mark.parametrize("name", [r"\r", r"\f", r"\v", r"\302\205", r"\342\200\250", r"\034", r"\344", r"\\", r"\t"])
def test_a_disk_may_have_any_name(name: str, scratch: Path) -> None:
    machine = f'p="$(printf \'{scratch}/a{name}b\')"; mkdir "$p"; mount -t tmpfs -o size=8m /dev/sda1 "$p"\n'
    seen = run(scratch, machine, _PROTECT_SYSTEM, _REAL)
    (found,) = seen.disks(scratch).values()
    assert found.fields["total"] == 8 * 1024 * 1024
    assert seen.about(str(scratch)) == []


def test_a_private_tmp_on_the_same_disk_has_the_disk_s_numbers(scratch: Path) -> None:
    machine = "mkdir $W/own; mount -t tmpfs -o size=8m /dev/sda2 $W/own; mkdir $W/own/private\n"
    seen = run(scratch, machine, "mount --bind $W/own/private $W/own\n" + _PROTECT_SYSTEM, _REAL)
    assert seen.disks(scratch)[f"{scratch}/own"].fields["total"] == 8 * 1024 * 1024


def test_a_disk_that_is_mounted_while_the_service_runs_is_seen_with_its_own_numbers(scratch: Path) -> None:
    """Mounts of the machine reach the namespace of a service."""
    machine = "mount --make-rshared /; mkdir $W/usb\n"
    collector = f"{_NOBODY} {python()} -B -m collectors system --parts disk --ignore-fs devtmpfs --execd"
    script = f"""
unshare -m --propagation slave sh -c '{_PROTECT_SYSTEM}cd {ROOT}; exec {collector} < $W/requests' > $W/out &
exec 7> $W/requests
echo >&7; while ! grep -q ^collector $W/out; do sleep 0.05; done
mount -t tmpfs -o size=8m /dev/sda1 $W/usb
echo >&7; while [ "$(grep -c ^collector $W/out)" -lt 2 ]; do sleep 0.05; done
exec 7>&-
wait
cat $W/out
"""
    os.mkfifo(scratch / "requests")
    environment = {**os.environ, "W": str(scratch), "SENSETIG_SETTINGS": os.devnull}
    done = subprocess.run(
        ["unshare", "-mpf", "--mount-proc", "sh", "-c", machine + script],
        env=environment, capture_output=True, text=True, check=True, timeout=_SECONDS,
    )  # fmt: skip
    found = Seen(done.stdout, done.stderr).disks(scratch)
    assert {path: metric.fields["total"] for path, metric in found.items()} == {f"{scratch}/usb": 8 * 1024 * 1024}


#: Mounts file systems without a server, shows that all other lines are written while they hang, and closes them. The
#: arguments: a folder, how many, and the command.
_HANGING = """
import ctypes, os, subprocess, sys
folder, number, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
held = []
for each in range(int(number)):
    path = f"{folder}/nas{each}"
    os.mkdir(path)
    held.append(os.open("/dev/fuse", os.O_RDWR))
    options = f"fd={held[-1]},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(f"nas:/{each}".encode(), path.encode(), b"fuse.nfs", 0, options.encode()):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
process.stdin.write("\\n")
process.stdin.flush()
seen = set()
while not {"mem", "processes", "system"} <= seen:
    line = process.stdout.readline()
    print(line, end="")
    seen.add(line.partition(" ")[0].partition(",")[0])
print("released", file=sys.stderr)
for descriptor in held:
    os.close(descriptor)
process.stdin.close()
sys.stdout.write(process.stdout.read())
sys.exit(process.wait())
"""


@pytest.mark.parametrize("execd", [True, False], ids=["process that stays", "one-shot run"])
def test_all_else_is_written_while_file_systems_hang(execd: bool, scratch: Path) -> None:
    if not Path("/dev/fuse").exists():
        pytest.skip("this machine has no /dev/fuse")
    # The patience is longer than the test may take: no line waits for it.
    options = ["--cpu-sample-seconds", "0", "--disk-timeout-seconds", "60", "--parts", "mem,system,processes,disk"]
    collector = [sys.executable, "-m", "collectors", "system", *options, *(["--execd"] if execd else [])]
    command = ["unshare", "-mpf", "--mount-proc", sys.executable, "-c", _HANGING, str(scratch), "8", *collector]
    environment = {**os.environ, "SENSETIG_SETTINGS": os.devnull}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert "released" in done.stderr
    seen = Seen(done.stdout, done.stderr)
    assert len(seen.of("mem")) == len(seen.of("collector")) == 1
    assert seen.disks(scratch) == {}
