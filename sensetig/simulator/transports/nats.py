"""Transport over NATS JetStream: a message is acknowledged once the server has stored it, exactly once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from collectors.core.api import Unavailable
from collectors.core.files import read_password
from collectors.core.tls import client_context
from collectors.messaging.broker import is_loopback
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import Message, Status
from sensetig.simulator.encoding import payload, status_topic, subject, telemetry_topic
from sensetig.simulator.transports import Deliveries, Target

#: The stream, its subjects, and the consumer that the workers in telegraf/hub/nats.conf share.
STREAM, CONSUMER = "sensetig", "telegraf"
SUBJECTS = ("sensetig.*.telemetry", "sensetig.*.telemetry.>", "sensetig.*.status")

#: Maximum age of messages in the stream; the target sets their maximum size.
KEPT_SECONDS = 7 * 86_400

#: Seconds without an acknowledgement after which messages go to another worker, and the maximum number in flight.
ACK_SECONDS, ACK_PENDING = 60, 20_000

#: Seconds to wait for an acknowledgement; then the message is resent, which the server detects by its id.
_ANSWER_SECONDS = 5.0
_ATTEMPTS_SECONDS = 120.0


class Server:
    """The address of a NATS server, with credentials."""

    def __init__(self, target: Target) -> None:
        try:
            parts = urlsplit(target.url)
            port = parts.port or 4222
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path not in ("", "/"):
            raise SimulatorError("NATS is named as nats://HOST[:PORT], or tls://HOST[:PORT] for TLS")
        if parts.password is not None:
            raise SimulatorError(
                "the URL has a password in it, which the list of processes would show; leave the user there "
                "(tls://USER@HOST), and put the password into a file that --password-file names"
            )
        if parts.scheme != "tls" and not is_loopback(parts.hostname):
            raise SimulatorError(
                f"the server {parts.hostname} is not on this machine and would be spoken to unencrypted; use tls://"
            )
        self.place = f"{parts.hostname}:{port}"
        self.options: dict[str, Any] = {"servers": [f"{parts.scheme}://{parts.hostname}:{port}"]}
        try:
            if parts.username:
                self.options["user"] = unquote(parts.username)
            if target.password_file:
                self.options["password"] = read_password(target.password_file, "--password-file")
            if parts.scheme == "tls":
                self.options["tls"] = client_context(target.ca_file)
        except Unavailable as error:
            raise SimulatorError(str(error)) from None
        except OSError as error:  # including ssl.SSLError
            raise SimulatorError(f"{error.filename} cannot be used as the server's certificates: {error}") from None
        if "password" in self.options and "user" not in self.options:
            raise SimulatorError(f"there is a password for {self.place}, but no user; name one: nats://USER@HOST")


async def make_stream(jetstream: Any, most_bytes: int) -> None:
    """Create or update the stream and the workers' consumer."""
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig
    from nats.js.errors import NotFoundError

    config = StreamConfig(
        name=STREAM,
        subjects=list(SUBJECTS),
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=KEPT_SECONDS,
        max_bytes=most_bytes,
    )
    try:
        await jetstream.stream_info(STREAM)
        await jetstream.update_stream(config)
    except NotFoundError:
        await jetstream.add_stream(config)
    # This also updates a consumer that an earlier version created.
    await jetstream.add_consumer(
        STREAM,
        ConsumerConfig(
            durable_name=CONSUMER,
            deliver_group=CONSUMER,
            deliver_subject=f"_deliver.{STREAM}.{CONSUMER}",
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_ack_pending=ACK_PENDING,
        ),
    )


