"""A folder of secrets: only its owner may read them, from the moment that each file is created.

InfluxDB keeps no token in the clear: it can be read when it is created and never again. So a secret is on the disk
(written to a temporary file, synced, and moved into place) before anything depends on it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

from collectors.core.files import read_token, write_atomic
from sensetig.errors import SetupError

#: Room that is tried before a secret is asked for, in bytes: more than any token or password is long.
_ROOM = 512


class InUse(SetupError):
    """Another process holds the folder."""


class Credentials:
    """The folder, held by one process at a time; use it as a context manager.

    Raises SetupError when the folder cannot be made or written, when others may write to it, and when another
    process holds it.
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
        """A secret, or None if there is none. A file that others may read is closed to them."""
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
        """Make sure that a secret can be written. Raises SetupError if it cannot."""
        self.write(".room", "0" * _ROOM)
        self.path(".room").unlink()

    def write(self, name: str, secret: str) -> None:
        """Write a secret so that, whatever happens in the meantime, the file holds the old one or the new one."""
        try:
            write_atomic(self.path(name), secret)
        except OSError as error:
            raise self._failed(error) from None

    def remove(self, name: str) -> bool:
        """Remove a secret; whether there was one."""
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
