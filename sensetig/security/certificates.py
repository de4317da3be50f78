"""The certificates of the internal authority: validity, renewal, and the revocation list.

The playbook creates them (role certificates); in between, the hub maintains them with a key that never leaves the hub.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collectors.core.files import write_atomic
from sensetig.errors import SecurityError

#: Validity of the revocation list, in days.
_LIST_DAYS = 3650

#: Tolerance for a clock behind this one's.
BEFORE = timedelta(days=1)


def ends(certificate: x509.Certificate) -> datetime:
    """The expiry of a certificate. The cryptography of Debian 12 has only the attribute without a time zone."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def read(path: Path) -> x509.Certificate:
    """The certificate in a file. Raises SecurityError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise SecurityError(f"the certificate {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SecurityError(f"{path} is no certificate in PEM") from None


def renew(path: Path, authority: Path, *, now: datetime, within_days: int, valid_days: int) -> datetime | None:
    """Renew a certificate that expires soon, with the same key, names and purposes.

    Args:
        path: the certificate.
        authority: folder with the key and the certificate of the issuing authority.
        now: the current time.
        within_days: a certificate that is valid for longer is not renewed.
        valid_days: validity of the new one, in days.

    Returns:
        The expiry of the new one; None if the old one was not renewed.

    Raises:
        SecurityError: it is not from this authority, or something cannot be read or written.
    """
    old = read(path)
    if ends(old) > now + timedelta(days=within_days):
        return None
    issuer, key = read(authority / "authority.crt"), private_key(authority)
    if old.issuer != issuer.subject:
        raise SecurityError(f"{path} was made by {old.issuer.rfc4514_string()}, not by the authority in {authority}")
    end = min(now + timedelta(days=valid_days), ends(issuer))
    if end <= ends(old):
        raise SecurityError(f"the authority in {authority} ends on {ends(issuer):%Y-%m-%d}; the playbook renews it")
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(issuer.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(end)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    new = builder.sign(key, hashes.SHA256())
    _replace(path, new.public_bytes(serialization.Encoding.PEM))
    return end


def revoke(authority: Path, certificates: Iterable[Path], now: datetime) -> bool:
    """Add certificates to the revocation list; return whether the list has changed. Raises SecurityError.

    A missing list is created, even if it is empty.
    """
    issuer, key = read(authority / "authority.crt"), private_key(authority)
    path = authority / "revoked.crl"
    known = _listed(path)
    serials = {read(each).serial_number for each in certificates} - set(known)
    if not serials and path.exists():
        return False
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(now + timedelta(days=_LIST_DAYS))
    )
    for serial in sorted(serials):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        known[serial] = entry
    for entry in known.values():
        builder = builder.add_revoked_certificate(entry)
    _replace(path, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return True


def revoked_serials(authority: Path) -> frozenset[int]:
    """The serial numbers on the authority's revocation list. Raises SecurityError."""
    return frozenset(_listed(authority / "revoked.crl"))


def _listed(path: Path) -> dict[int, x509.RevokedCertificate]:
    if not path.exists():
        return {}
    try:
        return {each.serial_number: each for each in x509.load_pem_x509_crl(path.read_bytes())}
    except (OSError, ValueError):
        raise SecurityError(f"{path} is no list of revoked certificates: move it away, and revoke again") from None


def private_key(authority: Path) -> ec.EllipticCurvePrivateKey:
    """The key of the authority in a folder. Raises SecurityError."""
    path = authority / "authority.key"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise SecurityError(
            f"the authority's key {path} cannot be read: {error.strerror}; this is done on the hub, as root"
        ) from None
    except ValueError:
        raise SecurityError(f"{path} is no private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SecurityError(f"{path} is another kind of key than the playbook makes")
    return key


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises SecurityError."""
    try:
        write_atomic(path, data, 0o644)
    except OSError as error:
        raise SecurityError(f"{path} cannot be written: {error.strerror}") from None
