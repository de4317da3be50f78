"""The account of the live points: input that is rejected before any request, and a state that needs no change."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig import bundle
from sensetig.__main__ import main
from sensetig.errors import OperatorError
from sensetig.grafana import live
from sensetig.grafana.server import Account, Server, StoredToken

GOOD = StoredToken(7, live.TOKEN, expired=False, revoked=False)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("grafana", "is not the URL of a Grafana"),
        ("ftp://127.0.0.1:3000", "is not the URL of a Grafana"),
        ("http://", "is not the URL of a Grafana"),
        ("http://127.0.0.1:3000/?a=b", "is not the URL of a Grafana"),
        ("http://admin:secret@127.0.0.1:3000", "has a user or a password in it"),
        ("http://hub.example:3000", "would go unencrypted to hub.example"),
    ],
)
def test_a_url_that_would_not_do_is_refused_in_a_sentence_without_a_secret(url: str, sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence) as refused:
        Server(url, "admin", "word-that-nobody-knows")
    assert "secret" not in str(refused.value)
    assert "word-that-nobody-knows" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost:3000/", "http://[::1]:3000", "https://hub.example/grafana"])
def test_a_grafana_on_this_machine_or_behind_tls_is_taken(url: str) -> None:
    assert Server(url, "admin", "word").url == url.rstrip("/")


@pytest.mark.parametrize(
    ("account", "tokens", "expected"),
    [
        (Account(1, "None", disabled=False), [GOOD], True),
        (Account(1, "Viewer", disabled=False), [GOOD], False),
        (Account(1, "None", disabled=True), [GOOD], False),
        (Account(1, "None", disabled=False), [], False),
        (Account(1, "None", disabled=False), [GOOD, GOOD._replace(id=8)], False),
        (Account(1, "None", disabled=False), [GOOD._replace(name="other")], False),
        (Account(1, "None", disabled=False), [GOOD._replace(expired=True)], False),
        (Account(1, "None", disabled=False), [GOOD._replace(revoked=True)], False),
    ],
)
def test_an_account_is_intact_without_a_role_and_with_its_one_token_alone(
    account: Account, tokens: list[StoredToken], expected: bool
) -> None:
    assert live.intact(account, tokens) is expected


def test_a_reserved_token_is_no_token_is_private_and_leaves_a_real_one_alone(tmp_path: Path) -> None:
    live.reserve(tmp_path / "live")
    file = tmp_path / "live" / live.FILE
    assert file.read_text() == "none"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("real")
    live.reserve(tmp_path / "live")
    assert file.read_text() == "real"


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("word-that-nobody-knows")
    password.chmod(0o644)
    ran = CliRunner().invoke(main, ["live", "--password-file", str(password), "--tokens", str(tmp_path / "live")])
    assert ran.exit_code == 1
    assert "may be read by others" in ran.output
    assert "word-that-nobody-knows" not in ran.output
    assert not (tmp_path / "live").exists()


def test_an_unreachable_grafana_is_reported_with_its_address(tmp_path: Path) -> None:
    password = tmp_path / "password"
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write("word")
    options = ["--url", "http://127.0.0.1:9", "--password-file", str(password), "--tokens", str(tmp_path / "live")]
    ran = CliRunner().invoke(main, ["live", *options])
    assert ran.exit_code == 1
    assert "Grafana at http://127.0.0.1:9 does not answer" in ran.output
    assert "--url" in ran.output


def test_the_snippet_reads_the_token_from_the_file_that_is_written() -> None:
    snippet = tomllib.loads((bundle.root() / "telegraf" / "hub" / "live.conf").read_text(encoding="utf-8"))
    (output,) = snippet["outputs"]["http"]
    (store,) = snippet["secretstores"]["docker"]
    assert output["headers"]["Authorization"] == f"Bearer @{{{store['id']}:{live.FILE}}}"
    assert store["dynamic"] is True
    assert output["url"].endswith(f"/api/live/push/{live.STREAM}")
