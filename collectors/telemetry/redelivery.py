"""The time of a message that has none: the same again when the broker delivers it again.

Telegraf gives a message the time of its arrival, and an unacknowledged message arrives again over the next connection.
The broker then sends all unacknowledged messages first, in their order. So messages that may be unacknowledged are
remembered, with their times. The first messages over the next connection that are among them get these times again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

#: Messages that are remembered; the broker has no more than 10,000 that are not acknowledged.
MAX_MESSAGES = 20_000

#: Redelivered messages come first, but a busy machine may take a while to read them. A message is new if it arrives
#: this long after the first one over a new connection, or after the newest of those that come again.
_FIRST_NS, _NEWEST_NS = 120_000_000_000, 5_000_000_000

#: A message counts as acknowledged this long after it was written.
_MARGIN_NS = 2_000_000_000


class Sent(NamedTuple):
    """A message that may not be acknowledged.

    Args:
        connection: over which it arrived.
        identity: of its topic and its payload.
        arrived_ns: when it arrived.
        time_ns: the time that it was given.
    """

    connection: str
    identity: int
    arrived_ns: int
    time_ns: int


class Journal(Protocol):
    """Keeps the messages over restarts."""

    def messages(self) -> Iterable[Sent]:
        """All messages, in their order."""
        ...

    def append(self, message: Sent) -> None:
        """Keep a message."""
        ...

    def forget(self, count: int) -> None:
        """Remove the oldest messages."""
        ...


class Redelivery:
    """Gives messages their times.

    Args:
        journal: keeps the messages over restarts; None for none.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._log: deque[Sent] = deque(journal.messages() if journal is not None else ())
        self._given = {(each.connection, each.identity, each.arrived_ns): each.time_ns for each in self._log}
        self._connection = ""
        # Of earlier connections: the times of each identity that have not come again, newest first, and their number.
        self._before: dict[int, list[int]] = {}
        self._left = self._newest_ns = self._until_ns = 0
        if self._log:
            self._resume()

    def time(self, connection: str, identity: int, arrived_ns: int, acknowledged_ns: int) -> int:
        """The time of a message.

        Args:
            connection: Telegraf's connection to the broker, over which the message arrived.
            identity: 64 bits of its topic and its payload.
            arrived_ns: when it arrived.
            acknowledged_ns: what arrived before is acknowledged.
        """
        given = self._given.get((connection, identity, arrived_ns))
        if given is not None:  # the same line once more: from the pipe of a processor that was killed
            return given
        if connection != self._connection:
            self._begin(connection)
        self._forget(acknowledged_ns)
        time_ns = self._again(identity, arrived_ns)
        sent = Sent(connection, identity, arrived_ns, arrived_ns if time_ns is None else time_ns)
        self._log.append(sent)
        self._given[connection, identity, arrived_ns] = sent.time_ns
        if self._journal is not None:
            self._journal.append(sent)
        return sent.time_ns

    def _resume(self) -> None:
        """Go on in the connection of the last message, such as after the end of the processor alone."""
        last = self._log[-1].connection
        current = [each for each in self._log if each.connection == last]
        self._begin(last, len(self._log) - len(current))
        for each in current:
            self._again(each.identity, each.arrived_ns)

    def _begin(self, connection: str, count: int | None = None) -> None:
        self._connection = connection
        # A message that has come again over another connection is in the log once for each. The broker keeps its order.
        before = dict.fromkeys((each.identity, each.time_ns) for each in list(self._log)[:count])
        self._before = {}
        for identity, time_ns in reversed(before):
            self._before.setdefault(identity, []).append(time_ns)
        self._left, self._until_ns = len(before), 0
        self._newest_ns = self._log[(count or len(self._log)) - 1].time_ns if before else 0

    def _again(self, identity: int, arrived_ns: int) -> int | None:
        """The time that a message was given before; None where it is new."""
        if not self._left:
            return None
        self._until_ns = self._until_ns or arrived_ns + _FIRST_NS
        if arrived_ns > self._until_ns:
            self._left = 0
            return None
        times = self._before.get(identity)
        if not times:
            return None
        self._left -= 1
        time_ns = times.pop()
        if time_ns == self._newest_ns:
            self._until_ns = min(self._until_ns, arrived_ns + _NEWEST_NS)
        return time_ns

    def _forget(self, acknowledged_ns: int) -> None:
        """Forget acknowledged messages, but not while messages of the connections before are still coming."""
        count = max(0, len(self._log) - MAX_MESSAGES + 1)
        if not self._left:
            limit = acknowledged_ns - _MARGIN_NS
            while count < len(self._log) and self._log[count].arrived_ns < limit:
                count += 1
        for _ in range(count):
            each = self._log.popleft()
            self._given.pop((each.connection, each.identity, each.arrived_ns), None)
        if count and self._journal is not None:
            self._journal.forget(count)
