"""The processor with a faulty environment: lines pass, and each fault is logged and counted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.core.line_protocol import FieldValue
from collectors.core.line_protocol_parser import decode
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Change

ROOT = Path(__file__).parents[2]
LINES = tuple(
    f"environment,device=pi,sensor=hts221 temperature_raw_celsius={20 + number / 10} {1_700_000_000 + number}000000000"
    for number in range(5)
)


class Ran(NamedTuple):
    """A run of the program: the device's lines, the self-metrics, the store's metrics, and the log."""

    lines: list[str]
    own: dict[str, FieldValue]
    store: dict[str, FieldValue]
    said: str


def run(folder: Path, *arguments: str) -> Ran:
    """The real program over the five lines."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    state, calibrations = str(folder / "state.db"), str(folder / "calibrations")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "collectors", "telemetry", "--state", state, "--calibrations", calibrations),
            *arguments,
        ],
        input="".join(f"{line}\n" for line in LINES),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environment, "SENSETIG_SETTINGS": os.devnull},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    out = [line for line in done.stdout.splitlines() if line.startswith("environment,")]
    told = {metric.series.measurement: dict(metric.fields) for metric in map(decode, done.stdout.splitlines())}
    return Ran(out, told["collector"], told.get("device_store", {}), done.stderr)


def test_with_nothing_wrong_nothing_is_counted_as_an_error(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.lines == list(LINES)
    assert (ran.own["errors"], ran.own["up"], ran.said) == (0, 1, "")
    assert (ran.store["written"], ran.store["failures"], ran.store["pending_messages"]) == (1, 0, 0)


def test_a_calibration_with_gain_0_is_logged_and_counted_and_values_pass_uncalibrated(tmp_path: Path) -> None:
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "pi.toml").write_text(
        '[[calibration]]\nmeasurement = "environment"\nfield = "temperature_raw_celsius"\n'
        'valid_from = 2020-01-01\nkind = "gain"\ngain = 0\n'
    )
    ran = run(tmp_path)
    assert ran.lines == list(LINES)
    assert ran.own["errors"] == 1
    assert "gain is 0, which would make every value the same" in ran.said


def test_a_corrupt_store_is_reported_and_set_aside_and_the_messages_are_counted_in_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    ran = run(tmp_path)
    assert ran.lines == list(LINES)
    assert (ran.store["written"], ran.store["failures"], ran.store["pending_messages"]) == (1, 0, 0)
    assert ran.own["errors"] == ran.said.count("\n") == 1
    assert "is damaged; it was put aside as" in ran.said
    assert (tmp_path / "state.db.corrupt").read_bytes() == b"no database" * 1000
    assert run(tmp_path).store["written"] == 1


def test_a_store_locked_by_another_program_is_logged_and_counted_and_delays_the_end_by_a_bounded_time(
    tmp_path: Path,
) -> None:
    store = SqliteStore(str(tmp_path / "state.db"), pytest.fail)
    store.write([Change("another", b"{}", None)])
    store.close()
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        ran = run(tmp_path)
    finally:
        holder.close()
    assert ran.lines == list(LINES)
    assert ran.own["errors"] == ran.said.count("\n") > 0
    assert "the store of the device states has not taken the last of them within 4 s" in ran.said
    assert f"; {len(LINES)} messages of 1 devices may end uncounted" in ran.said
    assert (ran.store["written"], ran.store["failures"], ran.store["pending_messages"]) == (0, 1, len(LINES))


def test_a_read_only_store_is_logged_and_counted(tmp_path: Path) -> None:
    # No user can create a file in /proc, not even root.
    ran = run(tmp_path, "--state", "/proc/sensetig/state.db")
    assert ran.lines == list(LINES)
    assert (ran.store["failures"], ran.store["pending_messages"]) == (1, len(LINES))
    assert ran.own["errors"] == ran.said.count("\n") == 2
    assert "the device state /proc/sensetig/state.db cannot be opened" in ran.said
    assert f"{len(LINES)} messages of 1 devices end uncounted" in ran.said