class Nats:
    """The transport, on one connection."""

    def __init__(self, target: Target, deliveries: Deliveries) -> None:
        self._target = target
        self._server = Server(target)
        self._deliveries = deliveries
        self._devices: Sequence[str] = ()
        self._run = secrets.token_hex(6)
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = False
        self._connected = False
        self._client: Any = None
        self._jetstream: Any = None
        self._publish_again: Callable[..., Any] = _no_connection

    async def open(self, devices: Sequence[str]) -> None:
        """Connect, create the stream if requested, and report every device as online."""
        try:
            import nats
            from nats.errors import Error
            from nats.js.errors import APIError, NotFoundError
            from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
        except ImportError:
            raise SimulatorError("NATS needs the library nats-py: pip install 'sensetig[nats]'") from None
        place = self._server.place
        refused = f"the server {place} refuses this user; check the user in --to and --password-file"
        try:
            async with asyncio.timeout(self._target.wait_seconds):
                self._client = await nats.connect(
                    **self._server.options,
                    name="sensetig-simulate",
                    max_reconnect_attempts=-1,
                    error_cb=self._failed,
                    disconnected_cb=self._disconnected,
                )
                self._connected = True
        except TimeoutError:
            if self._refused:
                raise SimulatorError(refused) from None
            raise SimulatorError(
                f"no NATS answers at {place} within {self._target.wait_seconds:g} s; "
                "start it, or name the right address with --to"
            ) from None
        except (Error, OSError) as error:
            if "authorization" in str(error).lower():
                raise SimulatorError(refused) from None
            raise SimulatorError(f"NATS at {place} cannot be used: {error}") from None
        self._jetstream = self._client.jetstream()
        try:
            if self._target.make_stream:
                await make_stream(self._jetstream, self._target.stream_bytes)
            await self._jetstream.find_stream_name_by_subject(subject(telemetry_topic("any")))
        except NotFoundError:
            raise SimulatorError(
                f"NATS at {place} has no stream that takes {SUBJECTS[0]}; make it, or let --make-stream make it"
            ) from None
        except (APIError, Error) as error:
            raise SimulatorError(f"JetStream at {place} cannot have the stream {STREAM}: {_sentence(error)}") from None
        self._publish_again = AsyncRetrying(
            retry=retry_if_exception_type((Error, TimeoutError)),
            stop=stop_after_delay(_ATTEMPTS_SECONDS),
            wait=wait_random_exponential(multiplier=0.2, max=10),
            reraise=True,
        ).wraps(self._publish)
        self._devices = devices
        for device in devices:
            await self.send(Status(device, online=True))

    async def _failed(self, error: Exception) -> None:
        said = _sentence(error)
        # Recorded, because later attempts may fail differently.
        self._refused = self._refused or "authorization" in said.lower()
        if self._connected and not isinstance(error, OSError):
            self._deliveries.say(f"NATS at {self._server.place}: {said}")

    async def _disconnected(self) -> None:
        if self._connected and not self._client.is_closed:
            self._deliveries.say(f"the connection to NATS at {self._server.place} broke off; trying again")

    async def _publish(self, topic: str, body: bytes, headers: dict[str, str]) -> None:
        await self._jetstream.publish(topic, body, timeout=_ANSWER_SECONDS, headers=headers)

    async def _deliver(self, ticket: int, topic: str, body: bytes) -> None:
        from nats.errors import Error, MaxPayloadError

        # A message that is resent because its acknowledgement was lost is stored once; ids differ between runs.
        headers = {"Nats-Msg-Id": f"{self._run}-{ticket}"}
        try:
            try:
                await self._publish(topic, body, headers)
            except MaxPayloadError:
                raise
            except (Error, TimeoutError):
                await self._publish_again(topic, body, headers)
        except MaxPayloadError:
            self._deliveries.failed(ticket, f"it is larger than NATS at {self._server.place} takes")
        except (Error, TimeoutError) as error:
            self._deliveries.failed(ticket, f"NATS at {self._server.place} did not take it: {_sentence(error)}")
        else:
            self._deliveries.acknowledged(ticket)

    async def send(self, message: Message | Status) -> None:
        """Publish a message, or the status of a device."""
        room = await self._deliveries.room()
        ticket = self._deliveries.send_log.sent(message)
        if not room:
            self._deliveries.failed(ticket, "it was time to stop before there was room for it")
            return
        if isinstance(message, Status):
            topic, body = status_topic(message.device), b"online" if message.online else b"offline"
        else:
            topic = telemetry_topic(message.device)
            body = payload(message, self._target.payload, self._target.too_large_bytes)
        task = asyncio.create_task(self._deliver(ticket, subject(topic), body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Report the devices as offline, and wait until the server has stored everything."""
        await self._deliveries.none_waiting()
        for device in self._devices:
            await self.send(Status(device, online=False))
        await self._deliveries.none_waiting()

    async def close(self) -> None:
        """Close the connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            self._connected = False
            await self._client.close()


async def _no_connection(*_: object) -> None:
    raise SimulatorError("NATS was written to before it was opened")


def _sentence(error: Exception) -> str:
    description = getattr(error, "description", None)
    return str(description or error).removeprefix("nats: ") or type(error).__name__
