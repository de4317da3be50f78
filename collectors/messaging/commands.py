"""Commands over MQTT: the protocol, without broker or clock.

A command is a message on ``sensetig/<device>/command/<name>`` with a JSON object::

    {"id": "a1b2", "expires": 1800000000, "seconds": 20}

``id`` and ``expires`` are required; the other keys are the command's arguments. The result is a message on
``sensetig/<device>/result/<id>``::

    {"id": "a1b2", "name": "camera_video", "status": "ok", "message": "...", "path": "..."}

A :class:`CommandValidator` decides which messages are executed. It has no access to the broker or the clock.

Several processes of one device may execute commands. Each subscribes only to its own commands, so that exactly one of
them responds. No process receives a command with an unknown name.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

from collectors.messaging.session import topic_level

#: Maximum size of a command in bytes.
MAX_PAYLOAD_BYTES = 4096
#: Maximum time until the expiry of a command, in seconds. This limits how long an id must be kept. A device whose clock
#: is behind rejects commands by this limit, instead of executing ones that expired long ago.
MAX_EXPIRES_SECONDS = 3600.0
#: Maximum number of ids of unexpired commands; further commands are rejected.
MAX_IDS = 1000
#: Number of ids of expired commands that are kept as well, because the clock may be set back.
MAX_ENDED_IDS = 100
#: Number of intervals of expiry times kept for ids that are not.
MAX_SPENT = 16

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Status = Literal["ok", "refused", "failed"]


class Command(NamedTuple):
    """A valid command.

    Args:
        id: the sender's id, not used before.
        name: one of the allowed names.
        arguments: the other keys of the message, not validated.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]


class RejectedCommand(NamedTuple):
    """A command that is not executed.

    Args:
        message: the reason in one sentence.
        id: the sender's id, or None if unknown, so that no result is sent.
        name: the name in the topic, if there is one.
    """

    message: str
    id: str | None = None
    name: str = ""


class ArgumentError(ValueError):
    """An argument is missing, unknown or out of range; the message is one sentence."""


def command_topic(device: str, name: str) -> str:
    """The topic of a command."""
    return f"sensetig/{topic_level(device)}/command/{name}"


def result_topic(device: str, command_id: str) -> str:
    """The topic for the result of a command."""
    return f"sensetig/{topic_level(device)}/result/{command_id}"


def result(command_id: str, name: str, status: Status, message: str, details: Mapping[str, Any] | None = None) -> bytes:
    """Encode a result as JSON.

    Args:
        status: ``ok``, ``refused`` (not attempted) or ``failed`` (attempted).
        message: one sentence.
        details: further keys; they cannot replace the four standard keys.
    """
    answer = {**(details or {}), "id": command_id, "name": name, "status": status, "message": message}
    return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()


class UsedIds(NamedTuple):
    """The record of accepted commands, which survives a clock that is set back.

    Args:
        ids: accepted ids, each with its expiry time.
        first: the earliest expiry time of an id that was accepted more than once.
        spent: first and last expiry times of ids that are no longer kept, in order. A command that expires within one
            of them may be a repetition, and is rejected.
    """

    ids: Mapping[str, float] = {}
    first: Mapping[str, float] = {}
    spent: tuple[tuple[float, float], ...] = ()


def forget(used: UsedIds, names: Iterable[str], now: float) -> UsedIds:
    """Drop ids, but keep their expiry times as intervals.

    Above :data:`MAX_SPENT` intervals, the two closest ones are merged. An interval that would reject the commands of
    the coming hour is the last choice.
    """
    gone = frozenset(names)
    if not gone:
        return used
    added = [(used.first.get(each, used.ids[each]), used.ids[each]) for each in gone]
    spent: list[tuple[float, float]] = []
    for low, high in sorted((*used.spent, *added)):
        if spent and low <= spent[-1][1]:
            spent[-1] = (spent[-1][0], max(high, spent[-1][1]))
        else:
            spent.append((low, high))
    while len(spent) > MAX_SPENT:
        gaps = [(after[0], before[1]) for before, after in pairwise(spent)]
        costs = [(low < now + MAX_EXPIRES_SECONDS and high > now, high - low) for high, low in gaps]
        at = costs.index(min(costs))
        spent[at : at + 2] = [(spent[at][0], spent[at + 1][1])]
    ids, first = (
        {known: until for known, until in each.items() if known not in gone} for each in (used.ids, used.first)
    )
    return UsedIds(ids, first, tuple(spent))


