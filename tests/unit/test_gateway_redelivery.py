"""The time of a message without one, when the broker delivers it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.telemetry.gateway_store import GatewayStore
from collectors.telemetry.redelivery import MAX_MESSAGES, Redelivery

SECOND = 1_000_000_000
START = 1_796_000_000 * SECOND


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def test_the_first_delivery_has_the_time_of_its_arrival() -> None:
    times = Redelivery()
    assert times.time("a", 7, at(1), 0) == at(1)
    assert times.time("a", 7, at(2), 0) == at(2)


def test_an_unacknowledged_message_has_its_time_again_over_the_next_connection() -> None:
    times = Redelivery()
    for number in range(5):
        times.time("a", number, at(number), 0)
    # Two are acknowledged; the broker sends the other three, and then new ones.
    again = [times.time("b", number, at(60 + number / 1000), 0) for number in (2, 3, 4, 5, 6)]
    assert again == [at(2), at(3), at(4), at(60.005), at(60.006)]


def test_equal_messages_are_matched_one_by_one_in_their_order() -> None:
    times = Redelivery()
    for second in (0, 10, 20):
        times.time("a", 7, at(second), 0)
    assert [times.time("b", 7, at(60 + number / 1000), 0) for number in range(4)] == [
        *(at(0), at(10), at(20), at(60.003)),
    ]


def test_an_acknowledged_message_is_never_taken_for_a_redelivered_one() -> None:
    times = Redelivery()
    times.time("a", 7, at(0), 0)
    times.time("a", 8, at(10), at(9))
    assert times.time("b", 7, at(60), at(9)) == at(60)


def test_a_message_that_comes_long_after_the_connection_is_new() -> None:
    times = Redelivery()
    for second in (0, 1):
        times.time("a", 7, at(second), 0)
    assert times.time("b", 7, at(60), 0) == at(0)
    assert times.time("b", 7, at(181), 0) == at(181)


def test_a_message_that_comes_after_the_newest_that_comes_again_is_new() -> None:
    times = Redelivery()
    for second, identity in enumerate((7, 7, 8)):
        times.time("a", identity, at(second), 0)
    # One of the two had been acknowledged, and the broker sends the other and the last.
    assert [times.time("b", identity, at(60), 0) for identity in (7, 8)] == [at(0), at(2)]
    assert times.time("b", 7, at(66), 0) == at(66)


def test_messages_that_come_again_in_another_order_have_their_times() -> None:
    times = Redelivery()
    for number in range(6):
        times.time("a", number, at(number), 0)
    assert [times.time("b", number, at(60), 0) for number in (3, 5, 4, 0, 1, 2)] == [
        at(number) for number in (3, 5, 4, 0, 1, 2)
    ]


def test_a_connection_that_breaks_while_messages_come_again_forgets_none(tmp_path: Path) -> None:
    path = str(tmp_path / "gateway.db")
    store = GatewayStore(path, pytest.fail)
    times = Redelivery(store)
    for number in range(4):
        times.time("a", number, at(number), 0)
    times.time("b", 0, at(60), at(59))
    store.close()
    store = GatewayStore(path, pytest.fail)
    times = Redelivery(store)
    assert [times.time("c", number, at(90), at(89)) for number in range(4)] == [at(0), at(1), at(2), at(3)]
    store.close()


def test_a_processor_that_is_killed_gives_the_same_times(tmp_path: Path) -> None:
    path = str(tmp_path / "gateway.db")
    store = GatewayStore(path, pytest.fail)
    times = Redelivery(store)
    for number in range(4):
        times.time("a", number, at(number), 0)
    first = [times.time("b", number, at(60 + number / 1000), 0) for number in (2, 3, 9)]
    store.flush()  # and no close: it is killed
    other = GatewayStore(path, pytest.fail)
    times = Redelivery(other)
    assert [times.time("b", number, at(60 + number / 1000), 0) for number in (2, 3, 9)] == first
    assert times.time("b", 10, at(60.02), 0) == at(60.02)
    other.close()
    store.close()


def test_the_number_of_remembered_messages_is_bounded(tmp_path: Path) -> None:
    store = GatewayStore(str(tmp_path / "gateway.db"), pytest.fail)
    times = Redelivery(store)
    for number in range(MAX_MESSAGES + 500):
        times.time("a", number, at(number / 1000), 0)
    store.flush()
    assert len(list(store.messages())) == MAX_MESSAGES
    times.time("a", -1, at(100), at(99))
    store.flush()
    assert len(list(store.messages())) == 1
    store.close()


def test_a_damaged_file_is_replaced_and_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"no database, and longer than the header of one" * 20)
    said: list[str] = []
    store = GatewayStore(str(path), said.append)
    times = Redelivery(store)
    times.time("a", 1, at(0), 0)
    store.close()
    assert len(said) == 1
    assert "gateway.db.corrupt" in said[0]
    assert [each.identity for each in GatewayStore(str(path), pytest.fail).messages()] == [1]


def test_a_folder_that_cannot_be_used_costs_no_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    store = GatewayStore(str(tmp_path / "file" / "gateway.db"), said.append)
    times = Redelivery(store)
    assert times.time("a", 1, at(0), 0) == at(0)
    store.flush()
    assert len(said) == 1
