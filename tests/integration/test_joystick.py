"""The joystick on the real sense-emu library, moved through its own server; and through the real Telegraf."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.core.line_protocol_parser import decode_lines
from collectors.core.schema import COLLECTOR
from collectors.joystick import MEASUREMENTS
from tests.bench.measure import environment
from tests.integration.test_sense_emu import CONFIGURATION, Emulator, needs_emulator, shared_files
from tests.integration.test_sense_emu import emulator as emulator
from tests.schema_check import violations

pytestmark = pytest.mark.usefixtures("emulator_alone")

#: An event as the kernel has it: seconds, microseconds, kind (a key), which, and what.
EVENT = "llHHI"
KEY, UP, LEFT = 1, 103, 105
RELEASED, PRESSED, HELD = 0, 1, 2


class Server:
    """Moves the emulator's joystick, as its window does."""

    def __init__(self) -> None:
        from sense_emu.stick import StickServer

        self._server: Any = StickServer()

    def move(self, key: int, state: int, seconds: float = 0.0) -> None:
        whole = int(seconds or time.time())
        self._server.send(struct.pack(EVENT, whole, round((seconds - int(seconds)) * 1e6), KEY, key, state))

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def server(emulator: Emulator) -> Iterator[Server]:
    del emulator
    made = Server()
    yield made
    made.close()


@needs_emulator
def test_presses_of_the_emulated_joystick_are_reported_immediately(server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "collectors", "joystick", "--execd", "--backend", "emulator", "--device", "desk"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(SENSETIG_SETTINGS=os.devnull),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        os.set_blocking(process.stdout.fileno(), False)
        text = ""
        end = time.monotonic() + 180
        while "direction=up" not in text:  # the library says hello to the server once a second
            assert time.monotonic() < end
            server.move(UP, PRESSED)
            time.sleep(0.05)
            text += (process.stdout.read() or b"").decode()
        for state, seconds in ((PRESSED, 1_700_000_000.25), (HELD, 1_700_000_000.5), (RELEASED, 1_700_000_001.0)):
            server.move(LEFT, state, seconds)
        while "released" not in text:
            assert time.monotonic() < end
            time.sleep(0.02)
            text += (process.stdout.read() or b"").decode()
        process.stdin.close()
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(120)
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    metrics = list(decode_lines(text))
    assert [each for metric in metrics for each in violations(metric, (*MEASUREMENTS, COLLECTOR))] == []
    left = [metric for metric in metrics if metric.series.tags.get("direction") == "left"]
    assert [(metric.fields["action"], metric.time_ns) for metric in left] == [
        ("pressed", 1_700_000_000_250_000_000),
        ("released", 1_700_000_001_000_000_000),
    ]
    assert left[1].fields["held_seconds"] == 0.75
    assert left[0].series.tags == {"device": "desk", "direction": "left", "simulated": "true"}
    assert not [file for file in shared_files() if "client" in file.name]


@needs_emulator
def test_without_an_emulator_a_sentence_says_so() -> None:
    from sense_emu.lock import EmulatorLock

    if EmulatorLock("tests").wait(0):
        pytest.skip("a Sense HAT emulator is running")
    done = subprocess.run(
        [sys.executable, "-m", "collectors", "joystick", "--backend", "emulator"],
        capture_output=True,
        text=True,
        env=environment(SENSETIG_SETTINGS=os.devnull),
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "E! joystick: no Sense HAT emulator is running; start sense_emu_gui, and try again\n",
    )


@pytest.mark.engines
def test_telegraf_takes_the_presses(telegraf: Path, tmp_path: Path) -> None:
    file = tmp_path / "telegraf.conf"
    command = f'command = ["{sys.executable}", "-m", "collectors", "joystick", "--execd"]'
    text = CONFIGURATION.format(plugin="execd", command=command, more='signal = "none"')
    variables = '"SENSETIG_JOYSTICK_BACKEND=simulated", "SENSETIG_JOYSTICK_SIMULATED_SECONDS=0.1", '
    file.write_text(text.replace("environment = [", "environment = [" + variables))
    with subprocess.Popen(
        [telegraf, "--config", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found: set[str] = set()
        for line in process.stdout:
            found.update(metric.series.tags.get("direction", "") for metric in decode_lines(line))
            if len(found - {""}) == 5:
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=240)
    assert found - {""} == {"up", "down", "left", "right", "middle"}
