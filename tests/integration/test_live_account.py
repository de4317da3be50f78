"""``sensetig live`` against a real Grafana: it creates missing parts, repairs changed ones, and leaves the rest."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from sensetig import bundle
from sensetig.__main__ import main
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.engines import locate
from sensetig.grafana import live
from sensetig.grafana.server import Server

pytestmark = pytest.mark.engines


class Running(NamedTuple):
    """A Grafana with an administrator whose password is in a file."""

    server: Server
    password_file: Path

    def run(self, tokens: Path, **other: str) -> Result:
        """The command, with other options where some are given."""
        options = {"url": self.server.url, "password-file": str(self.password_file), "tokens": str(tokens), **other}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return CliRunner().invoke(main, ["live", *words])

    def signs_in(self, token: str) -> bool:
        """Whether a token is the account's."""
        (account,) = self.server.accounts(live.ACCOUNT)
        return self.server.is_of(token, account.id)


def _secret_file(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Grafana for this module."""
    engine = locate("grafana")
    if engine is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder")
    folder = tmp_path_factory.mktemp("grafana")
    password = secrets.token_urlsafe(24)
    variables = {
        "SENSETIG_INFLUXDB_URL": "http://127.0.0.1:9",
        "SENSETIG_ORGANISATION": "sensetig",
        "SENSETIG_GRAFANA_TOKEN": "none",
        "GF_SECURITY_SECRET_KEY": secrets.token_hex(16),
    }
    log = folder / "grafana.log"
    identity, url = grafana.start(
        engine.path, bundle.root(), folder / "data", ports.any_free(), variables, log, password=password
    )
    try:
        assert not re.search(r"no such file|failed to open plugins path|invalid suffix", log.read_text())
        yield Running(Server(url, grafana.ADMINISTRATOR, password), _secret_file(folder / "password", password))
    finally:
        processes.stop([identity])


def test_run_twice_it_makes_one_account_without_a_role_and_changes_nothing_more(
    running: Running, tmp_path: Path
) -> None:
    first, second = running.run(tmp_path / "live"), running.run(tmp_path / "live")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "nothing to change" in second.output
    (account,) = running.server.accounts(live.ACCOUNT)
    assert live.intact(account, running.server.tokens(account.id))
    file = tmp_path / "live" / live.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert running.signs_in(file.read_text())
    assert file.read_text() not in first.output + second.output


def test_a_lost_token_is_replaced_and_the_one_before_is_revoked(running: Running, tmp_path: Path) -> None:
    running.run(tmp_path / "live")
    file = tmp_path / "live" / live.FILE
    before = file.read_text()
    file.unlink()
    assert "grafana_token made; the one before is revoked" in running.run(tmp_path / "live").output
    assert not running.signs_in(before)
    assert running.signs_in(file.read_text())


def test_a_token_that_grafana_no_longer_takes_is_replaced(running: Running, tmp_path: Path) -> None:
    running.run(tmp_path / "live")
    (account,) = running.server.accounts(live.ACCOUNT)
    for each in running.server.tokens(account.id):
        running.server.delete_token(account.id, each.id)
    file = tmp_path / "live" / live.FILE
    assert not running.signs_in(file.read_text())
    assert running.run(tmp_path / "live").exit_code == 0
    assert running.signs_in(file.read_text())


def test_a_role_and_a_second_token_of_the_account_are_removed(running: Running, tmp_path: Path) -> None:
    running.run(tmp_path / "live")
    (account,) = running.server.accounts(live.ACCOUNT)
    running.server._call("widen", "PATCH", f"/api/serviceaccounts/{account.id}", {"role": "Editor"})
    running.server.create_token(account.id, "another")
    ran = running.run(tmp_path / "live")
    assert "was of role Editor, and has no role now" in ran.output
    (account,) = running.server.accounts(live.ACCOUNT)
    assert live.intact(account, running.server.tokens(account.id))


def test_a_wrong_password_is_reported_without_it(running: Running, tmp_path: Path) -> None:
    wrong = _secret_file(tmp_path / "wrong", "word-that-nobody-knows")
    ran = running.run(tmp_path / "live", **{"password-file": str(wrong)})
    assert ran.exit_code == 1
    assert "does not accept the password of admin" in ran.output
    assert "word-that-nobody-knows" not in ran.output


def test_a_folder_that_cannot_keep_the_token_leaves_no_token_behind(running: Running, tmp_path: Path) -> None:
    running.run(tmp_path / "live")
    (account,) = running.server.accounts(live.ACCOUNT)
    before = running.server.tokens(account.id)
    assert running.run(Path("/proc/live")).exit_code == 1
    assert running.server.tokens(account.id) == before
