"""The ways that messages take: MQTT, NATS JetStream, InfluxDB, and standard output."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sensetig.simulator.device import Message, Status
from sensetig.simulator.send_log import SendLog

#: Messages that may be on their way at once, in all: what memory they take is bounded by this, and a way that is slow
#: or away holds up the simulation rather than filling it.
IN_FLIGHT = 2000


class Target(NamedTuple):
    """Where messages go, and with what rights. Secrets do not show when it is printed."""

    url: str
    password_file: str | None = None
    ca_file: str | None = None
    token: str = ""
    organisation: str = "sensetig"
    bucket: str = "raw"
    payload: str = "lines"
    too_large_bytes: int = 300_000
    connections: int = 0
    wait_seconds: float = 10.0
    make_stream: bool = False
    stream_bytes: int = 1 << 30

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


class Transport(Protocol):
    """One way. Everything is called from the event loop's thread."""

    async def open(self, devices: Sequence[str]) -> None:
        """Connect, and say that the devices are there. Raises SimulatorError."""
        ...

    async def send(self, message: Message | Status) -> None:
        """Take a message; it waits while too many are on their way."""
        ...

    async def finish(self) -> None:
        """Send the queue, then the devices' offline status; return when all is delivered."""
        ...

    async def close(self) -> None:
        """Close connections, without waiting for messages in flight."""
        ...


class Deliveries:
    """Messages in flight. Any thread may report an outcome; the event loop's thread records it.

    Args:
        send_log: counts messages.
        say: receives a sentence for people.
    """

    def __init__(self, send_log: SendLog, say: Callable[[str], None], most: int = IN_FLIGHT) -> None:
        self.send_log = send_log
        self.say = say
        self.most = most
        #: Why going on is of no use, or None.
        self.fatal: str | None = None
        self._told: deque[Callable[[], None]] = deque()
        self._awake = False
        self._changed = asyncio.Event()
        self._stopped = False
        self._loop = asyncio.get_running_loop()

    def tell(self, noted: Callable[[], None]) -> None:
        """Have something noted in the event loop's thread, from any thread; one wake-up serves many."""
        self._told.append(noted)
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._note)

    def _note(self) -> None:
        self._awake = False
        while self._told:
            self._told.popleft()()
        self._changed.set()

    def acknowledged(self, ticket: int) -> None:
        """The other end has it; in the event loop's thread."""
        self.send_log.acknowledged(ticket)
        self._changed.set()

    def failed(self, ticket: int, reason: str) -> None:
        """It did not get through; in the event loop's thread."""
        self.send_log.failed(ticket, reason)
        self._changed.set()

    def stop(self) -> None:
        """Release everything that waits for room."""
        self._stopped = True
        self._changed.set()

    def give_up(self, reason: str) -> None:
        """Going on is of no use."""
        self.fatal = self.fatal or reason
        self.stop()

    async def room(self) -> bool:
        """Wait until one more message may be on its way; False where the simulation is to end instead."""
        while self.send_log.waiting >= self.most:
            if self._stopped:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def none_waiting(self) -> None:
        """Wait until nothing is on its way."""
        while self.send_log.waiting and self.fatal is None:
            self._changed.clear()
            await self._changed.wait()
