"""A folder of secrets that only its owner reads."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sensetig.errors import SetupError
from sensetig.influxdb.credentials import Credentials
from sensetig.influxdb.prepare import Tokens


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_their_owners_alone(tmp_path: Path) -> None:
    with Credentials(tmp_path / "state" / "tokens") as credentials:
        credentials.write("operator.token", "secret")
        assert _mode(credentials.folder) == 0o700
        assert _mode(credentials.path("operator.token")) == 0o600
        assert credentials.read("operator.token") == "secret"
        assert [path.name for path in credentials.folder.iterdir()] == ["operator.token"]


def test_a_secret_is_replaced_as_a_whole(tmp_path: Path) -> None:
    with Credentials(tmp_path / "tokens") as credentials:
        credentials.write("a", "first")
        credentials.path("a").chmod(0o644)
        credentials.write("a", "second")
        assert credentials.read("a") == "second"
        assert _mode(credentials.path("a")) == 0o600


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_missing_or_empty_file_holds_no_secret(tmp_path: Path, content: str | None) -> None:
    with Credentials(tmp_path / "tokens") as credentials:
        if content is not None:
            credentials.path("a").write_text(content)
        assert credentials.read("a") is None


def test_a_file_that_others_may_read_is_closed_to_them_and_told(tmp_path: Path) -> None:
    with Credentials(tmp_path / "tokens") as credentials:
        credentials.write("a", "secret")
        credentials.path("a").chmod(0o644)
        assert credentials.read("a") == "secret"
        assert _mode(credentials.path("a")) == 0o600
        assert credentials.tightened == ["a"]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SetupError, match=f"others may write to {folder}.*chmod 700 {folder}"):
        Credentials(folder)


def test_a_folder_is_held_by_one_setup_at_a_time(tmp_path: Path) -> None:
    with (
        Credentials(tmp_path / "tokens"),
        pytest.raises(SetupError, match=r"another setup is using .*tokens; wait until it has ended"),
    ):
        Credentials(tmp_path / "tokens")
    with Credentials(tmp_path / "tokens") as credentials:
        assert credentials.read("a") is None


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"tokens cannot be kept in .*file/tokens: Not a directory; .*--tokens"):
        Credentials(tmp_path / "file" / "tokens")


def test_a_read_only_folder_gets_a_sentence() -> None:
    # The kernel rejects every new folder here, even from root.
    with pytest.raises(SetupError, match=r"tokens cannot be kept in /sys/kernel/sensetig: .*; make it writable"):
        Credentials(Path("/sys/kernel/sensetig"))


def test_tokens_do_not_show_when_they_are_printed() -> None:
    tokens = Tokens("operator-secret", "telegraf-secret", "grafana-secret")
    assert "secret" not in f"{tokens} {tokens!r} {tokens!s}"
