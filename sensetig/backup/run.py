"""Back up a hub, and restore it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from collectors.core.files import AtomicFile
from sensetig.backup import archive, databases
from sensetig.backup.influx import BackupClient, parts, shards
from sensetig.backup.retention import Keep, kept
from sensetig.errors import BackupError, OperatorError
from sensetig.site import read_token

#: Version of the format.
FORM = 1

#: A folder below the settings that is left out: it is encrypted with this machine's key, and the playbook recreates it.
_BOUND_TO_THE_MACHINE = "credentials"

_OPERATOR = "tokens/operator.token"

#: Members that every backup has.
_NEEDED = ("backup.json", f"settings/{_OPERATOR}", "influxdb/kv", "influxdb/sql")


class Places(NamedTuple):
    """Paths of the parts of a hub.

    Args:
        settings: the folder with settings, tokens, certificates and calibrations.
        grafana: Grafana's database.
        state: the database with the state of devices.
        media: pictures and clips, or None if they are left out.
    """

    settings: Path = Path("/etc/sensetig")
    grafana: Path = Path("/var/lib/grafana/grafana.db")
    state: Path = Path("/var/lib/sensetig/device-state.db")
    media: Path | None = None

    @property
    def databases(self) -> dict[str, Path]:
        """The databases by their names in the archive."""
        return {"grafana.db": self.grafana, "device-state.db": self.state}


class Made(NamedTuple):
    """The result of a backup."""

    path: Path
    size: int
    shards: int
    removed: tuple[str, ...]


def make(
    folder: Path,
    *,
    url: str,
    places: Places,
    host: str,
    now: datetime,
    keep: Keep,
    free_bytes: int,
    encrypt_to: Path | None = None,
    ca_file: Path | None = None,
) -> Made:
    """Back up this hub, and remove expired backups.

    Args:
        folder: where backups are kept; created with access for its owner only.
        url: the address of InfluxDB.
        places: paths of the other parts; missing parts are left out.
        host: this machine's name.
        now: the time of the backup.
        keep: number of backups to keep.
        free_bytes: disk space to leave free, in bytes.
        encrypt_to: an OpenPGP certificate, or None.
        ca_file: certificates to trust in addition to the system's.

    Raises:
        BackupError, InfluxDBError, SiteError: no new backup was made; existing backups are unchanged.
    """
    _make_folder(folder)
    with _alone(folder):
        archive.check_room(folder, free_bytes)
        file = places.settings / _OPERATOR
        client = BackupClient(url, _read_token(file), origin=f"the token in {file}", ca_file=ca_file)
        path = folder / (archive.file_name(host, now) + (".gpg" if encrypt_to else ""))
        try:
            with archive.written(path, now.timestamp(), free_bytes=free_bytes, encrypt_to=encrypt_to) as writer:
                count = _fill(writer, client, places, host, now, folder)
        except OSError as error:
            raise BackupError(f"the backup {path} cannot be written: {error.strerror or error}") from None
        return Made(path, path.stat().st_size, count, _tidy(folder, host, keep))


def _fill(writer: archive.Writer, client: BackupClient, places: Places, host: str, now: datetime, folder: Path) -> int:
    """Write everything to the archive; return the number of shards."""
    time = now.timestamp()
    about = {"form": FORM, "host": host, "time": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    writer.text("backup.json", json.dumps(about, indent=2).encode(), time)
    # Unnamed temporary files: they vanish however this process ends.
    with tempfile.TemporaryFile(dir=folder) as file:
        kind = client.metadata(file)
        file.seek(0)
        metadata = parts(file.read(), kind)
    try:
        numbers = list(shards(json.loads(metadata["buckets"])))
        for name in ("kv", "sql"):
            writer.text(f"influxdb/{name}", metadata[name], time)
    except (KeyError, ValueError) as error:
        raise BackupError(f"InfluxDB's metadata is not of the form that is known here: {error}") from None
    count = 0
    for number in numbers:
        with tempfile.TemporaryFile(dir=folder) as file:
            if client.shard(number, file):
                writer.opened(f"influxdb/shards/{number}.gz", file, time)
                count += 1
    for each in _files(places.settings, leave_out=_BOUND_TO_THE_MACHINE):
        writer.file(f"settings/{each.relative_to(places.settings)}", each)
    for name, database in places.databases.items():
        if database.is_file():
            copied = folder / f".{name}.partial"
            try:
                databases.copy(database, copied)
                writer.file(name, copied, copy_of=database)
            finally:
                copied.unlink(missing_ok=True)
    if places.media is not None:
        for each in _files(places.media):
            writer.file(f"media/{each.relative_to(places.media)}", each)
    return count


def _files(folder: Path, leave_out: str = "") -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        if where == str(folder) and leave_out in folders:
            folders.remove(leave_out)
        folders.sort()
        for name in sorted(files):
            path = Path(where, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise BackupError(f"others may look into {folder}, and backups hold secrets; first run: chmod 700 {folder}")
    except OSError as error:
        raise BackupError(f"the folder of backups {folder} cannot be made: {error.strerror}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the backup folder, and remove the remains of a killed backup."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another backup is being made in {folder}; wait until it has ended") from None
        for left in folder.glob(".*.part*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield


def _tidy(folder: Path, host: str, keep: Keep) -> tuple[str, ...]:
    """Remove this machine's expired backups."""
    times = {path: time for path in folder.iterdir() if (time := archive.file_time(path.name, host)) is not None}
    stay = kept(times.values(), keep)
    gone = sorted(path for path, time in times.items() if time not in stay)
    for path in gone:
        path.unlink()
    return tuple(path.name for path in gone)


