"""A real MQTT broker for the tests: on loopback, with its queues on disk, to be stopped, killed and started at will."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensetig import bundle
from sensetig.demo.testbed import ports, processes

_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin:/opt/homebrew/bin"


class Mosquitto:
    """One broker, which keeps its port and its folder across restarts.

    Args:
        configuration: settings in addition to those for the listener and the persistence.
    """

    def __init__(self, program: str, folder: Path, configuration: str) -> None:
        self._program = program
        self._folder = folder
        self.port = ports.any_free()
        self._process: processes.Identity | None = None
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\npersistence_location {folder}/\nuser {getpass.getuser()}\n"
            "log_type error\nlog_type warning\nlog_type notice\nlog_type information\nlog_type subscribe\n"
            f"{configuration}",
            encoding="utf-8",
        )

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's log."""
        return self._folder / "mosquitto.log"

    def subscriptions(self, client: str) -> int:
        """How many subscriptions of a client the broker has accepted since it first started."""
        if not self.log.exists():
            return 0
        return len(re.findall(rf"(?m)^\d+: {re.escape(client)} [012] ", self.log.read_text(errors="replace")))

    def start(self) -> None:
        command: list[str | Path] = [self._program, "-c", self._folder / "mosquitto.conf"]
        self._process = processes.start("Mosquitto", command, log=self.log, folder=self._folder)
        processes.await_ready(self._process, lambda: ports.is_listening(self.port), log=self.log, seconds=120)

    def stop(self) -> None:
        if self._process is not None:
            processes.stop([self._process])
            self._process = None

    def reload(self) -> None:
        """Reload its users and certificates."""
        assert self._process is not None, "the broker does not run"
        process = self._process.process()
        assert process is not None, "the broker has ended by itself"
        process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Kill it, as in a power cut."""
        assert self._process is not None, "the broker does not run"
        process = self._process.process()
        assert process is not None, "the broker has ended by itself"
        process.kill()
        process.wait(60)
        self._process = None


def _found(name: str) -> str:
    program = shutil.which(name, path=_PLACES)
    if program is None:
        pytest.skip(f"no {name} on this machine: install the package mosquitto to try a real queue")
    return program


@contextmanager
def _running(broker: Mosquitto) -> Iterator[Mosquitto]:
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def running(folder: Path, *, open_to_all: bool = True) -> Iterator[Mosquitto]:
    """A broker that runs, and is stopped at the end; without one, the test is skipped.

    Args:
        open_to_all: whether one needs no name.
    """
    configuration = (
        f"allow_anonymous {str(open_to_all).lower()}\npersistence true\nautosave_on_changes true\nautosave_interval 1\n"
    )
    with _running(Mosquitto(_found("mosquitto"), folder, configuration)) as broker:
        yield broker


@contextmanager
def shipped(
    folder: Path, users: Mapping[str, str], changes: Mapping[str, str] | None = None, *, tls_port: int | None = None
) -> Iterator[Mosquitto]:
    """A broker with the configuration and access list of the project; if it is not installed, the test is skipped.

    Args:
        users: names with their passwords, hashed as the documentation has it.
        changes: settings to give another value.
        tls_port: port of the TLS listener, whose certificate and key are in *folder*/certs.
    """
    source = bundle.root() / "mosquitto"
    passwords = folder / "sensetig.passwd"
    passwords.touch(mode=0o600)
    passwords.write_text("".join(f"{name}:{password}\n" for name, password in users.items()), encoding="utf-8")
    subprocess.run([_found("mosquitto_passwd"), "-U", passwords], check=True, capture_output=True, timeout=120)
    shutil.copy(source / "sensetig.acl", folder)
    os.chmod(folder / "sensetig.acl", 0o600)
    text = (source / "sensetig.conf").read_text(encoding="utf-8")
    if tls_port is not None:
        text = text.replace("#listener 8883", f"#listener {tls_port} 127.0.0.1")
        text = re.sub(r"^#(?=listener |use_username|certfile |keyfile |tls_version )", "", text, flags=re.MULTILINE)
    lines = []
    for line in text.splitlines():
        key = line.partition(" ")[0]
        if line != "listener 1883 127.0.0.1":  # the test's own port takes its place
            lines.append(f"{key} {changes[key]}" if changes and key in changes else line)
    configuration = "\n".join(lines).replace("/etc/mosquitto/", f"{folder}/") + "\n"
    with _running(Mosquitto(_found("mosquitto"), folder, configuration)) as broker:
        yield broker
