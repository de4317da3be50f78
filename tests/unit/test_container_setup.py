"""The service `setup` of the containers: the secrets of each service, and an edge that joins its hub."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.golden import ROOT

SERVICES = ("camera", "grafana", "mosquitto", "outbox", "proxy", "telegraf", "vision")

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes keys, is not installed")

#: InfluxDB's part is tested with InfluxDB: here the tokens are made without one.
_SENSETIG = """\
#!/bin/sh
if [ "$1" = setup ]; then
    mkdir -p "{settings}/tokens"
    for name in grafana "device-$5"; do
        token="{settings}/tokens/$name.token"
        [ -e "$token" ] || echo "token-of-$name" > "$token"
    done
    exit
fi
exec {python} -m sensetig "$@"
"""


class Machine:
    """A machine's volumes."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.settings, self.credentials = folder / "settings", folder / "credentials"
        for each in (self.settings, *(self.credentials / name for name in SERVICES)):
            each.mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "sensetig").write_text(_SENSETIG.format(settings=self.settings, python=sys.executable))
        (programs / "sensetig").chmod(0o755)
        self._environ = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "SENSETIG_HOST": folder.name,
            **environ,
        }

    def setup(self, *arguments: str, given: str = "", status: int = 0) -> str:
        """The output of the script; its sentences where it fails."""
        script = (ROOT / "containers" / "setup").read_text(encoding="utf-8")
        script = script.replace("settings=/etc/sensetig", f"settings={self.settings}")
        script = script.replace("credentials=/run/credentials", f"credentials={self.credentials}")
        done = subprocess.run(
            ["/bin/sh", "-c", script, "setup", *arguments],
            input=given,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    def files(self) -> dict[str, bytes]:
        """All files by their path, and none of them open to others."""
        found = {}
        for folder in (self.settings, self.credentials):
            for path in folder.rglob("*"):
                if path.is_file():
                    assert path.stat().st_mode & 0o037 == 0 or path.suffix in (".crt", ".crl"), path
                    found[str(path.relative_to(folder.parent))] = path.read_bytes()
        return found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(
        tmp_path_factory.mktemp("hubs") / "hub",
        SENSETIG_HUB_NAME="hub.local",
        SENSETIG_HUB_MORE_NAMES="192.168.1.20",
        SENSETIG_MQTT_USERS="plug",
    )
    machine.setup()
    return machine


def test_each_service_gets_its_own_secrets(hub: Machine) -> None:
    handed = {service: {path.name for path in (hub.credentials / service).iterdir()} for service in SERVICES}
    assert handed == {
        "camera": {"mqtt_pictures"},
        "grafana": {"token", "admin", "key"},
        "mosquitto": {"users", "programs.acl", "tls.crt", "tls.key"},
        "outbox": {"telegraf_token"},
        "proxy": {"tls.crt", "tls.key", "authority.crt", "revoked.crl"},
        "telegraf": {"read_token", "mqtt_password"},
        "vision": {"mqtt_vision"},
    }
    assert (hub.credentials / "outbox" / "telegraf_token").read_text() == "token-of-device-hub\n"
    users = (hub.credentials / "mosquitto" / "users").read_text().splitlines()
    assert [user.partition(":")[0] for user in users] == ["telegraf", "operator", "pictures", "vision", "plug"]
    assert len({user.partition(":")[2] for user in users}) == 5


def test_a_second_run_changes_nothing(hub: Machine) -> None:
    before = hub.files()
    hub.setup()
    assert hub.files() == before


def test_a_machine_without_a_hub_s_name_has_no_authority(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "alone")
    machine.setup()
    assert not (machine.settings / "authority").exists()
    assert list((machine.credentials / "proxy").iterdir()) == []
    assert "this machine is no hub yet: set SENSETIG_HUB_NAME" in machine.setup("admit", "attic", status=1)


def test_an_edge_joins_with_its_own_key(hub: Machine, tmp_path: Path) -> None:
    edge = Machine(tmp_path / "attic")
    key = edge.setup("request")
    assert edge.setup("request") == key
    file = "1f0dcd846a42\n" + hub.setup("admit", "attic", given=f"7f0dcd846a42\n{key}")  # a line of podman-compose
    assert "token" not in file, "it is a secret, which nobody reads over a shoulder"
    edge.setup("join", given=file)
    assert {path.name for path in (edge.credentials / "outbox").iterdir()} == {
        "authority.crt", "telegraf_token", "tls.crt", "tls.key",
    }  # fmt: skip
    outbox = edge.credentials / "outbox"
    command: list[str | Path] = ["openssl", "verify", "-CAfile", outbox / "authority.crt", outbox / "tls.crt"]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    other = Machine(tmp_path / "cellar")
    assert "the certificate is for another key" in other.setup("join", given=file, status=1)
    assert not (other.credentials / "outbox" / "telegraf_token").exists()


def packed(content: bytes) -> str:
    text = base64.b64encode(content).decode()
    return f"-----BEGIN SENSETIG EDGE-----\n{text}\n-----END SENSETIG EDGE-----\n"


@pytest.mark.parametrize("given", ["", "no base64!", packed(b"no tar"), packed(b"")[:40] + "!\n"])
def test_a_file_of_another_kind_is_refused_in_one_sentence(given: str, tmp_path: Path) -> None:
    said = Machine(tmp_path / "attic").setup("join", given=given, status=1)
    assert said.splitlines()[-1].startswith("Error: standard input ")


def test_a_file_puts_nothing_elsewhere(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in ("../../escaped", "tls.crt"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    machine = Machine(tmp_path / "attic")
    machine.setup("join", given=packed(content.getvalue()), status=1)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("name", ["", "../hub", "a b", "-x", "a;b"])
def test_a_name_that_is_none_is_refused(name: str, hub: Machine) -> None:
    assert "is no device name" in hub.setup("admit", name, given="", status=1)


def test_an_unknown_action_is_one_sentence(hub: Machine) -> None:
    assert hub.setup("reset", status=1) == (
        "Error: setup has no action reset; there are request, admit, join and revoke\n"
    )
