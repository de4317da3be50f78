"""The parts of a backup: what stays, what is taken apart, and what is refused."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig.__main__ import main
from sensetig.backup import archive, databases, off_host
from sensetig.backup.influx import parts, shards
from sensetig.backup.retention import Keep, kept
from sensetig.errors import BackupError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def nights(count: int) -> list[datetime]:
    return [NOON - timedelta(days=each) for each in range(count)]


def test_the_last_backup_of_so_many_days_weeks_and_months_stays() -> None:
    stay = kept(nights(400), Keep(7, 4, 6))
    assert set(nights(7)) <= stay
    # Saturday the 21st; the Sundays before, as the last of their weeks; the last days of the months before.
    assert {NOON - timedelta(days=6), NOON - timedelta(days=13), NOON - timedelta(days=20)} <= stay
    assert {datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((10, 31), (9, 30), (6, 30))} <= stay
    assert len(stay) == 7 + 2 + 5


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_always_stays_and_what_was_removed_does_not_change_what_stays(seed: int) -> None:
    chance = random.Random(seed)
    keep = Keep(chance.randint(1, 8), chance.randint(0, 5), chance.randint(0, 7))
    there: set[datetime] = set()
    for night in reversed(nights(200)):
        there = kept(there | {night + timedelta(minutes=chance.randint(-600, 600))}, keep)
        assert max(there) in kept(there, keep) == there
        assert len(there) <= keep.daily + keep.weekly + keep.monthly


def test_a_file_s_name_tells_its_time_and_another_file_is_none_of_ours() -> None:
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
    expected = {"changed": "settings/x is not as", "cut": "damaged|not complete", "other": "is no backup"}
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
        subprocess.run([*gpg, "--output", tmp_path / "a.tar", "--decrypt", path], check=True, timeout=60)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True, timeout=30)
    archive.verify(tmp_path / "a.tar")


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not there")
def test_what_is_no_certificate_gives_no_backup(tmp_path: Path) -> None:
    (tmp_path / "no.asc").write_text("nothing")
    with (
        pytest.raises(BackupError, match="gpg could not encrypt"),
        archive.written(tmp_path / "a.gpg", 0, free_bytes=0, encrypt_to=tmp_path / "no.asc") as writer,
    ):
        writer.text("x", bytes(4 << 20), 0)
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
        time.sleep(0.05)
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


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
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
def test_what_the_operator_gets_wrong_is_told_in_a_sentence(options: list[str], said: str, tmp_path: Path) -> None:
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