def _read_token(path: Path) -> str:
    if not path.parent.exists():
        raise BackupError(f"there is no {path}: is this the hub, and was `sensetig setup` run here?")
    return read_token(path, "the operator token file")


class Restored(NamedTuple):
    """The result of a restore."""

    host: str
    time: str
    shards: int
    files: int


def restore(
    path: Path, *, url: str, places: Places, say: Callable[[str], None], ca_file: Path | None = None
) -> Restored:
    """Restore a backup: all of InfluxDB, and every file in it, replacing those that exist.

    The archive is verified first. Repeat an interrupted restore from the start.

    Args:
        path: the archive, decrypted.
        url: of a running InfluxDB, new or not.
        places: paths of the other parts.
        say: called with each step.
        ca_file: certificates to trust in addition to the system's.

    Raises:
        BackupError, InfluxDBError, SiteError: nothing was changed before the first step.
    """
    names = archive.verify(path)
    for name in _NEEDED:
        if name not in names:
            raise BackupError(f"nothing was changed: there is no {name} in the backup")
    _check_targets(places, names)
    with archive.opened(path) as tar:
        about = _parse_description(path, _member(tar, "backup.json").read())
        token = _token(_member(tar, f"settings/{_OPERATOR}").read())
        present = _present(url, places, token, say, ca_file)
        client = BackupClient(url, present, origin="the operator token", ca_file=ca_file)
        say("metadata")
        client.restore("kv", _member(tar, "influxdb/kv"))
        # From here on InfluxDB accepts only the tokens of the backup.
        client = BackupClient(url, token, origin="the operator token of the backup", ca_file=ca_file)
        client.restore("sql", _member(tar, "influxdb/sql"))
        count = files = 0
        for member in tar:
            kind, _, rest = member.name.partition("/")
            if member.name.startswith("influxdb/shards/"):
                number = int(rest.removeprefix("shards/").removesuffix(".gz"))
                client.restore(f"shards/{number}", _open(tar, member), packed=True)
                count += 1
            elif (target := _target(places, kind, rest)) is not None:
                _put(tar, member, target)
                files += 1
        say(f"{count} shards, {files} files")
    return Restored(about["host"], about["time"], count, files)


