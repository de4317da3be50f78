"""The internal authority and the certificates that it issues.

The hub determines the contents of a certificate: the subject, names and purposes come from its own records. A machine
supplies only a public key, so that a stolen machine cannot request another machine's name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collectors.core.files import write_atomic
from sensetig.errors import SecurityError
from sensetig.security.certificates import BEFORE, ends, private_key, read, revoke, revoked_serials
from sensetig.security.enrolment import check_address, check_name

#: A machine's certificate has its name below this domain, which no public authority certifies.
DOMAIN = "sensetig.internal"

_DNS = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63}){0,9}")

#: Maximum length of a public key in PEM, in bytes; one of P-256 has 178.
MAX_KEY_BYTES = 4096


class Names(NamedTuple):
    """The names and addresses in a certificate."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...] = ()


def names_of(texts: Sequence[str]) -> Names:
    """Split texts into DNS names and IP addresses, without duplicates. Raises SecurityError for any other text."""
    dns: list[str] = []
    addresses: list[str] = []
    for text in dict.fromkeys(texts):
        try:
            addresses.append(check_address(text, scope=False))
        except ValueError:
            if not _DNS.fullmatch(text) or len(text) > 253:
                raise SecurityError(
                    f"{text[:80]!r} is neither a DNS name nor an IP address; correct it in the inventory"
                ) from None
            dns.append(text.lower())
    return Names(tuple(dns), tuple(addresses))


def establish(folder: Path, name: str, permitted: Names, now: datetime, valid_days: int, renew_days: int) -> bool:
    """Create the authority in *folder*, or reissue its certificate for other permitted names or before it expires.

    Args:
        folder: of the authority's key, certificate and list of revoked certificates.
        name: of the hub.
        permitted: names that the authority can certify, in addition to those below :data:`DOMAIN` and ``local``.
        now: the current time.
        valid_days: validity of a new certificate, in days.
        renew_days: a certificate that is valid for longer than this is kept.

    Returns:
        Whether anything has changed. The key stays the same, so that issued certificates remain valid.

    Raises:
        SecurityError: something cannot be read or written.
    """
    key_file, certificate_file = folder / "authority.key", folder / "authority.crt"
    changed = not key_file.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if changed:
            key = ec.generate_private_key(ec.SECP384R1())
            write_atomic(key_file, _pem(key))
        key = private_key(folder)
        constraints = _constraints(permitted)
        if changed or not _fits(certificate_file, key, constraints, now + timedelta(days=renew_days)):
            certificate = _authority(key, name, constraints, now, now + timedelta(days=valid_days))
            write_atomic(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            changed = True
    except OSError as error:
        raise SecurityError(f"the authority in {folder} cannot be kept: {error.strerror}") from None
    if not (folder / "revoked.crl").exists():
        revoke(folder, (), now)
        changed = True
    return changed


def issue(
    folder: Path,
    device: str,
    public_key: bytes,
    names: Names,
    *,
    now: datetime,
    valid_days: int,
    renew_days: int,
) -> tuple[bytes, bool]:
    """Issue or reuse the certificate of a machine, in PEM, and return whether it is new.

    Args:
        folder: of the authority.
        device: the machine's name in the hub's records.
        public_key: the machine's public key in PEM: an elliptic curve of at least 256 bits.
        names: DNS names and addresses of the machine, from the hub's records.
        now: the time.
        valid_days: validity of a new certificate, in days.
        renew_days: an existing certificate for the same key and names is reused if it is valid for longer than this.

    Raises:
        SecurityError: the key cannot be used, or something cannot be read or written.
    """
    check_name(device)
    key = _public_key(public_key)
    authority = read(folder / "authority.crt")
    general = [x509.DNSName(name) for name in names.dns]
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in names.addresses]
    alternatives = x509.SubjectAlternativeName([x509.DNSName(f"{_label(device)}.{DOMAIN}"), *general, *addresses])
    kept = folder / "issued" / device
    listed = revoked_serials(folder)
    for present in sorted(map(read, kept.glob("*.crt")), key=ends, reverse=True):
        if (
            present.public_key() == key
            and _alternatives(present) == alternatives
            and present.issuer == authority.subject
            and present.serial_number not in listed
            and ends(present) > now + timedelta(days=renew_days)
        ):
            return present.public_bytes(serialization.Encoding.PEM), False
    signing = private_key(folder)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)]))
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(min(now + timedelta(days=valid_days), ends(authority)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(alternatives, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    _keep(kept, text)
    return text, True


def keep(folder: Path, certificate: Path) -> None:
    """Store a renewed certificate with the authority in *folder*, so that it can be revoked. Raises SecurityError."""
    made = read(certificate)
    device = str(made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    check_name(device)
    _keep(folder / "issued" / device, made.public_bytes(serialization.Encoding.PEM))


def _keep(kept: Path, text: bytes) -> None:
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(kept / f"{sha256(text).hexdigest()[:16]}.crt", text)
    except OSError as error:
        raise SecurityError(f"the certificate cannot be kept in {kept}: {error.strerror}") from None


def _authority(
    key: ec.EllipticCurvePrivateKey, name: str, constraints: x509.NameConstraints, now: datetime, end: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"SenseTIG {name}")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _constraints(permitted: Names) -> x509.NameConstraints:
    """Only these names and addresses (RFC 5280, 4.2.1.10: an absent kind of name would be unconstrained)."""
    dns = [x509.DNSName(name) for name in dict.fromkeys((DOMAIN, "local", "localhost", *permitted.dns))]
    networks = [ipaddress.ip_network(each) for each in dict.fromkeys(("127.0.0.1", *permitted.addresses))]
    addresses = [x509.IPAddress(each) for each in networks]
    if any(each.version == 6 for each in networks):
        return x509.NameConstraints([*dns, *addresses], None)
    return x509.NameConstraints([*dns, *addresses], [x509.IPAddress(ipaddress.ip_network("::/0"))])


def _fits(path: Path, key: ec.EllipticCurvePrivateKey, constraints: x509.NameConstraints, until: datetime) -> bool:
    if not path.exists():
        return False
    present = read(path)
    try:
        present.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        same = present.extensions.get_extension_for_class(x509.NameConstraints).value == constraints
    except x509.ExtensionNotFound:
        same = False
    return same and present.public_key() == key.public_key() and ends(present) > until


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _public_key(text: bytes) -> ec.EllipticCurvePublicKey:
    key = None
    if len(text) <= MAX_KEY_BYTES:
        try:
            key = serialization.load_pem_public_key(text)
        except ValueError:
            key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
        raise SecurityError("this is no public key of an elliptic curve of 256 bits or more in PEM; make the key again")
    return key


def _label(device: str) -> str:
    """A device's name as one DNS label."""
    return re.sub(r"[^a-z0-9-]", "-", device.lower()).strip("-") or "device"


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
