"""A folder of secrets: each file is readable only by its owner from its creation on.

InfluxDB shows a token only when it is created. So a secret is stored on disk (written to a temporary file, synced, and
moved into place) before anything depends on it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

from collectors.core.files import read_token, write_atomic
from sensetig.errors import SetupError

#: Disk space that is tested before a secret is requested, in bytes: more than the length of any token or password.
_ROOM = 512


class InUse(SetupError):
    """Another process has locked the folder."""


class Credentials:
    """The folder, locked by one process at a time; use it as a context manager.

    Raises SetupError if the folder cannot be created or written, if others may write to it, or if another process has
    locked it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tightened: list[str] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._failed(error) from None
        try:
            if stat.S_IMODE(os.fstat(self._descriptor).st_mode) & 0o022:
                raise SetupError(f"others may write to {folder}, where tokens are kept; first run: chmod 700 {folder}")
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise InUse(f"another setup is using {folder}; wait until it has ended") from None
        except SetupError:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Credentials:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def path(self, name: str) -> Path:
        """The file of a secret."""
        return self.folder / name

    def read(self, name: str) -> str | None:
        """A secret, or None if there is none. Permissions for other users are removed from its file."""
        path = self.path(name)
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(0o600)
                self.tightened.append(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SetupError(f"others may read {path}, and that cannot be changed: {error.strerror}") from None
        try:
            if not path.read_bytes().strip():
                return None
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}") from None
        return read_token(path, "the secret", error=SetupError)

    def room(self) -> None:
        """Ensure that a secret can be written. Raises SetupError if it cannot."""
        self.write(".room", "0" * _ROOM)
        self.path(".room").unlink()

    def write(self, name: str, secret: str) -> None:
        """Write a secret atomically: at any time the file holds the old one or the new one."""
        try:
            write_atomic(self.path(name), secret)
        except OSError as error:
            raise self._failed(error) from None

    def remove(self, name: str) -> bool:
        """Remove a secret; return whether it existed."""
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SetupError(f"{self.path(name)} cannot be removed: {error.strerror}") from None
        os.fsync(self._descriptor)
        return True

    def _failed(self, error: OSError) -> SetupError:
        return SetupError(
            f"tokens cannot be kept in {self.folder}: {error.strerror}; make it writable, or name another with --tokens"
        )
