"""Setting a real InfluxDB up: repeatedly to the same end, and one clear sentence where it cannot be done."""

from __future__ import annotations

import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
from click.testing import CliRunner
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.task_update_request import TaskUpdateRequest as _TaskUpdateRequest

from sensetig import bundle
from sensetig.__main__ import main
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.errors import InfluxDBError, NotAnswering, NotInfluxDB, SetupError, SiteError
from sensetig.influxdb.prepare import Outcome, setup

pytestmark = pytest.mark.engines

TaskUpdateRequest: Any = _TaskUpdateRequest  # not typed, though the library says that it is


def _ignore(_: str) -> None:
    return


class Site(NamedTuple):
    """An InfluxDB with the folder of its tokens and its definitions, which a test may change."""

    url: str
    tokens: Path
    definitions: Path

    def setup(self, **options: Any) -> Outcome:
        return setup(
            self.url,
            **{
                "organisation": "sensetig",
                "user": "sensetig",
                "tokens": self.tokens,
                "definitions": self.definitions,
                "say": _ignore,
                **options,
            },
        )

    def client(self) -> Any:
        token = (self.tokens / "operator.token").read_text()
        return InfluxDBClient(self.url, token, org="sensetig")


def _site(url: str, folder: Path) -> Site:
    definitions = folder / "definitions"
    shutil.copytree(bundle.root() / "influxdb", definitions)
    return Site(url, folder / "tokens", definitions)


@pytest.fixture
def new(influxd: Path, tmp_path: Path) -> Iterator[Site]:
    """An InfluxDB that has not been set up."""
    identity, url = local_influxdb.start(influxd, tmp_path / "data", ports.any_free(), tmp_path / "influxd.log")
    try:
        yield _site(url, tmp_path)
    finally:
        processes.stop([identity])


