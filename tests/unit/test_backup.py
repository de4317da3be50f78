"""The parts of a backup: retention, unpacking and rejection."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sensetig.__main__ import main
from sensetig.backup import archive, databases, off_host
from sensetig.backup.influx import parts, shards
from sensetig.backup.retention import Keep, kept
from sensetig.backup.run import Places, restore
from sensetig.errors import BackupError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def nights(count: int) -> list[datetime]:
    return [NOON - timedelta(days=each) for each in range(count)]


def test_the_last_backups_by_day_week_and_month_are_kept() -> None:
    stay = kept(nights(400), Keep(7, 4, 6))
    assert set(nights(7)) <= stay
    # Saturday the 21st; the Sundays before, as the last of their weeks; the last days of the months before.
    assert {NOON - timedelta(days=6), NOON - timedelta(days=13), NOON - timedelta(days=20)} <= stay
    assert {datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((10, 31), (9, 30), (6, 30))} <= stay
    assert len(stay) == 7 + 2 + 5


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_is_always_kept_and_retention_is_stable(seed: int) -> None:
    chance = random.Random(seed)
    keep = Keep(chance.randint(1, 8), chance.randint(0, 5), chance.randint(0, 7))
    there: set[datetime] = set()
    for night in reversed(nights(200)):
        there = kept(there | {night + timedelta(minutes=chance.randint(-600, 600))}, keep)
        assert max(there) in kept(there, keep) == there
        assert len(there) <= keep.daily + keep.weekly + keep.monthly


def test_the_file_name_contains_the_time_and_other_files_are_ignored() -> None:
    name = archive.file_name("loft", NOON)
    assert archive.file_time(name, "loft") == archive.file_time(f"{name}.gpg", "loft") == NOON
    for other in (f"{name}.partial", "sensetig-loft-x.tar", "notes.txt", "sensetig-loft-2-20261121T120000Z.tar"):
        assert archive.file_time(other, "loft") is None


def test_the_metadata_is_taken_apart_whatever_is_in_it() -> None:
    content = bytes(range(256)) + b"\r\n--other\r\n\r\n"
    answer = b'--b\r\nContent-Disposition: attachment; name="kv"\r\nContent-Type: x/y\r\n\r\n' + content
    answer += b'\r\n--b\r\nContent-Disposition: attachment; name="sql"\r\n\r\n\r\n--b--\r\n'
    assert parts(answer, "multipart/mixed; boundary=b") == {"kv": content, "sql": b""}
    with pytest.raises(BackupError, match="in the middle"):
        parts(answer[:300], "multipart/mixed; boundary=b")
    with pytest.raises(BackupError, match="is not a backup"):
        parts(answer, "text/html")


def test_shards_whose_time_is_over_are_left_out() -> None:
    groups = [{"shards": [{"id": 3}, {"id": 4}]}, {"shards": [{"id": 5}], "deletedAt": "2026-11-01T00:00:00Z"}]
    assert list(shards([{"retentionPolicies": [{"shardGroups": groups}]}, {"retentionPolicies": None}])) == [3, 4]


def written(folder: Path) -> Path:
    path = folder / "a.tar"
    with archive.written(path, 0, free_bytes=0, encrypt_to=None) as writer:
        writer.text("backup.json", b"{}", 0)
        writer.text("settings/x", b"secret", 0)
    return path


def test_an_archive_is_its_owner_s_alone_and_verified(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    archive.verify(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("harm", ["changed", "cut", "other", "encrypted", "missing"])
def test_a_damaged_archive_is_refused(harm: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    if harm == "changed":
        path.write_bytes(data.replace(b"secret", b"SECRET"))
    elif harm == "cut":
        path.write_bytes(data[: data.index(b"SHA256SUMS")] + bytes(1024))
    elif harm == "other":
        path.write_bytes(b"no archive at all" * 100)
    elif harm == "encrypted":
        path = path.rename(tmp_path / "a.tar.gpg")
    else:
        path = tmp_path / "b.tar"
    expected = {"changed": "settings/x is not as", "cut": "damaged|not complete", "other": "is not a backup"}
    with pytest.raises(BackupError, match=expected.get(harm, "--decrypt" if harm == "encrypted" else "there is no")):
        archive.verify(path)


def test_a_backup_that_would_fill_the_disk_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(BackupError, match=r"stay free \(--keep-free\)"),
        archive.written(tmp_path / "a.tar", 0, free_bytes=1 << 60, encrypt_to=None) as writer,
    ):
        writer.text("backup.json", bytes(2 << 20), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not there")
def test_an_encrypted_archive_is_read_with_the_secret_key_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "operator", "default", "default"], check=True, timeout=120)
    certificate, path = tmp_path / "operator.asc", tmp_path / "a.tar.gpg"
    certificate.write_bytes(subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout)
    try:
        with archive.written(path, 0, free_bytes=0, encrypt_to=certificate) as writer:
            writer.text("settings/x", b"secret", 0)
        assert b"secret" not in path.read_bytes()
        subprocess.run([*gpg, "--output", tmp_path / "a.tar", "--decrypt", path], check=True, timeout=120)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True, timeout=120)
    archive.verify(tmp_path / "a.tar")


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not there")
def test_an_invalid_certificate_prevents_the_backup(tmp_path: Path) -> None:
    (tmp_path / "no.asc").write_text("nothing")
    with (
        pytest.raises(BackupError, match="gpg could not encrypt"),
        archive.written(tmp_path / "a.gpg", 0, free_bytes=0, encrypt_to=tmp_path / "no.asc") as writer,
    ):
        writer.text("settings/x", bytes(4 << 20), 0)
    assert [each.name for each in tmp_path.iterdir()] == ["no.asc"]


def test_a_database_is_copied_while_it_is_written_to(tmp_path: Path) -> None:
    source = tmp_path / "device-state.db"
    writing = sqlite3.connect(source)
    try:
        writing.execute("PRAGMA journal_mode = WAL")
        writing.execute("CREATE TABLE state (number)")
        writing.execute("INSERT INTO state VALUES (1)")
        writing.commit()
        writing.execute("INSERT INTO state VALUES (2)")  # not committed: no part of the copy
        databases.copy(source, tmp_path / "copy.db")
    finally:
        writing.close()
    copied = sqlite3.connect(tmp_path / "copy.db")
    try:
        assert copied.execute("SELECT number FROM state").fetchall() == [(1,)]
    finally:
        copied.close()


def test_a_copy_with_its_log_is_whole_while_another_process_writes(tmp_path: Path) -> None:
    source = tmp_path / "device-state.db"
    writer = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA wal_autocheckpoint = 20")
connection.execute("CREATE TABLE pairs (first, second)")
print(flush=True)
number = 0
while True:
    number += 1
    connection.execute("BEGIN")
    connection.execute("INSERT INTO pairs VALUES (?, ?)", (number, "x" * 500))
    connection.execute("INSERT INTO pairs VALUES (?, ?)", (-number, "y" * 500))
    connection.execute("COMMIT")
    if number % 200 == 0:
        connection.execute("DELETE FROM pairs")
    if number % 10 == 0:
        import time
        time.sleep(0.2)
"""
    with subprocess.Popen([sys.executable, "-c", writer, str(source)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for number in range(10):
                databases._copy_with_log(source, tmp_path / f"{number}.copy")
        finally:
            process.kill()
    for number in range(10):
        copied = sqlite3.connect(tmp_path / f"{number}.copy")
        try:
            assert copied.execute("SELECT total(first) FROM pairs").fetchone() == (0,)
        finally:
            copied.close()


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, and long enough to be looked at" * 20)
    with pytest.raises(BackupError, match="cannot be copied"):
        databases.copy(tmp_path / "x.db", tmp_path / "copy.db")


def test_the_other_machine_is_known_and_nothing_is_removed_there() -> None:
    words = off_host.command(Path("/b"), "pi@nas:", Path("/k"), Path("/h"))
    shell = next(word for word in words if word.startswith("--rsh="))
    assert "StrictHostKeyChecking=yes" in shell
    assert "UserKnownHostsFile=/h" in shell
    assert not any("delete" in word for word in words)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--copy-to", "pi@nas:"], "--copy-key"),
        (["--copy-to", "pi@nas:", "--copy-key", "k", "--copy-known-hosts", "h"], "every secret"),
        (["--daily", "0"], "--daily"),
        (["--settings", "/nonexistent"], "is this the hub"),
    ],
)
def test_operator_errors_are_reported_in_one_sentence(options: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["backup", "--folder", str(tmp_path / "b"), "--keep-free", "0", *options])
    assert done.exit_code != 0
    assert said in done.output


