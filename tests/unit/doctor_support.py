"""A machine made of files, for the doctor's tests: a Raspberry Pi on which all is well."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sensetig.doctor import dashboards, influx, network
from sensetig.doctor import patient as patients
from sensetig.doctor.examine import examine
from sensetig.doctor.findings import Check, Finding, Result
from sensetig.doctor.patient import Patient, Ran
from sensetig.site import Site

#: Monday, 5 January 2026.
NOW = 1_767_600_000.0

HOST = "attic"


def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers and programs take as long as a busy machine needs."""
    for module in (patients, dashboards, influx, network):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)


class Programs:
    """Answers of programs: the first words of a command -> exit status and output. Other programs do not exist."""

    def __init__(self, answers: Mapping[str, Ran]) -> None:
        self.answers = dict(answers)

    def __call__(self, command: Sequence[str]) -> Ran:
        line = " ".join(command)
        for start, answer in self.answers.items():
            if line.startswith(start):
                return answer
        return Ran(None)


def unit(name: str, active: str = "active", sub: str = "running", result: str = "success", restarts: int = 0,
         load: str = "loaded", kind: str = "simple", triggered: str = "") -> str:  # fmt: skip
    """The properties of a unit, as systemctl shows them."""
    return (
        f"Id={name}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nResult={result}\nNRestarts={restarts}\n"
        f"UnitFileState=enabled\nType={kind}\nTriggeredBy={triggered}\n"
    )


def write(top: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


FILES = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/hat/product": "Sense HAT\0",
    "proc/cmdline": "console=tty1 root=PARTUUID=1-02 rootwait\n",
    "proc/meminfo": "MemTotal:        3884252 kB\nMemFree:          201234 kB\nMemAvailable:    2884252 kB\n",
    "proc/self/mounts": "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\nproc /proc proc rw 0 0\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/fs/ext4/mmcblk0p2/errors_count": "0\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "sys/block/mmcblk0/device/type": "SD\n",
    "boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1-02 rootwait\n",
    "dev/i2c-1": "",
    "etc/group": "root:x:0:\n",
    "etc/default/telegraf": f"SENSETIG_HOST={HOST}\n",
    "etc/telegraf/telegraf.d/sensehat.conf": "",
    "etc/sensetig/site.toml": "",
    "etc/sensetig/sensetig.toml": "",
    "etc/systemd/system/telegraf.service.d/sensetig.conf": "",
}


def healthy(top: Path) -> Patient:
    """A lone Pi with a Sense HAT."""
    write(top, FILES)
    (top / "dev/i2c-1").chmod(0o660)
    os.utime(top / "etc/sensetig/site.toml", (NOW - 86400, NOW - 86400))
    answers = {
        "vcgencmd get_throttled": Ran(0, "throttled=0x0\n"),
        "timedatectl": Ran(0, "yes\n"),
        "telegraf --version": Ran(0, "Telegraf 1.39.3 (git: HEAD@1)\n"),
        "systemctl show --property=User": Ran(0, "User=telegraf\nGroup=root\nSupplementaryGroups=i2c input video\n"),
        "systemctl show --property=Id": Ran(0, unit("telegraf.service")),
    }
    return Patient(top, Site(), HOST, now=lambda: NOW, run=Programs(answers))


def answers(patient: Patient, changed: Mapping[str, Ran]) -> Patient:
    """The same machine whose programs answer otherwise."""
    assert isinstance(patient.run, Programs)
    return patient._replace(run=Programs({**changed, **patient.run.answers, **changed}))


def one(check: Check, patient: Patient) -> Result | None:
    """The result of one check, without those that it needs; None if it is left out."""
    return next(examine([check._replace(needs=())], patient), None)


def findings(check: Check, patient: Patient) -> tuple[Finding, ...]:
    """The findings of one check."""
    result = one(check, patient)
    assert result is not None, f"{check.name} was left out"
    return result.findings


def finding(check: Check, patient: Patient) -> Finding:
    """The only finding of one check."""
    (found,) = findings(check, patient)
    return found
