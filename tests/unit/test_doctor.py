"""The doctor on a machine made of files: each check finds its fault, and names the cure."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sensetig import policy
from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.cli import doctor as cli
from sensetig.doctor import dashboards, hardware, influx, network, show, system
from sensetig.doctor.checks import CHECKS
from sensetig.doctor.examine import examine
from sensetig.doctor.findings import UNCHECKED, CannotCheck, Check, Cure, Finding, Result, act, good, hand, look, run
from sensetig.doctor.patient import Patient, Ran, run_program
from sensetig.doctor.patient import examine as patient_at
from sensetig.errors import (
    BucketMissing,
    CertificateNotTrusted,
    InfluxDBError,
    NotAnswering,
    NotInfluxDB,
    RequestRefused,
    TokenRefused,
)
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.site import Site
from tests.unit.doctor_support import HOST, NOW, answers, finding, findings, healthy, one, unhurried, unit, write

#: The checks that need no server.
LOCAL = (
    *hardware.CHECKS, system.CLOCK, system.GROUPS, system.SITE, system.UNITS, dashboards.TELEGRAF, system.DISK,
    hardware.CARD, system.MEMORY, system.CGROUP,
)  # fmt: skip


@pytest.fixture
def pi(tmp_path: Path) -> Patient:
    """A lone Pi on which all is well. Its disk is the one of this machine, so that is not judged here."""
    return healthy(tmp_path)


def test_nothing_is_wrong_on_a_sound_machine(pi: Patient) -> None:
    results = list(examine([each for each in LOCAL if each is not system.DISK], pi))
    assert {each.check.name: each.level for each in results if each.level != GOOD} == {}
    assert len(results) >= len(LOCAL) - 2


def test_each_check_comes_after_those_that_it_needs_and_has_its_own_name() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen, check.name
        assert check.name not in seen
        seen.add(check.name)


# --- hardware -------------------------------------------------------------------------------------------


def test_a_bus_that_is_off_is_switched_on(pi: Patient) -> None:
    (pi.top / "dev/i2c-1").unlink()
    found = finding(hardware.CHECKS[0], pi)
    assert found.level == ACT
    assert found.cure == run("raspi-config", "nonint", "do_i2c", "0")


def test_a_bus_that_nothing_needs_may_be_off(pi: Patient) -> None:
    for name in ("dev/i2c-1", "proc/device-tree/hat/product", "etc/telegraf/telegraf.d/sensehat.conf"):
        (pi.top / name).unlink()
    assert finding(hardware.CHECKS[0], pi).level == GOOD
    assert finding(hardware.CHECKS[1], pi).level == GOOD


def test_a_sense_hat_that_is_expected_and_not_there_is_wrong(pi: Patient) -> None:
    (pi.top / "proc/device-tree/hat/product").unlink()
    found = finding(hardware.CHECKS[1], pi)
    assert found.level == ACT
    assert found.cure is not None
    assert "40 pins" in found.cure.by_hand
    write(pi.top, {"etc/sensetig/sensetig.toml": '[sensehat]\nbackend = "simulated"\n'})
    assert finding(hardware.CHECKS[1], pi).level == GOOD


def test_a_sense_hat_that_is_not_read_is_worth_a_look(pi: Patient) -> None:
    (pi.top / "etc/telegraf/telegraf.d/sensehat.conf").unlink()
    found = finding(hardware.CHECKS[1], pi)
    assert (found.level, found.cure) == (LOOK, hand("run sudo ./install in the checkout again"))


def test_a_camera_is_wrong_where_its_service_has_none_and_worth_a_look_where_nothing_uses_it(pi: Patient) -> None:
    write(pi.top, {"etc/systemd/system/sensetig-camera.service": ""})
    assert finding(hardware.CHECKS[2], pi).level == ACT
    write(pi.top, {"sys/class/video4linux/video0/index": "0\n"})
    assert finding(hardware.CHECKS[2], pi).level == GOOD
    (pi.top / "etc/systemd/system/sensetig-camera.service").unlink()
    found = finding(hardware.CHECKS[2], pi)
    assert found.level == LOOK
    assert "camera_enabled" in (found.cure.by_hand if found.cure else "")


def test_low_voltage_is_wrong_now_and_worth_a_look_afterwards(pi: Patient) -> None:
    power = hardware.CHECKS[3]
    now = answers(pi, {"vcgencmd get_throttled": Ran(0, "throttled=0x50005\n")})
    (pi.top / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text("1\n")
    assert finding(power, now).level == ACT
    assert "power supply" in (finding(power, now).cure or hand("")).by_hand
    (pi.top / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text("0\n")
    assert finding(power, answers(pi, {"vcgencmd get_throttled": Ran(0, "throttled=0x50000\n")})).level == LOOK
    # Without vcgencmd the kernel's alarm decides.
    (pi.top / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text("1\n")
    assert finding(power, answers(pi, {"vcgencmd": Ran(None)})).level == ACT


def test_a_slowed_down_or_hot_processor_is_found(pi: Patient) -> None:
    heat = hardware.CHECKS[4]
    assert finding(heat, answers(pi, {"vcgencmd get_throttled": Ran(0, "throttled=0x4\n")})).level == ACT
    assert finding(heat, answers(pi, {"vcgencmd get_throttled": Ran(0, "throttled=0x40000\n")})).level == LOOK
    (pi.top / "sys/class/thermal/thermal_zone0/temp").write_text("71000\n")
    found = finding(heat, pi)
    assert (found.level, "71 °C" in found.text) == (LOOK, True)


def test_the_board_is_not_checked_on_another_machine(pi: Patient) -> None:
    (pi.top / "proc/device-tree/model").unlink()
    for check in (hardware.CHECKS[0], hardware.CHECKS[3]):
        found = finding(check, pi)
        assert found.level == UNCHECKED
        assert "no Raspberry Pi" in found.text


def test_a_worn_or_failing_card_is_found(pi: Patient) -> None:
    assert "does not report its life" in finding(hardware.CARD, pi).text
    write(
        pi.top, {"sys/block/mmcblk0/device/life_time": "0x0a 0x02\n", "sys/block/mmcblk0/device/pre_eol_info": "0x01\n"}
    )
    assert finding(hardware.CARD, pi).level == ACT
    write(pi.top, {"sys/block/mmcblk0/device/life_time": "0x02 0x02\n"})
    assert finding(hardware.CARD, pi).level == GOOD
    write(pi.top, {"sys/block/mmcblk0/device/pre_eol_info": "0x02\n"})
    assert finding(hardware.CARD, pi).level == ACT
    write(pi.top, {"sys/block/mmcblk0/device/pre_eol_info": "0x01\n", "sys/fs/ext4/mmcblk0p2/errors_count": "3\n"})
    assert "3 errors" in finding(hardware.CARD, pi).text
    write(pi.top, {"proc/self/mounts": "/dev/mmcblk0p2 / ext4 ro,noatime 0 0\n"})
    assert "cannot be written" in finding(hardware.CARD, pi).text


# --- operating system -----------------------------------------------------------------------------------


def test_a_clock_at_1970_is_wrong_and_keeps_what_depends_on_it_unchecked(pi: Patient) -> None:
    found = finding(system.CLOCK, pi._replace(now=lambda: 12_345.0))
    assert found.level == ACT
    assert "1970-01-01" in found.text
    assert found.cure == run("systemctl", "restart", "systemd-timesyncd.service")

    def never(_: Patient) -> None:
        pytest.fail("a check was made although the clock is wrong")

    after = Check("fresh", "Fresh points", never, lambda _: good("fine"), ("clock",))
    results = list(examine([system.CLOCK, after], pi._replace(now=lambda: 12_345.0)))
    assert results[1].findings == (Finding(UNCHECKED, "not checked: Clock comes first"),)


def test_a_clock_that_is_not_synchronised_is_worth_a_look(pi: Patient) -> None:
    assert finding(system.CLOCK, answers(pi, {"timedatectl": Ran(0, "no\n")})).level == LOOK
    assert finding(system.CLOCK, answers(pi, {"timedatectl": Ran(None)})).level == GOOD


def test_a_service_without_the_group_of_its_device_is_found(pi: Patient) -> None:
    import grp

    group = grp.getgrgid((pi.top / "dev/i2c-1").stat().st_gid).gr_name
    shown = "systemctl show --property=User"
    member = answers(pi, {shown: Ran(0, f"User=telegraf\nGroup=telegraf\nSupplementaryGroups={group}\n")})
    assert finding(system.GROUPS, member).level == GOOD
    outside = answers(pi, {shown: Ran(0, "User=telegraf\nGroup=telegraf\nSupplementaryGroups=\n")})
    found = finding(system.GROUPS, outside)
    assert (found.level, f"the group {group}" in found.text) == (ACT, True)
    write(pi.top, {"etc/group": f"{group}:x:44:alice,telegraf\n"})
    assert finding(system.GROUPS, outside).level == GOOD
    (pi.top / "dev/i2c-1").chmod(0o600)
    assert "may not open /dev/i2c-1" in finding(system.GROUPS, member).text
    assert finding(system.GROUPS, answers(pi, {shown: Ran(None)})).level == UNCHECKED


def test_a_damaged_site_file_is_the_cause_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"etc/sensetig/site.toml": "influxdb_url = \n"})
    patient = patient_at(tmp_path, HOST)
    found = finding(system.SITE, patient)
    assert found.level == ACT
    assert "site.toml is not valid TOML" in found.text
    result = list(examine([system.SITE, system.CLOCK._replace(needs=("site",))], patient))[1]
    assert result.level == UNCHECKED


def test_settings_that_a_collector_refuses_are_found(pi: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    real = pi._replace(run=lambda command: run_program(command))
    write(pi.top, {"etc/sensetig/sensetig.toml": "[sensehat]\nbackend = 5\n"})
    found = findings(system.SETTINGS, real)[0]
    assert found.level == ACT
    assert "backend" in found.text
    assert "config.yml" in (found.cure or hand("")).by_hand
    assert (
        finding(system.SETTINGS, answers(pi, {"": Ran(0, "the settings of 12 collectors are sound\n")})).level == GOOD
    )
    assert finding(system.SETTINGS, answers(pi, {"": Ran(None)})).level == UNCHECKED


@pytest.mark.parametrize(
    ("shown", "level", "words", "command"),
    [
        (unit("influxdb.service", "failed", "failed", "exit-code"), ACT, "has failed (exit-code)", "restart"),
        (unit("influxdb.service", "inactive", "dead"), ACT, "is stopped", "enable"),
        (unit("influxdb.service", "activating", "auto-restart", "exit-code"), ACT, "ends repeatedly", "journalctl"),
        (unit("influxdb.service", load="masked"), ACT, "is masked", "unmask"),
        (unit("influxdb.service", restarts=9), LOOK, "9 times", "journalctl"),
        (unit("sensetig-backup.service", "inactive", "dead", kind="oneshot"), GOOD, "units are active", ""),
        (unit("sensetig-backup.service", "inactive", "dead", triggered="sensetig-backup.timer"), GOOD, "", ""),
        (
            unit("sensetig-backup.service", "failed", "failed", "exit-code", kind="oneshot"),
            ACT,
            "has failed",
            "restart",
        ),
    ],
)
def test_a_service_that_does_not_run_is_found(pi: Patient, shown: str, level: str, words: str, command: str) -> None:
    patient = answers(pi, {"systemctl show --property=Id": Ran(0, unit("telegraf.service") + "\n" + shown)})
    found = finding(system.UNITS, patient)
    assert found.level == level
    assert words in found.text
    assert command in (found.cure.shown if found.cure else "")


def test_services_are_not_checked_without_systemd_and_left_out_where_none_is_installed(pi: Patient) -> None:
    assert finding(system.UNITS, answers(pi, {"systemctl": Ran(1)})).level == UNCHECKED
    (pi.top / "etc/systemd/system/telegraf.service.d/sensetig.conf").unlink()
    assert one(system.UNITS, pi) is None
    assert one(dashboards.TELEGRAF, pi) is None


def test_the_units_of_the_playbook_are_found_by_their_files(pi: Patient) -> None:
    write(
        pi.top,
        {
            f"etc/systemd/system/{name}": ""
            for name in (
                "sensetig-backup.timer",
                "sensetig-proxy.service",
                "influxdb.service.d/sensetig.conf",
                "ssh.service.d/own.conf",
                "systemd-time-wait-sync.service.d/sensetig.conf",
            )
        },
    )
    expected = ["influxdb.service", "sensetig-backup.timer", "sensetig-proxy.service", "telegraf.service"]
    assert system.units(pi.top) == expected


def test_a_telegraf_that_is_too_old_or_does_not_start_is_found(pi: Patient) -> None:
    old = finding(dashboards.TELEGRAF, answers(pi, {"telegraf --version": Ran(0, "Telegraf 1.20.0\n")}))
    assert (old.level, "1.20.0" in old.text) == (ACT, True)
    assert finding(dashboards.TELEGRAF, answers(pi, {"telegraf --version": Ran(None)})).level == ACT


def test_a_full_disk_is_found_by_bytes_and_by_file_entries() -> None:
    full = system.Room("/", 97.0, 10.0, 100_000_000)
    (found,) = system.judge_disk([full])
    assert found.level == ACT
    assert found.cure is not None
    assert found.cure.shown == "sudo apt-get clean && sudo journalctl --vacuum-size=64M"
    (found,) = system.judge_disk([full._replace(percent=10.0, inodes_percent=99.0)])
    assert "file entries" in found.text
    assert system.judge_disk([full._replace(percent=80.0)])[0].level == LOOK
    assert system.judge_disk([full._replace(percent=79.0)])[0].level == GOOD


def test_the_room_is_what_statvfs_reports(pi: Patient) -> None:
    status = os.statvfs(pi.top)
    found = system.room(pi.top, "")
    assert found is not None
    assert found.free_bytes == pytest.approx(status.f_bavail * status.f_frsize, rel=0.2)
    assert system.room(pi.top, "not-there") is None


def test_full_memory_is_found(pi: Patient) -> None:
    write(pi.top, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 50 kB\n"})
    assert finding(system.MEMORY, pi).level == ACT


def test_memory_bounds_without_effect_are_found_and_the_cure_edits_the_command_line(pi: Patient) -> None:
    write(pi.top, {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n"})
    found = finding(system.CGROUP, pi)
    assert found.level == LOOK
    assert found.cure is not None
    assert found.cure.shown == (
        "sudo sed -i 's/ *cgroup_disable=memory//; 1s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt"
    )
    write(pi.top, {"boot/firmware/cmdline.txt": "console=tty1 cgroup_disable=memory rootwait\n"})
    file = pi.top / "boot/firmware/cmdline.txt"
    subprocess.run([*found.cure.commands[0][:-1], str(file)], check=True)
    assert file.read_text() == "console=tty1 rootwait cgroup_enable=memory\n"
    assert "next start" in finding(system.CGROUP, pi).text
    (pi.top / "boot/firmware/cmdline.txt").unlink()
    assert "cgroup_enable=memory" in (finding(system.CGROUP, pi).cure or hand("")).by_hand


# --- InfluxDB, from facts -------------------------------------------------------------------------------


def test_writes_that_fail_with_room_on_the_disk_ask_for_a_restart() -> None:
    room = system.Room("/var/lib/influxdb", 40.0, 1.0, 10**10)
    (found,) = influx.judge_writes(influx.Writes(12, 400.0, room))
    assert found.level == ACT
    assert "though its disk has room" in found.text
    assert found.cure == run("systemctl", "restart", "influxdb.service")
    assert "may lose points" in found.text, "before the cure is carried out"
    (found,) = influx.judge_writes(influx.Writes(12, 400.0, room._replace(percent=99.0)))
    assert "may lose points" in found.text
    assert "99 % full" in found.text
    assert influx.judge_writes(influx.Writes(12, 5.0, room))[0].level == GOOD
    assert influx.judge_writes(influx.Writes(0, 400.0, room))[0].level == GOOD
    assert influx.judge_writes(influx.Writes(1, None, None))[0].level == ACT


def test_silence_is_judged_by_the_thresholds_of_the_status() -> None:
    fresh = influx.Fresh({HOST: 3.0, "hall": 4.0}, (), HOST, True)
    assert influx.judge_fresh(fresh)[0].level == GOOD
    for seconds, level in ((policy.LATE_SECONDS, LOOK), (policy.OFFLINE_SECONDS, ACT)):
        (found,) = influx.judge_fresh(fresh._replace(ages={HOST: float(seconds)}))
        assert (found.level, found.cure) == (level, run("systemctl", "restart", "telegraf.service"))
    (found,) = influx.judge_fresh(fresh._replace(urgent=("hall",)))
    assert (found.level, "hall" in found.text) == (LOOK, True)
    assert influx.judge_fresh(fresh._replace(ages={}))[0].level == ACT
    assert influx.judge_fresh(fresh._replace(ages={"hall": 3.0}))[0].level == ACT
    assert influx.judge_fresh(fresh._replace(ages={"hall": 3.0}, here=False))[0].level == GOOD


# --- the way to InfluxDB --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "edge", "words", "cure"),
    [
        (BucketMissing("the bucket 'raw' is not there"), False, "bucket raw is missing", "sudo sensetig setup"),
        (BucketMissing("the bucket 'raw' is not there"), True, "bucket raw is missing", "on the hub"),
        (TokenRefused("refused", 401), True, "refuses this machine", "./install"),
        (CertificateNotTrusted("the certificate is not trusted; name it"), True, "not trusted", "./install"),
        (NotInfluxDB("what answers is not InfluxDB 2; name it"), True, "not InfluxDB", "common_hub_address"),
        (NotAnswering("InfluxDB does not answer; start it"), True, "does not answer", "ping hub.local"),
        (NotAnswering("InfluxDB does not answer; start it"), False, "does not answer", "restart influxdb"),
        (RequestRefused("InfluxDB refused (status 500)", 500), True, "status 500", "on the hub"),
    ],
)
def test_each_failure_of_the_write_path_has_its_cure(error: InfluxDBError, edge: bool, words: str, cure: str) -> None:
    (found,) = network.judge_write_path(network.WritePath("https://hub.local", "raw", error, edge))
    assert found.level == ACT
    assert words in found.text
    assert cure in (found.cure or hand("")).shown


def test_certificates_that_end_soon_are_found() -> None:
    def level(days: float) -> str:
        return network.judge_certificates([network.Certificate("of this machine", days, True)])[0].level

    assert [level(days) for days in (300, 29, 6, -1)] == [GOOD, LOOK, ACT, ACT]
    (found,) = network.judge_certificates([network.Certificate("of this machine", 6, True)])
    assert found.cure == run("systemctl", "start", "sensetig-certificate.service")


def test_points_that_wait_long_or_were_lost_are_found(pi: Patient) -> None:
    assert one(network.OUTBOX, pi) is None, "a machine without an outbox has no line for it"
    folder = pi.top / "var/lib/sensetig-outbox"
    folder.mkdir(parents=True)
    assert finding(network.OUTBOX, pi).text == "no point waits"
    for age, level in ((30, GOOD), (1200, LOOK), (7200, ACT)):
        batch = folder / f"{1:012d}-250-{int((NOW - age) * 1e9)}.batch"
        batch.write_bytes(b"x" * 1000)
        found = finding(network.OUTBOX, pi)
        assert (found.level, "250 points wait" in found.text) == (level, True)
        batch.unlink()
    write(folder, {"state.json": json.dumps({"damaged_points": 40}), "damaged/000000000001-40-1.batch": "x"})
    assert "40 points were lost" in finding(network.OUTBOX, pi).text
    write(folder, {"state.json": "{"})
    assert any("state file is damaged" in each.text for each in findings(network.OUTBOX, pi))


def test_the_reason_of_waiting_points_is_the_last_error(pi: Patient) -> None:
    folder = pi.top / "var/lib/sensetig-outbox"
    write(
        folder,
        {f"{1:012d}-250-{int((NOW - 7200) * 1e9)}.batch": "x", "state.json": json.dumps({"reason": "status 500"})},
    )
    assert finding(network.OUTBOX, pi).text.endswith(": status 500")


def test_points_of_other_machines_that_wait_on_a_hub_are_found(pi: Patient) -> None:
    assert one(network.RECEIVER, pi) is None
    batch = f"{1:012d}-250-{int((NOW - 7200) * 1e9)}.batch"
    write(pi.top, {f"var/lib/sensetig-receiver/{batch}": "x"})
    found = finding(network.RECEIVER, pi)
    assert (found.level, found.cure) == (ACT, run("journalctl", "-n20", "-u", "sensetig-receiver"))


# --- order, terminal, command ---------------------------------------------------------------------------


def results() -> list[Result]:
    def made(name: str, title: str, found: list[Finding]) -> Result:
        return Result(Check(name, title, lambda _: None, lambda _: found), tuple(found))

    cure = Cure((("sensetig", "setup"), ("systemctl", "try-restart", "grafana-server.service")))
    return [
        made("power", "Power", good("the voltage is sufficient")),
        made("clock", "Clock", look("it says 2026-01-05, and is not synchronised", run("timedatectl", "set-ntp", "1"))),
        made("read-token", "Read token", act("grafana.token may write raw, which it should not", cure)),
        made("again", "Again", act("the same cure twice", cure)),
        made("camera", "Camera", look("found, and not used", hand("set camera_enabled: true in config.yml"))),
        made("fresh", "Fresh points", [Finding(UNCHECKED, "not checked: Read token comes first")]),
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_each_line_fits_the_terminal_and_colour_is_not_the_only_sign(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(show.page(HOST, results()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    assert "attic: ✖ 2 wrong  ▲ 2 to check  ● 1 fine  – 1 not checked" in text
    assert "→ sudo sensetig setup && sudo systemctl try-restart" in " ".join(text.split())
    assert "not checked: Read token comes first" in text


def test_words_of_others_cannot_steer_the_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    found = act("InfluxDB says \x1b[2J\x07", hand("\x1b]0;owned\x07"))
    console.print(show.page(HOST, [Result(Check("x", "X", lambda _: None, lambda _: found), tuple(found))]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_cure_is_offered_once_and_the_most_urgent_first() -> None:
    offered = [cure.shown for _, cure in show.cures(results())]
    assert offered == [
        "sudo sensetig setup && sudo systemctl try-restart grafana-server.service",
        "sudo timedatectl set-ntp 1",
    ]


def test_json_has_a_level_a_text_and_the_commands_of_each_finding() -> None:
    document = show.plain(HOST, results())
    assert document["level"] == ACT
    token = next(each for each in document["checks"] if each["name"] == "read-token")
    assert token["findings"][0]["commands"][0] == ["sensetig", "setup"]
    assert document["checks"][-1]["level"] == UNCHECKED


def test_a_check_that_cannot_be_made_is_not_red(pi: Patient) -> None:
    def read(_: Patient) -> None:
        raise CannotCheck("only root may read it")

    result = one(Check("x", "X", read, lambda _: good("")), pi)
    assert result is not None
    assert result.level == UNCHECKED


def test_a_file_that_cannot_be_read_is_not_red(pi: Patient) -> None:
    def read(patient: Patient) -> None:
        (patient.top / "absent").read_text()

    result = one(Check("x", "X", read, lambda _: good("")), pi)
    assert result is not None
    assert (result.level, "absent cannot be read" in result.findings[0].text) == (UNCHECKED, True)


@pytest.fixture
def command(pi: Patient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `sensetig doctor` on the machine made of files, with one check whose cure makes a file."""
    made = pi.top / "cured"

    def read(patient: Patient) -> bool:
        return (patient.top / "cured").exists()

    def judge(cured: bool) -> list[Finding]:
        return good("cured") if cured else act("broken", run("touch", str(made)))

    monkeypatch.setattr("sensetig.doctor.checks.CHECKS", (Check("x", "X", read, judge),))
    monkeypatch.setattr(sites, "TOP", pi.top)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def invoke(*arguments: str, answer: str = "") -> tuple[int, str]:
        ended = CliRunner().invoke(main, ["doctor", *arguments], input=answer, catch_exceptions=False)
        return ended.exit_code, ended.output

    return invoke


