"""The folder of calibrations: read lazily, looked at again, and never lost by a slip of the pen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.telemetry.calibrations import Calibrations

ENTRY = """[[calibration]]
measurement = "environment"
field = "pressure_hpa"
valid_from = 2026-11-01
kind = "offset"
offset = {}
"""


class Clock:
    """Seconds that the test advances."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """Calibrations over a folder, with a clock and the logged errors."""

    def __init__(self, folder: Path, most: int = 100) -> None:
        self.folder = folder
        self.clock = Clock()
        self.said: list[str] = []
        self.calibrations = Calibrations(str(folder), self.said.append, self.clock, 5.0, most)

    def write(self, text: str, name: str = "pi-1.toml") -> None:
        """As `sensetig calibrate` does: a new file in the old one's place."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").replace(self.folder / name)

    def offset(self, device: str = "pi-1") -> float | None:
        curves = self.calibrations.of(device)
        return curves[0].apply(0.0) if curves else None


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_device_without_a_file_has_no_curve_and_causes_no_error(watched: Watched) -> None:
    assert watched.calibrations.of("pi-1") == ()
    assert Watched(watched.folder / "absent").calibrations.of("pi-1") == ()
    assert watched.said == []


def test_the_same_object_is_given_until_the_file_changes(watched: Watched) -> None:
    watched.write(ENTRY.format(1))
    first = watched.calibrations.of("pi-1")
    watched.clock.now += 60
    assert watched.calibrations.of("pi-1") is first
    watched.write(ENTRY.format(2))
    assert watched.calibrations.of("pi-1") is first, "within the recheck, the file is not looked at"
    watched.clock.now += 5
    assert watched.offset() == 2.0


def test_a_file_that_appears_later_is_found_and_one_that_goes_ends_the_calibration(watched: Watched) -> None:
    assert watched.offset() is None
    watched.write(ENTRY.format(1))
    watched.clock.now += 5
    assert watched.offset() == 1.0
    (watched.folder / "pi-1.toml").unlink()
    watched.clock.now += 5
    assert watched.offset() is None
    assert watched.said == []


@pytest.mark.parametrize("broken", ["", ENTRY.format('"x"'), "[[calibration", 'device = "pi-2"\n' + ENTRY.format(9)])
def test_a_broken_file_is_reported_once_per_change_and_the_last_good_curves_are_kept(
    watched: Watched, broken: str
) -> None:
    watched.write(ENTRY.format(1))
    good = watched.calibrations.of("pi-1")
    watched.write(broken)
    for _ in range(3):
        watched.clock.now += 5
        assert watched.calibrations.of("pi-1") is good
    assert len(watched.said) == 1
    assert "pi-1.toml" in watched.said[0]
    watched.write(broken + "\n# again")
    watched.clock.now += 5
    assert watched.calibrations.of("pi-1") is good
    assert len(watched.said) == 2
    watched.write(ENTRY.format(3))
    watched.clock.now += 5
    assert watched.offset() == 3.0


def test_a_path_that_is_not_a_text_file_is_reported(watched: Watched) -> None:
    (watched.folder / "pi-1.toml").write_bytes(b"\xff\xfe")
    (watched.folder / "pi-2.toml").mkdir()
    os.mkfifo(watched.folder / "pi-3.toml")
    for device in ("pi-1", "pi-2", "pi-3"):
        assert watched.calibrations.of(device) == ()
    assert "is not UTF-8" in watched.said[0]
    assert "cannot be read" in watched.said[1] or "is no file" in watched.said[1]
    assert "is no file" in watched.said[2]


def test_a_path_that_is_not_a_folder_is_reported_once_for_all_devices(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    watched = Watched(tmp_path / "file")
    for number in range(50):
        assert watched.calibrations.of(f"pi-{number}") == ()
    assert len(watched.said) == 1
    assert "calibrations cannot be read" in watched.said[0]


def test_no_more_devices_are_held_than_the_setting_allows(tmp_path: Path) -> None:
    watched = Watched(tmp_path, most=3)
    watched.write(ENTRY.format(1))
    first = watched.calibrations.of("pi-1")
    for number in range(2, 5):
        watched.calibrations.of(f"pi-{number}")
    again = watched.calibrations.of("pi-1")
    assert again is not first, "it had been forgotten, and was read anew"
    assert again[0].apply(0.0) == 1.0


def test_an_empty_setting_calibrates_nothing(watched: Watched) -> None:
    assert Calibrations("", watched.said.append, watched.clock).of("pi-1") == ()


def test_a_devices_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.toml").write_text(ENTRY.format(1))
    inside = tmp_path / "inside"
    inside.mkdir()
    assert Watched(inside).calibrations.of("../outside") == ()
