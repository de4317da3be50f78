"""Certificates that end soon are renewed with the same key and names; revoked ones are listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sensetig.__main__ import main
from sensetig.errors import SecurityError
from sensetig.security import certificates

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


class Site:
    """An authority, and a certificate of it that expires in *days* days."""

    def __init__(self, folder: Path, days: int, authority_days: int = 3650) -> None:
        self.authority = folder / "authority"
        self.authority.mkdir()
        self.certificate = folder / "device.crt"
        self.key = ec.generate_private_key(ec.SECP384R1())
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.authority / "authority.key").write_bytes(private)
        issuer = self._made("authority", self.key, NOW + timedelta(days=authority_days), [])
        _pem(self.authority / "authority.crt", issuer)
        self.device_key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([x509.DNSName("loft"), x509.DNSName("localhost")]), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ]
        _pem(self.certificate, self._made("loft", self.device_key, NOW + timedelta(days=days), extensions))

    def _made(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        end: datetime,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=400))
            .not_valid_after(end)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def renew(self) -> datetime | None:
        return certificates.renew(self.certificate, self.authority, now=NOW, within_days=60, valid_days=397)


def test_a_certificate_that_ends_soon_is_renewed_with_its_key_its_names_and_its_purposes(tmp_path: Path) -> None:
    site = Site(tmp_path, 59)
    old = certificates.read(site.certificate)
    assert site.renew() == NOW + timedelta(days=397)
    new = certificates.read(site.certificate)
    assert certificates.ends(new) == NOW + timedelta(days=397)
    assert new.public_key() == old.public_key()
    assert list(new.extensions) == list(old.extensions)
    assert new.subject == old.subject
    assert new.serial_number != old.serial_number
    new.verify_directly_issued_by(certificates.read(site.authority / "authority.crt"))
    assert site.renew() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authority", "device.crt"]


@pytest.mark.parametrize("days", [61, 397])
def test_a_certificate_that_holds_is_left_alone(tmp_path: Path, days: int) -> None:
    site = Site(tmp_path, days)
    before = site.certificate.read_bytes()
    assert site.renew() is None
    assert site.certificate.read_bytes() == before


def test_one_that_has_ended_is_renewed_too(tmp_path: Path) -> None:
    assert Site(tmp_path, -3).renew() == NOW + timedelta(days=397)


def test_none_holds_for_longer_than_its_authority(tmp_path: Path) -> None:
    site = Site(tmp_path, 10, authority_days=100)
    assert site.renew() == NOW + timedelta(days=100)
    with pytest.raises(SecurityError, match="the playbook renews it"):
        certificates.renew(site.certificate, site.authority, now=NOW, within_days=200, valid_days=397)


def test_one_of_another_authority_is_not_touched(tmp_path: Path) -> None:
    site = Site(tmp_path, 10)
    other = certificates.read(site.authority / "authority.crt")
    builder = x509.CertificateBuilder().subject_name(_name("loft")).issuer_name(_name("another"))
    builder = builder.public_key(other.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW - timedelta(days=9)).not_valid_after(NOW + timedelta(days=9))
    _pem(site.certificate, builder.sign(site.key, hashes.SHA256()))
    with pytest.raises(SecurityError, match="was made by CN=another"):
        site.renew()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unreadable_certificate_is_reported_in_one_sentence(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "device.crt"
    if content is not None:
        file.write_text(content)
    result = CliRunner().invoke(main, ["certificate", "show", "--certificate", str(file)])
    assert result.exit_code == 1
    assert str(file) in result.output


def test_the_expiry_of_a_certificate_is_reported(tmp_path: Path) -> None:
    site = Site(tmp_path, 100_000)
    result = CliRunner().invoke(main, ["certificate", "show", "--certificate", str(site.certificate)])
    assert result.exit_code == 0
    assert "holds until" in result.output


def test_revoked_certificates_are_on_a_list_that_the_authority_has_signed(tmp_path: Path) -> None:
    site = Site(tmp_path, 100)
    first = certificates.read(site.certificate)
    assert certificates.revoke(site.authority, [site.certificate], NOW) is True
    assert certificates.revoke(site.authority, [site.certificate], NOW) is False
    certificates.renew(site.certificate, site.authority, now=NOW, within_days=200, valid_days=397)
    assert certificates.revoke(site.authority, [site.certificate], NOW) is True
    listed = x509.load_pem_x509_crl((site.authority / "revoked.crl").read_bytes())
    assert listed.is_signature_valid(site.key.public_key())
    assert {each.serial_number for each in listed} == {
        first.serial_number,
        certificates.read(site.certificate).serial_number,
    }
