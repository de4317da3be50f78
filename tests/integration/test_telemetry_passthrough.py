"""The real program with an invalid setting: lines pass unchanged until it is repaired, and the error is logged once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.core.line_protocol_parser import decode

ROOT = Path(__file__).resolve().parent.parent.parent
LINE = b"environment,device=pi temperature_raw_celsius=20.5 1700000000000000001\n"
CALIBRATED = (
    b"environment,device=pi temperature_raw_celsius=20.5,temperature_calibrated_celsius=16.5 1700000000000000001\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    calibrations = tmp_path / "calibrations"
    calibrations.mkdir()
    (calibrations / "pi.toml").write_text(
        '[[calibration]]\nmeasurement = "environment"\nfield = "temperature_raw_celsius"\n'
        'valid_from = 2020-01-01\nkind = "offset"\noffset = -4\n'
    )
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return subprocess.Popen(
        [sys.executable, "-m", "collectors", "telemetry", "--execd", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={
            **kept,
            "SENSETIG_SETTINGS": str(folder / "sensetig.toml"),
            "SENSETIG_TELEMETRY_CALIBRATIONS": str(folder / "calibrations"),
            "SENSETIG_TELEMETRY_HOST": "hub",
            **({"SENSETIG_TELEMETRY_STATE": "none"} | environment),
        },
    )


def _answers(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Send a line repeatedly, and yield the results within a bounded time."""
    assert process.stdin is not None
    assert process.stdout is not None
    watch = threading.Timer(240, process.kill)
    watch.start()
    try:
        while True:
            process.stdin.write(LINE)
            process.stdin.flush()
            line = process.stdout.readline()
            while not line.startswith(b"environment"):
                assert line, "it ended"
                line = process.stdout.readline()
            yield line
    finally:
        watch.cancel()


@pytest.mark.parametrize(
    ("settings", "arguments", "environment", "sentence"),
    [
        ("[telemetry\n", [], {}, "is not valid TOML"),
        ("[telemetri]\n", [], {}, "unknown section [telemetri]"),
        ("[telemetry]\nearliest = 5\n", [], {}, "it must be a text"),
        ('[telemetry]\nearliest = "once"\n', [], {}, "it must be a day such as"),
        ('[telemetry]\nlimits = "/no/such"\n', [], {}, "the limits cannot be read"),
        ("", [], {"SENSETIG_TELEMETRY_MOST_SERIES": "many"}, "SENSETIG_TELEMETRY_MOST_SERIES is 'many'"),
        ("", ["--no-such"], {}, "there is no option --no-such"),
        ("", [], {"SENSETIG_TELEMETRY_STATE": "nats://far.example"}, "would be spoken to unencrypted"),
        (
            "",
            [],
            {
                "SENSETIG_TELEMETRY_STATE": "nats://me@127.0.0.1",
                "SENSETIG_TELEMETRY_STATE_PASSWORD_FILE": "/no/such/file",
            },
            "/no/such/file",
        ),
    ],
)
def test_lines_pass_unchanged_and_the_error_is_logged_once_and_counted(
    folder: Path, settings: str, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    (folder / "sensetig.toml").write_text(settings)
    with start(folder, *arguments, **environment) as process:
        out, err = process.communicate(LINE * 3 + LINE[:-1], timeout=240)
        assert process.returncode == 0
    *lines, about = out.splitlines(keepends=True)
    assert lines == [LINE] * 4
    told = decode(about.decode())
    assert (told.fields["up"], told.fields["errors"], told.fields["samples"]) == (0, 1, 4)
    assert told.series.tags == {"collector": "telemetry", "host": "hub"}
    assert err.decode().count("\n") == 1
    assert err.startswith(b"E! telemetry: ")
    assert sentence in err.decode()


def test_once_it_is_mended_lines_are_calibrated(folder: Path) -> None:
    (folder / "sensetig.toml").write_text("[telemetry\n")
    with start(folder) as process:
        answers = _answers(process)
        assert next(answers) == LINE
        (folder / "sensetig.toml").write_text("")
        assert next(line for line in answers if line != LINE) == CALIBRATED
        answers.close()  # type: ignore[attr-defined]
        out, _ = process.communicate(timeout=240)
    assert decode(out.splitlines()[-1].decode()).fields["up"] == 1


def test_by_hand_a_wrong_setting_ends_it_with_status_2(folder: Path) -> None:
    (folder / "sensetig.toml").write_text("[telemetry\n")
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "telemetry"],
        input=LINE,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "SENSETIG_SETTINGS": str(folder / "sensetig.toml")},
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_files_that_begin_with_a_byte_order_mark_are_read(folder: Path) -> None:
    calibration = folder / "calibrations" / "pi.toml"
    calibration.write_text(calibration.read_text(), encoding="utf-8-sig")
    limits = folder / "limits.toml"
    limits.write_text("[environment.temperature_raw_celsius]\nhigh = 30\n", encoding="utf-8-sig")
    (folder / "sensetig.toml").write_text(f'[telemetry]\nlimits = "{limits}"\n', encoding="utf-8-sig")
    with start(folder) as process:
        out, err = process.communicate(LINE, timeout=240)
    assert (process.returncode, err) == (0, b"")
    assert out.splitlines(keepends=True)[0] == CALIBRATED