@pytest.fixture(scope="module")
def shared(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One InfluxDB for the module, set up."""
    folder = tmp_path_factory.mktemp("setup")
    identity, url = local_influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
    try:
        site = _site(url, folder)
        site.setup()
        yield site
    finally:
        processes.stop([identity])


@pytest.fixture
def site(shared: Site) -> Site:
    """The module's InfluxDB, just as it is defined."""
    shutil.rmtree(shared.definitions)
    shutil.copytree(bundle.root() / "influxdb", shared.definitions)
    shared.setup()
    return shared


def _write(url: str, token: str, bucket: str) -> int:
    return urllib3.request(
        "POST",
        f"{url}/api/v2/write?org=sensetig&bucket={bucket}",
        body="setup_test value=1",
        headers={"Authorization": f"Token {token}"},
    ).status


def _read(url: str, token: str, query: str, database: str) -> Any:
    answer = urllib3.request(
        "GET", f"{url}/query", fields={"q": query, "db": database}, headers={"Authorization": f"Token {token}"}
    )
    return answer.json()


def test_the_first_run_makes_everything_and_the_second_changes_nothing(new: Site) -> None:
    said: list[str] = []
    first = new.setup(say=said.append)
    assert first.organisation == "sensetig"
    assert first.folder == new.tokens
    assert said == list(first.changes)
    for made in ("user sensetig", "bucket raw made: keeps 30 days", "bucket hourly made: keeps 1827 days"):
        assert any(made in change for change in first.changes), first.changes
    assert "task downsample_hourly made" in first.changes
    second = new.setup()
    assert second.changes == ()
    assert tuple(second.tokens) == tuple(first.tokens)


def test_secrets_are_kept_for_their_owner_alone_and_never_said(new: Site) -> None:
    said: list[str] = []
    outcome = new.setup(say=said.append)
    assert stat.S_IMODE(new.tokens.stat().st_mode) == 0o700
    files = {path.name: path for path in new.tokens.iterdir()}
    assert set(files) == {"operator.token", "telegraf.token", "grafana.token", "admin.password"}
    for file in files.values():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() not in f"{said} {outcome}"
    assert files["grafana.token"].read_text() == outcome.tokens.grafana


def test_telegrafs_token_writes_points_and_neither_reads_nor_writes_elsewhere(site: Site) -> None:
    token = site.setup().tokens.telegraf
    assert _write(site.url, token, "raw") == 204
    assert _write(site.url, token, "hourly") == 403
    assert "error" in str(_read(site.url, token, "SELECT * FROM setup_test", "raw"))


def test_grafanas_token_reads_points_and_hours_and_writes_neither(site: Site) -> None:
    tokens = site.setup().tokens
    assert _write(site.url, tokens.operator, "raw") == 204
    assert _write(site.url, tokens.operator, "hourly") == 204
    for database, table in (
        ("raw", "setup_test"),
        ("hourly", "setup_test"),
        ("sensetig", "setup_test"),
        ("sensetig", "raw.setup_test"),
        ("sensetig", "hourly.setup_test"),
    ):
        answer = _read(site.url, tokens.grafana, f"SELECT value FROM {table}", database)  # noqa: S608
        assert answer["results"][0]["series"][0]["values"][0][1] == 1, (database, table)
    assert _write(site.url, tokens.grafana, "raw") == 403
    assert _write(site.url, tokens.grafana, "hourly") == 403


def test_another_retention_is_applied_and_told(site: Site) -> None:
    file = site.definitions / "buckets.toml"
    file.write_text(file.read_text().replace("retention_days = 30", "retention_days = 14"))
    assert site.setup().changes == ("bucket raw changed: keeps 14 days instead of 30 days",)
    assert site.setup().changes == ()


def test_manual_changes_are_reverted_and_reported(site: Site) -> None:
    with site.client() as client:
        bucket = client.buckets_api().find_bucket_by_name("hourly")
        bucket.description = "mine"
        client.buckets_api().update_bucket(bucket)
        task = client.tasks_api().find_tasks(name="downsample_hourly")[0]
        client.tasks_api().update_task_request(task.id, TaskUpdateRequest(status="inactive"))
    assert site.setup().changes == (
        "bucket hourly changed: is described as 'Every numeric field by the hour'",
        "task downsample_hourly runs again",
    )
    assert site.setup().changes == ()


def test_a_bucket_that_was_deleted_is_made_again_with_what_depends_on_it(site: Site) -> None:
    before = site.setup().tokens.grafana
    with site.client() as client:
        client.buckets_api().delete_bucket(client.buckets_api().find_bucket_by_name("hourly"))
    outcome = site.setup()
    assert "bucket hourly made: keeps 1827 days" in outcome.changes
    assert "InfluxQL reads the bucket hourly as sensetig.hourly" in outcome.changes
    assert outcome.tokens.grafana != before
    assert _write(site.url, outcome.tokens.operator, "hourly") == 204
    assert "series" in str(_read(site.url, outcome.tokens.grafana, "SELECT * FROM hourly.setup_test", "sensetig"))
    assert site.setup().changes == ()


def test_a_task_with_another_text_is_changed(site: Site) -> None:
    file = site.definitions / "tasks" / "downsample_hourly.flux"
    file.write_text(file.read_text() + "\n// and more\n")
    assert site.setup().changes == ("task downsample_hourly changed",)
    assert site.setup().changes == ()
    with site.client() as client:
        assert client.tasks_api().find_tasks(name="downsample_hourly")[0].flux == file.read_text()


def test_a_lost_token_is_replaced_and_revoked(site: Site) -> None:
    lost = site.setup().tokens.telegraf
    (site.tokens / "telegraf.token").unlink()
    outcome = site.setup()
    assert outcome.changes == ("telegraf.token made; the one before is revoked, so restart what uses it",)
    assert _write(site.url, lost, "raw") == 401
    assert _write(site.url, outcome.tokens.telegraf, "raw") == 204
    assert site.setup().changes == ()


def test_a_token_that_may_do_too_much_is_replaced(site: Site) -> None:
    outcome = site.setup()
    with site.client() as client:
        api = client.authorizations_api()
        for each in api.find_authorizations():
            if each.description == "SenseTIG: Telegraf writes":
                each.status = "inactive"
                api.update_authorization(each)
    (site.tokens / "telegraf.token").write_text(outcome.tokens.operator)
    again = site.setup()
    assert again.tokens.telegraf not in (outcome.tokens.operator, outcome.tokens.telegraf)
    assert _write(site.url, again.tokens.telegraf, "raw") == 204


def test_a_token_file_that_others_may_read_is_closed_to_them(site: Site) -> None:
    (site.tokens / "grafana.token").chmod(0o644)
    assert site.setup().changes == (
        "grafana.token was readable by others, and no longer is; replace it if others may have read it",
    )
    assert stat.S_IMODE((site.tokens / "grafana.token").stat().st_mode) == 0o600


def test_another_organisation_is_made_where_it_is_missing(site: Site, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    handed_in = site.tokens / "operator.token"
    outcome = site.setup(organisation="school", tokens=tokens, operator_token_file=handed_in)
    assert f"operator token saved in {tokens / 'operator.token'}" in outcome.changes
    assert "organisation school made" in outcome.changes
    assert site.setup(organisation="school", tokens=tokens).changes == ()
    assert site.setup().changes == (), "the tokens of the first organisation are left alone"


def test_an_influxdb_set_up_elsewhere_needs_its_operator_token(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        site.setup(tokens=tmp_path / "tokens")
    assert site.url in str(caught.value)
    assert "has been set up before" in str(caught.value)
    assert "--operator-token-file" in str(caught.value)


def test_a_wrong_operator_token_gets_a_sentence_that_does_not_show_it(site: Site, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("not-the-right-one\n")
    wrong.chmod(0o600)
    for options in ({"operator_token_file": wrong}, {}):
        tokens = tmp_path / "tokens"
        if not options:
            (tokens / "operator.token").write_text("not-the-right-one")
        with pytest.raises(SetupError, match="does not accept the operator token") as caught:
            site.setup(tokens=tokens, **options)
        assert "not-the-right-one" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_task_error_names_its_file_and_the_next_run_resumes(new: Site) -> None:
    file = new.definitions / "tasks" / "downsample_hourly.flux"
    right = file.read_text()
    file.write_text(right.replace('from(bucket: "raw")', 'from(bucket: "raw"'))
    with pytest.raises(InfluxDBError) as caught:
        new.setup()
    assert str(caught.value).startswith(f"InfluxDB at {new.url} refused to run the task in {file}: invalid options")
    operator = (new.tokens / "operator.token").read_text()
    file.write_text(right)
    outcome = new.setup()
    assert outcome.tokens.operator == operator
    assert "task downsample_hourly made" in outcome.changes
    assert new.setup().changes == ()


def test_a_run_that_ended_before_influxdb_was_asked_is_taken_up(new: Site) -> None:
    new.tokens.mkdir(mode=0o700)
    (new.tokens / "operator.token").write_text("chosen-by-the-run-before")
    assert new.setup().tokens.operator == "chosen-by-the-run-before"
    assert new.setup().changes == ()


def test_an_influxdb_that_was_emptied_is_set_up_again_with_the_operator_token_that_is_there(
    new: Site, site: Site
) -> None:
    shutil.copytree(site.tokens, new.tokens)
    outcome = new.setup()
    assert outcome.tokens.operator == (site.tokens / "operator.token").read_text()
    assert outcome.tokens.telegraf != (site.tokens / "telegraf.token").read_text()
    assert new.setup().changes == ()


def test_an_influxdb_that_is_down_gets_a_sentence_with_its_address_within_the_time(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{ports.any_free()}"
    said: list[str] = []
    with pytest.raises(NotAnswering, match=rf"InfluxDB at {url} does not answer within 0.5 s \(.*\); start it"):
        _site(url, tmp_path).setup(wait_seconds=0.5, say=said.append)
    assert said == [f"waiting for InfluxDB at {url}"]


def test_an_influxdb_that_comes_up_late_is_waited_for(influxd: Path, tmp_path: Path) -> None:
    port = ports.any_free()
    waiting = threading.Event()
    outcomes: list[Outcome] = []

    def say(sentence: str) -> None:
        if sentence.startswith("waiting"):
            waiting.set()

    site = _site(f"http://127.0.0.1:{port}", tmp_path)
    thread = threading.Thread(target=lambda: outcomes.append(site.setup(wait_seconds=300, say=say)))
    thread.start()
    assert waiting.wait(120)
    identity, _ = local_influxdb.start(influxd, tmp_path / "data", port, tmp_path / "influxd.log")
    try:
        thread.join(300)
        assert [outcome.organisation for outcome in outcomes] == ["sensetig"]
    finally:
        processes.stop([identity])


class _Foreign(BaseHTTPRequestHandler):
    """A web server other than InfluxDB."""

    def do_GET(self) -> None:
        page = b"<html>It works!</html>"
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.mark.parametrize("path", ["", "/missing"])
def test_another_web_server_is_not_mistaken_for_influxdb(tmp_path: Path, path: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}{path}"
        try:
            with pytest.raises(NotInfluxDB, match=f"what answers at {url} is not InfluxDB 2"):
                _site(url, tmp_path).setup(wait_seconds=30)
        finally:
            server.shutdown()


@pytest.mark.parametrize("url", ["localhost:8086", "ftp://localhost", "http://", "not a url"])
def test_an_invalid_url_is_reported(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        SiteError, match=r"is not the URL of an InfluxDB; expected one such as http://127\.0\.0\.1:8086"
    ):
        _site(url, tmp_path).setup()


def test_a_full_disk_is_reported_before_a_token_is_created_and_the_next_run_completes(new: Site) -> None:
    # No file may grow beyond 100 bytes: the operator token still fits, the room for the others does not.
    command = [sys.executable, "-m", "sensetig", "setup", "--url", new.url, "--tokens", str(new.tokens)]
    done = subprocess.run(
        command,
        cwd=bundle.root(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert done.returncode == 1
    assert f"tokens cannot be kept in {new.tokens}: File too large; make it writable" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in new.tokens.iterdir()} == {"operator.token", "admin.password"}
    with new.client() as client:
        assert len(client.authorizations_api().find_authorizations()) == 1, "only the operator's"
    assert "telegraf.token made" in new.setup().changes
    assert new.setup().changes == ()


def test_the_command_reports_its_changes_without_secrets(new: Site) -> None:
    arguments = ["setup", "--tokens", str(new.tokens)]
    environment = {"SENSETIG_INFLUXDB_URL": new.url}
    first = CliRunner().invoke(main, arguments, env=environment, auto_envvar_prefix="SENSETIG")
    assert first.exit_code == 0, first.output
    assert "bucket raw made" in first.output
    for file in new.tokens.iterdir():
        assert file.read_text() not in first.output
    second = CliRunner().invoke(main, arguments, env=environment, auto_envvar_prefix="SENSETIG")
    assert second.output.splitlines() == ["nothing to change", f"tokens are in {new.tokens}"]


def test_the_command_fails_with_one_sentence(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{ports.any_free()}"
    done = CliRunner().invoke(main, ["setup", "--url", url, "--tokens", str(tmp_path / "tokens"), "--wait", "0"])
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith(f"Error: InfluxDB at {url} does not answer")
