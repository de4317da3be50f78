"""Sources of pictures: a durable queue at a broker, or files."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from collectors.core.api import Unavailable
from collectors.core.jpeg import jpeg_size
from collectors.messaging.broker import Broker
from collectors.messaging.session import ErrorQueue, Message, Session, SessionConfig
from collectors.vision import snapshot
from collectors.vision.snapshot import Snapshot, SnapshotError

#: Messages that the broker sends before the first of them is acknowledged, and the bytes of one. Together they bound
#: the memory that a queue takes, however long it is.
MAX_UNACKNOWLEDGED = 4
MAX_PACKET_BYTES = 2 * 1024 * 1024

#: How long the connection may take to close.
_CLOSE_SECONDS = 2.0


class Taken(NamedTuple):
    """A picture from a source, not decoded yet.

    Args:
        payload: a message, or the content of a file.
        device: the machine whose camera took the picture; empty if unknown.
        read: decodes the payload; raises SnapshotError.
        message: the message to acknowledge once the picture is processed; None for a file.
    """

    payload: bytes
    device: str
    read: Callable[[bytes], Snapshot]
    message: Message | None = None


class Source(Protocol):
    """A source of pictures."""

    @property
    def ended(self) -> bool:
        """Whether there are no more pictures."""
        ...

    def take(self, seconds: float) -> Taken | None:
        """The next picture, or None if none arrives within *seconds*."""
        ...

    def done(self, taken: Taken) -> None:
        """Acknowledge a picture that is processed."""
        ...

    def drain_errors(self, report: Callable[[str], None]) -> None:
        """Report the errors since the last call."""
        ...

    def close(self) -> None:
        """Close the source."""
        ...


class Queue:
    """A subscription in a session that outlives the connection and this process.

    The broker keeps each message until it is acknowledged, and sends it again after a lost connection.

    Args:
        broker: the broker to connect to.
        topic: the topic to subscribe to; it may have wildcards.
        client_id: name of the session at the broker.
        seconds: how long the broker keeps the session while no client is connected.
    """

    ended = False

    def __init__(self, broker: Broker, topic: str, client_id: str, seconds: int) -> None:
        self._errors = ErrorQueue()
        self._waiting: SimpleQueue[Message] = SimpleQueue()
        config = SessionConfig(
            client_id,
            (topic,),
            session_seconds=seconds,
            max_packet_bytes=MAX_PACKET_BYTES,
            max_unacknowledged=MAX_UNACKNOWLEDGED,
        )
        self._session = Session(broker, config, self._errors)
        self._session.start(on_message=self._waiting.put)

    def take(self, seconds: float) -> Taken | None:
        """The next message of this connection; the broker sends those of an earlier connection again."""
        try:
            while not self._session.is_current(message := self._waiting.get(timeout=seconds)):
                pass
        except Empty:
            return None
        levels = message.topic.split("/")
        return Taken(message.payload, levels[1] if len(levels) > 1 else "", snapshot.read, message)

    def done(self, taken: Taken) -> None:
        """Acknowledge a message. If its connection is lost, the broker sends it again."""
        if taken.message is not None:
            self._session.acknowledge(taken.message)

    def drain_errors(self, report: Callable[[str], None]) -> None:
        """Report refusals, failed attempts and lost connections."""
        self._errors.drain(report)

    def close(self) -> None:
        """Disconnect; the broker keeps the session with the unacknowledged messages."""
        self._session.stop(_CLOSE_SECONDS)


class Files:
    """Picture files, each read once: to try out an engine.

    Args:
        path: a JPEG, or a folder of JPEGs, which are read in the order of their names.

    Raises:
        Unavailable: there is no picture.
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
                jpeg_size(jpeg)
            except ValueError as error:
                raise SnapshotError(f"{path}: {error}") from None
            event_id = os.path.splitext(os.path.basename(path))[0]
            return Snapshot(event_id, folder, time_ns, jpeg, ("replayed",))

        with open(path, "rb") as file:
            return Taken(file.read(), "", read)

    def done(self, taken: Taken) -> None:
        """Files need no acknowledgement."""

    def drain_errors(self, report: Callable[[str], None]) -> None:
        """There are none: a file is read by :meth:`take`."""

    def close(self) -> None:
        """Nothing is open."""