def test_a_folder_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = CliRunner().invoke(main, ["backup", "--folder", str(tmp_path)])
    assert done.exit_code == 1
    assert "chmod 700" in done.output


def test_an_archive_with_a_path_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    from sensetig.backup.run import Places, _target

    places = Places(settings=tmp_path)
    assert _target(places, "settings", "tokens/x") == tmp_path / "tokens/x"
    for bad in ("../x", "tokens/../../x", "/x"):
        with pytest.raises(BackupError, match="leads out"):
            _target(places, "settings", bad)
    assert _target(places, "backup.json", "") is None


def test_members_have_the_owner_and_mode_of_their_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("x")
    file.chmod(0o640)
    with archive.written(tmp_path / "a.tar", 0, free_bytes=0, encrypt_to=None) as writer:
        writer.file("settings/x", file)
        writer.file("settings/gone", tmp_path / "gone")
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [each.name for each in tar] == ["settings/x", archive.SUMS]
        assert (tar.getmember("settings/x").mode, tar.getmember("settings/x").uid) == (0o640, os.geteuid())


# --- archives that must not be restored -------------------------------------------------------------


class Archive:
    """A handmade archive with a correct list of its contents."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by done()
        self._sums: list[str] = []
        about = b'{"form": 1, "host": "h", "time": "t"}'
        for name, data in (("backup.json", about), ("settings/tokens/operator.token", b"t"), ("influxdb/kv", b"k")):
            self.add(name, data)
        self.add("influxdb/sql", b"s")

    def add(self, name: str, data: bytes = b"x", *, listed: bool = True, **values: Any) -> Archive:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o600
        for key, value in values.items():
            setattr(info, key, value)
        self._tar.addfile(info, io.BytesIO(data))
        if listed:
            self._sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        return self

    def done(self, *after: str) -> Path:
        self.add(archive.SUMS, "".join(self._sums).encode(), listed=False)
        for name in after:
            self.add(name, listed=False)
        self._tar.close()
        return self.path


def refused(path: Path, reason: str) -> None:
    """Restoring fails with this reason, before any file appears."""
    places = Places(settings=path.parent / "etc", grafana=path.parent / "g.db", state=path.parent / "s.db")
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(BackupError, match=reason):
        restore(path, url="http://127.0.0.1:9", places=places, say=lambda _: None)
    assert sorted(path.parent.rglob("*")) == before


def test_an_archive_made_by_hand_can_be_verified(tmp_path: Path) -> None:
    names = archive.verify(Archive(tmp_path / "a.tar").add("settings/a b/ü.toml").done())
    assert "settings/a b/ü.toml" in names


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("settings/../../evil", {}, "no member of a backup is called"),
        ("/etc/passwd", {}, "no member of a backup is called"),
        ("settings//etc/passwd", {}, "no member of a backup is called"),
        ("settings/./x", {}, "no member of a backup is called"),
        ("media/../../evil", {}, "no member of a backup is called"),
        ("other/x", {}, "no member of a backup is called"),
        ("influxdb/shards/../x.gz", {}, "no member of a backup is called"),
        ("influxdb/shards/１２.gz", {}, "no member of a backup is called"),
        ("settings/a\nb", {}, "no member of a backup is called"),
        ("settings/" + "x" * 300, {}, "no member of a backup is called"),
        ("settings/" + "x/" * 1500 + "x", {}, "no member of a backup is called"),
        ("settings/su", {"mode": 0o4755}, "special bits"),
        ("settings/sg", {"mode": 0o2755}, "special bits"),
        ("settings/sticky", {"mode": 0o1755}, "special bits"),
        ("backup.json", {}, "is in it twice"),
        ("settings/tokens/operator.token/x", {}, "lies below a member that is a file"),
        ("settings/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}, "is not a file"),
        ("settings/hard", {"type": tarfile.LNKTYPE, "linkname": "backup.json", "size": 0}, "is not a file"),
        ("settings/dev", {"type": tarfile.CHRTYPE, "size": 0}, "is not a file"),
        ("settings/fifo", {"type": tarfile.FIFOTYPE, "size": 0}, "is not a file"),
        ("settings/folder", {"type": tarfile.DIRTYPE, "size": 0}, "is not a file"),
    ],
)
def test_a_member_that_no_backup_has_is_refused(name: str, values: dict[str, Any], reason: str, tmp_path: Path) -> None:
    refused(Archive(tmp_path / "a.tar").add(name, b"" if values.get("size") == 0 else b"x", **values).done(), reason)


def test_a_member_that_the_list_does_not_name_is_refused(tmp_path: Path) -> None:
    path = Archive(tmp_path / "a.tar").add("settings/unlisted.toml", listed=False).done()
    refused(path, "its list of contents does not name settings/unlisted.toml")
    refused(Archive(tmp_path / "b.tar").done("settings/after.toml"), "follows its list of contents")


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (b"[]", "does not describe a backup"),
        (b"[" * 50_000, "does not describe a backup"),
        (b'{"form": 1, "host": [], "time": {}}', "does not describe a backup"),
        (b'{"form": 2, "host": "h", "time": "t"}', "is of form 2"),
    ],
)
def test_a_description_of_another_form_is_refused(about: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with archive.written(path, 0, free_bytes=0, encrypt_to=None) as writer:
        writer.text("backup.json", about, 0)
        for name in ("settings/tokens/operator.token", "influxdb/kv", "influxdb/sql"):
            writer.text(name, b"x", 0)
    refused(path, reason)


def test_a_backup_without_a_part_that_every_backup_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with archive.written(path, 0, free_bytes=0, encrypt_to=None) as writer:
        for name in ("backup.json", "settings/tokens/operator.token", "influxdb/kv"):
            writer.text(name, b"x", 0)
    refused(path, "there is no influxdb/sql in the backup")


def test_a_file_whose_place_is_taken_by_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc" / "x").mkdir(parents=True)
    refused(Archive(tmp_path / "a.tar").add("settings/x").done(), "nothing was changed: .*etc/x is in the way")
    (tmp_path / "etc" / "y").touch()
    refused(Archive(tmp_path / "b.tar").add("settings/y/z").done(), "nothing was changed: .*etc/y is in the way")


def _huge(kind: bytes, path: Path) -> Path:
    """An archive that begins with a header or a list of 3 GB, which takes no room on the disk."""
    info = tarfile.TarInfo("SHA256SUMS" if kind == tarfile.REGTYPE else "././@LongLink")
    info.type, info.size = kind, 3 << 30
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + info.size)
    return path


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_list_or_a_header_of_gigabytes_takes_no_memory(kind: bytes, tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))\n"
        "from pathlib import Path; from sensetig.backup import archive; from sensetig.errors import BackupError\n"
        "try: archive.verify(Path(sys.argv[1]))\n"
        "except BackupError as error: print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, _huge(kind, tmp_path / "a.tar")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused:")


def test_many_headers_in_a_row_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.XGLTYPE
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 20_000)
    refused(path, "is not a backup, or is damaged")


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("settings/x")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\0" + b"00000001000\0"
    header[483:495] = b"37777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + bytes(512 * 3))
    refused(path, "is not a file")


def test_special_bits_do_not_get_into_a_backup_and_strange_names_give_none(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    file.chmod(0o6755)
    with archive.written(tmp_path / "a.tar", 0, free_bytes=0, encrypt_to=None) as writer:
        writer.file("settings/x", file)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getmember("settings/x").mode == 0o755
    with (
        pytest.raises(BackupError, match=r"a file called settings/a\\nb cannot be part of a backup; rename"),
        archive.written(tmp_path / "b.tar", 0, free_bytes=0, encrypt_to=None) as writer,
    ):
        writer.file("settings/a\nb", file)
