"""The address and credentials of an MQTT broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from collectors.core.api import Unavailable
from collectors.core.files import read_password, read_secret
from collectors.core.tls import trust_installation

if TYPE_CHECKING:
    from ssl import SSLContext

_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Broker(NamedTuple):
    """The address of a broker, and the client's credentials."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def place(self) -> str:
        """The address for messages, without credentials."""
        return f"{self.host}:{self.port}"


def read_broker(
    url: str,
    password_file: str | None = None,
    ca_file: str | None = None,
    *,
    certificate: str | None = None,
    key: str | None = None,
    password_setting: str = "password_file",  # noqa: S107 - the name of a setting
) -> Broker:
    """Read a broker's URL and the files with its secrets.

    Args:
        url: ``mqtt://[user@]host[:port]``, or ``mqtts://`` for TLS, which a broker beyond loopback needs.
        password_file: file whose first line is the password; on the command line, the process list would show it.
        ca_file: certificates (PEM) to trust instead of those of the system and of this installation.
        certificate, key: the client's certificate and private key (PEM), for TLS; only the owner may read the key.
        password_setting: name of the setting for the password file, for error messages.

    Raises:
        Unavailable: the URL is not one of a broker, contains a password, or leads beyond loopback without TLS; or the
            password file or the key cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise Unavailable("the broker's URL must be mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS")
    if parts.password is not None:
        raise Unavailable(
            "the broker's URL has a password in it, which the list of processes would show; leave the user there "
            f"(mqtts://USER@HOST), and put the password into a file that the setting {password_setting} names"
        )
    if parts.scheme != "mqtts" and not is_loopback(parts.hostname):
        raise Unavailable(
            f"the broker {parts.hostname} is not on this machine and would be reached without encryption, so that "
            "others could read and change the messages; use mqtts://"
        )
    password = None
    if password_file is not None:
        password = read_password(password_file, password_setting)
    user = unquote(parts.username) if parts.username else None
    if password and not user:
        raise Unavailable(f"there is a password for {parts.hostname}, but no user; name one: mqtt://USER@HOST")
    tls = parts.scheme == "mqtts"
    if (certificate is None) != (key is None):
        raise Unavailable("certificate and key belong together: set both, or neither")
    if key is not None:
        if not tls:
            raise Unavailable("certificate and key are shown over TLS alone; use mqtts:// in the broker's URL")
        read_secret(key, "key")
    return Broker(parts.hostname, port or _PORTS[parts.scheme], tls, user, password, ca_file, certificate, key)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is on loopback."""
    from ipaddress import ip_address

    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(broker: Broker) -> SSLContext:
    """The TLS context for a broker. Raises Unavailable if a file cannot be used."""
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if broker.ca_file is None:
            context.load_default_certs()
            trust_installation(context)
        else:
            context.load_verify_locations(broker.ca_file)
    except OSError as error:  # including ssl.SSLError
        path = broker.ca_file or error.filename
        raise Unavailable(f"{path} cannot be used as the broker's certificates: {error}") from None
    if broker.certificate is not None:
        try:
            # Reject a key with a passphrase: OpenSSL would prompt on a terminal, which a service does not have.
            context.load_cert_chain(broker.certificate, broker.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"{broker.certificate} and {broker.key} cannot be used as certificate and key: {error}"
            ) from None
    return context
