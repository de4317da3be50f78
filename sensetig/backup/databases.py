"""A copy of an SQLite database that is in use, and one put in its place."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sensetig.backup.errors import BackupError


def copy(source: Path, into: Path) -> None:
    """Copy a database as it stands at one moment, without stopping who writes to it.

    Raises BackupError where it cannot be read.
    """
    try:
        _copy(source, into, "mode=ro")
    except sqlite3.OperationalError as error:
        # In its folder nothing may be written, and without its log nobody has it open: so the file is all there is.
        if os.path.exists(f"{source}-wal"):
            raise BackupError(f"the database {source} cannot be copied: {error}") from None
        try:
            _copy(source, into, "mode=ro&immutable=1")
        except sqlite3.Error as again:
            raise BackupError(f"the database {source} cannot be copied: {again}") from None
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from None


def _copy(source: Path, into: Path, how: str) -> None:
    there = sqlite3.connect(f"file:{quote(str(source))}?{how}", uri=True, timeout=30)
    try:
        here = sqlite3.connect(into)
        try:
            there.backup(here)
        finally:
            here.close()
    finally:
        there.close()


def forget_log(database: Path) -> None:
    """Remove the log of a database that another has taken the place of: it would be read into the new one."""
    for end in ("-wal", "-shm", "-journal"):
        Path(f"{database}{end}").unlink(missing_ok=True)
