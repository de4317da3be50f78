"""Transport over MQTT at QoS 1: one connection per device, with its last will, or a few shared connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from collectors.core.api import Unavailable
from collectors.messaging.broker import read_broker
from collectors.messaging.session import Delivery, ErrorQueue, Presence, Session, SessionConfig
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import Message, Status
from sensetig.simulator.encoding import payload, status_topic, telemetry_topic
from sensetig.simulator.transports import Deliveries, Target

#: Maximum number of devices with separate connections, each served by a thread.
OWN_CONNECTIONS = 100

#: Number of connections shared by more devices.
SHARED_CONNECTIONS = 4

#: Seconds allowed for a connection to close.
_CLOSE_SECONDS = 10.0


class _Connection:
    """One session, and the broker's response to its first attempt to connect."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answered = asyncio.Event()
        self.refusal = ""

    def on_connection(self, connected: bool, refusal: str) -> None:
        """Record the broker's response."""
        if connected or refusal:
            self.refusal = refusal
            self.answered.set()


class Mqtt:
    """The transport. Its sessions reconnect and resend unacknowledged messages."""

    def __init__(self, target: Target, deliveries: Deliveries) -> None:
        try:
            self._broker = read_broker(
                target.url,
                target.password_file,
                target.ca_file,
                password_setting="--password-file",  # noqa: S106 - the name of an option
            )
        except Unavailable as error:
            raise SimulatorError(str(error)) from None
        self._target = target
        self._deliveries = deliveries
        self._errors = ErrorQueue()
        self._connections: list[_Connection] = []
        self._of: dict[str, _Connection] = {}

    async def open(self, devices: Sequence[str]) -> None:
        """Connect, and publish the status ``online`` of every device."""
        most = self._target.connections or (len(devices) if len(devices) <= OWN_CONNECTIONS else SHARED_CONNECTIONS)
        own = len(devices) <= most
        for number in range(min(most, len(devices))):
            self._connections.append(self._connect(devices[number] if own else None, number))
        for number, device in enumerate(devices):
            self._of[device] = self._connections[number % len(self._connections)]
        try:
            async with asyncio.timeout(self._target.wait_seconds):
                for connection in self._connections:
                    await connection.answered.wait()
                    if connection.refusal:
                        raise SimulatorError(connection.refusal)
        except TimeoutError:
            raise SimulatorError(
                f"no broker answers at {self._broker.place} within {self._target.wait_seconds:g} s; "
                "start it, or name the right address with --to"
            ) from None
        for device in devices:
            await self.send(Status(device, online=True))

    def _connect(self, device: str | None, number: int) -> _Connection:
        config = SessionConfig(f"sensetig-{device}" if device else f"sensetig-simulate-{number}")
        if device is not None:
            config = config._replace(presence=Presence(status_topic(device), None, b"offline"))
        try:
            session = Session(self._broker, config, self._errors)
        except Unavailable as error:
            raise SimulatorError(str(error)) from None
        connection = _Connection(session)
        session.start(on_connection=connection.on_connection, dispatch=self._deliveries.tell)
        return connection

    def _settle(self, ticket: int, delivery: Delivery) -> None:
        self._errors.drain(self._deliveries.say)
        if delivery.refusal:
            self._deliveries.failed(ticket, f"the broker {self._broker.place} refused it: {delivery.refusal}")
        else:
            self._deliveries.acknowledged(ticket)

    async def send(self, message: Message | Status) -> None:
        """Publish a message, or the retained status of a device."""
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

        def done(delivery: Delivery) -> None:
            self._settle(ticket, delivery)

        session = self._of[message.device].session
        if not session.publish(topic, body, done, retain=isinstance(message, Status)):
            self._deliveries.failed(ticket, f"too many messages wait for the broker {self._broker.place}")
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Publish the status ``offline`` of every device, and wait until the broker has acknowledged everything."""
        await self._deliveries.none_waiting()
        for device in self._of:
            await self.send(Status(device, online=False))
        await self._deliveries.none_waiting()

    async def close(self) -> None:
        """Disconnect; the broker does not publish the last wills."""
        stops = (asyncio.to_thread(connection.session.stop, _CLOSE_SECONDS) for connection in self._connections)
        await asyncio.gather(*stops)
        self._errors.drain(self._deliveries.say)


def is_mqtt(url: str) -> bool:
    """Whether this transport serves a URL."""
    return urlsplit(url).scheme in ("mqtt", "mqtts")
