"""The transports of messages: MQTT, NATS JetStream, InfluxDB, and standard output."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sensetig.simulator.device import Message, Status
from sensetig.simulator.send_log import SendLog

#: Maximum number of messages in flight. This limits their memory; a slow or unreachable target slows the simulation
#: down.
IN_FLIGHT = 2000


class Target(NamedTuple):
    """The target of messages, with its credentials. Secrets are not shown when it is printed."""

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
    """One transport. Every method is called on the event loop's thread."""

    async def open(self, devices: Sequence[str]) -> None:
        """Connect, and report the devices as online. Raises SimulatorError."""
        ...

    async def send(self, message: Message | Status) -> None:
        """Send a message; wait while too many are in flight."""
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
        #: The reason why it is pointless to continue, or None.
        self.fatal: str | None = None
        self._pending_calls: deque[Callable[[], None]] = deque()
        self._awake = False
        self._changed = asyncio.Event()
        self._stopped = False
        self._loop = asyncio.get_running_loop()

    def tell(self, noted: Callable[[], None]) -> None:
        """Run a function on the event loop's thread, from any thread; one wake-up serves many calls."""
        self._pending_calls.append(noted)
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._note)

    def _note(self) -> None:
        self._awake = False
        while self._pending_calls:
            self._pending_calls.popleft()()
        self._changed.set()

    def acknowledged(self, ticket: int) -> None:
        """Record an acknowledgement, on the event loop's thread."""
        self.send_log.acknowledged(ticket)
        self._changed.set()

    def failed(self, ticket: int, reason: str) -> None:
        """Record a failure, on the event loop's thread."""
        self.send_log.failed(ticket, reason)
        self._changed.set()

    def stop(self) -> None:
        """Release all waiters for free slots."""
        self._stopped = True
        self._changed.set()

    def give_up(self, reason: str) -> None:
        """End the simulation because it is pointless to continue."""
        self.fatal = self.fatal or reason
        self.stop()

    async def room(self) -> bool:
        """Wait until one more message may be in flight; False if the simulation is ending."""
        while self.send_log.waiting >= self.most:
            if self._stopped:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def none_waiting(self) -> None:
        """Wait until no message is in flight."""
        while self.send_log.waiting and self.fatal is None:
            self._changed.clear()
            await self._changed.wait()
