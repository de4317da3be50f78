"""The store in a NATS JetStream key-value bucket, for any number of workers on any number of machines.

The client runs on an event loop in a separate thread; calls from other threads wait for it, up to a time limit.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from collectors.core.api import Unavailable
from collectors.core.files import read_password, read_secret
from collectors.core.tls import client_context
from collectors.device_state.store import Change, Stored, StoreError
from collectors.messaging.broker import is_loopback

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.kv import KeyValue

#: Time limits for one response of the server, and for a whole call, in seconds.
ANSWER_SECONDS, CALL_SECONDS = 2.0, 20.0

#: Maximum number of concurrent requests.
_AT_ONCE = 128

_PORT = 4222
_PLAIN = re.compile(r"[A-Za-z0-9_-]")
_SPELLED = re.compile(r"=([0-9A-F]{2})")
_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,64}")

T = TypeVar("T")


class Server(NamedTuple):
    """The address of a NATS server, with credentials."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = None
    credentials_file: str | None = None
    ca_file: str | None = None

    @property
    def place(self) -> str:
        """The server's name in messages, never with the password."""
        return f"{self.host}:{self.port}"


def read_server(
    url: str,
    password_file: str | None = None,
    credentials_file: str | None = None,
    ca_file: str | None = None,
    *,
    setting: str = "state",
) -> Server:
    """Parse the URL of a server.

    Args:
        url: ``nats://[user@]host[:port]``, or ``tls://`` for TLS, which a server beyond loopback needs.
        password_file: its first line is the password, which therefore does not appear in a list of processes.
        credentials_file: a user's credentials, as NATS's own tools write them.
        ca_file: certificates to trust instead of those of the system and of this installation.
        setting: name of the setting with the URL, for error messages.

    Raises:
        Unavailable: the URL is not a server's, contains a password, or leads beyond loopback unencrypted; or a file
            with secrets cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path not in ("", "/"):
        kinds = "a file, nats://HOST[:PORT]," if setting == "state" else "nats://HOST[:PORT]"
        raise Unavailable(f"the setting {setting} must be {kinds} or tls://HOST[:PORT] for TLS")
    if parts.password is not None:
        raise Unavailable(
            f"the URL in the setting {setting} has a password in it, which the list of processes would show; leave the "
            "user there (tls://USER@HOST), and put the password into a file that the setting "
            f"{'state_' if setting == 'state' else ''}password_file names"
        )
    if parts.scheme != "tls" and not is_loopback(parts.hostname):
        raise Unavailable(
            f"the NATS server {parts.hostname} is not on this machine and would be spoken to unencrypted; use tls://"
        )
    user = unquote(parts.username) if parts.username else None
    password = None
    if password_file is not None:
        password = read_password(password_file, "state_password_file")
    if password and not user:
        raise Unavailable(f"there is a password for {parts.hostname}, but no user; name one: tls://USER@HOST")
    if credentials_file is not None:
        read_secret(credentials_file, "state_credentials_file")
    return Server(parts.hostname, port or _PORT, parts.scheme == "tls", user, password, credentials_file, ca_file)


def spell(device: str) -> str:
    """Encode a device's name as a key: characters other than letters, digits, ``_`` and ``-`` become hexadecimal.

    >>> spell("pi.7"), unspell("pi=2E7")
    ('pi=2E7', 'pi.7')
    """
    return "".join(
        sign if _PLAIN.match(sign) else "".join(f"={byte:02X}" for byte in sign.encode("utf-8", "replace"))
        for sign in device
    )


def unspell(key: str) -> str:
    """Decode a key of :func:`spell`."""
    return _SPELLED.sub(lambda match: chr(int(match[1], 16)), key).encode("latin-1").decode("utf-8", "replace")


class NatsStore:
    """A store in a bucket, which is created if missing.

    Args:
        server: the server.
        bucket: its name.
        replicas: number of replicas of a new bucket.
        complain: receives one sentence; only called from within this store's methods.
    """

    kind = "nats"

    def __init__(self, server: Server, bucket: str, replicas: int, complain: Callable[[str], None]) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise Unavailable(f"state_bucket is {bucket[:64]!r}; a bucket has 1 to 64 letters, digits, _ or -")
        try:
            import nats  # noqa: F401 - said now, and not at the first write
        except ImportError:
            raise Unavailable("device state in NATS needs the library nats-py: pip install 'sensetig[nats]'") from None
        self._server = server
        self._bucket = bucket
        self._replicas = replicas
        self._complain = complain
        self._context = self._encryption()
        self._reason = ""
        self._client: Client | None = None
        self._kv: KeyValue | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def read(self, devices: Sequence[str]) -> Mapping[str, Stored]:
        """See :class:`Store`."""
        return self._call(self._read(devices))

    def write(self, changes: Sequence[Change]) -> Mapping[str, int]:
        """See :class:`Store`."""
        return self._call(self._write(changes))

    def devices(self) -> Iterable[str]:
        """See :class:`Store`."""
        return self._call(self._devices())

    def close(self) -> None:
        """Close the connection and end its thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self._call(self._disconnect())
        except StoreError as error:
            self._complain(str(error))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(ANSWER_SECONDS)
        if not thread.is_alive():
            loop.close()
        self._loop = self._thread = None

    async def _read(self, devices: Sequence[str]) -> dict[str, Stored]:
        from nats.js.errors import KeyNotFoundError

        kv = await self._connected()
        slots = asyncio.Semaphore(_AT_ONCE)
        found: dict[str, Stored] = {}

        async def one(device: str) -> None:
            async with slots:
                try:
                    entry = await kv.get(spell(device))
                except KeyNotFoundError:
                    return
            found[device] = Stored(entry.value or b"", entry.revision or 0)

        await _all(map(one, devices))
        return found

    async def _write(self, changes: Sequence[Change]) -> dict[str, int]:
        from nats.js.errors import KeyWrongLastSequenceError

        kv = await self._connected()
        slots = asyncio.Semaphore(_AT_ONCE)
        written: dict[str, int] = {}

        async def one(change: Change) -> None:
            key = spell(change.device)
            async with slots:
                try:
                    if change.revision is None:
                        written[change.device] = await kv.create(key, change.document)
                    else:
                        written[change.device] = await kv.update(key, change.document, last=change.revision)
                except KeyWrongLastSequenceError:
                    return

        await _all(map(one, changes))
        return written

    async def _devices(self) -> list[str]:
        from nats.js.errors import NoKeysError

        kv = await self._connected()
        try:
            return [unspell(key) for key in await kv.keys()]
        except NoKeysError:
            return []

    async def _connected(self) -> KeyValue:
        """The bucket, once the server is available. The client reconnects by itself without delaying calls."""
        import nats
        from nats.js.api import KeyValueConfig
        from nats.js.errors import BucketNotFoundError

        if self._client is None or self._client.is_closed:
            self._kv = None
            server = self._server
            connecting = nats.connect(
                f"{'tls' if server.tls else 'nats'}://{server.place}",
                user=server.user,
                password=server.password,
                user_credentials=server.credentials_file,
                tls=self._context,
                name="sensetig telemetry",
                connect_timeout=int(ANSWER_SECONDS),
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                error_cb=self._met,
            )
            # With endless reconnects, the client would also try the first connection endlessly.
            self._client = await asyncio.wait_for(connecting, ANSWER_SECONDS)
        if not self._client.is_connected:
            raise ConnectionError("the connection is gone; it is being tried again")
        if self._kv is None:
            jetstream = self._client.jetstream(timeout=ANSWER_SECONDS)
            try:
                self._kv = await jetstream.key_value(self._bucket)
            except BucketNotFoundError:
                config = KeyValueConfig(bucket=self._bucket, history=1, replicas=self._replicas)
                self._kv = await jetstream.create_key_value(config)
        return self._kv

    async def _met(self, error: Exception) -> None:
        self._reason = self._reason or str(
            error
        )  # the first error is the cause; later ones report the closed connection

    async def _disconnect(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = self._kv = None

    def _encryption(self) -> Any:
        if not self._server.tls:
            return None
        try:
            return client_context(self._server.ca_file)
        except OSError as error:  # including ssl.SSLError
            raise Unavailable(
                f"state_ca_file {error.filename} cannot be used as certificates: {error.strerror or error}"
            ) from None

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; convert its exceptions to StoreError."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="device state", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(_bounded(work), self._loop)
        self._reason = ""
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - the library raises its own errors, those of asyncio and of sockets
            # The client keeps trying after the call has timed out, and has recorded a reason in the meantime.
            words = self._reason or "it does not answer" if isinstance(error, TimeoutError) else str(error)
            where = f"the NATS server {self._server.place} did not serve the bucket {self._bucket}"
            raise StoreError(f"{where}: {words.partition(chr(10))[0] or type(error).__name__}") from None


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; the first failure cancels the others, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.wait_for(work, CALL_SECONDS)
