"""A real MQTT broker for the tests: on loopback, with its queues on disk, to be stopped and started at will."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensetig.local import ports, processes


class Mosquitto:
    """One broker, which keeps its port and its folder from start to start."""

    def __init__(self, program: str, folder: Path, *, open_to_all: bool = True) -> None:
        self._program = program
        self._folder = folder
        self.port = ports.any_free()
        self._process: processes.Identity | None = None
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(open_to_all).lower()}\n"
            f"persistence true\npersistence_location {folder}/\nuser {getpass.getuser()}\n"
            "autosave_on_changes true\nautosave_interval 1\n",
            encoding="utf-8",
        )

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        log = self._folder / "mosquitto.log"
        command: list[str | Path] = [self._program, "-c", self._folder / "mosquitto.conf"]
        self._process = processes.start("Mosquitto", command, log=log, folder=self._folder)
        processes.await_ready(self._process, lambda: not ports.is_free(self.port), log=log, seconds=20)

    def stop(self) -> None:
        if self._process is not None:
            processes.stop([self._process])
            self._process = None


@contextmanager
def running(folder: Path, *, open_to_all: bool = True) -> Iterator[Mosquitto]:
    """A broker that runs, and is stopped at the end; without one, the test is skipped.

    Args:
        open_to_all: whether one needs no name.
    """
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    if program is None:
        pytest.skip("no mosquitto on this machine: install the package mosquitto to try a real queue")
    broker = Mosquitto(program, folder, open_to_all=open_to_all)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
