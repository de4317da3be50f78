"""Checks of the operating system: clock, groups, settings, services, disk, memory."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sensetig import policy
from sensetig.doctor import machine
from sensetig.doctor.findings import (
    INSTALL,
    CannotCheck,
    Check,
    Cure,
    Finding,
    NotHere,
    act,
    good,
    hand,
    look,
    run,
)
from sensetig.doctor.patient import Patient

#: A clock that is behind the installation's files by more than this, in seconds, has not been set.
_DAY = 86400

_GIGABYTE = 1e9

# --- clock ----------------------------------------------------------------------------------------------


class Clock(NamedTuple):
    """The clock.

    Args:
        now: seconds since 1970.
        floor: when this installation or its operating system was made, seconds since 1970; an earlier time is wrong.
        synchronised: the kernel's report; None if unknown.
    """

    now: float
    floor: float
    synchronised: bool | None


def _read_clock(patient: Patient) -> Clock:
    # The second file carries the build time of its package, which does not come from this machine's clock.
    files = (patient.top / "etc/sensetig/site.toml", patient.top / "usr/lib/os-release")
    dates = [each.stat().st_mtime for each in files if each.exists()]
    answer = patient.run(("timedatectl", "show", "--property=NTPSynchronized", "--value"))
    said = {"yes": True, "no": False}.get(answer.output.strip()) if answer.status == 0 else None
    return Clock(patient.now(), max(dates, default=0.0), said)


def judge_clock(facts: Clock) -> list[Finding]:
    """Whether the time is correct."""
    cure = run("systemctl", "restart", "systemd-timesyncd.service")
    if facts.now < facts.floor - _DAY:
        return act(
            f"it says {_date(facts.now)}, and this system is from {_date(facts.floor)}: points get a wrong time",
            cure,
        )
    if facts.synchronised is False:
        return look(f"it says {_date(facts.now)}, and is not synchronised", cure)
    return good(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(facts.now))} UTC" + _how(facts.synchronised))


def _how(synchronised: bool | None) -> str:
    return "" if synchronised is None else ", synchronised"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


# --- groups ---------------------------------------------------------------------------------------------

#: Device files, the service that opens each, and the hardware that they belong to.
_DEVICES = (
    ("i2c-1", "telegraf.service", "Sense HAT"),
    ("vcio", "telegraf.service", "firmware"),
    ("video0", "sensetig-camera.service", "camera"),
)


class Device(NamedTuple):
    """A device file.

    Args:
        path: of the file.
        group: the group of the file.
        open: whether that group may read and write it.
        service: the service that opens it.
        groups: the groups of that service.
    """

    path: str
    group: str
    open: bool
    service: str
    groups: frozenset[str]


def _read_groups(patient: Patient) -> list[Device]:
    import grp

    found = []
    for name, service, _ in _DEVICES:
        path = patient.top / "dev" / name
        if not path.exists() or not patient.has_unit(service):
            continue
        answer = patient.run(("systemctl", "show", "--property=User,Group,SupplementaryGroups", service))
        if answer.status != 0:
            raise CannotCheck("there is no systemd to ask for the groups of services")
        shown = dict(line.split("=", 1) for line in answer.output.splitlines() if "=" in line)
        groups = {*shown.get("SupplementaryGroups", "").split(), shown.get("Group", "")}
        groups |= _member_of(patient.top, shown.get("User", ""))
        status = path.stat()
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        usable = stat.S_IMODE(status.st_mode) & 0o060 == 0o060
        found.append(Device(f"/dev/{name}", group, usable, service, frozenset(groups - {""})))
    if not found:
        raise NotHere
    return found


def _member_of(top: Path, user: str) -> set[str]:
    lines = (machine.text(top / "etc/group") or "").splitlines()
    entries = [line.split(":") for line in lines]
    return {each[0] for each in entries if len(each) == 4 and user and user in each[3].split(",")}


def judge_groups(facts: Sequence[Device]) -> list[Finding]:
    """Whether each service can open its devices."""
    found = []
    for each in facts:
        if not each.open:
            reload = Cure((("udevadm", "control", "--reload"), ("udevadm", "trigger")))
            found.append(Finding(policy.ACT, f"the group {each.group} may not open {each.path}", reload))
        elif each.group not in each.groups:
            found.append(
                Finding(
                    policy.ACT, f"{each.service} is not in the group {each.group} that may open {each.path}", INSTALL
                )
            )
    return found or good("services may open their devices")


# --- settings -------------------------------------------------------------------------------------------


def _read_site(patient: Patient) -> str:
    return patient.site_problem


def judge_site(problem: str) -> list[Finding]:
    """Whether ``site.toml`` is valid."""
    return act(problem.partition("; ")[0], INSTALL) if problem else good("/etc/sensetig/site.toml is sound")


def _read_settings(patient: Patient) -> str:
    """The reason why the collectors' settings are rejected; or empty."""
    file = patient.top / "etc/sensetig/sensetig.toml"
    if not file.exists():
        raise NotHere
    code = "import sys; sys.argv[1:] = ['check-settings', sys.argv[1]]; import sensetig.__main__ as m; m.main()"
    answer = patient.run((sys.executable, "-c", f"import os; os.dup2(1, 2); {code}", str(file)))
    if answer.status is None:
        raise CannotCheck("the settings could not be read in time")
    return "" if answer.status == 0 else answer.output.strip().removeprefix("Error: ")


