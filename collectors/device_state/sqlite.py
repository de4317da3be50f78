"""The store in one SQLite file, for the workers of one machine.

Write-ahead log with ``synchronous=NORMAL``: a power cut costs the last writes and never the file
(https://www.sqlite.org/pragma.html#pragma_synchronous). All changes of a call are one transaction.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from collectors.device_state.store import Change, Stored, StoreError

#: How long another worker's write is waited for, in seconds.
BUSY_SECONDS = 5.0

#: Devices asked for in one statement; SQLite's own bound on variables was 999 for long.
_TOGETHER = 500

#: What SQLite says of a file that is damaged, or none of its own.
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

    A file that is damaged is put beside, as ``<file>.corrupt``, and another begun: without it every device would go
    uncounted until somebody looks, and it is not thrown away, so that somebody can.

    Args:
        path: the file; its folder is made where it is not there.
        complain: takes one sentence.
        busy_seconds: how long another worker's write is waited for.
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
            for start in range(0, len(devices), _TOGETHER):
                some = devices[start : start + _TOGETHER]
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
        """Close the file; the write-ahead log goes into it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, and what goes wrong with it as StoreError. It is opened again where the file is another."""
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
        # Statements outside a transaction take effect at once; the one transaction is begun by hand.
        connection = sqlite3.connect(
            self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        # It may be damaged in a way that only shows later; then it is known which file to put beside.
        self._connection, self._inode = connection, _inode(self._path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # What a burst has made of the log is given back when it has been taken over.
        connection.execute("PRAGMA journal_size_limit = 1048576")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS state "
            "(device TEXT PRIMARY KEY, revision INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID"
        )

    def _failed(self, error: sqlite3.Error) -> None:
        """Raise StoreError for what SQLite says; a damaged file is put beside before."""
        name = getattr(error, "sqlite_errorname", "")
        inode = self._inode
        self.close()
        if name.startswith(_DAMAGED):
            self._set_aside(inode)
            raise StoreError(f"the device state {self._path} was damaged ({error}); it was begun anew") from None
        advice = next((text for start, text in _ADVICE.items() if name.startswith(start)), str(error))
        raise StoreError(f"the device state {self._path} cannot be used: {advice}") from None

    def _set_aside(self, inode: int) -> None:
        """Put the damaged file beside, unless another worker has done so."""
        beside = f"{self._path}.corrupt"
        with open(f"{self._path}.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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
    """The file's number, or 0 where there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
