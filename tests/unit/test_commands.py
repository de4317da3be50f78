"""The scheme of commands: validation, refusals and answers."""

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


def validator(**changes: Any) -> CommandValidator:
    return CommandValidator("pi", ("ping", "camera_video", "reboot"), ("ping", "camera_video"), **changes)


def message(**content: Any) -> bytes:
    return json.dumps({"id": "a1", "expires": NOW + 60, **content}).encode()


def refused(found: Command | RejectedCommand) -> RejectedCommand:
    assert isinstance(found, RejectedCommand), found
    return found


def test_a_valid_command_is_accepted_with_its_arguments() -> None:
    assert validator().validate("sensetig/pi/command/camera_video", message(seconds=20), NOW) == Command(
        "a1", "camera_video", {"seconds": 20}
    )


@pytest.mark.parametrize(
    "expires",
    [NOW + 1, int(NOW) + 3600, "2027-01-15T08:00:01Z", "2027-01-15t09:00:01.5+01:00"],
)
def test_expires_is_seconds_or_a_time_with_a_zone(expires: object) -> None:
    assert isinstance(validator().validate(TOPIC, message(expires=expires), NOW), Command)


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
def test_a_command_that_expired_or_expires_too_late_is_refused(expires: object, says: str) -> None:
    found = refused(validator().validate(TOPIC, message(expires=expires), NOW))
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
def test_a_malformed_command_is_refused_without_an_answer(payload: bytes) -> None:
    assert refused(validator().validate(TOPIC, payload, NOW)).id is None


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
def test_another_topic_is_not_a_command(topic: str) -> None:
    found = refused(validator().validate(topic, message(), NOW))
    assert "is not a command topic" in found.message


def test_a_name_that_is_not_allowed_is_refused_with_the_allowed_ones() -> None:
    found = refused(validator().validate("sensetig/pi/command/reboot", message(), NOW))
    assert (found.id, found.name) == ("a1", "reboot")
    assert "camera_video, ping" in found.message


def test_a_retained_command_is_refused() -> None:
    assert "retained" in refused(validator().validate(TOPIC, message(), NOW, retained=True)).message


def test_an_id_is_accepted_once_until_it_expires() -> None:
    elapsed = 0.0
    one = validator(timer=lambda: elapsed)
    assert isinstance(one.validate(TOPIC, message(), NOW), Command)
    assert "already" in refused(one.validate(TOPIC, message(), NOW + 1)).message
    assert "already" in refused(one.validate(TOPIC, message(expires=NOW + 600), NOW + 1)).message
    ahead = refused(one.validate(TOPIC, message(expires=NOW + 600), NOW + 61))
    assert "already" in ahead.message, "the clock was set, and no time has passed"
    elapsed = 61.0
    assert isinstance(one.validate(TOPIC, message(expires=NOW + 600), NOW + 61), Command)


def test_a_refused_command_does_not_use_up_its_id() -> None:
    one = validator()
    refused(one.validate(TOPIC, message(expires=NOW - 1), NOW))
    assert isinstance(one.validate(TOPIC, message(), NOW), Command)


def test_kept_ids_are_bounded_and_expired_ones_make_room() -> None:
    elapsed = 0.0
    one = validator(max_ids=3, timer=lambda: elapsed)
    for number in range(3):
        assert isinstance(one.validate(TOPIC, message(id=f"n{number}"), NOW), Command)
    assert "3 commands have not expired yet" in refused(one.validate(TOPIC, message(id="n3"), NOW)).message
    assert "already" in refused(one.validate(TOPIC, message(id="n0"), NOW)).message
    elapsed = 61.0
    assert isinstance(one.validate(TOPIC, message(id="n3", expires=NOW + 120), NOW + 61), Command)
    assert len(one._used.ids) == 3


@given(st.text(max_size=60), st.binary(max_size=300))
def test_any_message_is_accepted_or_refused_with_a_sentence(topic: str, payload: bytes) -> None:
    for each in (topic, TOPIC):
        found = validator().validate(each, payload, NOW)
        assert isinstance(found, Command) or found.message


def test_details_do_not_replace_the_four_keys_of_an_answer() -> None:
    answer = json.loads(commands.result("a1", "ping", "ok", "Here.", {"status": "x", "time": 5}))
    assert answer == {"id": "a1", "name": "ping", "status": "ok", "message": "Here.", "time": 5}


def test_a_device_name_adds_no_level_or_wildcard_to_a_topic() -> None:
    assert commands.command_topic("a/+#b", "ping") == "sensetig/a---b/command/ping"
    assert commands.result_topic("pi", "a1") == "sensetig/pi/result/a1"


@pytest.mark.parametrize("value", [None, True, "5", 0, 61, float("nan"), [], 10**400])
def test_a_number_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match="seconds must be a number from 1 to 60"):
        commands.number({"seconds": value}, "seconds", 1, 60)


@pytest.mark.parametrize("value", [None, 0, -1, 0.0, 61, float("nan")])
def test_a_number_at_an_exclusive_bound_is_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match="seconds must be a number above 0 and up to 60"):
        commands.number({"seconds": value}, "seconds", 0, 60, above=True)
    assert commands.number({"seconds": 0.1}, "seconds", 0, 60, above=True) == 0.1


def test_a_name_of_another_process_is_not_answered() -> None:
    found = refused(validator().validate("sensetig/pi/command/led_off", message(), NOW))
    assert found == RejectedCommand("led_off is no command of this process", None, "led_off")


def test_a_process_subscribes_to_its_commands_only() -> None:
    assert validator().topics == (
        "sensetig/pi/command/camera_video",
        "sensetig/pi/command/ping",
        "sensetig/pi/command/reboot",
    )


def test_without_a_file_only_the_expiry_prevents_a_repeated_command_after_a_restart() -> None:
    longest = message(expires=NOW + commands.MAX_EXPIRES_SECONDS)
    first = validator()
    assert isinstance(first.validate(TOPIC, longest, NOW), Command)
    assert "was used already" in refused(first.validate(TOPIC, longest, NOW + 1)).message
    assert isinstance(validator().validate(TOPIC, longest, NOW + 1), Command)
    late = NOW + commands.MAX_EXPIRES_SECONDS
    assert "the command has expired" in refused(validator().validate(TOPIC, longest, late)).message
    endless = json.dumps({"id": "a1"}).encode()
    assert "expires must be" in refused(validator().validate(TOPIC, endless, NOW)).message


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
