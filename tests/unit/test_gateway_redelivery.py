"""The time of a message without one, when the broker delivers it again."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.telemetry.gateway_store import GatewayStore
from collectors.telemetry.redelivery import WINDOW, Delivery, Journal, Redelivery, Sent

SECOND = 1_000_000_000
START = 1_796_000_000 * SECOND

#: How long after a connection began a message arrives that a killed broker repeats with its flag, in seconds.
LATER = 100


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def receive(
    times: Redelivery,
    packet: int,
    identity: int,
    seconds: float,
    *,
    repeated: bool = False,
    connected: float = -LATER,
    resumed: bool = True,
) -> int:
    delivery = Delivery(packet, repeated, at(connected), resumed)
    times.receive(delivery)
    return times.time(delivery, identity, at(seconds))


def test_the_first_delivery_has_the_time_of_its_arrival() -> None:
    times = Redelivery()
    assert [receive(times, packet, 7, packet) for packet in (1, 2)] == [at(1), at(2)]


def test_a_repeated_message_has_its_time_again_whatever_came_between() -> None:
    times = Redelivery()
    for packet in range(1, 6):
        receive(times, packet, 7, packet)
    again = [receive(times, packet, 7, 60, repeated=True, connected=50) for packet in (3, 4, 5)]
    assert again == [at(3), at(4), at(5)]
    assert receive(times, 6, 7, 61, connected=50) == at(61)
    assert receive(times, 3, 7, 3000, repeated=True, connected=2000) == at(3)


def test_an_equal_message_with_the_next_number_is_new() -> None:
    times = Redelivery()
    receive(times, 1, 7, 0)
    assert receive(times, 2, 7, 60, connected=59) == at(60)


def test_a_repeated_message_that_was_never_received_is_new() -> None:
    times = Redelivery()
    receive(times, 1, 7, 0)
    assert receive(times, 2, 7, 60, repeated=True, connected=59) == at(60)
    assert receive(times, 1, 8, 61, repeated=True, connected=59) == at(61)


def test_a_number_that_comes_round_again_is_another_message() -> None:
    times = Redelivery()
    receive(times, 1, 7, 0)
    for packet in range(2, WINDOW + 3):
        times.receive(Delivery(packet, False, at(-LATER), True))
    assert receive(times, 1, 7, 60, repeated=True, connected=59) == at(60)


def test_a_broker_that_lost_the_session_begins_its_numbers_again() -> None:
    times = Redelivery()
    receive(times, 1, 7, 0)
    assert receive(times, 1, 7, 60, repeated=True, connected=59, resumed=False) == at(60)


def test_a_killed_broker_repeats_what_waited_when_it_saved_its_state() -> None:
    """The gateway took these soon after it connected, so that the saved state still has them as not sent."""
    times = Redelivery()
    for packet in (1, 2):
        receive(times, packet, 7, packet, connected=0)
    assert [receive(times, packet, 7, 40, connected=39) for packet in (1, 2)] == [at(1), at(2)]


def test_a_killed_broker_repeats_nothing_without_the_flag_that_it_had_sent_when_it_saved_its_state() -> None:
    times = Redelivery()
    receive(times, 1, 7, 0, connected=-LATER)
    assert receive(times, 1, 7, 40, connected=39) == at(40)


class Published(NamedTuple):
    """A message of the model's broker."""

    key: int
    content: int


class Broker:
    """A model: a session with sequential numbers, which redelivers unacknowledged messages."""

    def __init__(self, circle: int) -> None:
        self.queue: list[Published] = []
        self.unacknowledged: list[tuple[int, Published, bool]] = []
        self._circle = circle
        self._packet = 0
        self._key = 0

    def publish(self, content: int) -> None:
        self._key += 1
        self.queue.append(Published(self._key, content))

    def send(self) -> tuple[int, Published] | None:
        if not self.queue:
            return None
        self._packet = self._packet % self._circle + 1
        message = self.queue.pop(0)
        self.unacknowledged.append((self._packet, message, True))
        return self._packet, message


