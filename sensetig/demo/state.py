"""The demo's state folder: data, tokens, logs, and which engines run."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs

from sensetig.local.processes import Identity

#: Room that a first run needs: databases, logs and Grafana's own, with a margin.
NEEDED_BYTES = 200 * 1024 * 1024


class StateError(RuntimeError):
    """The state folder cannot be used; the message says why, and what to do."""


def default_folder() -> Path:
    """Where the state is unless ``--state`` names another folder."""
    return Path(platformdirs.user_state_dir("sensetig", appauthor=False)) / "demo"


class State:
    """A state folder, created for its owner alone. Raises StateError when it cannot be written to."""

    def __init__(self, folder: Path, needed: int = NEEDED_BYTES) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / ".writable"
            probe.write_bytes(b"\0")
            probe.unlink()
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
        self.influxdb = folder / "influxdb"
        self.tokens = folder / "tokens"
        self.grafana = folder / "grafana"
        self.logs = folder / "logs"
        self._running = folder / "running.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second demo out of this folder. Raises StateError when one is at work in it."""
        lock = filelock.FileLock(self.folder / "lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except filelock.Timeout:
            raise StateError(
                f"another demo is at work in {self.folder}: end it with Ctrl-C, or name another folder with --state"
            ) from None

    def log(self, engine: str) -> Path:
        """The log of an engine; the one of the run before is kept beside it."""
        log = self.logs / f"{engine}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log

    def secret(self, name: str) -> str:
        """A key that stays the same from run to run, made at the first and readable by the owner only."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(16))
        return path.read_text()

    def remember(self, identities: Sequence[Identity]) -> None:
        """Write down which engines run, in the order in which they are to be stopped."""
        draft = self._running.with_suffix(".new")
        draft.write_text(json.dumps(identities))
        os.replace(draft, self._running)

    def running(self) -> list[Identity]:
        """The engines of this folder that still run, in the order in which they are to be stopped."""
        try:
            entries = json.loads(self._running.read_text())
        except FileNotFoundError:
            return []
        return [identity for entry in entries if (identity := Identity(*entry)).process()]
