"""The gateway's memory across restarts, in one SQLite file: messages that may be redelivered, and known names.

Changes are written to the write-ahead log before the lines that they concern are sent, and synced if these include
points without a time: the file then survives a power cut like InfluxDB's own log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator

from collectors.telemetry.redelivery import Sent

_TABLES = """
DROP TABLE IF EXISTS message;
CREATE TABLE IF NOT EXISTS sent (
    packet INTEGER PRIMARY KEY, place INTEGER NOT NULL, identity INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    connected_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS received (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS name (
    kind TEXT NOT NULL, name TEXT NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    device TEXT PRIMARY KEY, day INTEGER NOT NULL, fields INTEGER NOT NULL, series INTEGER NOT NULL) WITHOUT ROWID;
"""

#: Seconds to wait while another program has locked the file.
_BUSY_SECONDS = 2.0

#: Maximum number of changes kept while the disk accepts none; the oldest are dropped.
_MAX_WAITING = 60_000

#: Maximum number of names of a kind.
_MAX_NAMES = 100_000


class GatewayStore:
    """The file. While it cannot be used, the gateway continues in memory, and this is reported once.

    Args:
        path: the file; a missing folder is created. A damaged file is replaced.
        complain: receives one sentence.
    """

    def __init__(self, path: str, complain: Callable[[str], None]) -> None:
        self._path = path
        self._complain = complain
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[str, tuple[object, ...]]] = []
        self._unsynced = False
        self._failed = False
        try:
            self._connection = self._opened()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
                for ending in ("", "-wal", "-shm"):
                    if os.path.exists(path + ending):
                        os.replace(path + ending, f"{path}.corrupt{ending}")
                self._report(error, f"it is kept as {path}.corrupt, and a new one is begun")
                self._connection = self._opened()
            else:
                self._report(error)
        except OSError as error:
            self._report(error)

    def _opened(self) -> sqlite3.Connection:
        os.makedirs(os.path.dirname(os.path.abspath(self._path)), mode=0o750, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 1048576")
            connection.executescript(_TABLES)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def messages(self) -> Iterable[Sent]:
        """See :class:`~collectors.telemetry.redelivery.Journal`."""
        return [Sent(*row) for row in self._rows("SELECT packet, place, identity, time_ns, connected_ns FROM sent")]

    def received(self) -> int:
        """See :class:`~collectors.telemetry.redelivery.Journal`."""
        return next((count for (count,) in self._rows("SELECT count FROM received")), 0)

    def put(self, message: Sent) -> None:
        """See :class:`~collectors.telemetry.redelivery.Journal`."""
        self._waiting.append(("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)", message))
        self._unsynced = True

    def save(self, count: int) -> None:
        """See :class:`~collectors.telemetry.redelivery.Journal`."""
        self._waiting.append(("INSERT OR REPLACE INTO received VALUES (1, ?)", (count,)))

    def clear(self) -> None:
        """See :class:`~collectors.telemetry.redelivery.Journal`."""
        self._waiting.append(("DELETE FROM sent", ()))

    def known(self, kind: str, most: int) -> Iterable[str]:
        """See :class:`~collectors.telemetry.allowance.Names`."""
        rows = self._rows("SELECT name FROM name WHERE kind = ? ORDER BY day DESC LIMIT ?", kind, most)
        return [name for (name,) in rows]

    def add(self, kind: str, name: str, day: int) -> None:
        """See :class:`~collectors.telemetry.allowance.Names`."""
        self._waiting.append(("INSERT OR REPLACE INTO name VALUES (?, ?, ?)", (kind, name, day)))

    def spent(self, day: int) -> Iterable[tuple[str, int, int]]:
        """See :class:`~collectors.telemetry.allowance.Names`; entries of other days are removed."""
        self._waiting.append(("DELETE FROM spent WHERE day <> ?", (day,)))
        self._waiting.append(
            (
                "DELETE FROM name WHERE day < (SELECT min(day) FROM (SELECT day FROM name ORDER BY day DESC LIMIT ?))",
                (_MAX_NAMES,),
            )
        )
        return self._rows("SELECT device, fields, series FROM spent WHERE day = ?", day)

    def spend(self, device: str, day: int, fields: int, series: int) -> None:
        """See :class:`~collectors.telemetry.allowance.Names`."""
        self._waiting.append(("INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?)", (device, day, fields, series)))

    def flush(self) -> None:
        """Write all changes, and sync them if they include messages, before their points are sent."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        unsynced, self._unsynced = self._unsynced, False
        if self._connection is None:
            return
        try:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if unsynced else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, values in waiting:
                self._connection.execute(statement, values)
            self._connection.execute("COMMIT")
            self._failed = False
        except sqlite3.Error as error:  # such as a full disk: the next flush retries these
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._waiting = waiting[-_MAX_WAITING:]
            self._unsynced = unsynced
            self._report(error)

    def close(self) -> None:
        """Write pending changes and close the file."""
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, statement: str, *values: object) -> Iterator[tuple]:  # type: ignore[type-arg]
        if self._connection is None:
            return iter(())
        try:
            return iter(self._connection.execute(statement, values).fetchall())
        except sqlite3.Error as error:
            self._report(error)
            return iter(())

    def _report(self, error: Exception, consequence: str = "") -> None:
        if not self._failed:
            self._failed = True
            self._complain(
                f"the gateway's memory {self._path} cannot be used: {error}; "
                + (consequence or "until it can, a message without a time that is delivered again counts twice")
            )
