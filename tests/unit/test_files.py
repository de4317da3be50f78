"""Atomic file writes, and the reader of files with secrets."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.core.files import AtomicFile, is_exposed, publish, read_password, read_secret, read_token, write_atomic
from tests.golden import ROOT

SERVICE = {"CREDENTIALS_DIRECTORY": "/run/credentials/telegraf.service"}


class WrongFile(Exception):
    """The error of a caller."""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


# --- atomic writes ----------------------------------------------------------------------------------


def test_write_atomic_creates_and_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"first")
    assert (path.read_bytes(), mode_of(path)) == (b"first", 0o600)
    write_atomic(path, "zweite Fassung: größer", 0o644, durable=False)
    assert (path.read_text(encoding="utf-8"), mode_of(path)) == ("zweite Fassung: größer", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_accepts_a_name_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic("plain", b"x")
    assert (tmp_path / "plain").read_bytes() == b"x"


def test_the_mode_is_applied_before_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"", 0o666)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == 0o640


def test_mode_none_keeps_the_permissions_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    path.chmod(0o664)
    before = os.umask(0o077)
    try:
        write_atomic(path, b"new", None)
    finally:
        os.umask(before)
    assert mode_of(path) == 0o664
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "b", b"", None)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "b") == 0o644


def test_an_exception_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with AtomicFile(path) as file:
            file.write(b"half of the new")
            raise WrongFile

    with pytest.raises(WrongFile):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_file_and_removes_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_overwrite_false_refuses_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [True, False])
def test_file_and_folder_are_synced_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    seen: list[str] = []
    replace, link, fsync = os.replace, os.link, os.fsync

    def synced(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replaced(source: str, target: str) -> None:
        seen.append("name")
        replace(source, target)

    def linked(source: str, target: str) -> None:
        seen.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "link", linked)
    write_atomic(tmp_path / "a", b"x", overwrite=overwrite)
    assert seen == ["file", "name", "folder"]
    del seen[:]
    write_atomic(tmp_path / "b", b"x", durable=False, overwrite=overwrite)
    assert seen == ["name"]
    del seen[:]
    (tmp_path / "part").write_bytes(b"whole")
    publish(tmp_path / "part", tmp_path / "c")
    assert seen == ["file", "name", "folder"]
    assert (tmp_path / "c").read_bytes() == b"whole"


def test_a_writer_killed_at_any_time_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    program = (
        "import sys; from collectors.core.files import write_atomic\n"
        "number = 0\n"
        "while True:\n"
        "    write_atomic(sys.argv[1], f'{number:08d}' * 1000, durable=False)\n"
        "    number += 1\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        for _ in range(50):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    content = path.read_text()
    assert content == content[:8] * 1000


# --- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (b"of-the-broker", 0o640, "may be read by others (mode 0640); chmod 600 "),
        (b"of-the-broker", 0o604, "may be read by others (mode 0604); chmod 600 "),
        (b" \n", 0o600, "is empty; write the secret into it"),
        (b"\xff\xfe", 0o600, "cannot be read: it is not UTF-8; name the file with the secret"),
        (b"x" * (64 * 1024 + 1), 0o600, "has more than 65536 bytes; name the file with the secret"),
    ],
)
def test_a_file_without_a_usable_secret_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, mode: int, sentence: str
) -> None:
    file = secret_file(tmp_path, content, mode)
    for read in (read_secret, read_password, read_token):
        with pytest.raises(Unavailable) as found:
            read(str(file), "x_file")
        assert str(found.value).startswith(f"x_file {file} {sentence}")
        assert "of-the-broker" not in str(found.value)


def test_a_missing_secret_file_is_named_with_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(
        WrongFile, match=rf"^the token file {re.escape(str(tmp_path / 'none'))} cannot be read: No such file or "
    ):
        read_token(tmp_path / "none", "the token file", error=WrongFile)


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    file = secret_file(tmp_path, b"")
    os.truncate(file, 1 << 40)
    with pytest.raises(Unavailable, match="has more than 65536 bytes"):
        read_secret(file, "x_file")


def test_a_secret_is_the_whole_text_a_password_its_first_line_and_a_token_one_word(tmp_path: Path) -> None:
    file = secret_file(tmp_path, b"  two words \nand what else there is\n")
    assert read_secret(file, "x") == "two words \nand what else there is"
    assert read_password(file, "x") == "two words"
    file.write_bytes(b"\xef\xbb\xbfone-word\r\n")
    assert read_token(file, "x") == "one-word"


@pytest.mark.parametrize("content", ["two words", "naïve", "line\nline", "\x7f"])
def test_an_invalid_token_is_rejected_without_showing_it(tmp_path: Path, content: str) -> None:
    file = secret_file(tmp_path, content.encode())
    with pytest.raises(WrongFile) as caught:
        read_token(file, "the token file", error=WrongFile)
    assert str(caught.value).startswith(f"the token file {file} does not hold a token: expected one word of ASCII")
    assert content not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_of_its_owner_alone_is_not_exposed(mode: int) -> None:
    assert not is_exposed("/etc/sensetig/password", mode, {})


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o604, 0o620])
def test_any_right_of_others_exposes_a_file(mode: int) -> None:
    assert is_exposed("/etc/sensetig/password", mode, {})
    assert is_exposed("/etc/sensetig/password", mode, SERVICE)


def test_a_credential_from_systemd_is_not_exposed_by_its_access_list() -> None:
    assert not is_exposed("/run/credentials/telegraf.service/password", 0o440, SERVICE)


@pytest.mark.parametrize(
    "path", ["/run/credentials/another.service/password", "/run/credentials/telegraf.service/../x"]
)
def test_a_credential_of_another_service_is_exposed(path: str) -> None:
    assert is_exposed(path, 0o440, SERVICE)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o404])
def test_more_rights_than_an_access_list_shows_expose_a_credential(mode: int) -> None:
    assert is_exposed("/run/credentials/telegraf.service/password", mode, SERVICE)
