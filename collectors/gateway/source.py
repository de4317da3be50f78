"""The interface of a source of messages."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from collectors.telemetry.redelivery import Delivery


class Incoming(NamedTuple):
    """A received message.

    Args:
        topic: MQTT topic, with slashes.
        payload: the bytes.
        time_ns: time of arrival; for NATS the time of storage in the stream, the same at each delivery.
        delivery: how an MQTT broker delivered it, to identify a redelivery; None for NATS.
        handle: the source's own identifier.
    """

    topic: str
    payload: bytes
    time_ns: int
    delivery: Delivery | None
    handle: object


class Waiting(NamedTuple):
    """Unacknowledged messages.

    Args:
        messages: their number.
        oldest_ns: when the oldest arrived; None if there is none.
    """

    messages: int
    oldest_ns: int | None


class Inbox:
    """Messages that one thread receives and another takes."""

    def __init__(self) -> None:
        self._messages: deque[Incoming] = deque()
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def put(self, message: Incoming) -> None:
        """Add a message, and make the descriptor readable."""
        self._messages.append(message)
        with suppress(BlockingIOError):  # full: the reader has not read it yet
            os.write(self._wake, b".")

    def take(self) -> list[Incoming]:
        """All messages; the descriptor is not readable afterwards."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass
        return [self._messages.popleft() for _ in range(len(self._messages))]


class Source(Protocol):
    """A source of messages that keeps each until it is acknowledged. Its methods never wait for the network."""

    @property
    def descriptor(self) -> int:
        """Readable when messages have arrived."""
        ...

    def start(self) -> None:
        """Connect, now or as soon as the server responds."""
        ...

    def take(self) -> list[Incoming]:
        """All messages that have arrived, in order."""
        ...

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Acknowledge messages whose points are stored."""
        ...

    def hold(self, messages: Sequence[Incoming]) -> None:
        """Keep messages whose points are not stored yet. Called about once a second."""
        ...

    def waiting(self) -> Waiting | None:
        """The unacknowledged messages at the server; None if it does not say."""
        ...

    def errors(self) -> list[str]:
        """Sentences about errors since the last call."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
