"""How `sensetig status` judges devices, and shows them on wide and narrow terminals."""

from __future__ import annotations

import io
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from sensetig.__main__ import main
from sensetig.fleet.devices import Device, Limits, as_plain, in_service, judge, ordered
from sensetig.fleet.table import heading, table
from sensetig.policy import ACT, GOOD, LOOK

LIMITS = Limits(60, 600)
WELL = Device("pi-a", 3.0, 45.0, 12.0, 40.0, False, False, False, False, 1200, "0.1.0")


def shown(width: int, *devices: Device) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    judged = ordered(judge(device, LIMITS) for device in devices)
    console.print(heading(judged))
    console.print(table(judged, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("changed", "level", "reasons"),
    [
        ({}, GOOD, ()),
        ({"age_seconds": 61.0}, LOOK, ("late",)),
        ({"age_seconds": 601.0}, ACT, ("silent",)),
        ({"under_voltage": True}, ACT, ("under-voltage",)),
        ({"under_voltage_since_boot": True}, LOOK, ("under-voltage since boot",)),
        ({"throttled": True, "temperature_celsius": 81.0}, ACT, ("throttled", "hot")),
        ({"disk_percent": 90.0}, ACT, ("disk",)),
        ({"disk_percent": 80.0, "cpu_percent": 95.0}, LOOK, ("disk", "busy")),
        ({"lost_points": 3}, ACT, ("lost",)),
        ({"lost_points": 3, "lost_seconds": 7300.0}, ACT, ("lost",)),
        ({"lost_points": 0, "waiting_seconds": 500.0}, GOOD, ()),
        ({"waiting_seconds": 900.0}, LOOK, ("waiting",)),
    ],
)
def test_a_device_is_judged_by_its_reported_values(
    changed: dict[str, Any], level: str, reasons: tuple[str, ...]
) -> None:
    judged = judge(WELL._replace(**changed), LIMITS)
    assert (judged.level, judged.reasons) == (level, reasons)


def test_unreported_values_are_neither_good_nor_bad() -> None:
    judged = judge(Device("bare", 1.0), LIMITS)
    assert (judged.level, judged.reasons) == (GOOD, ())
    assert as_plain(judged)["under_voltage"] is None
    assert shown(140, Device("bare", 1.0)).splitlines()[-1].count("–") == 7


def test_devices_that_need_action_come_first() -> None:
    devices = [
        WELL,
        WELL._replace(name="late", age_seconds=90.0),
        WELL._replace(name="gone", age_seconds=9000.0),
        WELL._replace(name="weak", under_voltage=True, disk_percent=95.0),
    ]
    assert [each.device.name for each in ordered(judge(each, LIMITS) for each in devices)] == [
        "weak", "gone", "late", "pi-a",
    ]  # fmt: skip


def test_colour_is_not_the_only_sign() -> None:
    text = shown(160, WELL, WELL._replace(name="weak", under_voltage=True), WELL._replace(name="old", age_seconds=61))
    assert "3 devices: ✖ 1 to act on  ▲ 1 to check  ● 1 ok" in text
    assert "✖ act" in text
    assert "▲ look" in text
    assert "● ok" in text
    assert "too low" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_shows_the_needed_columns_and_wraps_none(width: int) -> None:
    text = shown(width, WELL, WELL._replace(name="pi-b", age_seconds=700.0))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "offline" in text
    assert ("Version" in text) == (width >= 116)
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--watch", "--json"], "exclude each other"),
        (["--late", "1h", "--offline", "1m"], "must not be longer"),
        (["--late", "soon"], "write it as 40s, 5m, 6h or 7d"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_status_2(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, ["status", *arguments])
    assert done.exit_code == 2
    assert sentence in done.output


def test_a_missing_token_is_one_sentence_and_status_1() -> None:
    done = CliRunner().invoke(main, ["status", "--token-file", "/no-such-folder/token"])
    assert done.exit_code == 1
    assert "Error: the token file /no-such-folder/token cannot be read: No such file or directory" in done.output


def test_a_retired_device_is_not_shown_unless_it_still_writes() -> None:
    gone, busy = (
        WELL._replace(name=name, retired=True, age_seconds=age) for name, age in (("gone", 9000.0), ("b", 2.0))
    )
    assert [each.name for each in in_service([WELL, gone, busy], LIMITS)] == ["pi-a", "b"]


def test_a_name_is_not_folded_if_there_is_room_and_a_time_is_not_cut_off() -> None:
    weak = WELL._replace(name="pi-classroom-26", under_voltage=True, throttled=True, age_seconds=9000.0)
    assert "pi-classroom-26  offline  2 h 30 min ago" in shown(80, weak)
    assert "2 h 30 min\n" in shown(40, weak)
