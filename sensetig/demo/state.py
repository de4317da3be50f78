"""The demo's state folder: data, tokens, logs, and a list of running engines."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs

from collectors.core.files import write_atomic
from sensetig.demo.testbed.processes import Identity
from sensetig.errors import OperatorError

#: Disk space for a first run: databases, logs and Grafana's own files, with a margin.
NEEDED_BYTES = 200 * 1024 * 1024


class StateError(OperatorError):
    """The state folder cannot be used; the message gives the reason and the remedy."""


def default_folder() -> Path:
    """The default state folder, without ``--state``."""
    return Path(platformdirs.user_state_dir("sensetig", appauthor=False)) / "demo"


#: Marks a folder as a demo's, which it may fill and remove.
_MARK = ".sensetig-demo"


class State:
    """A state folder, accessible only to its owner.

    Raises StateError if it cannot be written to, lacks space, or contains other files.
    """

    def __init__(self, folder: Path, needed: int = NEEDED_BYTES) -> None:
        self._lay_out(folder)
        try:
            if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
                raise StateError(f"{folder} holds other things than a demo's: name a new folder with --state")
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / _MARK).write_text("The state of a SenseTIG demo: data, tokens and logs.\n")
            room = shutil.disk_usage(folder).free
        except OSError as error:
            raise StateError(
                f"the state folder {folder} cannot be written to ({error.strerror}): "
                "make it writable, or name another with --state"
            ) from None
        if room < needed:
            raise StateError(
                f"the state folder {folder} has {room // 2**20} MiB of room left, and the demo needs "
                f"{needed // 2**20}: free some, or name another with --state"
            )

    @classmethod
    def existing(cls, folder: Path) -> State | None:
        """An existing state folder, even with a full disk, or None. Raises StateError if it is not a demo's folder."""
        if not folder.exists():
            return None
        if not (folder / _MARK).exists():
            raise StateError(f"{folder} is not the state folder of a demo, so nothing in it is touched")
        state = cls.__new__(cls)
        state._lay_out(folder)
        return state

    def _lay_out(self, folder: Path) -> None:
        self.folder = folder
        self.influxdb = folder / "influxdb"
        self.tokens = folder / "tokens"
        self.grafana = folder / "grafana"
        self.logs = folder / "logs"
        self.tags = folder / "tags.conf"
        self.live = folder / "live"
        self.telemetry = folder / "telemetry"
        self.reports = folder / "reports"
        self._running = folder / "running.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against a second demo. Raises StateError if one is running in it."""
        lock = filelock.FileLock(self.folder / "lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except filelock.Timeout:
            raise StateError(
                f"another demo is running in {self.folder}: end it with Ctrl-C, or name another folder with --state"
            ) from None

    def log(self, engine: str) -> Path:
        """The log of an engine; the log of the previous run is kept."""
        log = self.logs / f"{engine}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log

    def secret(self, name: str) -> str:
        """A key that persists across runs, created at the first and readable only by the owner."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            write_atomic(path, secrets.token_hex(16), durable=False)
        return path.read_text()

    def remember(self, identities: Sequence[Identity]) -> None:
        """Record the running engines in the order of their shutdown. Raises StateError."""
        try:
            write_atomic(self._running, json.dumps(identities), durable=False)
        except OSError as error:
            raise StateError(f"{self._running} cannot be written: {error.strerror}") from None

    def forget(self) -> None:
        """Record that no engine of this folder runs; this needs no disk space."""
        self._running.unlink(missing_ok=True)

    def running(self) -> list[Identity]:
        """The engines of this folder that still run, in the order of their shutdown."""
        try:
            identities = [Identity(*entry) for entry in json.loads(self._running.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError):
            raise StateError(
                f"{self._running} is damaged, so which engines an earlier run has left is not known: "
                "end any that still run (ps shows influxd, telegraf and grafana), and remove that file"
            ) from None
        return [identity for identity in identities if identity.process()]

    def remove(self) -> None:
        """Remove the demo's files, and the folder if it is then empty."""
        for folder in (self.influxdb, self.tokens, self.grafana, self.live, self.telemetry, self.logs, self.reports):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (
            *self.folder.glob("*.secret"),
            self.tags,
            self._running,
            self.folder / "lock",
            self.folder / _MARK,
        ):
            file.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
