"""The time of a message without a timestamp: a redelivered message gets the same time again.

The broker numbers the messages of a session (packet ids, 1 to 65,535 in a circle). It redelivers an unacknowledged
message over the next connection with the same number and the flag DUP (MQTT 5, 2.2.1 and 3.3.1.1). So a message with
that flag whose number and content equal those of an earlier message is the same message. Any other message is new, even
with equal content.

A killed broker restarts from its last saved state. It redelivers the messages that were queued at that time, with the
same numbers, and without the flag if the message had not been sent by then. Mosquitto saves its state at intervals, so
such a message was received soon after an earlier connection began. It is recognised by a number that recurs among the
latest messages: without a crash, a number recurs only after 65,535 messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

#: A number is compared with those of this many earlier messages. Less than half of the circle, and more than a broker's
#: maximum of unacknowledged messages (10,000).
WINDOW = 30_000

#: Number of messages after which their count is saved, so that a restart does not make old messages look recent.
_SAVE_AFTER = 5_000

#: Maximum time from the start of a connection to the receipt of a message that a killed broker redelivers without the
#: flag: twice the interval at which mosquitto/sensetig.conf saves the state.
_SAVED_NS = 60_000_000_000


class Delivery(NamedTuple):
    """The delivery of a message by the broker.

    Args:
        packet: number of the message in the session.
        repeated: the flag DUP.
        connected_ns: start of this connection to the broker.
        resumed: whether the broker resumed the session; False means that the numbers restart.
    """

    packet: int
    repeated: bool
    connected_ns: int
    resumed: bool


class Sent(NamedTuple):
    """A received message without a time.

    Args:
        packet: its number in the session.
        order: number of messages received so far, including this one.
        identity: 63 bits of its topic and its payload.
        time_ns: its assigned time.
        connected_ns: start of the connection over which it arrived.
    """

    packet: int
    order: int
    identity: int
    time_ns: int
    connected_ns: int


class Journal(Protocol):
    """Stores the messages across restarts."""

    def messages(self) -> Iterable[Sent]:
        """The latest message of each number."""
        ...

    def received(self) -> int:
        """The last saved count of received messages."""
        ...

    def put(self, message: Sent) -> None:
        """Store a message, replacing the earlier one with its number."""
        ...

    def save(self, count: int) -> None:
        """Store the count of received messages."""
        ...

    def clear(self) -> None:
        """Remove all messages."""
        ...


class Redelivery:
    """Assigns times to messages.

    Args:
        journal: stores the messages across restarts; or None.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._sent = {each.packet: each for each in journal.messages()} if journal is not None else {}
        saved = journal.received() if journal is not None else 0
        self._count = self._saved = max([saved, *(each.order for each in self._sent.values())])
        self._connected_ns = 0

    def receive(self, delivery: Delivery) -> None:
        """Count a message; called for each message from the broker, in order."""
        if delivery.connected_ns != self._connected_ns:
            self._connected_ns = delivery.connected_ns
            if not delivery.resumed:
                self._sent.clear()
                if self._journal is not None:
                    self._journal.clear()
        self._count += 1
        if self._journal is not None and self._count - self._saved >= _SAVE_AFTER:
            self._saved = self._count
            self._journal.save(self._count)

    def time(self, delivery: Delivery, identity: int, arrived_ns: int) -> int:
        """The time of the latest message.

        Args:
            delivery: how it was delivered.
            identity: 63 bits of its topic and its payload.
            arrived_ns: time of its arrival.
        """
        before = self._sent.get(delivery.packet)
        time_ns = arrived_ns
        if before is not None and before.identity == identity and self._count - before.order <= WINDOW:
            saved_late = before.time_ns - before.connected_ns <= _SAVED_NS
            if delivery.repeated or (saved_late and before.connected_ns != delivery.connected_ns):
                time_ns = before.time_ns
        sent = Sent(delivery.packet, self._count, identity, time_ns, delivery.connected_ns)
        self._sent[delivery.packet] = sent
        if self._journal is not None:
            self._journal.put(sent)
        return time_ns
