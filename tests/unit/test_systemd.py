"""The systemd units with their hardening drop-ins, as systemd itself rates them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
SERVICES = yaml.safe_load((ROOT / "ansible" / "services.yml").read_text(encoding="utf-8"))["sensetig_services"]

#: The lines that each unit needs beyond systemd/hardening.conf.
ADDITIONS: dict[str, list[str]] = {
    unit: lines or [] for entry in SERVICES.values() for unit, lines in entry.get("hardening", {}).items()
}

#: Maximum exposure by the measure of `systemd-analyze security`: 10 is a service without hardening.
MAX_EXPOSURE = 2.0

#: Telegraf sees the Sense HAT's devices and the processes of all users.
MAX_TELEGRAF_EXPOSURE = 2.2

#: Units that run as root.
ROOTS = {"sensetig-certificate.service"}


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: it comes with systemd")
    return found


def installed(unit: str, folder: Path) -> Path:
    """A unit as the playbook installs it: the file in systemd/, or a placeholder for a template or a package's unit."""
    path = folder / unit
    source = ROOT / "systemd" / unit
    if source.is_file():
        text = source.read_text(encoding="utf-8")
        command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
        text = text.replace(command, "ExecStart=/bin/true")
    else:
        user = "" if unit in ROOTS else "User=service\nUMask=0077\n"
        text = f"[Service]\nExecStart=/bin/true\n{user}"
    path.write_text(text, encoding="utf-8")
    drop_in = folder / f"{unit}.d" / "hardening.conf"
    drop_in.parent.mkdir()
    base = (ROOT / "systemd" / "hardening.conf").read_text(encoding="utf-8")
    drop_in.write_text(base + "\n".join(ADDITIONS[unit]) + "\n", encoding="utf-8")
    return path


def test_every_service_unit_of_the_bundle_gets_the_hardening_drop_in() -> None:
    assert {unit.name for unit in UNITS} <= set(ADDITIONS)


@pytest.mark.parametrize("unit", ADDITIONS)
def test_exposure_of_a_service(unit: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--threshold=100", installed(unit, tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    last = done.stdout.splitlines()[-1]
    assert "Overall exposure level" in last
    most = MAX_TELEGRAF_EXPOSURE if unit == "telegraf.service" else MAX_EXPOSURE
    assert float(last.split(": ")[1].split()[0]) <= most


@pytest.mark.parametrize("unit", ADDITIONS)
def test_systemd_accepts_every_line_of_a_unit(unit: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", installed(unit, tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_camera_service_writes_its_spool_where_the_snippet_reads_it() -> None:
    unit = (ROOT / "systemd" / "sensetig-camera.service").read_text(encoding="utf-8")
    snippet = (ROOT / "telegraf" / "alternatives" / "camera-spool.conf").read_text(encoding="utf-8")
    folder = "/var/lib/sensetig-camera/spool"
    assert f" -m collectors camera --spool {folder}\n" in unit
    assert f'"spool", "--execd", "--name", "camera", "${{SENSETIG_SPOOL_DIRECTORY:-{folder}}}"]' in snippet
    assert "StateDirectory=sensetig-camera\n" in unit


def test_telegraf_user_is_in_the_group_that_owns_the_spool(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = ROOT / "systemd" / "sensetig-camera.sysusers"
    subprocess.run([program("systemd-sysusers"), f"--root={tmp_path}", file], capture_output=True, check=True)
    lines = (tmp_path / "etc" / "group").read_text(encoding="utf-8").splitlines()
    groups = {line.split(":")[0]: line.split(":")[3] for line in lines}
    assert groups["sensetig-camera"] == "telegraf"
    unit = (ROOT / "systemd" / "sensetig-camera.service").read_text(encoding="utf-8")
    (named,) = [line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("SupplementaryGroups=")]
    assert set(named) <= set(groups), "a group that is missing keeps the service from starting"
