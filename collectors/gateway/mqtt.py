"""Messages from an MQTT broker, each with its packet id and DUP flag."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from collectors.gateway.source import Inbox, Incoming, Waiting
from collectors.messaging.broker import Broker
from collectors.messaging.session import ErrorQueue, Message, Session, SessionConfig
from collectors.telemetry.redelivery import Delivery

#: Number of messages that the broker sends before the first of them is acknowledged: max_inflight_messages in
#: mosquitto/sensetig.conf.
MAX_UNACKNOWLEDGED = 10_000

#: How long the broker keeps the session and its queue while the gateway is disconnected: 14 days.
_SESSION_SECONDS = 14 * 86_400

_STOP_SECONDS = 2.0


class MqttSource:
    """A session at a broker.

    Args:
        broker: the broker.
        client_id: of the session.
        topics: to subscribe to.
        log: receives a sentence at each connection.
    """

    def __init__(self, broker: Broker, client_id: str, topics: tuple[str, ...], log: Callable[[str], None]) -> None:
        self._log = log
        self._place = broker.place
        self._errors = ErrorQueue()
        config = SessionConfig(
            client_id=client_id,
            topics=topics,
            session_seconds=_SESSION_SECONDS,
            keepalive_seconds=30,
            max_unacknowledged=MAX_UNACKNOWLEDGED,
        )
        self._session = Session(broker, config, self._errors)
        self._inbox = Inbox()
        self.descriptor = self._inbox.descriptor
        self._connected_ns = self._latest_ns = 0

    def start(self) -> None:
        """See :class:`~collectors.gateway.source.Source`."""
        self._session.start(self._receive, self._connection, on_subscribed=self._subscribed)

    def take(self) -> list[Incoming]:
        """See :class:`~collectors.gateway.source.Source`."""
        return self._inbox.take()

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """See :class:`~collectors.gateway.source.Source`. The broker redelivers messages of an earlier connection."""
        for each in messages:
            assert isinstance(each.handle, Message)
            self._session.acknowledge(each.handle)

    def hold(self, messages: Sequence[Incoming]) -> None:
        """Do nothing: the broker waits indefinitely while the connection lasts."""

    def waiting(self) -> Waiting | None:
        """None: the broker does not report the queue of a client."""
        return None

    def errors(self) -> list[str]:
        """See :class:`~collectors.gateway.source.Source`."""
        said: list[str] = []
        self._errors.drain(said.append)
        return said

    def close(self) -> None:
        """See :class:`~collectors.gateway.source.Source`."""
        self._session.stop(_STOP_SECONDS)

    # The methods below run on the client's thread.

    def _connection(self, connected: bool, _refusal: str) -> None:
        if connected:
            self._connected_ns = time.time_ns()

    def _subscribed(self) -> None:
        self._log(f"subscribed at the broker {self._place}")

    def _receive(self, message: Message) -> None:
        if not message.payload:  # the deletion of a retained message
            self._session.acknowledge(message)
            return
        arrived_ns = time.time_ns()
        if arrived_ns == self._latest_ns:  # two messages of one series are two points
            arrived_ns += 1
        self._latest_ns = arrived_ns
        delivery = None
        if message.number:
            delivery = Delivery(message.number, message.repeated, self._connected_ns, self._session.resumed)
        self._inbox.put(Incoming(message.topic, message.payload, arrived_ns, delivery, message))
