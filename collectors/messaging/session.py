"""The MQTT session for the whole bundle.

:func:`collectors.messaging.broker.read_broker` reads the broker's address, :class:`Session` connects. Importing this
module does not import the MQTT library.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from collectors.core.api import Unavailable
from collectors.messaging.broker import Broker, tls_context

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

#: Seconds between attempts to connect: doubled from the first value to the second.
_RECONNECT_SECONDS = (1, 60)

#: Reason code of MQTT 5: the broker accepted a message and dropped it, because the topic has no subscribers.
_NO_SUBSCRIBERS = 0x10


class ErrorQueue:
    """Errors from other threads, collected up to a limit until they are reported."""

    def __init__(self) -> None:
        self._sentences: deque[str] = deque(maxlen=16)

    def add(self, sentence: str) -> None:
        """Queue an error, from any thread; the oldest is dropped when 16 are waiting."""
        self._sentences.append(sentence)

    def drain(self, report: Callable[[str], None]) -> None:
        """Report the queued errors, oldest first, and empty the queue."""
        while self._sentences:
            report(self._sentences.popleft())


class Presence(NamedTuple):
    """The retained status of this client.

    Args:
        topic: where the status is published.
        online: published at each connection; with None the caller publishes it, and the session only sets the will.
        offline: the last will, which the broker publishes when the connection breaks. A session that publishes
            ``online`` also publishes this when it stops.
    """

    topic: str
    online: bytes | None
    offline: bytes


class SessionConfig(NamedTuple):
    """The settings of a session.

    Args:
        client_id: name of the session at the broker; empty for one that the broker assigns.
        topics: subscribed to with QoS 1.
        presence: the retained status of this client, if it has one.
        session_seconds: how long the broker keeps the session, with its queued messages, for a disconnected client.
            None starts a new session with each process.
        keepalive_seconds: a connection without traffic for longer counts as lost.
        connect_timeout_seconds: time limit for one attempt to connect.
        max_packet_bytes: maximum size of packets from the broker, which drops larger ones. None for no limit.
        max_unacknowledged: number of messages that the broker sends before the first of them is acknowledged. None for
            the default of the protocol, 65,535.
        max_queued: maximum number of published messages waiting for acknowledgement; 0 for no limit.
    """

    client_id: str = ""
    topics: tuple[str, ...] = ()
    presence: Presence | None = None
    session_seconds: int | None = None
    keepalive_seconds: int = 60
    connect_timeout_seconds: float = 5.0
    max_packet_bytes: int | None = None
    max_unacknowledged: int | None = None
    max_queued: int = 0


class Message(NamedTuple):
    """A received message.

    Args:
        number, connection: identify the message for :meth:`Session.acknowledge`; the number is the packet id, or 0 for
            a message that needs no acknowledgement.
        repeated: whether the broker may have sent the message before (the flag DUP).
    """

    topic: str
    payload: bytes
    retained: bool
    number: int = 0
    connection: int = 0
    repeated: bool = False


class Delivery(NamedTuple):
    """The broker's response to a published message.

    Args:
        refusal: the reason why the broker rejected the message; empty if it accepted it.
        no_subscribers: whether the topic has no subscribers, so that the broker dropped the message.
    """

    refusal: str
    no_subscribers: bool = False


class Session:
    """An MQTT 5 session at QoS 1 that outlives its connection.

    The client's thread connects, retries with growing delays, resumes the session and resends unacknowledged
    messages. Errors go to an :class:`ErrorQueue` as sentences.

    Every received message must be passed to :meth:`acknowledge`; until then the broker keeps it and redelivers it over
    the next connection.

    Subscriptions are renewed at each connection, even if the broker has resumed the session: after a crash, a broker
    may have restored the session without the newest topics. Retained messages come only with a new subscription.

    Args:
        broker: the broker to connect to.
        config: the settings of the session.
        errors: receives rejections, failed attempts and lost connections.

    Raises:
        Unavailable: the MQTT library is not installed, or a certificate or key cannot be used.
    """

    def __init__(self, broker: Broker, config: SessionConfig, errors: ErrorQueue) -> None:
        try:
            from paho.mqtt.client import Client, MQTTv5
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise Unavailable("MQTT needs the library paho-mqtt 2: pip install 'sensetig[mqtt]'") from None

        self._broker = broker
        self._config = config
        self._errors = errors
        self._on_message: Callable[[Message], None] = lambda message: self.acknowledge(message)
        self._on_connection: Callable[[bool, str], None] = lambda *_: None
        self._on_subscribed: Callable[[], None] = lambda: None
        self._dispatch: Callable[[Callable[[], None]], object] = lambda call: call()
        self._connection = 0
        self._refused = False
        # Guards the following attributes. Never held during calls of the client's methods, which take other locks.
        self._changed = threading.Condition()
        self._connected = False
        self._unacknowledged: dict[int, Callable[[Delivery], None]] = {}
        self._early: dict[int, Delivery] = {}
        self.subscribed = threading.Event()
        """Set while the broker has accepted every subscription of the current connection."""
        self.resumed = False
        """Whether the broker had the session already when the current connection began."""

        client = Client(CallbackAPIVersion.VERSION2, client_id=config.client_id, protocol=MQTTv5, manual_ack=True)
        self._client = client
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            client.tls_set_context(tls_context(broker))
        if config.presence is not None:
            client.will_set(config.presence.topic, config.presence.offline, qos=1, retain=True)
        client.connect_timeout = config.connect_timeout_seconds
        client.max_queued_messages_set(config.max_queued)
        client.reconnect_delay_set(*_RECONNECT_SECONDS)
        client.on_connect_fail = self._connect_failed
        client.on_connect = self._connect_answered
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribe_answered
        client.on_publish = self._published
        client.on_message = self._received

    def start(
        self,
        on_message: Callable[[Message], None] | None = None,
        on_connection: Callable[[bool, str], None] | None = None,
        dispatch: Callable[[Callable[[], None]], object] | None = None,
        on_subscribed: Callable[[], None] | None = None,
    ) -> None:
        """Start the client's thread, which connects now or as soon as the broker responds.

        Args:
            on_message: receives each message.
            on_connection: receives True at each connection, or False if it is lost or rejected; and the sentence of the
                rejection, else an empty one.
            dispatch: runs the callbacks, for example in an event loop; by default the client's thread does.
            on_subscribed: called when the broker has accepted every subscription of a connection.
        """
        from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._on_message = on_message or self._on_message
        self._on_connection = on_connection or self._on_connection
        self._on_subscribed = on_subscribed or self._on_subscribed
        self._dispatch = dispatch or self._dispatch
        config = self._config
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if config.session_seconds is not None:
            properties.SessionExpiryInterval = config.session_seconds
        if config.max_packet_bytes is not None:
            properties.MaximumPacketSize = config.max_packet_bytes
        if config.max_unacknowledged is not None:
            properties.ReceiveMaximum = config.max_unacknowledged
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=config.keepalive_seconds,
            clean_start=MQTT_CLEAN_START_FIRST_ONLY if config.session_seconds is None else False,
            properties=properties,
        )
        self._client.loop_start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        done: Callable[[Delivery], None] | None = None,
        *,
        retain: bool = False,
    ) -> bool:
        """Publish a message, which waits for a connection if there is none.

        Args:
            done: receives the broker's response, after as many connections as needed.

        Returns:
            False, and ``done`` is never called, if ``max_queued`` messages are already waiting.
        """
        return self._publish(topic, payload, retain, lambda delivery: self._call(done, delivery))

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a message. Does nothing if its connection is lost: the broker redelivers the message."""
        if message.number and self.is_current(message):
            self._client.ack(message.number, 1)

    def is_current(self, message: Message) -> bool:
        """Whether a message belongs to the current connection; one of an earlier connection is redelivered."""
        return message.connection == self._connection

    def drain(self, seconds: float) -> int:
        """While connected, wait until every published message is acknowledged; return the number of pending ones."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unacknowledged or not self._connected, max(0.0, seconds))
            return len(self._unacknowledged)

    def stop(self, seconds: float) -> bool:
        """Publish ``offline`` if this session published ``online``, disconnect, and end the client's thread.

        The broker keeps the session and does not publish the last will.

        Returns:
            Whether the thread ended in time.
        """
        end = time.monotonic() + seconds
        presence = self._config.presence
        if presence is not None and presence.online is not None and self._connected:
            self._publish_status(presence.topic, presence.offline)
            self.drain(seconds / 2)
        self._client.disconnect()
        # The client waits without a limit for its thread, which may be connecting to a broker that does not respond.
        stopping = threading.Thread(target=self._end, name="mqtt-stop", daemon=True)
        stopping.start()
        stopping.join(max(0.0, end - time.monotonic()))
        return not stopping.is_alive()

    def _end(self) -> None:
        self._client.loop_stop()
        self._client.reinitialise()  # closes the sockets that wake its thread, which disconnecting leaves open

    def _publish(self, topic: str, payload: bytes, retain: bool, done: Callable[[Delivery], None]) -> bool:
        from paho.mqtt.enums import MQTTErrorCode

        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            return False
        with self._changed:
            delivery = self._early.pop(sent.mid, None)  # the response may arrive before this line
            if delivery is None:
                self._unacknowledged[sent.mid] = done
        if delivery is not None:
            done(delivery)
        return True

    def _publish_status(self, topic: str, status: bytes) -> None:
        def done(delivery: Delivery) -> None:
            if delivery.refusal:
                self._errors.add(f"the broker refuses the status on {topic}: {delivery.refusal}")

        self._publish(topic, status, True, done)

    def _call(self, done: Callable[[Delivery], None] | None, delivery: Delivery) -> None:
        if done is not None:
            self._dispatch(lambda: done(delivery))

    def _set_connected(self, connected: bool) -> None:
        with self._changed:
            self._connection += 1
            self._connected = connected
            self._changed.notify_all()
        self.subscribed.clear()

    # The methods below run on the client's thread.

    def _connect_failed(self, _client: object, _data: object) -> None:
        self._errors.add(f"the broker {self._broker.place} cannot be reached; trying again")

    def _connect_answered(
        self, client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        from paho.mqtt.subscribeoptions import SubscribeOptions

        if reason.is_failure:
            self._refused = True
            refusal = f"the broker {self._broker.place} refuses the connection: {reason}"
            self._errors.add(refusal)
            self._dispatch(lambda: self._on_connection(False, refusal))
            return
        self.resumed = flags.session_present
        self._set_connected(True)
        if self._config.topics:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, options) for topic in self._config.topics])
        presence = self._config.presence
        if presence is not None and presence.online is not None:
            self._publish_status(presence.topic, presence.online)
        self._dispatch(lambda: self._on_connection(True, ""))

    def _disconnected(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._set_connected(False)
        if self._refused:  # already reported with the reason
            self._refused = False
            return
        if reason.is_failure:
            self._errors.add(f"lost the connection to the broker {self._broker.place}: {reason}; trying again")
        self._dispatch(lambda: self._on_connection(False, ""))

    def _subscribe_answered(
        self, _client: object, _data: object, _number: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = False
        for topic, reason in zip(self._config.topics, reasons, strict=False):
            if reason.is_failure:
                refused = True
                self._errors.add(f"the broker {self._broker.place} refuses the subscription to {topic}: {reason}")
        if not refused:
            self.subscribed.set()
            self._dispatch(self._on_subscribed)

    def _published(self, _client: object, _data: object, number: int, reason: ReasonCode, _properties: object) -> None:
        delivery = Delivery(str(reason) if reason.is_failure else "", reason.value == _NO_SUBSCRIBERS)
        with self._changed:
            done = self._unacknowledged.pop(number, None)
            if done is None:
                self._early[number] = delivery
            self._changed.notify_all()
        if done is not None:
            done(delivery)

    def _received(self, _client: object, _data: object, received: MQTTMessage) -> None:
        message = Message(
            received.topic, bytes(received.payload), received.retain, received.mid, self._connection, received.dup
        )
        self._dispatch(lambda: self._on_message(message))


def topic_level(name: str) -> str:
    """Convert a name to one level of a topic by replacing special characters.

    >>> topic_level("pi/1+#")
    'pi-1--'
    """
    return "".join("-" if sign in "/+#$\0" else sign for sign in name) or "-"
