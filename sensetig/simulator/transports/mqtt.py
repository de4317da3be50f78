"""By MQTT, QoS 1: a connection for each device with its last will, or some connections that many devices share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from collectors.core.api import Unavailable
from collectors.messaging.session import KEEPALIVE_SECONDS, Broker, ErrorQueue, make_client, read_broker, refusal
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import Message, Status
from sensetig.simulator.encoding import payload, status_topic, telemetry_topic
from sensetig.simulator.transports import Deliveries, Target

if TYPE_CHECKING:
    from paho.mqtt.client import Client

#: A device has a connection of its own as long as there are no more than so many devices; a thread serves each.
OWN_CONNECTIONS = 100

#: Connections that more devices share.
SHARED_CONNECTIONS = 4


class _Connection:
    """One client, with the tickets of what it has published."""

    def __init__(self, client: Client, told: ErrorQueue) -> None:
        self.client = client
        self.told = told
        self.tickets: dict[int, int] = {}
        self.answered = asyncio.Event()
        self.refused: str | None = None


class Mqtt:
    """The transport.

    A broker that goes away is connected to again by the client library, which sends what was not acknowledged again.
    """

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
        self._connections: list[_Connection] = []
        self._of: dict[str, _Connection] = {}

    async def open(self, devices: Sequence[str]) -> None:
        """Connect, and say that every device is online."""
        most = self._target.connections or (len(devices) if len(devices) <= OWN_CONNECTIONS else SHARED_CONNECTIONS)
        own = len(devices) <= most
        for number in range(min(most, len(devices))):
            self._connections.append(self._connect(self._broker, devices[number] if own else None, number))
        for number, device in enumerate(devices):
            self._of[device] = self._connections[number % len(self._connections)]
        try:
            async with asyncio.timeout(self._target.wait_seconds):
                for connection in self._connections:
                    await connection.answered.wait()
                    if connection.refused:
                        raise SimulatorError(connection.refused)
        except TimeoutError:
            raise SimulatorError(
                f"no broker answers at {self._broker.place} within {self._target.wait_seconds:g} s; "
                "start it, or name the right address with --to"
            ) from None
        for device in devices:
            await self.send(Status(device, online=True))

    def _connect(self, broker: Broker, device: str | None, number: int) -> _Connection:
        told = ErrorQueue()
        name = f"sensetig-{device}" if device else f"sensetig-simulate-{number}"
        try:
            client = make_client(broker, name, told)
        except Unavailable as error:
            raise SimulatorError(str(error)) from None
        connection = _Connection(client, told)
        client.max_queued_messages_set(0)  # what waits is bounded by the deliveries
        if device is not None:
            client.will_set(status_topic(device), b"offline", qos=1, retain=True)

        def connected(_client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
            refused = refusal(broker, reason) if reason.is_failure else None
            self._deliveries.tell(lambda: _answer(connection, refused))

        def published(_client: object, _data: object, mid: int, reason: Any, _properties: object) -> None:
            failure = str(reason) if reason is not None and reason.is_failure else None
            self._deliveries.tell(lambda: self._settle(connection, mid, failure))

        client.on_connect = connected
        client.on_publish = published
        client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS)
        client.loop_start()
        return connection

    def _settle(self, connection: _Connection, mid: int, failure: str | None) -> None:
        connection.told.tell(self._deliveries.say)
        ticket = connection.tickets.pop(mid, None)
        if ticket is None:
            return
        if failure is None:
            self._deliveries.acknowledged(ticket)
        else:
            self._deliveries.failed(ticket, f"the broker {self._broker.place} refused it: {failure}")

    async def send(self, message: Message | Status) -> None:
        """Publish a message, or the retained status of a device."""
        room = await self._deliveries.room()
        ticket = self._deliveries.send_log.sent(message)
        if not room:
            self._deliveries.failed(ticket, "it was time to stop before there was room for it")
            return
        connection = self._of[message.device]
        if isinstance(message, Status):
            told = connection.client.publish(
                status_topic(message.device), b"online" if message.online else b"offline", qos=1, retain=True
            )
        else:
            body = payload(message, self._target.payload, self._target.too_large_bytes)
            told = connection.client.publish(telemetry_topic(message.device), body, qos=1)
        # The answer is noted in this thread, thus never before this.
        connection.tickets[told.mid] = ticket
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Say that the devices go, and wait until the broker has everything."""
        await self._deliveries.none_waiting()
        for device in self._of:
            await self.send(Status(device, online=False))
        await self._deliveries.none_waiting()

    async def close(self) -> None:
        """Disconnect; the broker sends no last will of who says goodbye."""
        for connection in self._connections:
            connection.told.tell(self._deliveries.say)
            connection.client.disconnect()
        for connection in self._connections:
            await asyncio.to_thread(connection.client.loop_stop)


def _answer(connection: _Connection, refused: str | None) -> None:
    connection.refused = refused
    connection.answered.set()


def is_mqtt(url: str) -> bool:
    """Whether a URL is one of this transport."""
    return urlsplit(url).scheme in ("mqtt", "mqtts")
