"""Commands by MQTT: the one scheme that every command uses, as plain values.

A command is a message on ``sensetig/<device>/command/<name>`` with a JSON object::

    {"id": "a1b2", "expires": 1800000000, "seconds": 20}

``id`` and ``expires`` are required; what else there is are the command's own arguments. The answer is a message on
``sensetig/<device>/result/<id>``::

    {"id": "a1b2", "name": "camera_video", "status": "ok", "message": "...", "path": "..."}

A :class:`CommandValidator` decides which messages are carried out. It knows neither broker nor clock.

Several processes of one device may carry out commands. Each subscribes to the topics of its own names, so that one of
them answers a command. No process receives a command with an unknown name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from collectors.messaging.session import topic_level

#: Bytes of a command at most.
MAX_PAYLOAD_BYTES = 4096
#: How far ahead a command may expire, in seconds. It bounds how long an id has to be kept in mind, and a device
#: whose clock stands in the past finds out here, rather than taking commands that expired long ago.
MAX_EXPIRES_SECONDS = 3600.0
#: IdStore kept in mind at most. Each is that of a command that has not expired; more of them than this are refused.
MAX_IDS = 1000

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Status = Literal["ok", "refused", "failed"]


class Command(NamedTuple):
    """A command that is let in.

    Args:
        id: the sender's, not seen before.
        name: one of those allowed.
        arguments: what the message said besides; nobody has checked it.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]


class RejectedCommand(NamedTuple):
    """A command that is not carried out.

    Args:
        message: why, in one sentence.
        id: the sender's, or None where it is not known, so that nobody can be answered.
        name: the command's, as far as the topic tells.
    """

    message: str
    id: str | None = None
    name: str = ""


class ArgumentError(ValueError):
    """An argument is missing, unknown or out of range; the message says so in one sentence."""


def command_topic(device: str, name: str) -> str:
    """Where a command is sent to, and what the process that carries it out subscribes to."""
    return f"sensetig/{topic_level(device)}/command/{name}"


def result_topic(device: str, command_id: str) -> str:
    """Where the answer to a command is sent to."""
    return f"sensetig/{topic_level(device)}/result/{command_id}"


def result(command_id: str, name: str, status: Status, message: str, details: Mapping[str, Any] | None = None) -> bytes:
    """An answer as JSON.

    Args:
        status: ``ok``, ``refused`` (nothing was done) or ``failed`` (it was tried).
        message: one sentence.
        details: what the command gives back besides; it cannot replace the four keys of every answer.
    """
    answer = {**(details or {}), "id": command_id, "name": name, "status": status, "message": message}
    return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()


class IdStore(Protocol):
    """Keeps ids beyond the process; :class:`collectors.messaging.command_ids.IdFile` is one."""

    def load(self) -> Mapping[str, float]:
        """The ids that were saved last, each with its end."""
        ...

    def save(self, ids: Mapping[str, float], /) -> None:
        """Keep these in the place of all others. Raises OSError when that cannot be done."""
        ...


class CommandValidator:
    """Lets commands in, each once.

    Args:
        device: whose commands.
        names: those of this process; what has another name is not answered.
        allowed: of these, the names that are let in.
        ids_most: ids kept in mind at most.
        ids: keeps them beyond this process, too. An id is kept before its command is let in, so that a command is
            carried out at most once, whatever happens in between.
    """

    def __init__(
        self,
        device: str,
        names: Iterable[str],
        allowed: Iterable[str],
        *,
        ids_most: int = MAX_IDS,
        ids: IdStore | None = None,
    ) -> None:
        self._prefix = command_topic(device, "")
        self._names = frozenset(names)
        self._allowed = frozenset(allowed)
        self._ids_most = ids_most
        self._ids = ids
        self._seen: dict[str, float] = {} if ids is None else dict(ids.load())
        self.topics = tuple(self._prefix + name for name in sorted(self._names))
        """What to subscribe to."""

    def admit(self, topic: str, payload: bytes, now: float, *, retained: bool = False) -> Command | RejectedCommand:
        """The command that a message is, or why it is none.

        Args:
            now: wall clock, seconds since 1970.
            retained: whether the broker kept the message and hands it to everybody who subscribes.
        """
        name = topic.removeprefix(self._prefix)
        if name == topic or not _NAME.fullmatch(name):
            return RejectedCommand(f"{topic[:200]!r} is no topic of a command; it is {self._prefix}<name>")
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
            return RejectedCommand("a command must not be retained; publish it without", command_id, name)
        if name not in self._allowed:
            names = ", ".join(sorted(self._allowed)) or "none"
            return RejectedCommand(f"{name} is not allowed here; allowed are: {names}", command_id, name)
        expires = _seconds(document.pop("expires", None))
        if expires is None:
            return RejectedCommand(
                "expires must be seconds since 1970, or a time such as 2026-11-21T10:00:00Z", command_id, name
            )
        if reason := self._untimely(expires, now) or self._repeated(command_id, expires, now):
            return RejectedCommand(reason, command_id, name)
        return Command(command_id, name, document)

    def _untimely(self, expires: float, now: float) -> str:
        if expires <= now:
            return f"the command has expired: {now - expires:.0f} s ago by this device's clock"
        if expires > now + MAX_EXPIRES_SECONDS:
            return (
                f"the command expires in {expires - now:.0f} s by this device's clock; "
                f"at most {MAX_EXPIRES_SECONDS:.0f} s are allowed"
            )
        return ""

    def _repeated(self, command_id: str, expires: float, now: float) -> str:
        if self._seen.get(command_id, now) > now:
            return "a command with this id has been here already; take a new id for each"
        seen = {known: until for known, until in self._seen.items() if until > now}
        if len(seen) >= self._ids_most:
            return f"{self._ids_most} commands have come that have not expired yet; wait, and let them expire sooner"
        seen[command_id] = expires
        if self._ids is not None:
            try:
                self._ids.save(seen)
            except OSError as error:
                return f"the id cannot be kept, so that the command could be repeated: {error.strerror or error}"
        self._seen = seen
        return ""


def number(arguments: Mapping[str, Any], name: str, low: float, high: float, *, above: bool = False) -> float:
    """An argument that must be a number. Raises ArgumentError when it is missing, none, or out of range.

    Args:
        above: whether it has to be more than ``low``, rather than at least that.
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
    """An argument that must be on or off. Raises ArgumentError when it is missing or neither."""
    value = arguments.get(name)
    if isinstance(value, bool):
        return value
    if value in ("on", "off"):
        return bool(value == "on")
    raise ArgumentError(f'{name} must be "on" or "off"')


def reject_unknown(arguments: Mapping[str, Any], *names: str) -> None:
    """Refuse arguments that the command does not have. Raises ArgumentError."""
    for name in arguments:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ArgumentError(f"{name[:64]!r} is not an argument of this command; there are: {known}")


def _object(payload: bytes) -> dict[str, Any] | str:
    """The JSON object in a message, or what is wrong with it."""
    try:
        document = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return f"a command is a JSON object in UTF-8; this is not: {error}"
    if not isinstance(document, dict):
        return "a command is a JSON object; this is JSON of another kind"
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _seconds(expires: object) -> float | None:
    """Seconds since 1970 of a number or of a text in RFC 3339; None for anything else."""
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
