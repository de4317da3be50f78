"""The file of a backup: a tar archive whose last member lists the other members and their digests.

It is written under a temporary name, and renamed once it is complete and on disk. It contains secrets, so from the
first byte on only its owner may read it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from collectors.core.files import AtomicFile
from sensetig.errors import BackupError

#: The member that lists the others, as `sha256sum` does; without it, an archive is not complete.
SUMS = "SHA256SUMS"

#: Memory limits: the number of members, and the size of members that are read as a whole.
MAX_MEMBERS = 100_000
MAX_SUMS_BYTES = 32 << 20
_MAX_BYTES = {SUMS: MAX_SUMS_BYTES, "backup.json": 64 << 10, "settings/tokens/operator.token": 64 << 10}

#: Valid names of members, and path components that would leave the folder. The list in sha256sum's format has one line
#: per name, so names contain no line breaks.
_NAMES = re.compile(
    r"SHA256SUMS|backup\.json|influxdb/(?:kv|sql|shards/[0-9]{1,19}\.gz)|grafana\.db|device-state\.db"
    r"|(?:settings|media)/[^\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+"
)
_ELSEWHERE = frozenset(("", ".", ".."))
#: Characters in a name, and bytes in a component of it, up to the limits of a Linux file system.
_MAX_NAME, _MAX_PART = 2048, 255

_NAME, _TIME, _CHUNK = "sensetig-{host}-{time}.tar", "%Y%m%dT%H%M%SZ", 1 << 20


def file_name(host: str, time: datetime) -> str:
    """The file name of a machine's backup at this time."""
    return _NAME.format(host=host, time=f"{time.astimezone(UTC):{_TIME}}")


def file_time(name: str, host: str) -> datetime | None:
    """The time of a machine's backup; None for any other file name."""
    for end in (".tar", ".tar.gpg"):
        start = f"sensetig-{host}-"
        if name.startswith(start) and name.endswith(end):
            try:
                return datetime.strptime(name[len(start) : -len(end)], _TIME).replace(tzinfo=UTC)
            except ValueError:
                continue
    return None


class _Guarded:
    """A writer that stops before too little of the disk stays free.

    Args:
        target: the output: the file, or a pipe to the program that writes the file.
        descriptor: of the file.
        free_bytes: disk space to leave free, in bytes.
    """

    def __init__(self, target: IO[bytes], descriptor: int, free_bytes: int) -> None:
        self._target, self._descriptor, self._free, self._unchecked = target, descriptor, free_bytes, _CHUNK

    def write(self, data: bytes) -> int:
        self._unchecked += len(data)
        if self._unchecked >= _CHUNK:
            self._unchecked = 0
            check_room(self._descriptor, self._free)
        return self._target.write(data)


def check_room(where: int | Path, free_bytes: int) -> None:
    """Raise BackupError if less is free."""
    found = os.statvfs(where)
    free = found.f_bavail * found.f_frsize
    if free < free_bytes:
        raise BackupError(
            f"the disk of the backups has {free >> 20} MB left, and {free_bytes >> 20} MB stay free (--keep-free): "
            "make room, keep fewer backups, or let them go to another disk (--folder)"
        )


