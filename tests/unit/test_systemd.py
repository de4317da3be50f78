"""The units: what systemd itself says of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))

#: How exposed a service may be, by the measure of `systemd-analyze security`: 10 is not hardened at all.
MOST_EXPOSED = 2.0


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there: it comes with systemd")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_is_hardened(unit: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--threshold=100", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    last = done.stdout.splitlines()[-1]
    assert "Overall exposure level" in last
    assert float(last.split(": ")[1].split()[0]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    there = tmp_path / unit.name
    # What the installation brings is not on every machine that runs the tests.
    there.write_text(text.replace(command, "ExecStart=/bin/true"), encoding="utf-8")
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", there],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_camera_s_service_writes_where_the_snippet_reads_and_in_its_own_folder() -> None:
    unit = (ROOT / "systemd" / "sensetig-camera.service").read_text(encoding="utf-8")
    snippet = (ROOT / "telegraf" / "alternatives" / "camera-spool.conf").read_text(encoding="utf-8")
    folder = "/var/lib/sensetig-camera/spool"
    assert f" -m collectors camera --spool {folder}\n" in unit
    assert f'"spool", "--execd", "--name", "camera", "${{SENSETIG_SPOOL_DIRECTORY:-{folder}}}"]' in snippet
    assert "StateDirectory=sensetig-camera\n" in unit


def test_telegraf_s_user_is_in_the_group_that_the_spool_belongs_to(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = ROOT / "systemd" / "sensetig-camera.sysusers"
    subprocess.run([program("systemd-sysusers"), f"--root={tmp_path}", file], capture_output=True, check=True)
    lines = (tmp_path / "etc" / "group").read_text(encoding="utf-8").splitlines()
    groups = {line.split(":")[0]: line.split(":")[3] for line in lines}
    assert groups["sensetig-camera"] == "telegraf"
    unit = (ROOT / "systemd" / "sensetig-camera.service").read_text(encoding="utf-8")
    (named,) = [line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("SupplementaryGroups=")]
    assert set(named) <= set(groups), "a group that is missing keeps the service from starting"
