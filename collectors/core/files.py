"""Files: atomic writes and the reader of secrets for the whole project.

It imports only light modules of the standard library, because collectors load it at start-up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from collectors.core.api import Unavailable

if TYPE_CHECKING:
    from types import TracebackType

    Path = str | os.PathLike[str]

#: Maximum size of a file that holds a secret, in bytes; anything above is the wrong file.
MAX_SECRET_BYTES = 64 * 1024

_CURE = "name a file that this user can read"

#: Suffix of a file that is being written. Its name also begins with a dot.
UNFINISHED = ".part"


class AtomicFile:
    """A binary file that gets its name at the end of the ``with`` block; an exception leaves no file behind.

    The content goes to a temporary file in the same folder. Readers therefore see the old file or the new one, even
    after a power cut.

    Args:
        path: the file to create or replace. A symbolic link is replaced, not followed.
        mode: permissions before the umask. None keeps those of the replaced file, or else sets 0644 whatever the umask.
        durable: False skips both fsyncs, which is sufficient for files that can be regenerated.
        overwrite: False raises FileExistsError if the file exists.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, mode: int | None = 0o600, *, durable: bool = True, overwrite: bool = True) -> None:
        self._path = os.fspath(path)
        self._mode = mode
        self._durable = durable
        self._overwrite = overwrite

    def __enter__(self) -> IO[bytes]:
        folder, name = os.path.split(self._path)
        self._part = os.path.join(folder, f".{name}.{os.urandom(4).hex()}{UNFINISHED}")
        mode = self._mode
        if mode is None:
            try:
                mode = stat.S_IMODE(os.stat(self._path).st_mode)
            except FileNotFoundError:
                mode = 0o644
        self._file = open(self._part, "xb", opener=lambda path, flags: os.open(path, flags, mode))
        if self._mode is None:
            os.fchmod(self._file.fileno(), mode)
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        placed = False
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    if self._durable:
                        os.fsync(self._file.fileno())
            if kind is not None:
                return
            if self._overwrite:
                os.replace(self._part, self._path)
                placed = True
            else:
                os.link(self._part, self._path)  # fails if the file exists, even with two concurrent writers
        finally:
            if not placed:
                os.unlink(self._part)
        if self._durable:
            sync_folder(os.path.dirname(self._path))


def write_atomic(
    path: Path, content: bytes | str, mode: int | None = 0o600, *, durable: bool = True, overwrite: bool = True
) -> None:
    """Write a whole file atomically; a text is encoded as UTF-8. See :class:`AtomicFile` for arguments and errors."""
    with AtomicFile(path, mode, durable=durable, overwrite=overwrite) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def publish(part: Path, path: Path) -> None:
    """Durably rename a file that another program has written to its final name. Raises OSError."""
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(part, path)
    sync_folder(os.path.dirname(path))


def sync_folder(path: Path) -> None:
    """Make created, renamed and removed names in a folder durable. Raises OSError."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(
    path: Path,
    name: str,
    *,
    error: type[Exception] = Unavailable,
    cure: str = _CURE,
) -> str:
    """The text of a file that only its owner can read, without surrounding white space.

    Args:
        path: the file.
        name: description of the file in messages, such as ``the token file`` or the name of a setting.
        error: the exception to raise. Its sentence names the file and the remedy, never the content.
        cure: the remedy if the file cannot be read; or empty.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_SECRET_BYTES + 1)
        text = content.decode("utf-8-sig").strip()  # some editors add a byte order mark
    except OSError as failure:
        raise error(f"{name} {path} cannot be read: {failure.strerror}{cure and '; '}{cure}") from None
    except UnicodeDecodeError:
        raise error(f"{name} {path} cannot be read: it is not UTF-8; name the file with the secret") from None
    if is_exposed(path, mode):
        raise error(f"{name} {path} may be read by others (mode {mode:04o}); chmod 600 {path}")
    if len(content) > MAX_SECRET_BYTES:
        raise error(f"{name} {path} has more than {MAX_SECRET_BYTES} bytes; name the file with the secret")
    if not text:
        raise error(f"{name} {path} is empty; write the secret into it")
    return text


def read_password(
    path: Path,
    name: str,
    *,
    error: type[Exception] = Unavailable,
    cure: str = _CURE,
) -> str:
    """The first line of a secret file, see :func:`read_secret`."""
    return read_secret(path, name, error=error, cure=cure).partition("\n")[0].strip()


def read_token(
    path: Path,
    name: str,
    *,
    error: type[Exception] = Unavailable,
    cure: str = _CURE,
) -> str:
    """The word of printable ASCII in a secret file, valid in an HTTP header. See :func:`read_secret`."""
    token = read_secret(path, name, error=error, cure=cure)
    if not is_token(token):
        raise error(f"{name} {os.fspath(path)} does not hold a token: expected one word of ASCII characters")
    return token


def is_token(text: str) -> bool:
    """Whether a text is one word of printable ASCII."""
    return bool(text) and all("!" <= character <= "~" for character in text)


def is_exposed(path: str, mode: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether other users can read a file with this mode.

    systemd passes credentials to a service in a folder that only the service can enter. It grants access to each file
    by an access control list, which appears as a group permission in the file's mode.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    passed = bool(folder) and os.path.dirname(os.path.abspath(path)) == folder
    return bool(mode & (0o037 if passed else 0o077))
