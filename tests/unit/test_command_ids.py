"""The file with the ids of commands: a repeated command is refused after a restart, and after damage to the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.api import Unavailable
from collectors.messaging import commands
from collectors.messaging.command_ids import IdFile
from collectors.messaging.commands import Command, CommandValidator, RejectedCommand

NOW = 1_800_000_000.0
TOPIC = "sensetig/pi/command/ping"


def message(**content: object) -> bytes:
    return json.dumps({"id": "a1", "expires": NOW + 60, **content}).encode()


def validator(path: Path, errors: list[str], **changes: Any) -> CommandValidator:
    return CommandValidator("pi", ("ping",), ("ping",), ids=IdFile(str(path), "ids_file", errors.append), **changes)


def test_an_id_is_refused_after_a_restart_until_it_expires(tmp_path: Path) -> None:
    path, errors = tmp_path / "made" / "ids.json", list[str]()
    assert isinstance(validator(path, errors).validate(TOPIC, message(), NOW), Command)
    again = validator(path, errors).validate(TOPIC, message(), NOW + 1)
    assert isinstance(again, RejectedCommand)
    assert "was used already" in again.message
    assert isinstance(validator(path, errors).validate(TOPIC, message(expires=NOW + 600), NOW + 61), Command)
    assert errors == []
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_bounded_and_expired_ids_make_room(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    elapsed = 0.0
    one = validator(path, [], max_ids=3, timer=lambda: elapsed)
    for number in range(3):
        assert isinstance(one.validate(TOPIC, message(id=f"n{number}"), NOW), Command)
    assert isinstance(one.validate(TOPIC, message(id="n3"), NOW), RejectedCommand)
    elapsed = 61.0
    assert isinstance(one.validate(TOPIC, message(id="n4", expires=NOW + 120), NOW + 61), Command)
    assert json.loads(path.read_text()) == {
        "ids": {"n1": NOW + 60, "n2": NOW + 60, "n4": NOW + 120},
        "first": {},
        "spent": [[NOW + 60, NOW + 60]],
    }


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path, errors = tmp_path / "ids.json", list[str]()
    path.write_text(json.dumps({"a1": NOW + 60, "ids": NOW + 60}))
    assert isinstance(validator(path, errors).validate(TOPIC, message(), NOW), RejectedCommand)
    assert isinstance(validator(path, errors).validate(TOPIC, message(id="ids"), NOW), RejectedCommand)
    assert errors == []


def test_another_command_with_the_same_expiry_is_accepted_after_the_clock_was_set_back(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    assert isinstance(validator(path, []).validate(TOPIC, message(), NOW), Command)
    assert isinstance(validator(path, []).validate(TOPIC, message(id="a2", expires=NOW + 120), NOW + 61), Command)
    assert isinstance(validator(path, []).validate(TOPIC, message(), NOW + 1), RejectedCommand)
    assert isinstance(validator(path, []).validate(TOPIC, message(id="a3"), NOW + 1), Command)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("step", [90, 3600, 86_400, 10**9])
def test_a_clock_that_is_set_forward_and_back_accepts_no_command_twice(
    tmp_path: Path, restart: bool, step: float
) -> None:
    path = tmp_path / "ids.json"
    one = validator(path, [])
    assert isinstance(one.validate(TOPIC, message(), NOW), Command)
    one = validator(path, []) if restart else one
    assert isinstance(one.validate(TOPIC, message(id="a2", expires=NOW + step + 60), NOW + step), Command)
    one = validator(path, []) if restart else one
    assert isinstance(one.validate(TOPIC, message(), NOW + 1), RejectedCommand)
    assert isinstance(one.validate(TOPIC, message(id="a3", expires=NOW + 61), NOW + 1), Command), "others are accepted"
    again = one.validate(TOPIC, message(id="a2", expires=NOW + step + 60), NOW + step)
    assert isinstance(again, RejectedCommand)


def test_ids_from_a_clock_that_was_ahead_leave_room_for_others(tmp_path: Path) -> None:
    elapsed = 0.0
    one = validator(tmp_path / "ids.json", [], max_ids=3, timer=lambda: elapsed)
    ahead = NOW + 10**9
    for number in range(3):
        assert isinstance(one.validate(TOPIC, message(id=f"n{number}", expires=ahead + 60), ahead), Command)
    elapsed = 61.0
    assert isinstance(one.validate(TOPIC, message(), NOW), Command)
    assert isinstance(one.validate(TOPIC, message(id="n0", expires=ahead + 60), ahead), RejectedCommand)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.integers(0, 40),
            st.sampled_from([0, 0, 0, 700, -700, 4000, -4000, 90_000, -90_000]),
            st.integers(0, 900),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_no_message_is_accepted_twice_however_the_clock_steps(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int, bool]]
) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.json"
    accepted: set[bytes] = set()
    now, elapsed = NOW, [0.0]
    one = validator(path, [], max_ids=4, timer=lambda: elapsed[0])
    for name, expires, step, seconds, restart in steps:
        now += step + seconds
        elapsed[0] += seconds
        if restart:
            one = validator(path, [], max_ids=4, timer=lambda: elapsed[0])
        sent = message(id=name, expires=NOW + 300 * expires)
        if isinstance(one.validate(TOPIC, sent, now), Command):
            assert sent not in accepted
            accepted.add(sent)


def test_a_command_is_refused_if_its_id_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    one = validator(path, [])
    path.mkdir()  # a folder in the file's place: writing fails, as with a full disk
    found = one.validate(TOPIC, message(), NOW)
    assert isinstance(found, RejectedCommand)
    assert (found.id, "the id cannot be saved" in found.message) == ("a1", True)
    path.rmdir()
    assert isinstance(one.validate(TOPIC, message(), NOW), Command)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"a/b": 1}',
        b'{"a": "x"}',
        b'{"a": true}',
        b'{"a": NaN}',
        b'{"ids": {"a": "x"}, "first": {}, "spent": []}',
        b'{"ids": {}}',
        b'{"ids": {}, "first": {"a": 1}, "spent": []}',
        b'{"ids": {}, "first": {}, "spent": [[2, 1]]}',
        b'{"ids": {}, "first": {}, "spent": [[1]]}',
        b'{"ids": {}, "first": {}, "spent": [7]}',
        b"\xff",
        b"[" * 9000,
        b" " * 300_000,
    ],
)
def test_a_damaged_file_is_moved_aside_and_reported(tmp_path: Path, content: bytes) -> None:
    path, errors = tmp_path / "ids.json", list[str]()
    path.write_bytes(content)
    assert isinstance(validator(path, errors).validate(TOPIC, message(), NOW), Command)
    assert (tmp_path / "ids.json.broken").read_bytes() == content
    assert len(errors) == 1
    assert "commands of the last hour might run twice" in errors[0]


def test_a_folder_that_cannot_be_created_is_reported_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="name a file in a folder of this user with the setting ids_file"):
        IdFile(str(tmp_path / "file" / "ids.json"), "ids_file", list[str]().append)


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "ids.json").mkdir()
    with pytest.raises(Unavailable, match="cannot be read: Is a directory"):
        validator(tmp_path / "ids.json", [])


def test_an_interrupted_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    assert isinstance(validator(path, []).validate(TOPIC, message(), NOW), Command)
    (tmp_path / ".ids.json.0123abcd.part").write_bytes(b'{"a1": 18000')
    assert isinstance(validator(path, []).validate(TOPIC, message(), NOW + 1), RejectedCommand)


@given(
    st.dictionaries(
        st.from_regex(commands.ID, fullmatch=True), st.floats(NOW - 10, NOW + 3600), max_size=commands.MAX_IDS + 5
    )
)
def test_saved_ids_are_loaded_up_to_the_bound(tmp_path_factory: pytest.TempPathFactory, ids: dict[str, float]) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.json"
    file = IdFile(str(path), "ids_file", list[str]().append)
    file.save(commands.UsedIds(ids))
    found = file.load()
    assert len(found.ids) == min(len(ids), commands.MAX_IDS)
    assert found.ids.items() <= ids.items()
    assert all(any(low <= ids[each] <= high for low, high in found.spent) for each in ids.keys() - found.ids.keys())
    assert os.path.getsize(path) <= 256 * 1024