class IdStore(Protocol):
    """Stores ids across restarts, such as :class:`collectors.messaging.command_ids.IdFile`."""

    def load(self) -> UsedIds:
        """The saved ids."""
        ...

    def save(self, used: UsedIds, /) -> None:
        """Replace the saved ids. Raises OSError."""
        ...


class CommandValidator:
    """Validates commands, and accepts each id once.

    Args:
        device: the device in the topics.
        names: the commands of this process; others get no response.
        allowed: the subset that may be executed.
        max_ids: maximum number of ids of unexpired commands.
        ids: stores ids across restarts. An id is saved before its command is accepted, so that a command runs at most
            once, even if the wall clock is set forward and back.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        device: str,
        names: Iterable[str],
        allowed: Iterable[str],
        *,
        max_ids: int = MAX_IDS,
        ids: IdStore | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = command_topic(device, "")
        self._names = frozenset(names)
        self._allowed = frozenset(allowed)
        self._max_ids = max_ids
        self._ids = ids
        self._timer = timer
        self._used = UsedIds() if ids is None else ids.load()
        self._deadlines: dict[str, float] = {}
        self.topics = tuple(self._prefix + name for name in sorted(self._names))
        """The topics to subscribe to."""

    def validate(self, topic: str, payload: bytes, now: float, *, retained: bool = False) -> Command | RejectedCommand:
        """Validate a message.

        Args:
            now: wall clock, seconds since 1970.
            retained: whether the broker sends the message to every new subscriber.
        """
        name = topic.removeprefix(self._prefix)
        if name == topic or not _NAME.fullmatch(name):
            return RejectedCommand(f"{topic[:200]!r} is not a command topic; those are {self._prefix}<name>")
        if name not in self._names:
            return RejectedCommand(f"{name} is no command of this process", None, name)
        if len(payload) > MAX_PAYLOAD_BYTES:
            return RejectedCommand(
                f"a command has at most {MAX_PAYLOAD_BYTES} bytes; this has {len(payload)}", None, name
            )
        document = _object(payload)
        if isinstance(document, str):
            return RejectedCommand(document, None, name)
        command_id = document.pop("id", None)
        if not isinstance(command_id, str) or not ID.fullmatch(command_id):
            return RejectedCommand("a command needs an id of 1 to 64 letters, digits, _ or -", None, name)
        if retained:
            return RejectedCommand(
                "a command must not be retained; publish it without the retain flag", command_id, name
            )
        if name not in self._allowed:
            names = ", ".join(sorted(self._allowed)) or "none"
            return RejectedCommand(f"{name} is not allowed here; allowed commands: {names}", command_id, name)
        expires = _seconds(document.pop("expires", None))
        if expires is None:
            return RejectedCommand(
                "expires must be seconds since 1970, or a time such as 2026-11-21T10:00:00Z", command_id, name
            )
        if reason := self._expiry_error(expires, now) or self._duplicate_error(command_id, expires, now):
            return RejectedCommand(reason, command_id, name)
        return Command(command_id, name, document)

    def _expiry_error(self, expires: float, now: float) -> str:
        if expires <= now:
            return f"the command has expired: {now - expires:.0f} s ago by this device's clock"
        if expires > now + MAX_EXPIRES_SECONDS:
            return (
                f"the command expires in {expires - now:.0f} s by this device's clock; "
                f"at most {MAX_EXPIRES_SECONDS:.0f} s are allowed"
            )
        return ""

    def _duplicate_error(self, command_id: str, expires: float, now: float) -> str:
        elapsed, used = self._timer(), self._used
        ended = [each for each in used.ids if self._has_ended(each, now, elapsed)]
        if command_id in used.ids and (command_id not in ended or expires <= used.ids[command_id]):
            return "this id was used already; send each command with a new id"
        if any(low <= expires <= high for low, high in used.spent):
            return (
                "a command that expires at this time was carried out, and this device's clock was set back since; "
                "send it with another time in expires"
            )
        room = self._max_ids - (len(used.ids) - len(ended))
        if room <= 0:
            return f"{self._max_ids} commands have not expired yet; wait, and send commands that expire sooner"
        others = sorted((each for each in ended if each != command_id), key=used.ids.__getitem__)
        used = forget(used, others[: max(0, len(others) - min(MAX_ENDED_IDS, room - 1))], now)
        if command_id in used.ids:
            first = used.first.get(command_id, used.ids[command_id])
            used = used._replace(first={**used.first, command_id: first})
        used = used._replace(ids={**used.ids, command_id: expires})
        if self._ids is not None:
            try:
                self._ids.save(used)
            except OSError as error:
                return f"the id cannot be saved, so the command might run twice: {error.strerror or error}"
        self._used = used
        self._deadlines = {known: self._deadlines[known] for known in used.ids if known in self._deadlines}
        self._deadlines[command_id] = elapsed + expires - now
        return ""

    def _has_ended(self, command_id: str, now: float, elapsed: float) -> bool:
        """Whether no message with this id can be valid now: by the wall clock, and by the time since its acceptance.

        An id that was accepted while the clock was ahead expires after the maximum time.
        """
        valid = now < self._used.ids[command_id] <= now + MAX_EXPIRES_SECONDS
        return not valid and self._deadlines.get(command_id, elapsed) <= elapsed


def number(arguments: Mapping[str, Any], name: str, low: float, high: float, *, above: bool = False) -> float:
    """A numeric argument. Raises ArgumentError if it is missing, not a number, or out of range.

    Args:
        above: whether it must be greater than ``low``, rather than at least ``low``.
    """
    value = arguments.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not low <= value <= high
        or (above and value == low)
    ):
        bounds = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
        raise ArgumentError(f"{name} must be a number {bounds}")
    return float(value)


def on_off(arguments: Mapping[str, Any], name: str) -> bool:
    """A boolean argument. Raises ArgumentError if it is missing or not a boolean."""
    value = arguments.get(name)
    if isinstance(value, bool):
        return value
    if value in ("on", "off"):
        return bool(value == "on")
    raise ArgumentError(f'{name} must be "on" or "off"')


def reject_unknown(arguments: Mapping[str, Any], *names: str) -> None:
    """Raise ArgumentError for arguments that the command does not have."""
    for name in arguments:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ArgumentError(f"{name[:64]!r} is not an argument of this command; its arguments: {known}")


def _object(payload: bytes) -> dict[str, Any] | str:
    """The JSON object in a message, or a sentence about its error."""
    try:
        document = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return f"a command must be a JSON object in UTF-8: {error}"
    if not isinstance(document, dict):
        return "a command must be a JSON object; this is other JSON"
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _seconds(expires: object) -> float | None:
    """Seconds since 1970 from a number or a text in RFC 3339; None for other values."""
    if isinstance(expires, bool):
        return None
    if isinstance(expires, (int, float)):
        try:
            seconds = float(expires)
        except OverflowError:
            return None
        return seconds if math.isfinite(seconds) else None
    if isinstance(expires, str) and "T" in expires.upper():
        try:
            moment = datetime.fromisoformat(expires.upper())
            return None if moment.tzinfo is None else moment.timestamp()
        except (ValueError, OverflowError):
            return None
    return None
