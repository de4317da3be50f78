"""The page of `sensetig info`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.doctor import machine, place
from sensetig.doctor.page import Facts, missing, page, plain, steps
from sensetig.doctor.place import ALONE, EDGE, HUB, Access, Names, access
from sensetig.site import Site

PASSWORD = Path("/etc/sensetig/tokens/grafana-admin.password")
ALONE_SITE = Site(grafana_password_file=PASSWORD)
HUB_SITE = Site(grafana_url="https://hub.local", grafana_password_file=PASSWORD)
EDGE_SITE = Site(influxdb_url="https://hub.local", hub="hub.local")
NAMES = Names("attic", local=True, address="192.168.1.20", user="ada")
TUNNEL = Access(("http://127.0.0.1:3000",), "ssh -L 3000:127.0.0.1:3000 ada@attic.local")
FACTS = Facts("attic", ALONE, "1.0.0", ALONE_SITE, TUNNEL, {"cpu": 6, "disk": 12, "internal_write": 3}, hat=True,
              i2c=True, camera=True, camera_set_up=True)  # fmt: skip


def shown(facts: Facts, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(page(facts, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    assert max(map(len, text.splitlines())) <= width
    return text


def test_grafana_on_loopback_is_reached_through_ssh() -> None:
    assert access(ALONE_SITE, NAMES, {("127.0.0.1", 3000), ("::1", 3000)}) == TUNNEL


def test_grafana_beyond_loopback_is_reached_by_name_and_by_address() -> None:
    urls = access(ALONE_SITE, NAMES, {("192.168.1.20", 3000)}).urls
    assert urls == ("http://attic.local:3000", "http://192.168.1.20:3000")


def test_a_hub_is_reached_by_the_name_of_its_certificate_and_by_its_address() -> None:
    assert access(HUB_SITE, NAMES, set()).urls == ("https://hub.local", "https://192.168.1.20")
    by_address = HUB_SITE._replace(grafana_url="https://127.0.0.1:8443")
    urls = access(by_address, NAMES, {("::", 8443)}).urls
    assert urls == ("https://attic.local:8443", "https://192.168.1.20:8443")


def test_an_edge_names_the_dashboards_of_its_hub() -> None:
    facts = FACTS._replace(role=EDGE, site=EDGE_SITE, access=access(EDGE_SITE, NAMES, set()), arrived=None)
    text = shown(facts, 80)
    assert "https://hub.local" in text
    assert "an edge of hub.local" in text
    assert plain(facts)["dashboards"]["password_command"] is None
    assert "17 wait here" in shown(facts._replace(waiting=17), 120)


def test_the_page_names_the_settings_where_they_are_and_an_own_certificate() -> None:
    facts = FACTS._replace(config="/etc/sensetig/config.yml", camera=False)
    assert "/etc/sensetig/config.yml" in dict(missing(facts))["camera"]
    assert any("/etc/sensetig/config.yml" in step for step in steps(facts))
    over_tls = FACTS._replace(site=HUB_SITE, access=access(HUB_SITE, NAMES, set()))
    assert "certificate" not in shown(over_tls, 80)
    assert "asks about the certificate" in shown(over_tls._replace(own_authority=True), 120)


def test_a_machine_is_a_hub_if_it_is_installed_as_one_or_has_tokens_of_others(tmp_path: Path) -> None:
    assert machine.devices(tmp_path / "absent") == 0
    (tmp_path / "device-attic.token").touch()
    assert place.role(HUB_SITE, machine.devices(tmp_path)) == ALONE
    assert place.role(HUB_SITE._replace(role="hub"), machine.devices(tmp_path)) == HUB
    (tmp_path / "device-hall.token").touch()
    assert place.role(HUB_SITE, machine.devices(tmp_path)) == HUB
    assert place.role(EDGE_SITE) == EDGE


def test_dashboards_on_loopback_alone_can_be_opened_to_the_network() -> None:
    assert "./install --lan" in steps(FACTS)[0]


def test_a_machine_without_grafana_says_so() -> None:
    site = Site()
    facts = FACTS._replace(site=site, access=access(site, NAMES, set()))
    assert "Grafana is not installed here" in shown(facts, 80)
    assert not any("dashboards" in step for step in steps(facts))


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_has_the_address_the_user_the_password_command_and_the_points(width: int) -> None:
    text = shown(FACTS, width)
    for part in (TUNNEL.tunnel, TUNNEL.urls[0], "admin", f"sudo cat {PASSWORD}", "minute: 21"):
        assert part in text
    assert "internal_write" not in text
    assert "Not found" not in text


def test_a_name_that_others_chose_cannot_steer_the_terminal() -> None:
    text = shown(FACTS._replace(arrived={"\x1b[2J\x1b]0;owned\x07": 3, "cpu": 1}, problem=""), 80)
    assert "\x1b" not in text
    assert "owned" in text


def test_missing_hardware_comes_with_the_way_to_add_it() -> None:
    bare = FACTS._replace(hat=False, i2c=False, camera=False)
    assert [what for what, _ in missing(bare)] == ["Sense HAT", "camera"]
    assert "raspi-config nonint do_i2c 0" in dict(missing(bare))["Sense HAT"]
    assert "raspi-config" not in dict(missing(bare._replace(i2c=True)))["Sense HAT"]
    unused = FACTS._replace(camera_set_up=False)
    assert "camera_enabled: true" in dict(missing(unused))["camera"]
    assert "Not found" in shown(bare, 80)


def test_there_are_three_next_steps_and_trouble_comes_first() -> None:
    for facts in (FACTS, FACTS._replace(alerts=True, off_host=True), FACTS._replace(role=HUB, site=HUB_SITE)):
        assert len(steps(facts)) == 3
    for facts in (FACTS._replace(arrived={}), FACTS._replace(arrived=None, problem="InfluxDB does not answer")):
        assert "sensetig doctor" in steps(facts)[0]
    assert "InfluxDB does not answer" in shown(FACTS._replace(arrived=None, problem="InfluxDB does not answer"), 80)


def test_a_machine_without_an_installation_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "TOP", tmp_path)
    ended = CliRunner().invoke(main, ["info"])
    assert ended.exit_code == 1
    assert "is not installed on this machine" in ended.output
    assert "./install" in ended.output


def test_the_command_needs_no_option_on_an_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc/sensetig"
    folder.mkdir(parents=True)
    (folder / "site.toml").write_text('influxdb_url = "https://hub.local"\nhub = "hub.local"\n')
    waiting = tmp_path / machine.OUTBOX
    waiting.mkdir(parents=True)
    (waiting / f"{1:012d}-17-1760000000000000000.batch").write_bytes(b"x")
    monkeypatch.setattr(sites, "TOP", tmp_path)
    ended = CliRunner().invoke(main, ["info", "--json"], catch_exceptions=False)
    assert ended.exit_code == 0
    document = json.loads(ended.output)
    assert document["role"] == EDGE
    assert document["points_waiting"] == 17
    assert document["dashboards"]["urls"] == ["https://hub.local"]


def test_the_files_of_a_machine_are_read(tmp_path: Path) -> None:
    assert not machine.has_hat(tmp_path)
    assert not machine.has_camera(tmp_path)
    assert machine.channels(tmp_path) == []
    hat = tmp_path / "proc/device-tree/hat"
    hat.mkdir(parents=True)
    (hat / "product").write_bytes(b"Sense HAT\0")
    etc = tmp_path / "etc/sensetig"
    etc.mkdir(parents=True)
    (etc / "grafana.env").write_text(
        'SENSETIG_ALERTS_NTFY_URL="https://ntfy.example/pi"\nSENSETIG_ALERTS_QUIET=nights\n'
    )
    (etc / "backup.env").write_text('SENSETIG_BACKUP_COPY_TO="pi@nas.local:"\n')
    assert machine.has_hat(tmp_path)
    assert machine.channels(tmp_path) == ["ntfy"]
    assert machine.copies_backups(tmp_path)


def test_the_page_links_to_the_documentation_if_there_is_a_site() -> None:
    served = FACTS._replace(site=ALONE_SITE._replace(documentation_url="http://localhost:3000/public/sensetig"))
    assert "docs/how-to/phone-alerts.md" in shown(FACTS, 120)
    assert "Manual" not in shown(FACTS, 120)
    assert plain(FACTS)["documentation"] is None
    text = shown(served, 120)
    assert "http://localhost:3000/public/sensetig/index.html" in text
    assert "http://localhost:3000/public/sensetig/how-to/phone-alerts.html" in text
    assert "docs/how-to" not in text
    assert plain(served)["documentation"] == "http://localhost:3000/public/sensetig/index.html"
