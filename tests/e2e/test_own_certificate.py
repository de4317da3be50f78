"""A hub with a certificate of the site's authority, for its name only, and the rejection of invalid certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.site import Site
from tests.e2e.test_trust import arrives, newest, served

pytestmark = pytest.mark.usefixtures("installed")


class Authority:
    """A certificate authority of the site.

    Args:
        folder: where it stores its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("the site")
        self.file = folder / "authority.pem"
        ca = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        _write(
            self.file,
            self._builder(self.name, self._key, 365).add_extension(ca, True).add_extension(usage, True),
            self._key,
        )

    def made(self, name: str, days: int = 90, *, careless: bool = False) -> Made:
        """A certificate for a name, and its key; without what says who has made it, where that is careless."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._folder / f"{name}-{days}.pem"
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = self._builder(_name(name), key, days).add_extension(names, False)
        if not careless:
            maker = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(maker, False)
        _write(certificate, builder, self._key)
        file = certificate.with_suffix(".key")
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Made(certificate, file)

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )


class Made(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path

    def options(self, authority: Authority) -> dict[str, Any]:
        """The operator's variables, for the hub only; all machines should trust the authority."""
        return {
            "certificates_own_certificate": _on_the_hub(self.certificate),
            "certificates_own_key": _on_the_hub(self.key),
            "certificates_own_authority": str(authority.file),
        }


class Changed(NamedTuple):
    """The operator's variables, and the time before the change, in seconds since 1970."""

    options: dict[str, Any]
    since: int


def _on_the_hub(path: Path) -> str:
    return f"{{{{ '{path}' if inventory_hostname == 'loft' else '' }}}}"


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(path: Path, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def changed(site: Site, authority: Authority) -> Iterator[Changed]:
    """The hub shows the site's own certificate; afterwards that of the internal authority again."""
    options = authority.made("loft").options(authority)
    since = int(site.machines["loft"].ssh("date +%s").stdout)
    done = site.play("site.yml", **options)
    assert done.status == 0, done.output[-6000:]
    yield Changed(options, since)
    back = site.play("site.yml")
    assert back.status == 0, back.output[-6000:]
    hub = site.machines["loft"]
    assert served(hub, 443).issuer != authority.name
    assert hub.ssh("ls /etc/sensetig/tls").stdout.split() == [
        "authority.crt", "device.crt", "device.key", "hand-over", "revoked.crl", "trusted",
    ]  # fmt: skip
    for name in site.machines:
        arrives(hub, name, "uptime", newest(hub, name, "uptime"))


REFUSED: dict[str, Callable[[Authority], Made]] = {
    "is for DNS:attic, and the hub is reached as loft": lambda site: site.made("attic"),
    "is not the key of": lambda site: site.made("loft")._replace(key=site.made("attic").key),
    "ended on ": lambda site: site.made("loft", -1),
    "is not trusted: error 85 at 0 depth lookup": lambda site: site.made("loft", 91, careless=True),
}


@pytest.mark.parametrize("said", REFUSED)
def test_one_that_does_not_fit_is_refused_and_the_services_go_on(site: Site, authority: Authority, said: str) -> None:
    hub = site.machines["loft"]
    before = served(hub, 443)
    made = REFUSED[said](authority)
    done = site.play("site.yml", "--tags", "certificates,proxy", "--limit", "loft", **made.options(authority))
    assert done.status != 0
    assert said in " ".join(done.output.split()), done.output[-3000:]
    assert served(hub, 443) == before
    assert hub.ssh("test -e /etc/sensetig/tls/site.key", check=False).returncode == 1


def test_it_is_shown_and_everybody_writes_on(site: Site, authority: Authority, changed: Changed) -> None:
    hub = site.machines["loft"]
    for port in (443, 8883):
        assert served(hub, port).issuer == authority.name, port
    for name, machine in site.machines.items():
        arrives(hub, name, "uptime", newest(hub, name, "uptime"))
        units = "--unit=telegraf --unit=sensetig-outbox"
        log = machine.ssh(f"journalctl {units} --since=@{changed.since} --no-pager").stdout
        assert "x509" not in log, f"{name} did not trust the hub for a while"
        assert "SSLError" not in log, f"{name} did not trust the hub for a while"
    assert "holds" in hub.ssh("sensetig token list").stdout
    assert "site.crt holds until" in hub.ssh("sensetig certificate show").stdout
    again = site.play("site.yml", **changed.options)
    assert again.status == 0, again.output[-6000:]
    assert set(again.changed().values()) == {0}, again.output[-6000:]


def test_a_new_one_is_handed_to_the_services_without_the_playbook(
    site: Site, authority: Authority, changed: Changed
) -> None:
    del changed
    hub = site.machines["loft"]
    new = authority.made("loft", 40)
    for kind, file in (("crt", new.certificate), ("key", new.key)):
        (hub.system / f"etc/sensetig/tls/site.{kind}").write_bytes(file.read_bytes())
    hub.ssh("systemctl start sensetig-certificate.service")
    assert (served(hub, 443).not_valid_after_utc - datetime.now(UTC)).days in (39, 40)
    for name in site.machines:
        arrives(hub, name, "uptime", newest(hub, name, "uptime"))
