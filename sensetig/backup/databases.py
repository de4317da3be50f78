"""Copy an SQLite database that is in use, and replace one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from sensetig.errors import BackupError

#: Number of attempts to copy a database that is being written to.
_TRIES = 20


class _Moved(Exception):
    """The database changed while it was being copied."""


def copy(source: Path, into: Path) -> None:
    """Copy a consistent state of a database that is in use, without write access to its folder.

    Raises BackupError if it cannot be read.
    """
    try:
        try:
            _copy(source, into, "mode=ro")
        except sqlite3.OperationalError:
            # SQLite reads a write-ahead log only if it may write in the same folder.
            if os.path.exists(f"{source}-wal"):
                _copy_with_log(source, into)
            else:
                # No process has it open, so there is no log to copy.
                _copy(source, into, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from None
    except OSError as error:
        raise BackupError(f"the database {source} cannot be copied: {error.strerror}") from None
    except _Moved:
        raise BackupError(f"the database {source} was written to all the time; try again later") from None


def _copy_with_log(source: Path, into: Path) -> None:
    """Copy the file and then its log; copy both again if the file has changed in the meantime.

    As long as the file is unchanged, the log read after it is consistent with it: SQLite skips an incomplete record at
    the end of the log because its checksum does not match. https://sqlite.org/fileformat2.html#walformat
    """
    for attempt in Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=wait_random(0.05, 0.5),
        retry=retry_if_exception_type(_Moved),
        reraise=True,
    ):
        with attempt, tempfile.TemporaryDirectory(prefix=".database.partial", dir=into.parent) as folder:
            copied, before = Path(folder, "copy.db"), _state(source)
            shutil.copyfile(source, copied)
            with suppress(FileNotFoundError):  # it was merged into the file, which has then changed
                shutil.copyfile(f"{source}-wal", f"{copied}-wal")
            if _state(source) != before:
                raise _Moved
            _copy(copied, into, "mode=rw")


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _copy(source: Path, into: Path, how: str) -> None:
    into.unlink(missing_ok=True)
    there = sqlite3.connect(f"file:{quote(str(source))}?{how}", uri=True, timeout=30)
    try:
        here = sqlite3.connect(into)
        try:
            there.backup(here)
            (said,) = here.execute("PRAGMA quick_check").fetchone()
            if said != "ok":
                raise sqlite3.DatabaseError(f"it is damaged: {said}")
        finally:
            here.close()
    finally:
        there.close()


def forget_log(database: Path) -> None:
    """Remove the log of a replaced database, because SQLite would apply it to the new one."""
    for end in ("-wal", "-shm", "-journal"):
        Path(f"{database}{end}").unlink(missing_ok=True)
