"""The internal authority: certificates follow the hub's records, and openssl verifies them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sensetig.__main__ import main
from sensetig.errors import SecurityError
from sensetig.security import certificates, revocation
from sensetig.security.certificates import revoke
from sensetig.security.hub import Hub
from sensetig.security.issuing import Names, establish, issue, names_of

NOW = datetime.now(UTC).replace(microsecond=0)
HUB = names_of(["hub", "hub.example", "192.168.1.5"])


def public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    folder = tmp_path / "authority"
    assert establish(folder, "hub", HUB, NOW, 3650, 365)
    return folder


def issued(authority: Path, device: str, names: Names, *, key: bytes | None = None) -> Path:
    key = public(ec.generate_private_key(ec.SECP256R1())) if key is None else key
    text, _ = issue(authority, device, key, names, now=NOW, valid_days=397, renew_days=60)
    path = authority.parent / f"{device}.pem"
    path.write_bytes(text)
    return path


def verified(authority: Path, certificate: Path, *options: str) -> str:
    """What openssl says of a certificate under this authority."""
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(authority / "authority.crt"), *options, str(certificate)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_the_authority_is_made_once_and_its_files_are_its_own(authority: Path) -> None:
    assert not establish(authority, "hub", HUB, NOW, 3650, 365)
    assert (authority / "authority.key").stat().st_mode & 0o777 == 0o600
    assert x509.load_pem_x509_crl((authority / "revoked.crl").read_bytes()).issuer.rfc4514_string() == "CN=SenseTIG hub"


def test_other_permitted_names_give_another_certificate_with_the_same_key(authority: Path) -> None:
    hall = issued(authority, "hall", names_of(["hall.local"]))
    before = (authority / "authority.key").read_bytes()
    assert establish(authority, "hub", names_of(["hub.new"]), NOW, 3650, 365)
    assert (authority / "authority.key").read_bytes() == before
    assert verified(authority, hall).endswith(": OK\n")
    assert establish(authority, "hub", names_of(["hub.new"]), NOW + timedelta(days=3400), 3650, 365), "it ends soon"


def test_a_certificate_follows_the_hub_s_records(authority: Path) -> None:
    certificate = x509.load_pem_x509_certificate(issued(authority, "hub", HUB).read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=hub"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.sensetig.internal", "hub", "hub.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.5"]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    path = authority.parent / "hub.pem"
    for purpose in ("sslserver", "sslclient"):
        assert verified(authority, path, "-purpose", purpose, "-verify_hostname", "hub.example").endswith(": OK\n")


def test_the_same_key_and_names_keep_their_certificate_until_it_ends_soon(authority: Path) -> None:
    key = public(ec.generate_private_key(ec.SECP256R1()))

    def again(names: Names, days: int = 0) -> bool:
        _, new = issue(authority, "hall", key, names, now=NOW + timedelta(days=days), valid_days=397, renew_days=60)
        return new

    hall = names_of(["hall.local"])
    assert [again(hall), again(hall), again(hall, 300), again(hall, 340), again(names_of(["loft.local"]))] == [
        True, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["bank.example.com", "com", "*.com", "hub.example.com", "10.0.0.1", "::1"])
def test_the_authority_cannot_certify_names_of_others(authority: Path, name: str) -> None:
    """A stolen authority's key can sign anything; verifiers that check the name constraints reject it."""
    key = serialization.load_pem_private_key((authority / "authority.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate((authority / "authority.crt").read_bytes())
    import ipaddress

    try:
        general: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        general = x509.DNSName(name)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")]))
        .issuer_name(issuer.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = authority.parent / "forged.pem"
    path.write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    assert "permitted subtree violation" in verified(authority, path) or "excluded subtree" in verified(authority, path)


@pytest.mark.parametrize(
    "key",
    [
        b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"x" * 10_000,
        public(rsa.generate_private_key(65537, 2048)), public(ec.generate_private_key(ec.SECP192R1())),
    ],
    ids=["empty", "broken", "long", "rsa", "weak"],
)  # fmt: skip
def test_another_kind_of_key_is_refused(authority: Path, key: bytes) -> None:
    with pytest.raises(SecurityError, match="no public key of an elliptic curve of 256 bits or more"):
        issued(authority, "hall", Names(()), key=key)


def test_a_signing_request_is_no_public_key(authority: Path) -> None:
    """The names in a machine's request are ignored."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(SecurityError, match="no public key"):
        issued(authority, "hall", Names(()), key=request.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize("name", ["a b", "-a", "a..b", "*.com", "a/b", "{{ 1 }}", "fe80::1%eth0", "a" * 64, ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SecurityError, match="neither a DNS name nor an IP address"):
        names_of([name])


def test_a_renewed_certificate_is_revoked_together_with_the_one_before(authority: Path) -> None:
    key = public(ec.generate_private_key(ec.SECP256R1()))
    issue(authority, "hall", key, Names(()), now=NOW - timedelta(days=350), valid_days=397, renew_days=60)
    issue(authority, "hall", key, Names(()), now=NOW, valid_days=397, renew_days=60)
    files = sorted((authority / "issued" / "hall").glob("*.crt"))
    assert len(files) == 2
    assert revoke(authority, files, NOW)
    assert len(list(x509.load_pem_x509_crl((authority / "revoked.crl").read_bytes()))) == 2


def test_a_revoked_certificate_is_not_handed_out_again(authority: Path) -> None:
    key = public(ec.generate_private_key(ec.SECP256R1()))
    first, _ = issue(authority, "hall", key, Names(()), now=NOW, valid_days=397, renew_days=60)
    assert issue(authority, "hall", key, Names(()), now=NOW, valid_days=397, renew_days=60) == (first, False)
    assert revoke(authority, sorted((authority / "issued" / "hall").glob("*.crt")), NOW)
    second, new = issue(authority, "hall", key, Names(()), now=NOW, valid_days=397, renew_days=60)
    assert new
    assert second != first


def test_certificates_pass_the_strict_check_of_newer_pythons(authority: Path) -> None:
    certificate = issued(authority, "hall", names_of(["hub.example"]))
    assert "OK" in verified(authority, certificate, "-x509_strict", "-purpose", "sslclient")
    assert "OK" in verified(authority, certificate, "-x509_strict", "-purpose", "sslserver")


def test_an_authority_without_name_constraints_is_adapted_and_its_certificates_hold(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    establish(folder, "hub", HUB, NOW, 3650, 365)
    key = certificates.private_key(folder)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SenseTIG hub")])
    old = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "authority.crt").write_bytes(old.public_bytes(serialization.Encoding.PEM))
    before = issued(folder, "hall", names_of(["hub.example"]))
    assert establish(folder, "hub", HUB, NOW, 3650, 365)
    assert "OK" in verified(folder, before)


# --- the commands ------------------------------------------------------------------------------------


def run(*arguments: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["certificate", *arguments], input=given)


def test_the_commands_make_an_authority_and_print_a_certificate(tmp_path: Path) -> None:
    folder = ("--authority", str(tmp_path / "authority"))
    assert "is written" in run("authority", "hub", "--permit", "hub.example", *folder).output
    assert "nothing to change" in run("authority", "hub", "--permit", "hub.example", *folder).output
    key = public(ec.generate_private_key(ec.SECP256R1()))
    done = run("issue", "hall", *folder, given=key)
    assert done.stderr == "hall has a new certificate\n"
    made = x509.load_pem_x509_certificate(done.stdout.encode())
    assert made.subject.rfc4514_string() == "CN=hall"
    again = run("issue", "hall", *folder, given=key)
    assert (again.stdout, again.stderr) == (done.stdout, "hall: nothing to change\n")


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (("hall",), b"{{ 1 }}", "no public key of an elliptic curve"),
        (("../hall",), b"", "cannot be a device's name"),
        (("hall", "--name", "*.com"), b"", "neither a DNS name nor an IP address"),
    ],
)
def test_what_cannot_be_certified_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], given: bytes, sentence: str
) -> None:
    folder = ("--authority", str(tmp_path / "authority"))
    run("authority", "hub", *folder)
    done = run("issue", *arguments, *folder, given=given)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_hubs_renewed_certificate_is_kept_and_handed_out_again(tmp_path: Path) -> None:
    folder = ("--authority", str(tmp_path / "authority"))
    run("authority", "hub", *folder)
    key = public(ec.generate_private_key(ec.SECP256R1()))
    shown = tmp_path / "device.crt"
    shown.write_text(run("issue", "hub", "--valid", "70", *folder, given=key).stdout)
    renewed = run("renew", "--within", "80", "--valid", "300", "--certificate", str(shown), *folder)
    assert "is renewed" in renewed.output
    assert run("issue", "hub", *folder, given=key).stdout == shown.read_text()


# --- revoking ----------------------------------------------------------------------------------------


def test_revoking_hands_the_list_to_the_proxy(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    establish(hub.authority, "hub", HUB, NOW, 3650, 365)
    issued(hub.authority, "hall", Names(()))
    told: list[int] = []

    def reload() -> None:
        told.append(len(list(x509.load_pem_x509_crl(hub.revoked_list.read_bytes()))))

    assert revocation._certificate(hub, "hall", NOW, reload)
    assert not revocation._certificate(hub, "hall", NOW, reload), "it is on the list already"
    assert told == [1, 1], "a run that was interrupted is made up for"


@pytest.mark.parametrize("reload", [revocation.reload_broker, revocation.reload_proxy])
def test_without_systemd_no_unit_is_reloaded(
    reload: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, whose PATH has no systemctl, either."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(revocation, "SYSTEMD", str(tmp_path / "absent"))
    reload()
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho no such unit >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(revocation, "SYSTEMD", str(tmp_path))
    with pytest.raises(SecurityError, match=r"could not .* \(no such unit\): systemctl restart"):
        reload()