def test_the_exit_status_says_whether_something_is_wrong(command: Callable[..., tuple[int, str]]) -> None:
    status, output = command("--json")
    assert status == cli.NEEDS_ACTION
    assert json.loads(output)["checks"][0]["findings"][0]["text"] == "broken"


def test_fix_asks_before_each_cure_and_checks_again(command: Callable[..., tuple[int, str]], pi: Patient) -> None:
    status, output = command("--fix", answer="n\n")
    assert status == cli.NEEDS_ACTION
    assert "Run: sudo touch" in output
    assert not (pi.top / "cured").exists()
    status, output = command("--fix", answer="y\n")
    assert (status, output.rstrip().splitlines()[-1].split()[-1]) == (0, "cured")


def test_fix_with_yes_does_not_ask(command: Callable[..., tuple[int, str]], pi: Patient) -> None:
    status, output = command("--fix", "--yes")
    assert status == 0
    assert "Run:" not in output
    assert (pi.top / "cured").exists()


def test_fix_needs_root_and_yes_needs_fix(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("--yes")[0] == 2
    assert command("--fix", "--json")[0] == 2
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command("--fix") == (1, "Error: the cures change the machine: run sudo sensetig doctor --fix\n")


def test_a_machine_without_an_installation_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "TOP", tmp_path)
    ended = CliRunner().invoke(main, ["doctor"])
    assert (ended.exit_code, "is not installed" in ended.output) == (1, True)


