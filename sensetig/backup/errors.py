"""What goes wrong while a backup is made or restored."""

from __future__ import annotations


class BackupError(Exception):
    """The message says in one sentence what is wrong and what to do. It never holds a secret."""