def judge_settings(problem: str) -> list[Finding]:
    """Whether every collector accepts its settings."""
    if problem:
        cure = hand("correct collectors_settings in config.yml, and run sudo ./install again")
        return act(" ".join(problem.split()), cure)
    return good("every collector accepts its settings")


# --- services -------------------------------------------------------------------------------------------

_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,Type,TriggeredBy"


def units(top: Path) -> list[str]:
    """The units that the playbook has installed, or modified by a drop-in."""
    folder = top / "etc/systemd/system"
    own = {each.name for kind in ("service", "timer", "path") for each in folder.glob(f"sensetig-*.{kind}")}
    own |= {each.parent.name.removesuffix(".d") for each in folder.glob("*.service.d/sensetig.conf")}
    own |= {each.name for each in folder.glob("nats-server.service")}
    # The drop-in for systemd-time-wait-sync only limits a wait; it is not a service of SenseTIG.
    return sorted(each for each in own if not each.startswith("systemd-"))


def _read_units(patient: Patient) -> list[dict[str, str]]:
    listed = units(patient.top)
    if not listed:
        raise NotHere
    answer = patient.run(("systemctl", "show", f"--property={_PROPERTIES}", *listed))
    if answer.status != 0:
        raise CannotCheck("systemd does not run on this machine")
    blocks = answer.output.strip().split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def judge_units(facts: Sequence[Mapping[str, str]]) -> list[Finding]:
    """Whether every service runs, and keeps running."""
    found: list[Finding] = []
    for unit in facts:
        name = unit.get("Id", "")
        state, sub, result = (unit.get(key, "") for key in ("ActiveState", "SubState", "Result"))
        restarts = int(unit.get("NRestarts") or 0)
        triggered = bool(unit.get("TriggeredBy")) or unit.get("Type") == "oneshot"
        journal = run("journalctl", "-n30", "-u", name)
        if unit.get("LoadState") == "masked":
            found += act(f"{name} is masked", Cure((("systemctl", "unmask", name), ("systemctl", "start", name))))
        elif unit.get("LoadState") not in ("loaded", ""):
            found += act(f"{name} is not installed", INSTALL)
        elif state == "failed":
            cure = Cure((("systemctl", "restart", name), journal.commands[0]))
            found += act(f"{name} has failed ({result})", cure)
        elif state == "activating" and sub == "auto-restart":
            found += act(f"{name} ends again and again ({result}); its journal says why", journal)
        elif state == "inactive" and not triggered:
            found += act(f"{name} is stopped", run("systemctl", "enable", "--now", name))
        elif policy.RESTARTS.level(restarts) != policy.GOOD:
            found += look(
                f"{name} runs, and was restarted {restarts} times since the start; its journal says why", journal
            )
    running = sum(each.get("ActiveState") == "active" for each in facts)
    return found or good(f"{running} of {len(facts)} units are active; timers start the others")


# --- disk -----------------------------------------------------------------------------------------------

_FOLDERS = ("", "var/lib/influxdb", "var/lib/grafana", "var/lib/sensetig-outbox", "var/lib/sensetig-backup")
_CLEAN = Cure((("apt-get", "clean"), ("journalctl", "--vacuum-size=64M")))


class Room(NamedTuple):
    """A file system: a folder on it, used percentages of bytes and of inodes, and free bytes."""

    folder: str
    percent: float
    inodes_percent: float
    free_bytes: int


def room(top: Path, folder: str) -> Room | None:
    """The space at a folder below *top*; None if the folder does not exist."""
    try:
        status = os.statvfs(top / folder)
    except OSError:
        return None
    # As df does: space reserved for root is neither used nor free.
    used, free = status.f_blocks - status.f_bfree, status.f_bavail
    nodes = status.f_files - status.f_ffree
    return Room(
        f"/{folder}",
        100 * used / (used + free) if used + free else 0.0,
        100 * nodes / status.f_files if status.f_files else 0.0,
        free * status.f_frsize,
    )