def test_an_edge_has_no_lines_about_influxdb_and_grafana(pi: Patient) -> None:
    edge = pi._replace(site=Site(influxdb_url="https://hub.local", hub="hub.local"))
    hub_only = (influx.HEALTH, influx.OPERATOR, influx.BUCKETS, influx.FRESH, influx.WRITES, influx.TASKS,
                dashboards.GRAFANA, dashboards.DASHBOARDS, dashboards.ALERTS)  # fmt: skip
    assert [each.name for each in hub_only if one(each, edge) is not None] == []


def test_the_cure_names_the_settings_where_they_are(pi: Patient) -> None:
    write(pi.top, {"sys/class/video4linux/video0/index": "0\n"})
    cure = finding(hardware.CHECKS[2], pi).cure
    assert cure is not None
    assert cure.shown.startswith("set camera_enabled: true in config.yml,")
    write(pi.top, {"etc/sensetig/config.yml": ""})
    cure = finding(hardware.CHECKS[2], pi).cure
    assert cure is not None
    assert "in /etc/sensetig/config.yml," in cure.shown


def test_the_base_installation_is_enough() -> None:
    code = """
import sys
for name in ("cryptography", "cv2", "influxdb_client", "jinja2", "matplotlib", "numpy", "paho", "starlette", "yaml"):
    sys.modules[name] = None
import sensetig.cli.doctor, sensetig.cli.info, sensetig.cli.support_bundle
import sensetig.doctor.arrived, sensetig.doctor.checks, sensetig.doctor.page, sensetig.doctor.show
import sensetig.doctor.support
"""
    subprocess.run([sys.executable, "-c", code], check=True)
