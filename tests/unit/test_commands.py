"""The scheme of commands: what is let in, what is refused, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.messaging import commands
from collectors.messaging.commands import ArgumentError, Command, CommandValidator, RejectedCommand

NOW = 1_800_000_000.0
TOPIC = "sensetig/pi/command/ping"


def gate(**changes: Any) -> CommandValidator:
    return CommandValidator("pi", ("ping", "camera_video", "reboot"), ("ping", "camera_video"), **changes)


def message(**content: Any) -> bytes:
    return json.dumps({"id": "a1", "expires": NOW + 60, **content}).encode()


def refused(found: Command | RejectedCommand) -> RejectedCommand:
    assert isinstance(found, RejectedCommand), found
    return found


def test_a_command_in_time_is_let_in_with_its_arguments() -> None:
    assert gate().admit("sensetig/pi/command/camera_video", message(seconds=20), NOW) == Command(
        "a1", "camera_video", {"seconds": 20}
    )


@pytest.mark.parametrize(
    "expires",
    [NOW + 1, int(NOW) + 3600, "2027-01-15T08:00:01Z", "2027-01-15t09:00:01.5+01:00"],
)
def test_the_end_of_a_command_is_seconds_or_a_time_with_its_zone(expires: object) -> None:
    assert isinstance(gate().admit(TOPIC, message(expires=expires), NOW), Command)


@pytest.mark.parametrize(
    ("expires", "says"),
    [
        (NOW, "expired"),
        (NOW - 5, "expired: 5 s ago"),
        (NOW + 3601, "at most 3600 s"),
        (None, "expires must be"),
        (True, "expires must be"),
        ("soon", "expires must be"),
        ("2027-01-15T08:00:01", "expires must be"),
        ("2027-01-15", "expires must be"),
        ("0001-01-01T00:00:00+23:00", "expire"),
        (10**4000, "expires must be"),
        ([], "expires must be"),
    ],
)
def test_a_command_out_of_time_is_refused(expires: object, says: str) -> None:
    found = refused(gate().admit(TOPIC, message(expires=expires), NOW))
    assert says in found.message
    assert found.id == "a1"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b"{",
        b"[" * 4000,
        b'{"id": "a1", "expires": NaN}',
        b'{"id": "a1", "expires": Infinity}',
        b'{"expires": 1}',
        b'{"id": 7}',
        b'{"id": ""}',
        b'{"id": "a/b"}',
        b'{"id": "+"}',
        b'{"id": "a\\n"}',
        json.dumps({"id": "x" * 65}).encode(),
        b'{"id": "a1", "long": "' + b"x" * 4096 + b'"}',
    ],
)
def test_what_is_malformed_is_refused_without_an_answer(payload: bytes) -> None:
    assert refused(gate().admit(TOPIC, payload, NOW)).id is None


@pytest.mark.parametrize(
    "topic",
    [
        "sensetig/pi/command/",
        "sensetig/pi/command",
        "sensetig/pi/command/a/b",
        "sensetig/other/command/ping",
        "sensetig/pi/command/PING",
        "sensetig/pi/command/ping\n",
        "",
    ],
)
def test_another_topic_is_no_command(topic: str) -> None:
    found = refused(gate().admit(topic, message(), NOW))
    assert "no topic of a command" in found.message


def test_a_name_that_is_not_allowed_is_refused_with_those_that_are() -> None:
    found = refused(gate().admit("sensetig/pi/command/reboot", message(), NOW))
    assert (found.id, found.name) == ("a1", "reboot")
    assert "camera_video, ping" in found.message


def test_a_retained_command_is_refused() -> None:
    assert "retained" in refused(gate().admit(TOPIC, message(), NOW, retained=True)).message


def test_an_id_is_taken_once_until_it_has_expired() -> None:
    one = gate()
    assert isinstance(one.admit(TOPIC, message(), NOW), Command)
    assert "already" in refused(one.admit(TOPIC, message(), NOW + 1)).message
    assert "already" in refused(one.admit(TOPIC, message(expires=NOW + 600), NOW + 1)).message
    assert isinstance(one.admit(TOPIC, message(expires=NOW + 600), NOW + 61), Command)


def test_a_refused_command_does_not_use_up_its_id() -> None:
    one = gate()
    refused(one.admit(TOPIC, message(expires=NOW - 1), NOW))
    assert isinstance(one.admit(TOPIC, message(), NOW), Command)


def test_ids_in_mind_are_bounded_and_room_is_made_by_those_that_expired() -> None:
    one = gate(ids_most=3)
    for number in range(3):
        assert isinstance(one.admit(TOPIC, message(id=f"n{number}"), NOW), Command)
    assert "3 commands have come" in refused(one.admit(TOPIC, message(id="n3"), NOW)).message
    assert "already" in refused(one.admit(TOPIC, message(id="n0"), NOW)).message
    assert isinstance(one.admit(TOPIC, message(id="n3", expires=NOW + 120), NOW + 61), Command)
    assert len(one._seen) == 1


@given(st.text(max_size=60), st.binary(max_size=300))
def test_whatever_comes_is_let_in_or_refused_with_a_sentence(topic: str, payload: bytes) -> None:
    for each in (topic, TOPIC):
        found = gate().admit(each, payload, NOW)
        assert isinstance(found, Command) or found.message


def test_an_answer_keeps_its_four_keys_whatever_the_command_gives_back() -> None:
    answer = json.loads(commands.result("a1", "ping", "ok", "Here.", {"status": "x", "time": 5}))
    assert answer == {"id": "a1", "name": "ping", "status": "ok", "message": "Here.", "time": 5}


def test_topics_have_no_level_or_wildcard_by_the_name_of_a_device() -> None:
    assert commands.command_topic("a/+#b", "ping") == "sensetig/a---b/command/ping"
    assert commands.result_topic("pi", "a1") == "sensetig/pi/result/a1"


@pytest.mark.parametrize("value", [None, True, "5", 0, 61, float("nan"), [], 10**400])
def test_a_number_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match="seconds must be a number from 1 to 60"):
        commands.number({"seconds": value}, "seconds", 1, 60)


@pytest.mark.parametrize("value", [None, 0, -1, 0.0, 61, float("nan")])
def test_a_number_that_has_to_be_above_the_bound_is_refused_at_it(value: object) -> None:
    with pytest.raises(ArgumentError, match="seconds must be a number above 0 and up to 60"):
        commands.number({"seconds": value}, "seconds", 0, 60, above=True)
    assert commands.number({"seconds": 0.1}, "seconds", 0, 60, above=True) == 0.1


def test_a_name_of_another_process_is_not_answered() -> None:
    found = refused(gate().admit("sensetig/pi/command/led_off", message(), NOW))
    assert found == RejectedCommand("led_off is no command of this process", None, "led_off")


def test_a_process_subscribes_to_its_own_names_and_to_no_others() -> None:
    assert gate().topics == (
        "sensetig/pi/command/camera_video",
        "sensetig/pi/command/ping",
        "sensetig/pi/command/reboot",
    )


def test_without_a_file_the_expiry_alone_bounds_a_repetition_after_a_restart() -> None:
    longest = message(expires=NOW + commands.MAX_EXPIRES_SECONDS)
    first = gate()
    assert isinstance(first.admit(TOPIC, longest, NOW), Command)
    assert "has been here already" in refused(first.admit(TOPIC, longest, NOW + 1)).message
    assert isinstance(gate().admit(TOPIC, longest, NOW + 1), Command)
    late = NOW + commands.MAX_EXPIRES_SECONDS
    assert "the command has expired" in refused(gate().admit(TOPIC, longest, late)).message
    endless = json.dumps({"id": "a1"}).encode()
    assert "expires must be" in refused(gate().admit(TOPIC, endless, NOW)).message


def test_arguments_are_read() -> None:
    assert commands.number({"seconds": 5}, "seconds", 1, 60) == 5.0
    assert [commands.on_off({"set": value}, "set") for value in ("on", "off", True, False)] == [
        True,
        False,
        True,
        False,
    ]
    with pytest.raises(ArgumentError, match='"on" or "off"'):
        commands.on_off({"set": 1}, "set")
    with pytest.raises(ArgumentError, match="'other' is not an argument"):
        commands.reject_unknown({"seconds": 1, "other": 2}, "seconds")
