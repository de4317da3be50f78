"""An MQTT broker: its address, its secrets, and a client that reconnects by itself and says in sentences what fails.

The client's thread keeps the connection; what it meets is put into a bounded list, and told by whoever owns the
report. Importing this module does not import the MQTT library.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from collectors.core.api import Unavailable
from collectors.core.files import read_password, read_secret

if TYPE_CHECKING:
    from ssl import SSLContext

    from paho.mqtt.client import Client

_PORTS = {"mqtt": 1883, "mqtts": 8883}

#: Seconds between attempts to connect: doubled from the first to the second.
_RECONNECT_SECONDS = (1, 60)

#: Seconds after which a silent connection counts as lost.
KEEPALIVE_SECONDS = 60


class Broker(NamedTuple):
    """Where a broker is, and who connects to it."""

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
        """What it is called in messages; never with the password."""
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
    """The broker that a URL names.

    Args:
        url: ``mqtt://[user@]host[:port]``, or ``mqtts://`` for TLS, which a broker beyond loopback needs.
        password_file: its first line is the password, which therefore stands in no list of processes.
        ca_file: certificates that are trusted instead of the system's.
        certificate, key: files (PEM) by which the client proves who it is, over TLS; nobody else may read the key.
        password_setting: what the setting of the password's file is called, for the sentences.

    Raises:
        Unavailable: the URL names no broker, has a password in it, or leads beyond loopback unencrypted; or the
            password's file or the key cannot be used.
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
            f"the broker {parts.hostname} is not on this machine and would be spoken to unencrypted, so that anybody "
            "on the way could read and change what is sent; use mqtts://"
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
    """Whether a host is this machine alone, by its name."""
    from ipaddress import ip_address

    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class ErrorQueue:
    """What a client's thread has to tell: kept, up to a bound, until the owner of the report takes it."""

    def __init__(self) -> None:
        self._sentences: deque[str] = deque(maxlen=16)

    def add(self, sentence: str) -> None:
        """Take a sentence, from any thread."""
        self._sentences.append(sentence)

    def tell(self, say: Callable[[str], None]) -> None:
        """Hand on what has been told since."""
        while self._sentences:
            say(self._sentences.popleft())


def make_client(broker: Broker, client_id: str, told: ErrorQueue, *, manual_ack: bool = False) -> Client:
    """An MQTT 5 client for the broker, with what goes wrong told in sentences; it is not connected yet.

    Raises:
        Unavailable: the library is not there, or the file with certificates cannot be used.
    """
    try:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise Unavailable("MQTT needs the library paho-mqtt 2: pip install 'sensetig[mqtt]'") from None

    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5, manual_ack=manual_ack)
    if broker.user is not None:
        client.username_pw_set(broker.user, broker.password)
    if broker.tls:
        client.tls_set_context(_tls_context(broker))
    client.reconnect_delay_set(*_RECONNECT_SECONDS)
    client.on_connect_fail = lambda *_: told.add(f"the broker {broker.place} cannot be reached; trying again")

    def disconnected(_client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", True):
            told.add(f"the connection to the broker {broker.place} broke off: {reason}; trying again")

    client.on_disconnect = disconnected
    return client


def _tls_context(broker: Broker) -> SSLContext:
    """Whom to trust, and the certificate to show. Raises Unavailable when a file cannot be used."""
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if broker.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(broker.ca_file)
    except OSError as error:  # ssl.SSLError is one, too
        raise Unavailable(f"{broker.ca_file} cannot be used as the broker's certificates: {error}") from None
    if broker.certificate is not None:
        try:
            # A key with a passphrase is refused; without this it would be asked for on a terminal that is not there.
            context.load_cert_chain(broker.certificate, broker.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"{broker.certificate} and {broker.key} cannot be used as certificate and key: {error}"
            ) from None
    return context


def refusal(broker: Broker, reason: object) -> str:
    """The sentence for a connection that the broker answered with a refusal."""
    return f"the broker {broker.place} refuses the connection: {reason}"


def topic_level(name: str) -> str:
    """A name as one level of a topic: without what means something in topics.

    >>> topic_level("pi/1+#")
    'pi-1--'
    """
    return "".join("-" if sign in "/+#$\0" else sign for sign in name) or "-"