class Writer:
    """Adds members to an archive, and computes their digests."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._sums: list[str] = []

    def text(self, name: str, data: bytes, time: float) -> None:
        """Add a member from memory."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(data), 0o600, int(time)
        self._add(info, io.BytesIO(data))

    def file(self, name: str, path: Path, *, copy_of: Path | None = None) -> None:
        """Add a file of the machine with its owner and mode, or those of the original if *copy_of* names one.

        A file that has been removed in the meantime is left out.
        """
        try:
            with path.open("rb") as file:
                info = self._tar.gettarinfo(arcname=name, fileobj=file)
                if copy_of is not None:
                    size, info = info.size, self._tar.gettarinfo(copy_of, arcname=name)
                    info.size = size
                self._add(info, file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}; run this as root") from None

    def opened(self, name: str, file: IO[bytes], time: float) -> None:
        """Add an open file from its beginning."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = file.seek(0, os.SEEK_END), 0o600, int(time)
        file.seek(0)
        self._add(info, file)

    def _add(self, info: tarfile.TarInfo, file: IO[bytes]) -> None:
        if not is_name(info.name):
            raise BackupError(f"a file called {shown(info.name)} cannot be part of a backup; rename or remove it")
        info.mode &= 0o777
        digest = _Digest(file)
        self._tar.addfile(info, digest)
        self._sums.append(f"{digest.value}  {info.name}\n")

    def finish(self, time: float) -> None:
        """Add the list of all members, which completes the archive."""
        data = "".join(self._sums).encode()
        info = tarfile.TarInfo(SUMS)
        info.size, info.mode, info.mtime = len(data), 0o600, int(time)
        self._tar.addfile(info, io.BytesIO(data))


class _Digest:
    """A file that is read once while its digest is computed."""

    def __init__(self, file: Any) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def value(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def written(path: Path, time: float, *, free_bytes: int, encrypt_to: Path | None) -> Iterator[Writer]:
    """Write a new archive; *path* exists afterwards only if the archive is complete.

    Args:
        path: its file.
        time: of the backup.
        free_bytes: disk space to leave free, in bytes.
        encrypt_to: an OpenPGP certificate; only its secret key can then decrypt the archive.
    """
    with (
        AtomicFile(path) as file,
        _encrypted(file, encrypt_to) if encrypt_to else _plain(file) as target,
    ):
        guarded: Any = _Guarded(target, file.fileno(), free_bytes)
        with tarfile.open(fileobj=guarded, mode="w|", bufsize=_CHUNK, format=tarfile.PAX_FORMAT) as tar:
            writer = Writer(tar)
            yield writer
            writer.finish(time)


@contextmanager
def _plain(file: IO[bytes]) -> Iterator[IO[bytes]]:
    yield file


@contextmanager
def _encrypted(file: IO[bytes], certificate: Path) -> Iterator[IO[bytes]]:
    import tempfile

    # GnuPG needs a home folder; it contains no key, so this machine cannot decrypt.
    with tempfile.TemporaryDirectory(prefix="sensetig-gpg-") as home:
        try:
            process = subprocess.Popen(
                [
                    "gpg", "--batch", "--quiet", "--homedir", home, "--no-autostart", "--trust-model", "always",
                    "--compress-algo", "none", "--recipient-file", certificate, "--encrypt",
                ],
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE,
            )  # fmt: skip
        except FileNotFoundError:
            raise BackupError("gpg is not there, which encrypts the backup: install the package gpg") from None
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            # A GnuPG that ended early has printed the reason.
            with suppress(BrokenPipeError):
                yield process.stdin
            with suppress(BrokenPipeError):
                process.stdin.close()
            said = process.stderr.read().decode(errors="replace")
            if process.wait(60):
                raise BackupError(f"gpg could not encrypt to {certificate}: {' '.join(said.split())[:300]}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stderr.close()


class _BoundedReader:
    """A file that is read one chunk at a time at most: tarfile reads a header of any size into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes is above {_CHUNK}")
        return self._file.read(size)


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive for reading. Its members come in order, and are not kept in memory."""
    with path.open("rb") as file:
        bounded: Any = _BoundedReader(file)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


def verify(path: Path) -> frozenset[str]:
    """Read a whole archive before any of it is used.

    Returns the names of its members. Raises BackupError if it is incomplete, modified, or has an invalid member: one
    that its list does not name, that occurs twice, that is not a regular file, that has a special mode, or whose path
    leads elsewhere.
    """
    if path.suffix == ".gpg":
        raise BackupError(
            f"{path} is encrypted; with the secret key at hand run: "
            f"gpg --output {path.with_suffix('')} --decrypt {path}"
        )
    found: dict[str, str] = {}
    sums: str | None = None
    try:
        room = path.stat().st_size
        with opened(path) as tar:
            length = 0
            for member in tar:
                tar.members = []  # type: ignore[attr-defined] # tarfile keeps each
                if sums is not None:
                    raise BackupError(f"{path} is not a backup: {shown(member.name)} follows its list of contents")
                _check(member, path, room)
                if member.name in found:
                    raise BackupError(f"{path} is not a backup: {shown(member.name)} is in it twice")
                file = tar.extractfile(member)
                assert file is not None  # it is a regular file
                if member.name == SUMS:
                    sums = b"".join(iter(partial(file.read, _CHUNK), b"")).decode()
                    continue
                length += len(member.name)
                if len(found) == MAX_MEMBERS or length > MAX_SUMS_BYTES:
                    raise BackupError(f"{path} is not a backup: it has more than {MAX_MEMBERS} members")
                found[member.name] = _digest(file)
    except FileNotFoundError:
        raise BackupError(f"there is no backup {path}") from None
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise BackupError(f"{path} is not a backup, or is damaged: {shown(str(error))}") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from None
    if sums is None:
        raise BackupError(f"{path} is not complete: it ends before its list of contents")
    _compare(path, found, sums)
    for name in found:
        if any(parent in found for parent in _parents(name)):
            raise BackupError(f"{path} is not a backup: {shown(name)} lies below a member that is a file")
    return frozenset(found)


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _check(member: tarfile.TarInfo, path: Path, room: int) -> None:
    """Raise BackupError for an invalid member."""
    name = shown(member.name)
    if not member.isreg() or member.issparse():
        raise BackupError(f"{path} is not a backup: {name} in it is not a file")
    if not is_name(member.name):
        raise BackupError(f"{path} is not a backup: no member of a backup is called {name}")
    if member.mode & ~0o777:
        raise BackupError(f"{path} is not a backup: {name} in it has the mode {member.mode:o}, with special bits")
    most = min(room, _MAX_BYTES.get(member.name, room))
    if not 0 <= member.size <= most:
        raise BackupError(f"{path} is not a backup: {name} in it has {member.size} bytes; at most {most} are possible")


def _compare(path: Path, found: dict[str, str], sums: str) -> None:
    """Raise BackupError unless the list names exactly these members with these digests."""
    listed = set()
    for line in sums.splitlines():
        digest, _, name = line.partition("  ")
        if found.get(name) != digest:
            raise BackupError(f"{path} is damaged: {shown(name)} is not as it was written")
        listed.add(name)
    if unlisted := sorted(found.keys() - listed):
        raise BackupError(f"{path} is not a backup: its list of contents does not name {shown(unlisted[0])}")


def is_name(name: str) -> bool:
    """Whether this is a valid name of a member."""
    parts = name.split("/")
    return (
        len(name) <= _MAX_NAME
        and _NAMES.fullmatch(name) is not None
        and not any(part in _ELSEWHERE or len(part.encode()) > _MAX_PART for part in parts)
    )


def shown(text: str) -> str:
    """A text from an archive, for a message: short, and without control characters."""
    short = text if len(text) <= 200 else text[:199] + "…"
    return short if short.isprintable() else ascii(short)[1:-1]


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := file.read(_CHUNK):
        digest.update(data)
    return digest.hexdigest()