def _read_disk(patient: Patient) -> list[Room]:
    seen: dict[int, Room] = {}
    for folder in _FOLDERS:
        found = room(patient.top, folder)
        if found is not None:
            seen.setdefault((patient.top / folder).stat().st_dev, found)
    return list(seen.values())


def judge_disk(facts: Sequence[Room]) -> list[Finding]:
    """Whether there is enough space."""
    found = []
    for each in facts:
        level = policy.DISK_PERCENT.level(each.percent)
        if level != policy.GOOD:
            text = f"{each.folder} is {each.percent:.0f} % full, {each.free_bytes / _GIGABYTE:.1f} GB are free"
            found.append(Finding(level, text, _CLEAN))
        level = policy.DISK_PERCENT.level(each.inodes_percent)
        if level != policy.GOOD:
            cure = hand(f"remove small files below {each.folder}; du --inodes -d 2 {each.folder} shows where they are")
            found.append(
                Finding(level, f"{each.folder} has {each.inodes_percent:.0f} % of its file entries in use", cure)
            )
    fullest = max(facts, key=lambda each: each.percent)
    return found or good(f"{fullest.percent:.0f} % full, {fullest.free_bytes / _GIGABYTE:.1f} GB are free")


# --- memory ---------------------------------------------------------------------------------------------

_COMMAND_LINES = ("boot/firmware/cmdline.txt", "boot/cmdline.txt")


class Memory(NamedTuple):
    """The memory.

    Args:
        percent: in use.
        bounded: whether the kernel enforces MemoryMax.
        command_line: the file with the kernel's command line, relative to the root; or empty.
        requested: whether that file already enables the memory cgroup.
    """

    percent: float
    bounded: bool
    command_line: str
    requested: bool


def _read_memory(patient: Patient) -> Memory:
    top = patient.top
    sizes = {
        words[0].rstrip(":"): int(words[1])
        for words in (line.split() for line in (machine.text(top / "proc/meminfo") or "").splitlines())
        if len(words) >= 2 and words[1].isdecimal()
    }
    if not sizes.get("MemTotal") or "MemAvailable" not in sizes:
        raise CannotCheck("the kernel does not report its memory")
    unified = machine.text(top / "sys/fs/cgroup/cgroup.controllers")
    bounded = "memory" in unified.split() if unified is not None else (top / "sys/fs/cgroup/memory").is_dir()
    file = next((each for each in _COMMAND_LINES if (top / each).is_file()), "")
    requested = "cgroup_enable=memory" in (machine.text(top / file) or "").split() if file else False
    return Memory(100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"]), bounded, file, requested)


def judge_memory(facts: Memory) -> list[Finding]:
    """The amount of memory in use."""
    level = policy.MEMORY_PERCENT.level(facts.percent)
    text = f"{facts.percent:.0f} % are in use"
    if level == policy.GOOD:
        return good(text)
    return [Finding(level, text, hand("end programs that are not needed; ps aux --sort=-rss shows the largest"))]


def judge_cgroup(facts: Memory) -> list[Finding]:
    """Whether the services' memory limits are effective."""
    if facts.bounded:
        return good("the kernel keeps each service within its MemoryMax")
    text = "the kernel runs without the memory control group, so MemoryMax of the services has no effect"
    if not facts.command_line:
        return look(text, hand("start the kernel with cgroup_enable=memory"))
    if facts.requested:
        return look(f"{text}; it is requested, and comes with the next start", hand("restart the machine"))
    # Raspberry Pi OS disables it before this file is read; a later option takes precedence.
    changes = "s/ *cgroup_disable=memory//; 1s/$/ cgroup_enable=memory/"
    edit = run("sed", "-i", changes, f"/{facts.command_line}")
    return look(f"{text}; a restart of the machine follows the cure", edit)


def health(content: bytes) -> dict[str, str]:
    """The text values in a server's JSON response; empty if it is invalid."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {str(key): value for key, value in document.items() if isinstance(value, str)}


CLOCK = Check("clock", "Clock", _read_clock, judge_clock)
GROUPS = Check("groups", "Groups", _read_groups, judge_groups)
SITE = Check("site", "Site file", _read_site, judge_site)
SETTINGS = Check("settings", "Settings", _read_settings, judge_settings)
UNITS = Check("services", "Services", _read_units, judge_units)
DISK = Check("disk", "Disk", _read_disk, judge_disk)
MEMORY = Check("memory", "Memory", _read_memory, judge_memory)
CGROUP = Check("memory-cgroup", "Memory bounds", _read_memory, judge_cgroup)