class Memory(Journal):
    """A journal that outlives the gateway."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}
        self._received = 0

    def messages(self) -> list[Sent]:
        return list(self._sent.values())

    def received(self) -> int:
        return self._received

    def put(self, message: Sent) -> None:
        self._sent[message.packet] = message

    def save(self, count: int) -> None:
        self._received = count

    def clear(self) -> None:
        self._sent.clear()


STEP = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 1)),
    st.tuples(st.sampled_from(["deliver", "lose", "acknowledge"]), st.integers(1, 4)),
    st.tuples(st.sampled_from(["reconnect", "restart"]), st.just(0)),
)


@given(st.lists(STEP, max_size=60))
def test_each_message_has_one_time_and_no_other_message_has_it(steps: list[tuple[str, int]]) -> None:
    """Whatever is equal, lost on its way, acknowledged late or not at all, and however often the gateway restarts."""
    broker, journal = Broker(65_535), Memory()
    times = Redelivery(journal)
    given_times: dict[int, set[int]] = {}
    seconds = connected = 1000

    def received(packet: int, message: Published, repeated: bool) -> None:
        nonlocal seconds
        seconds += 1
        time = receive(times, packet, message.content, seconds, repeated=repeated, connected=connected)
        given_times.setdefault(message.key, set()).add(time)

    for step, number in steps:
        if step == "publish":
            broker.publish(number)
        elif step in ("deliver", "lose"):
            for _ in range(number):
                sent = broker.send()
                if sent is not None and step == "deliver":
                    received(*sent, False)
        elif step == "acknowledge":
            del broker.unacknowledged[:number]
        else:
            if step == "restart":
                times = Redelivery(journal)
            seconds += 10
            connected = seconds
            for packet, message, _ in broker.unacknowledged:
                received(packet, message, True)
    assert all(len(each) == 1 for each in given_times.values())
    assert len(set.union(set(), *given_times.values())) == len(given_times)


def test_what_recognises_messages_outlasts_the_process(tmp_path: Path) -> None:
    path = str(tmp_path / "gateway.db")
    store = GatewayStore(path, pytest.fail)
    times = Redelivery(store)
    for packet in range(1, 5):
        receive(times, packet, 7, packet)
    store.flush()  # and no close: it is killed
    other = GatewayStore(path, pytest.fail)
    times = Redelivery(other)
    again = [receive(times, packet, 7, 60, repeated=True, connected=59) for packet in (2, 3, 4, 5)]
    assert again == [at(2), at(3), at(4), at(60)]
    other.close()
    store.close()


def test_messages_rejected_by_a_full_disk_are_written_once_there_is_space(tmp_path: Path) -> None:
    said: list[str] = []
    path = str(tmp_path / "gateway.db")
    store = GatewayStore(path, said.append)
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 1001):
        store.put(Sent(number, number, number, START, START))
    store.flush()
    assert len(said) == 1
    assert "full" in said[0]
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.flush()
    assert len(list(GatewayStore(path, pytest.fail).messages())) == 1000


def test_messages_with_times_make_old_ones_old_over_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "gateway.db")
    store = GatewayStore(path, pytest.fail)
    times = Redelivery(store)
    receive(times, 1, 7, 0)
    for packet in range(2, 60_000):
        times.receive(Delivery(packet, False, at(-LATER), True))
    store.close()
    store = GatewayStore(path, pytest.fail)
    assert receive(Redelivery(store), 1, 7, 60, repeated=True, connected=59) == at(60)
    store.close()


def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as before:
        before.execute("CREATE TABLE message (place INTEGER PRIMARY KEY, connection TEXT, identity INTEGER)")
        before.execute("CREATE TABLE name (kind TEXT, name TEXT, day INTEGER, PRIMARY KEY (kind, name)) WITHOUT ROWID")
        before.execute("INSERT INTO name VALUES ('field', 'm/a', 1)")
    before.close()
    store = GatewayStore(str(path), pytest.fail)
    assert list(store.known("field", 10)) == ["m/a"]
    assert list(store.messages()) == []
    store.close()


def test_a_damaged_file_is_replaced_and_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"no database, and longer than the header of one" * 20)
    said: list[str] = []
    store = GatewayStore(str(path), said.append)
    receive(Redelivery(store), 1, 7, 0)
    store.close()
    assert len(said) == 1
    assert "gateway.db.corrupt" in said[0]
    assert [each.identity for each in GatewayStore(str(path), pytest.fail).messages()] == [7]


def test_a_folder_that_cannot_be_used_costs_no_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    store = GatewayStore(str(tmp_path / "file" / "gateway.db"), said.append)
    assert receive(Redelivery(store), 1, 7, 0) == at(0)
    store.flush()
    assert len(said) == 1
