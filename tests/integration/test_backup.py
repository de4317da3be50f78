"""A backup of a real InfluxDB, everything lost, and everything there again."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import urllib3

from sensetig import bundle
from sensetig.backup.retention import Keep
from sensetig.backup.run import Places, make, restore
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.errors import BackupError, NotAnswering, TokenRefused
from sensetig.influxdb.prepare import setup

DAY = 86_400


class Hub(NamedTuple):
    """A separate hub: an InfluxDB, and the paths of its files."""

    url: str
    places: Places

    def token(self, name: str) -> str:
        return (self.places.settings / "tokens" / name).read_text().strip()

    def set_up(self) -> None:
        setup(
            self.url,
            organisation="sensetig",
            user="sensetig",
            tokens=self.places.settings / "tokens",
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
            devices=["hall"],
        )

    def write(self, lines: str, file: str = "device-hall.token") -> int:
        return self._post("/api/v2/write?org=sensetig&bucket=raw&precision=s", file, lines).status

    def points(self) -> int:
        answer = self._post("/query?db=raw&q=SELECT+count(v)+FROM+m", "grafana.token")
        series = answer.json()["results"][0].get("series")
        return int(series[0]["values"][0][1]) if series else 0

    def _post(self, path: str, token: str, body: str = "") -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Token {self.token(token)}"}
        return urllib3.request("POST", self.url + path, body=body, headers=headers, retries=False, timeout=120)


@pytest.fixture
def hubs(influxd: Path, tmp_path: Path) -> Iterator[list[Hub]]:
    """Two hubs; the second has never been set up."""
    started, found = [], []
    try:
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            identity, url = local_influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
            started.append(identity)
            found.append(Hub(url, Places(folder / "etc", folder / "grafana.db", folder / "state.db")))
        yield found
    finally:
        processes.stop(started)


def backed_up(hub: Hub, folder: Path) -> Path:
    made = make(
        folder,
        url=hub.url,
        places=hub.places,
        host="loft",
        now=datetime.now(UTC),
        keep=Keep(),
        free_bytes=0,
    )
    return made.path


def filled(hub: Hub) -> int:
    """Write points over twenty days, in several shards, and a database; return the number of points."""
    hub.set_up()
    begin = int(time.time()) - 20 * DAY
    lines = [f"m,host=hall v={each} {begin + each * 600}" for each in range(20 * 144)]
    assert hub.write("\n".join(lines)) == 204
    grafana = sqlite3.connect(hub.places.grafana)
    grafana.execute("CREATE TABLE dashboards (title)")
    grafana.execute("INSERT INTO dashboards VALUES ('mine')")
    grafana.commit()
    grafana.close()
    return len(lines)


def test_a_new_machine_is_restored_from_a_backup(hubs: list[Hub], tmp_path: Path) -> None:
    first, second = hubs
    count = filled(first)
    assert first.points() == count
    first.places.grafana.chmod(0o640)
    if os.geteuid() == 0:  # who alone can give a file away, and puts it back for whom it was
        os.chown(first.places.grafana, 65534, 65534)
    owner = first.places.grafana.stat()
    started = time.monotonic()
    path = backed_up(first, tmp_path / "backups")
    between = time.monotonic()
    restored = restore(path, url=second.url, places=second.places, say=lambda _: None)
    print(f"backup {between - started:.2f} s, restore {time.monotonic() - between:.2f} s, {path.stat().st_size} bytes")
    assert restored.shards > 2
    # With the tokens of the first, which the second has never made.
    assert second.token("device-hall.token") == first.token("device-hall.token")
    assert second.points() == count
    assert second.write("m,host=hall v=1") == 204
    assert (second.places.settings / "tokens" / "operator.token").stat().st_mode & 0o777 == 0o600
    put_back = second.places.grafana.stat()
    assert (put_back.st_uid, put_back.st_gid, put_back.st_mode) == (owner.st_uid, owner.st_gid, owner.st_mode)
    grafana = sqlite3.connect(second.places.grafana)
    assert grafana.execute("SELECT title FROM dashboards").fetchall() == [("mine",)]
    grafana.close()
    # Nothing is left to be made: buckets, tasks and tokens are those of the backup.
    outcome = setup(
        second.url, organisation="sensetig", user="sensetig", tokens=second.places.settings / "tokens",
        definitions=bundle.root() / "influxdb", say=lambda _: None, devices=["hall"],
    )  # fmt: skip
    assert outcome.changes == ()


def test_restoring_replaces_what_came_after_and_can_be_done_again(hubs: list[Hub], tmp_path: Path) -> None:
    hub, _ = hubs
    count = filled(hub)
    path = backed_up(hub, tmp_path / "backups")
    assert hub.write("m,host=later v=1") == 204
    for _ in range(2):
        restore(path, url=hub.url, places=hub.places, say=lambda _: None)
        assert hub.points() == count


def test_a_backup_of_an_unreachable_hub_fails_and_keeps_the_previous_ones(hubs: list[Hub], tmp_path: Path) -> None:
    hub, _ = hubs
    filled(hub)
    path = backed_up(hub, tmp_path / "backups")
    away = Hub(f"http://127.0.0.1:{ports.any_free()}", hub.places)
    with pytest.raises(NotAnswering, match="does not answer"):
        backed_up(away, tmp_path / "backups")
    assert [each.name for each in (tmp_path / "backups").iterdir() if each.suffix == ".tar"] == [path.name]


def test_a_wrong_token_makes_no_backup_and_a_foreign_database_is_not_overwritten(
    hubs: list[Hub], tmp_path: Path
) -> None:
    first, second = hubs
    filled(first)
    path = backed_up(first, tmp_path / "backups")
    second.set_up()
    assert second.write("m,host=other v=1") == 204
    second.places.settings.joinpath("tokens", "operator.token").write_text(first.token("operator.token"))
    with pytest.raises(TokenRefused, match=r"refuses the token in .*operator\.token"):
        backed_up(second, tmp_path / "others")
    with pytest.raises(BackupError, match="nothing was changed"):
        restore(path, url=second.url, places=second.places, say=lambda _: None)
    assert second.points() == 1