def _parse_description(path: Path, data: bytes) -> dict[str, str]:
    """Parse the description of a backup. Raises BackupError for an unknown format."""
    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or not all(isinstance(about.get(key), str) for key in ("host", "time")):
        raise BackupError(f"nothing was changed: the backup.json in {path} does not describe a backup")
    if about.get("form") != FORM:
        form = archive.shown(str(about.get("form")))
        raise BackupError(f"{path} is of form {form}, and this version of SenseTIG reads form {FORM}")
    return {key: about[key] if about[key].isprintable() else archive.shown(about[key]) for key in ("host", "time")}


def _token(data: bytes) -> str:
    token = data.strip()
    if not token.isascii() or not token.decode().isprintable() or not token:
        raise BackupError(f"nothing was changed: settings/{_OPERATOR} in the backup is not a token")
    return token.decode()


def _check_targets(places: Places, names: Iterable[str]) -> None:
    """Raise BackupError if a file would replace a folder, or has a file among its parents."""
    for name in names:
        kind, _, rest = name.partition("/")
        if (target := _target(places, kind, rest)) is None:
            continue
        below = next(each for each in target.parents if each.exists())
        if target.is_dir() or not below.is_dir():
            wrong = target if target.is_dir() else below
            raise BackupError(f"nothing was changed: {wrong} is in the way of {archive.shown(name)}; move it away")


def _present(url: str, places: Places, token: str, say: Callable[[str], None], ca_file: Path | None) -> str:
    """A token that InfluxDB accepts now; a new InfluxDB is set up with the backup's token."""
    from sensetig.influxdb.definitions import Bucket
    from sensetig.influxdb.server import Server

    try:
        with Server(url, wait_seconds=30, say=say, ca_file=ca_file) as server:
            if server.is_new():
                import secrets

                # The restore overwrites all of this.
                server.onboard("sensetig", "sensetig", secrets.token_urlsafe(32), token, Bucket("raw", "", 0, 0))
                return token
            candidates = [token]
            if (places.settings / _OPERATOR).is_file():
                candidates.insert(0, _read_token(places.settings / _OPERATOR))
            for each in candidates:
                if server.accepts(each):
                    return each
    except OperatorError as error:
        raise BackupError(f"nothing was changed: {error}") from None
    raise BackupError(
        f"nothing was changed: InfluxDB at {url} accepts neither the operator token in {places.settings / _OPERATOR} "
        "nor that of the backup; put the right one there"
    )


def _target(places: Places, kind: str, rest: str) -> Path | None:
    """The target path of a member; None for a member that is not a file of the machine."""
    if kind == "settings" and rest:
        return _below(places.settings, rest)
    if kind == "media" and rest:
        return None if places.media is None else _below(places.media, rest)
    return places.databases.get(kind) if not rest else None


def _below(folder: Path, rest: str) -> Path:
    """A path below a folder. Raises BackupError for one that leads out of it."""
    if ".." in rest.split("/") or rest.startswith("/"):
        raise BackupError(f"the backup has a file {rest!r}, which leads out of {folder}")
    return folder / rest


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Install a file atomically, with its original owner and mode."""
    try:
        _make_parents(target.parent)
        with AtomicFile(target) as file:
            shutil.copyfileobj(_open(tar, member), file)
            file.flush()
            if os.geteuid() == 0:
                tar.chown(member, file.name, numeric_owner=False)
            os.fchmod(file.fileno(), member.mode & 0o777)
            if target.suffix == ".db":
                databases.forget_log(target)
    except OSError as error:
        raise BackupError(f"InfluxDB is restored, but {target} cannot be written: {error.strerror}") from None


def _make_parents(folder: Path) -> None:
    """Create missing parent folders for their owner only; the folders made by the playbook already exist."""
    if not folder.is_dir():
        _make_parents(folder.parent)
        folder.mkdir(mode=0o700)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        return _open(tar, tar.getmember(name))
    except KeyError:
        raise BackupError(f"nothing was changed: there is no {name} in the backup") from None


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # verified as a regular file
    return file
