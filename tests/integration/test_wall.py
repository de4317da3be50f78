"""The playlist for the wall, in a real Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig import bundle
from sensetig.__main__ import main
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.engines import locate
from sensetig.errors import SetupError
from sensetig.grafana import wall
from sensetig.grafana.server import Server

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Grafana's address, and the file with its administrator's password; without one, the test is skipped."""
    home = locate("grafana")
    if home is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder")
    folder = tmp_path_factory.mktemp("wall")
    secret = folder / "password"
    secret.write_text("only-for-this-test\n")
    secret.chmod(0o600)
    nowhere = {
        "SENSETIG_INFLUXDB_URL": "http://127.0.0.1:1",
        "SENSETIG_ORGANISATION": "sensetig",
        "SENSETIG_GRAFANA_TOKEN": "none",
    }
    identity, url = grafana.start(
        home.path,
        bundle.root(),
        folder / "data",
        ports.any_free(),
        nowhere,
        folder / "log",
        password="only-for-this-test",  # noqa: S106 - of a Grafana that lives as long as this test
    )
    try:
        yield url, secret
    finally:
        processes.stop([identity])


def run(server: tuple[str, Path], *options: str) -> tuple[int, str]:
    url, secret = server
    ran = CliRunner().invoke(main, ["wall", "--url", url, "--password-file", str(secret), *options])
    return ran.exit_code, ran.output


def test_the_playlist_is_made_once_and_changed_where_it_differs(server: tuple[str, Path]) -> None:
    status, said = run(server)
    assert status == 0, said
    assert said.splitlines() == [
        "playlist sensetig-wall made: fleet, environment, camera, 30 s each",
        f"it plays at {server[0]}/playlists/play/sensetig-wall?kiosk",
    ]
    assert run(server)[1].startswith("nothing to change")
    assert (
        "changed: device, fleet, 60 s each"
        in run(server, "--dashboard", "device", "--dashboard", "fleet", "--seconds", "60")[1]
    )

    url, secret = server
    kept = Server(url, "admin", secret.read_text().strip()).resource("read it", "/api/playlists")
    assert [each["name"] for each in kept] == [wall.TITLE], json.dumps(kept)


def test_a_dashboard_that_is_not_there_is_refused_with_those_that_are(server: tuple[str, Path]) -> None:
    status, said = run(server, "--dashboard", "kitchen")
    assert status == 2
    assert "there is no dashboard kitchen; there are camera, device" in said


def test_a_grafana_without_the_playlist_api_is_reported_as_too_old(server: tuple[str, Path]) -> None:
    class Old(Server):
        def resource(self, purpose: str, path: str) -> None:
            assert (purpose, path) == ("look for playlists", "/apis/playlist.grafana.app")

    url, secret = server
    with pytest.raises(SetupError, match="is older than 12: make the playlist by hand"):
        wall.prepare(Old(url, "admin", secret.read_text().strip()), ["fleet"], 30, print)
