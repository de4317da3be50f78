"""Commands by MQTT: messages in, answers out. What a command is, :mod:`collectors.messaging.commands` says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from collectors.camera.control.desk import Busy, Desk
from collectors.camera.media import MediaError
from collectors.core.api import Unavailable
from collectors.messaging import commands
from collectors.messaging.commands import ArgumentError, Command, Refused
from collectors.messaging.session import Broker, ErrorQueue, make_client, refusal, topic_level

#: Answers that wait for a broker that is away; what comes after them is lost, and counted.
ANSWERS_MOST = 100

#: What the broker may send: how long a message is (it throws a longer one away), and how many wait to be confirmed.
PACKET_BYTES_MOST, RECEIVE_MOST = 16 * 1024, 10


class Commands:
    """Takes commands from a broker on Paho's own thread, which connects again by itself.

    Args:
        device: its name in the topics.
        allowed: names of commands that are carried out.
        desk: carries them out.
        seconds_most: how long a clip may be.
        clock: wall clock, seconds since 1970.
        ids: keeps the ids of commands beyond this process.
        told: takes what went wrong, from other threads.

    Raises:
        Unavailable: an allowed command is unknown, or the certificates cannot be read.
    """

    def __init__(
        self,
        where: Broker,
        device: str,
        allowed: tuple[str, ...],
        desk: Desk,
        *,
        seconds_most: float,
        clock: Callable[[], float],
        ids: commands.Ids | None,
        told: ErrorQueue,
    ) -> None:
        self._handlers: Mapping[str, Callable[[Command], None]] = {
            "camera_ping": self._ping,
            "camera_photo": self._photo,
            "camera_video": self._video,
            "camera_detection": self._detection,
        }
        for name in allowed:
            if name not in self._handlers:
                raise Unavailable(f"command_allow names {name!r}; there are: {', '.join(self._handlers)}")
        self._where = where
        self._device = device
        self._desk = desk
        self._seconds_most = seconds_most
        self._clock = clock
        self._told = told
        self._gate = commands.Gate(device, self._handlers, allowed, ids=ids)
        #: Set while the broker hands on commands.
        self.subscribed = threading.Event()
        self._client = client = make_client(where, f"sensetig-camera-{topic_level(device)}", told)
        client.connect_timeout = 2
        client.max_queued_messages_set(ANSWERS_MOST)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def start(self) -> None:
        """Connect, now or as soon as the broker is there."""
        # The broker keeps commands for this name while the camera is away. Each says until when it holds, and none
        # holds for longer than this.
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = int(commands.EXPIRES_SECONDS_MOST)
        session.MaximumPacketSize = PACKET_BYTES_MOST
        session.ReceiveMaximum = RECEIVE_MOST
        self._client.connect_async(
            self._where.host, self._where.port, keepalive=30, clean_start=False, properties=session
        )
        self._client.loop_start()

    def stop(self, seconds: float) -> bool:
        """Say goodbye, and end the thread; whether that was done in so many seconds. The session stays."""
        self._client.disconnect()
        # Paho waits without end for its thread, which may be connecting to a broker that does not answer.
        waiting = threading.Thread(target=self._client.loop_stop, name="camera-commands-end", daemon=True)
        waiting.start()
        waiting.join(seconds)
        return not waiting.is_alive()

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del userdata, flags, properties
        self.subscribed.clear()
        if reason.is_failure:
            self._told.add(refusal(self._where, reason))
        else:
            # Its own names alone: the other commands of this device are another process's to answer.
            client.subscribe([(topic, 1) for topic in self._gate.topics])

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, mid, properties
        self.subscribed.set()
        for topic, reason in zip(self._gate.topics, reasons, strict=False):
            if reason.is_failure:
                self.subscribed.clear()
                self._told.add(f"the broker {self._where.place} does not let the camera subscribe to {topic}")

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        found = self._gate.admit(message.topic, bytes(message.payload), self._clock(), retained=message.retain)
        if isinstance(found, Command):
            try:
                self._handlers[found.name](found)
            except (ArgumentError, Busy) as error:
                self._answer(found, "refused", str(error))
        elif found.id is None:
            self._told.add(f"a command was refused, and nobody can be told: {found.message}")
        else:
            self._answer(found, "refused", found.message)

    def _answer(self, to: Command | Refused, status: commands.Status, message: str, **details: Any) -> None:
        assert to.id is not None
        payload = commands.result(to.id, to.name, status, message, details)
        sent = self._client.publish(commands.result_topic(self._device, to.id), payload, qos=1)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            self._told.add(f"an answer is lost: {ANSWERS_MOST} wait for the broker {self._where.place} already")

    def _ping(self, command: Command) -> None:
        commands.only(command.arguments)
        self._answer(command, "ok", "the camera is here", time_seconds=round(self._clock(), 3))

    def _photo(self, command: Command) -> None:
        commands.only(command.arguments)
        self._when_done(command, self._desk.photo(), "the photo is on disk")

    def _video(self, command: Command) -> None:
        commands.only(command.arguments, "seconds")
        seconds = commands.number(command.arguments, "seconds", 0, self._seconds_most, above=True)
        self._when_done(command, self._desk.video(seconds), "the clip has begun; its file is there when it has ended")

    def _detection(self, command: Command) -> None:
        commands.only(command.arguments, "detection")
        on = commands.switch(command.arguments, "detection")
        self._desk.detect(on)
        self._answer(command, "ok", f"detection is {'on' if on else 'off'}", detection=on)

    def _when_done(self, command: Command, future: Future[str], message: str) -> None:
        """Answer once the camera has: at the desk's thread, so that no message waits for it here."""

        def done(future: Future[str]) -> None:
            if future.cancelled():
                self._answer(command, "refused", "the camera is being stopped")
                return
            error = future.exception()
            if error is None:
                self._answer(command, "ok", message, path=future.result())
            elif isinstance(error, (MediaError, ValueError)):
                self._answer(command, "failed", str(error))
            else:
                self._told.add(f"{command.name} has failed: {type(error).__name__}: {error}")
                self._answer(command, "failed", "the camera's program has failed; its log says how")

        future.add_done_callback(done)
