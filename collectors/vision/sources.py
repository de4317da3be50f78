"""Where pictures come from: a durable queue at a broker, or files."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from collectors.core.api import Unavailable
from collectors.messaging.session import KEEPALIVE_SECONDS, Broker, ErrorQueue, make_client, refusal
from collectors.vision import snapshot
from collectors.vision.snapshot import Snapshot, SnapshotError, check_jpeg

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

#: Messages that the broker hands out before the first of them is acknowledged, and bytes of one at most: together
#: the memory that a queue can take, however long it is.
RECEIVE_MAXIMUM = 4
MAX_PACKET_BYTES = 2 * 1024 * 1024


class Taken(NamedTuple):
    """What was taken from a source.

    Args:
        payload: a message, or a file.
        device: the machine whose camera it is, or empty.
        read: makes a snapshot of the payload; raises SnapshotError.
        number, connection: by which the source knows it again.
    """

    payload: bytes
    device: str
    read: Callable[[bytes], Snapshot]
    number: int = 0
    connection: int = 0


class Source(Protocol):
    """Gives one picture after the other."""

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        ...

    def take(self, seconds: float) -> Taken | None:
        """The next one, or None when none has come for so long."""
        ...

    def done(self, taken: Taken) -> None:
        """What was taken has been dealt with, and need not come again."""
        ...

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what went wrong meanwhile."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Queue:
    """A subscription at quality of service 1 in a session that outlives the connection and this process.

    The broker keeps each message until it is acknowledged, which is done when it has been dealt with. After a broken
    connection it hands out again what was not.

    Args:
        broker: where.
        topic: what is subscribed to.
        client_id: by which the broker knows the session.
        seconds: how long it keeps the session while nobody is connected.
    """

    ended = False

    def __init__(self, broker: Broker, topic: str, client_id: str, seconds: int) -> None:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._broker = broker
        self._topic = topic
        self._told = ErrorQueue()
        self._waiting: SimpleQueue[Taken] = SimpleQueue()
        self._connection = 0
        self._client = make_client(broker, client_id, self._told, manual_ack=True)
        self._client.on_connect = self._connected
        self._tell_disconnected = self._client.on_disconnect
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = seconds
        wanted.ReceiveMaximum = RECEIVE_MAXIMUM
        wanted.MaximumPacketSize = MAX_PACKET_BYTES
        self._client.connect_async(
            broker.host, broker.port, keepalive=KEEPALIVE_SECONDS, clean_start=False, properties=wanted
        )
        self._client.loop_start()

    def take(self, seconds: float) -> Taken | None:
        """The next message of this connection; those of an earlier one come again."""
        try:
            while (taken := self._waiting.get(timeout=seconds)).connection != self._connection:
                pass
        except Empty:
            return None
        return taken

    def done(self, taken: Taken) -> None:
        """Acknowledge a message; in vain when the connection has broken since, so that it comes again."""
        if taken.connection == self._connection:
            self._client.ack(taken.number, 1)

    def tell(self, say: Callable[[str], None]) -> None:
        self._told.tell(say)

    def close(self) -> None:
        """Disconnect; the broker keeps the session with what was not acknowledged."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, _client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", True):
            self._told.add(refusal(self._broker, reason))
            return
        self._client.subscribe(self._topic, qos=1)

    def _disconnected(self, *said: Any) -> None:
        # What waits here comes again: looked at now, it would be looked at twice.
        self._connection += 1
        if self._tell_disconnected is not None:
            self._tell_disconnected(*said)

    def _subscribed(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        for reason in reasons:
            if getattr(reason, "is_failure", True):
                self._told.add(f"the broker {self._broker.place} refuses the topic {self._topic}: {reason}")

    def _received(self, _client: object, _data: object, message: MQTTMessage) -> None:
        levels = message.topic.split("/")
        device = levels[1] if len(levels) > 1 else ""
        self._waiting.put(Taken(bytes(message.payload), device, snapshot.read, message.mid, self._connection))


class Files:
    """Pictures in files, each looked at once: to try an engine out.

    Args:
        path: a JPEG, or a folder of them, which are taken in the order of their names.

    Raises:
        Unavailable: there are none.
    """

    def __init__(self, path: str) -> None:
        if os.path.isdir(path):
            names = sorted(name for name in os.listdir(path) if name.lower().endswith((".jpg", ".jpeg")))
            self._paths = [os.path.join(path, name) for name in names]
        else:
            self._paths = [path] if os.path.isfile(path) else []
        if not self._paths:
            raise Unavailable(f"{path} is no picture, and no folder with one that ends in .jpg")

    @property
    def ended(self) -> bool:
        return not self._paths

    def take(self, seconds: float) -> Taken | None:
        del seconds
        if not self._paths:
            return None
        path = self._paths.pop(0)
        time_ns = os.stat(path).st_mtime_ns
        folder = os.path.basename(os.path.dirname(os.path.abspath(path))) or "pictures"

        def read(jpeg: bytes) -> Snapshot:
            try:
                check_jpeg(jpeg)
            except ValueError as error:
                raise SnapshotError(f"{path}: {error}") from None
            event_id = os.path.splitext(os.path.basename(path))[0]
            return Snapshot(event_id, folder, time_ns, jpeg, ("replayed",))

        with open(path, "rb") as file:
            return Taken(file.read(), "", read)

    def done(self, taken: Taken) -> None:
        """Nothing is taken twice."""

    def tell(self, say: Callable[[str], None]) -> None:
        """Nothing goes wrong meanwhile."""

    def close(self) -> None:
        """Nothing is held."""
