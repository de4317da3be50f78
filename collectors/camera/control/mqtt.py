"""Commands to the camera over MQTT; see :mod:`collectors.messaging.commands` for the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from collectors.camera.control.command_queue import Busy, CommandQueue
from collectors.camera.media import MediaError
from collectors.core.api import Unavailable
from collectors.messaging import commands
from collectors.messaging.broker import Broker
from collectors.messaging.commands import ArgumentError, Command, RejectedCommand
from collectors.messaging.session import ErrorQueue, Message, Session, SessionConfig, topic_level

#: Maximum number of results that wait for an unreachable broker; further ones are lost and counted.
MAX_ANSWERS = 100

#: Maximum size of packets from the broker, and number of messages that it sends before an acknowledgement.
_MAX_PACKET_BYTES, _MAX_UNACKNOWLEDGED = 16 * 1024, 10


class Commands:
    """Receives commands from a broker and publishes the results.

    Args:
        where: the broker.
        device: the device's name in the topics.
        allowed: names of commands that may be executed.
        queue: executes them.
        max_seconds: maximum length of a clip.
        clock: wall clock, seconds since 1970.
        ids: stores the ids of commands across restarts.
        errors: receives errors from other threads.

    Raises:
        Unavailable: an allowed command is unknown, or the certificates cannot be read.
    """

    def __init__(
        self,
        where: Broker,
        device: str,
        allowed: tuple[str, ...],
        queue: CommandQueue,
        *,
        max_seconds: float,
        clock: Callable[[], float],
        ids: commands.IdStore | None,
        errors: ErrorQueue,
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
        self._queue = queue
        self._max_seconds = max_seconds
        self._clock = clock
        self._errors = errors
        self._validator = commands.CommandValidator(device, self._handlers, allowed, ids=ids)
        config = SessionConfig(
            f"sensetig-camera-{topic_level(device)}",
            # Only the names of this process: another process of the device answers the others.
            self._validator.topics,
            # No command is valid for longer than this.
            session_seconds=int(commands.MAX_EXPIRES_SECONDS),
            keepalive_seconds=30,
            connect_timeout_seconds=2,
            max_packet_bytes=_MAX_PACKET_BYTES,
            max_unacknowledged=_MAX_UNACKNOWLEDGED,
            max_queued=MAX_ANSWERS,
        )
        self._session = Session(where, config, errors)
        self.subscribed = self._session.subscribed
        """Set while the broker delivers commands."""

    def start(self) -> None:
        """Connect, now or as soon as the broker answers."""
        self._session.start(self._on_message)

    def stop(self, seconds: float) -> bool:
        """Disconnect; whether that took less than *seconds*. The broker keeps the session."""
        return self._session.stop(seconds)

    def _on_message(self, message: Message) -> None:
        self._handle(message)
        self._session.acknowledge(message)

    def _handle(self, message: Message) -> None:
        found = self._validator.validate(message.topic, message.payload, self._clock(), retained=message.retained)
        if isinstance(found, Command):
            try:
                self._handlers[found.name](found)
            except (ArgumentError, Busy) as error:
                self._answer(found, "refused", str(error))
        elif found.id is None:
            self._errors.add(f"a command was refused without an answer: {found.message}")
        else:
            self._answer(found, "refused", found.message)

    def _answer(self, to: Command | RejectedCommand, status: commands.Status, message: str, **details: Any) -> None:
        assert to.id is not None
        payload = commands.result(to.id, to.name, status, message, details)
        if not self._session.publish(commands.result_topic(self._device, to.id), payload):
            self._errors.add(f"an answer is lost: {MAX_ANSWERS} wait for the broker {self._where.place} already")

    def _ping(self, command: Command) -> None:
        commands.reject_unknown(command.arguments)
        self._answer(command, "ok", "the camera is here", time_seconds=round(self._clock(), 3))

    def _photo(self, command: Command) -> None:
        commands.reject_unknown(command.arguments)
        self._when_done(command, self._queue.photo(), "the photo is on disk")

    def _video(self, command: Command) -> None:
        commands.reject_unknown(command.arguments, "seconds")
        seconds = commands.number(command.arguments, "seconds", 0, self._max_seconds, above=True)
        self._when_done(command, self._queue.video(seconds), "the clip has begun; its file is there when it has ended")

    def _detection(self, command: Command) -> None:
        commands.reject_unknown(command.arguments, "detection")
        on = commands.on_off(command.arguments, "detection")
        self._queue.detect(on)
        self._answer(command, "ok", f"detection is {'on' if on else 'off'}", detection=on)

    def _when_done(self, command: Command, future: Future[str], message: str) -> None:
        """Answer when the camera is done, on the queue's thread, so that no message waits here."""

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
                self._errors.add(f"{command.name} has failed: {type(error).__name__}: {error}")
                self._answer(command, "failed", "the camera's program has failed; its log says how")

        future.add_done_callback(done)
