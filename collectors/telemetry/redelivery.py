"""The time of a message that has none: the same again when the broker delivers the message again.

The broker numbers the messages of a session (packet ids, 1 to 65,535 in a circle). It repeats an unacknowledged message
over the next connection with the same number and the flag DUP (MQTT 5, 2.2.1 and 3.3.1.1). So a message with that flag
whose number and content are those of a message that was received before is that message. Any other message is new,
however equal its content.

A broker that was killed begins again with its last saved state. It repeats what waited there at that time, with the
same numbers, and without the flag where the message had not been sent by then. Mosquitto saves its state at intervals,
so such a message was received soon after an earlier connection began. A number that comes again among the latest
messages shows it: without a crash it is free again after 65,535 messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

#: A number is compared with those of this many messages before it. Less than half of the circle, and more than a
#: broker has unacknowledged (10,000).
WINDOW = 30_000

#: Received messages after which their count is saved, so that a restart does not make old messages look recent.
_SAVE_AFTER = 5_000

#: How long after its connection began a message may have been received that a killed broker repeats without the flag:
#: twice the interval at which mosquitto/sensetig.conf saves the state.
_SAVED_NS = 60_000_000_000


class Delivery(NamedTuple):
    """How the broker delivered a message.

    Args:
        packet: number of the message in the session.
        repeated: the flag DUP.
        connected_ns: when this connection to the broker began.
        resumed: the broker had the session already; False means that its numbers begin again.
    """

    packet: int
    repeated: bool
    connected_ns: int
    resumed: bool


class Sent(NamedTuple):
    """A message without a time that was received.

    Args:
        packet: its number in the session.
        order: how many messages had been received then, itself included.
        identity: 63 bits of its topic and its payload.
        time_ns: the time that it was given.
        connected_ns: when the connection began over which it arrived.
    """

    packet: int
    order: int
    identity: int
    time_ns: int
    connected_ns: int


class Journal(Protocol):
    """Keeps the messages over restarts."""

    def messages(self) -> Iterable[Sent]:
        """The latest message of each number."""
        ...

    def received(self) -> int:
        """The count of received messages that was saved last."""
        ...

    def put(self, message: Sent) -> None:
        """Keep a message in the place of the earlier one with its number."""
        ...

    def save(self, count: int) -> None:
        """Keep the count of received messages."""
        ...

    def clear(self) -> None:
        """Remove all messages."""
        ...


class Redelivery:
    """Gives messages their times.

    Args:
        journal: keeps the messages over restarts; None for none.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._sent = {each.packet: each for each in journal.messages()} if journal is not None else {}
        saved = journal.received() if journal is not None else 0
        self._count = self._saved = max([saved, *(each.order for each in self._sent.values())])
        self._connected_ns = 0

    def receive(self, delivery: Delivery) -> None:
        """Count a message; each message that the broker delivers, in its order."""
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
        """The time of the message that was received last.

        Args:
            delivery: how it was delivered.
            identity: 63 bits of its topic and its payload.
            arrived_ns: when it arrived.
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
