"""The store in one SQLite file, shared by the workers of one machine.

Write-ahead log with ``synchronous=NORMAL``: a power cut costs the last writes and never the file
(https://www.sqlite.org/pragma.html#pragma_synchronous). All changes of a call are one transaction.

Workers open the file one at a time, under a lock in ``<file>.lock``. To switch a new file to a write-ahead log, SQLite
upgrades a read transaction to a write transaction; if two connections do so at once, neither can wait for the other,
and SQLite returns SQLITE_BUSY without calling the busy handler (https://www.sqlite.org/c3ref/busy_handler.html).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from collectors.device_state.store import Change, Stored, StoreError

#: Maximum wait for another worker, which opens the file or writes it, in seconds.
BUSY_SECONDS = 5.0

#: Pause between two attempts to lock the file, in seconds: flock(2) waits forever or not at all.
_LOCK_PAUSE_SECONDS = 0.01

#: Devices in one statement; older versions of SQLite allow 999 variables.
_BATCH = 500

#: SQLite's errors for a damaged file, or one of another kind.
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_ADVICE = {
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_READONLY": "it is read-only; let this user write it and its folder",
    "SQLITE_BUSY": "another program holds it; end that, or wait",
    "SQLITE_LOCKED": "another program holds it; end that, or wait",
    "SQLITE_CANTOPEN": "it cannot be opened; its folder must be there, and this user's to write",
}


class SqliteStore:
    """A store in a file.

    A damaged file is renamed to ``<file>.corrupt`` and replaced by a new one, so that counting continues without manual
    repair; the old file is preserved.

    Args:
        path: the file; a missing folder is created.
        complain: receives one sentence.
        busy_seconds: maximum wait for another worker.
    """

    kind = "sqlite"

    def __init__(self, path: str, complain: Callable[[str], None], busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = os.path.abspath(path)
        self._complain = complain
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def read(self, devices: Sequence[str]) -> Mapping[str, Stored]:
        """See :class:`Store`."""
        found: dict[str, Stored] = {}
        with self._opened() as connection:
            for start in range(0, len(devices), _BATCH):
                some = devices[start : start + _BATCH]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT device, document, revision FROM state WHERE device IN ({marks})",  # noqa: S608 - marks only
                    some,
                )
                found.update((device, Stored(bytes(document), revision)) for device, document, revision in rows)
        return found

    def write(self, changes: Sequence[Change]) -> Mapping[str, int]:
        """See :class:`Store`."""
        written: dict[str, int] = {}
        with self._opened() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for device, document, revision in changes:
                if revision is None:
                    done = connection.execute(
                        "INSERT INTO state (device, revision, document) VALUES (?, 1, ?) ON CONFLICT DO NOTHING",
                        (device, document),
                    )
                else:
                    done = connection.execute(
                        "UPDATE state SET revision = revision + 1, document = ? WHERE device = ? AND revision = ?",
                        (document, device, revision),
                    )
                if done.rowcount == 1:
                    written[device] = (revision or 0) + 1
        return written

    def devices(self) -> Iterable[str]:
        """See :class:`Store`."""
        with self._opened() as connection:
            return [device for (device,) in connection.execute("SELECT device FROM state")]

    def close(self) -> None:
        """Close the file, which writes back the log."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, reopened if the file was replaced; raise its errors as StoreError."""
        try:
            if self._connection is not None and self._inode != _inode(self._path):
                self.close()
            if self._connection is None:
                self._open()
            assert self._connection is not None
            yield self._connection
        except sqlite3.Error as error:
            self._failed(error)
        except OSError as error:
            raise StoreError(
                f"the device state {self._path} cannot be opened: {error.strerror or error}; name another file in the "
                "setting state, or mend that"
            ) from None

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
        with self._locked():
            # Statements outside a transaction take effect at once; the one transaction begins explicitly.
            connection = sqlite3.connect(
                self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
            )
            # Damage may show only later; the inode then says which file to set aside.
            self._connection, self._inode = connection, _inode(self._path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            # Shrink the log after a burst, once its content is in the file.
            connection.execute("PRAGMA journal_size_limit = 1048576")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS state "
                "(device TEXT PRIMARY KEY, revision INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID"
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock under which workers open the file and set it aside. Raises StoreError after the busy time."""
        # Reading is enough for a lock, so a disk mounted read-only fails with SQLite's error.
        descriptor = os.open(f"{self._path}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            deadline = time.monotonic() + self._busy_seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise StoreError(
                            f"the device state {self._path} cannot be opened: another process has held "
                            f"{self._path}.lock for {self._busy_seconds:g} s; end that process, or wait"
                        ) from None
                time.sleep(_LOCK_PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _failed(self, error: sqlite3.Error) -> None:
        """Raise StoreError for an error of SQLite, after setting aside a damaged file."""
        name = getattr(error, "sqlite_errorname", "")
        inode = self._inode
        self.close()
        if name.startswith(_DAMAGED):
            self._set_aside(inode)
            raise StoreError(f"the device state {self._path} was damaged ({error}); an empty one replaces it") from None
        advice = next((text for start, text in _ADVICE.items() if name.startswith(start)), str(error))
        raise StoreError(f"the device state {self._path} cannot be used: {advice}") from None

    def _set_aside(self, inode: int) -> None:
        """Rename the damaged file, unless another worker has done so."""
        beside = f"{self._path}.corrupt"
        with self._locked():
            if _inode(self._path) != inode:
                return
            for ending in ("-wal", "-shm"):
                if os.path.exists(self._path + ending):
                    os.replace(self._path + ending, beside + ending)
            os.replace(self._path, beside)
        self._complain(
            f"the device state {self._path} is damaged; it was put aside as {beside}, and counting begins anew"
        )


def _inode(path: str) -> int:
    """Return the inode number of a file, 0 if there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
