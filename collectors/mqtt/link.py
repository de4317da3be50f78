"""The connection to the broker, for an asyncio loop: Paho's own thread keeps it, and its news come into the loop.

Paho connects again by itself with growing pauses, keeps what is not acknowledged over a broken connection and sends it
once more, and goes on in the broker's session; the asyncio clients built on it leave all three to the application. So
its thread is used as it is, as everywhere in the bundle, and this class carries its callbacks over.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.messaging.session import Broker, ErrorQueue, make_client, refusal

#: What the broker may send: how long a message is (it throws a longer one away), and how many wait to be acknowledged.
PACKET_BYTES_MOST, RECEIVE_MOST = 512 * 1024, 20

#: The broker took a message, and threw it away at once.
_NO_SUBSCRIBERS = 0x10


class Message(NamedTuple):
    """A message that has come.

    Args:
        number, connection: by which it is acknowledged; the number is 0 where nobody waits for that.
    """

    topic: str
    payload: bytes
    retained: bool
    number: int
    connection: int


class Published(NamedTuple):
    """What the broker said of a message.

    Args:
        refusal: why it did not take it; empty where it did.
        heard: whether anybody was subscribed, as far as the broker tells.
    """

    refusal: str
    heard: bool


class Listener(NamedTuple):
    """Who is told, in the loop.

    Args:
        message: of each message.
        connected: of each connection, and with False of its end.
    """

    message: Callable[[Message], None]
    connected: Callable[[bool], None]


class Link:
    """Publishes and subscribes at quality of service 1, in a session that outlasts the connection.

    Args:
        broker: where.
        client_id: by which the broker knows the session.
        will: topic and payload that the broker publishes, retained, when the connection breaks off.
        topics: what is subscribed to.
        keepalive, session_seconds: how long silence lasts, and the session.
        told: takes what goes wrong.

    Raises:
        Unavailable: the library is not there, or the certificates cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: tuple[str, bytes],
        topics: Sequence[str],
        keepalive: int,
        session_seconds: int,
        told: ErrorQueue,
    ) -> None:
        self._broker = broker
        self._topics = tuple(topics)
        self._keepalive = keepalive
        self._session_seconds = session_seconds
        self._told = told
        self._waiting: dict[int, asyncio.Future[Published]] = {}
        self._connection = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = Listener(lambda _: None, lambda _: None)
        self._client = client = make_client(broker, client_id, told, manual_ack=True)
        self._say_disconnected: Any = client.on_disconnect
        client.will_set(*will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    def start(self, listener: Listener) -> None:
        """Connect, now or as soon as the broker is there. Called in the loop."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = self._session_seconds
        wanted.MaximumPacketSize = PACKET_BYTES_MOST
        wanted.ReceiveMaximum = RECEIVE_MOST
        self._client.connect_async(
            self._broker.host, self._broker.port, keepalive=self._keepalive, clean_start=False, properties=wanted
        )
        self._client.loop_start()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Published:
        """Send a message, and wait until the broker has acknowledged it, over as many connections as that takes."""
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        number = self._client.publish(topic, payload, qos=1, retain=retain).mid
        self._waiting[number] = future
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def acknowledge(self, message: Message) -> None:
        """A message has been dealt with; in vain when the connection has broken since, so that it comes again."""
        if message.number and message.connection == self._connection:
            self._client.ack(message.number, 1)

    async def stop(self, seconds: float) -> bool:
        """Say goodbye, so that the last will is not published, and end the thread; whether that was done in time."""
        ended = asyncio.Event()

        def end() -> None:
            self._client.disconnect()
            self._client.loop_stop()  # waits without end for a connection to a broker that does not answer
            self._post(ended.set)

        threading.Thread(target=end, name="mqtt-end", daemon=True).start()
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _post(self, call: Callable[..., object], *arguments: object) -> None:
        """Call it in the loop; once that is closed there is nobody left to be told."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    # What follows runs on Paho's thread.

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._told.add(refusal(self._broker, reason))
            return
        self._connection += 1
        if self._topics:
            # Once for each session: what is retained is no news each time that the connection comes back.
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, options) for topic in self._topics])
        self._post(self._listener.connected, True)

    def _on_disconnect(
        self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._say_disconnected(client, data, flags, reason, properties)
        self._post(self._listener.connected, False)

    def _on_subscribe(
        self, _client: Client, _data: object, _number: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                self._told.add(f"the broker {self._broker.place} refuses the topic {topic}: {reason}")

    def _on_publish(
        self, _client: Client, _data: object, number: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        said = Published(str(reason) if reason.is_failure else "", reason.value != _NO_SUBSCRIBERS)
        self._post(self._settle, number, said)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        taken = Message(message.topic, bytes(message.payload), message.retain, message.mid, self._connection)
        self._post(self._listener.message, taken)

    def _settle(self, number: int, said: Published) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(said)
