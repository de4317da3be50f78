"""The archive for a maintainer, of an installation on a real InfluxDB: no secret of it is inside."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.doctor import patient as patients
from sensetig.doctor import support
from sensetig.doctor.patient import Ran
from sensetig.doctor.redact import REMOVED, Redactor
from tests.integration.test_doctor import Hub, started
from tests.unit.doctor_support import write

pytestmark = pytest.mark.engines

PEM = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAbCdEfGh1234567890"

WEBHOOK = "https://robot:hook-pass@hooks.example/services/T01/B02/hook-path-99?sig=hook-query"

#: Secrets in settings, which no file of secrets holds.
SETTINGS = {
    "etc/sensetig/sensetig.toml": (
        '[camera]\nsource = "rtsp://viewer:cam-pass/1@10.0.0.9/live"\n[vision]\nkey = "classifier-key-77"\n'
    ),
    "etc/sensetig/grafana.env": (
        f'SENSETIG_ALERTS_WEBHOOK_URL="{WEBHOOK}"\n'
        "SENSETIG_ALERTS_TELEGRAM_BOT=123456:bot-secret-part\n"
        'SENSETIG_GRAFANA_TOKEN="$__file{/run/credentials/grafana-server.service/token}"\n'
    ),
    "etc/telegraf/telegraf.conf": '[[outputs.influxdb_v2]]\n  token = "${SENSETIG_TELEGRAF_TOKEN}"\n',
    "etc/grafana/grafana.ini": "[smtp]\nuser = mailer\npassword = mail-pass-55\n",
}

#: Files of secrets.
FILES = {
    "tokens/grafana-admin.password": "admin-pass-11\n",
    "tokens/grafana-database.key": "database-key-22\n",
    "tokens/mqtt-greenhouse.password": "mqtt-pass-33\n",
    "tokens/mqtt-users": "greenhouse:mqtt-pass-33\n",
    "etc/mosquitto/sensetig.passwd": "greenhouse:$7$101$saltsaltsalt$hashhashhash==\n",
    "etc/sensetig/credentials/grafana-smtp": "mail-pass-55\n",
    "etc/sensetig/credentials/nats.conf": "authorization { password = nats-pass-44 }\n",
    "etc/sensetig/tls/device.key": f"-----BEGIN PRIVATE KEY-----\n{PEM}\n-----END PRIVATE KEY-----\n",
    "etc/sensetig/authority/authority.key": f"-----BEGIN PRIVATE KEY-----\n{PEM[::-1]}\n-----END PRIVATE KEY-----\n",
    "etc/sensetig/live/grafana_token": "glsa_live-token-66\n",
    "run/credentials/telegraf.service/telegraf_token": "token-of-the-service-88\n",
}

WRITTEN = (
    "admin-pass-11", "database-key-22", "mqtt-pass-33", "$7$101$saltsaltsalt$hashhashhash==", "mail-pass-55",
    "nats-pass-44", PEM, PEM[::-1], "glsa_live-token-66", "token-of-the-service-88", "rtsp://viewer:cam-pass/1@10.0.0.9",
    "cam-pass/1", "classifier-key-77", WEBHOOK, "hook-pass", "/services/T01/B02/hook-path-99", "hook-query",
    "123456:bot-secret-part", "greenhouse",
)  # fmt: skip


@pytest.fixture
def hub(influxd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An installation whose programs print every secret, as a careless one might."""
    with started(influxd, tmp_path, tmp_path / "data") as made:
        write(tmp_path, {**SETTINGS, **FILES, "proc/cpuinfo": "Model : Raspberry Pi 4\nSerial : 10000000deadbeef\n"})
        tokens = [each.read_text().strip() for each in (tmp_path / "tokens").iterdir()]
        leaking = "\n".join(f"Jan 05 08:00:00 attic telegraf[1]: failed with {each}" for each in (*tokens, *WRITTEN))

        def programs(command: Sequence[str]) -> Ran:
            return Ran(0, leaking) if command[0] in ("journalctl", "systemctl", "df") else Ran(None)

        monkeypatch.setattr(sites, "TOP", tmp_path)
        monkeypatch.setattr(
            patients, "examine", lambda top, host: patients.Patient(top, sites.load(top), host, run=programs)
        )
        monkeypatch.setattr("os.geteuid", lambda: 0)
        yield made


def test_no_secret_of_an_installation_is_in_the_archive(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "support.tar.gz"
    ended = CliRunner().invoke(main, ["support-bundle", "--output", str(path)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        members = {each.name.partition("/")[2]: _read(archive, each) for each in archive.getmembers()}
    everything = "\n".join((*members, *members.values()))
    made = ("operator.token", "telegraf.token", "grafana.token", "device-attic.token", "admin.password")
    tokens = [hub.token(name) for name in made]
    assert len(set(tokens)) == len(made)
    for secret in (*tokens, *WRITTEN, "deadbeef"):
        assert secret not in everything, secret

    # The information for a maintainer is included.
    assert json.loads(members["versions.json"])["sensetig"]
    names = {each["name"] for each in json.loads(members["doctor.json"])["checks"]}
    assert {"influxdb", "buckets", "read-token", "tasks"} <= names
    assert "10.0.0.9" in members["settings/etc/sensetig/sensetig.toml"]
    assert f'SENSETIG_ALERTS_WEBHOOK_URL="{REMOVED}"' in members["settings/etc/sensetig/grafana.env"]
    assert "grafana-server.service/token" in members["settings/etc/sensetig/grafana.env"]
    assert members["journal/telegraf.service.txt"].count(REMOVED) >= len(WRITTEN)
    assert "Raspberry Pi 4" in members["hardware/proc-cpuinfo.txt"]
    assert "grafana-database.key" in members["secret-files.txt"]
    assert all(
        name.startswith(("settings/", "hardware/", "system/", "units/", "journal/")) or "/" not in name
        for name in members
    )


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def test_an_archive_that_contains_a_secret_is_not_written(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Redactor, "clean", lambda _, text: text)
    with pytest.raises(support.SecretLeft, match="is not written"):
        support.bundle(patients.examine(hub.top, "attic"), "name")


def test_the_archive_can_be_read_without_this_program(hub: Hub) -> None:
    content = support.bundle(patients.examine(hub.top, "attic"), "sensetig-support-attic")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert {each.name.split("/")[0] for each in archive.getmembers()} == {"sensetig-support-attic"}
        assert all(each.isfile() for each in archive.getmembers())


@pytest.mark.usefixtures("hub")
def test_only_root_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ended = CliRunner().invoke(main, ["support-bundle"])
    assert (ended.exit_code, "sudo sensetig support-bundle" in ended.output) == (1, True)
