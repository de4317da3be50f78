"""The state of a device as plain values: merging, status, and encoding in bytes.

>>> state = merge(EMPTY, Delta((1, 2), 0, 5, 9), 10, RULES)
>>> state.messages, merge(state, Delta((2,), 0, 9, 9), 11, RULES).messages
(2, 2)
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from collectors.core.line_protocol import FieldValue
from collectors.device_state.measurement import LATE, OFFLINE, ONLINE

#: Maximum number of last values of a device, and of characters of a text: a device may use any number of names.
MAX_VALUES, MAX_TEXT = 128, 256

#: Assumed interval for a device that has sent one sample, without a setting.
INTERVAL_UNKNOWN_SECONDS = 60.0

#: Weight of a new interval in the learned one, and its maximum as a multiple of the old one: a long outage must not be
#: learned as the interval.
_LEARN, _MAX_LEARN = 0.3, 4.0

_MAGIC = b"SD1"
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
_HEAD = struct.Struct("<3sI")
_GROUP = struct.Struct("<II")

Values = Mapping[str, tuple[int, Mapping[str, FieldValue]]]

_NONE: Mapping[str, Any] = MappingProxyType({})


class DocumentError(ValueError):
    """A stored document is invalid; the message gives the reason."""


class Rules(NamedTuple):
    """Settings of merging and status.

    Args:
        interval_seconds: time between samples; 0 to learn it.
        late, offline: intervals without telemetry.
        slack_seconds: maximum delay between the arrival of a message and its write.
        window: maximum number of identities, one per message.
        window_seconds: how long each is kept.
    """

    interval_seconds: float = 0.0
    late: float = 3.0
    offline: float = 10.0
    slack_seconds: float = 60.0
    window: int = 4096
    window_seconds: float = 600.0


RULES = Rules()


class Delta(NamedTuple):
    """Messages of a device that a worker has not written yet.

    Args:
        identities: of its messages, each once, in order of arrival.
        unchecked: number of further messages, whose identities are not known.
        first_ns, last_ns: times of the oldest and the newest sample; meaningless without messages.
        steps: how many samples of its busiest series were newer than all before.
        span_ns: time between the first and the last of these samples.
        duplicates: messages that were redelivered before they were written.
        values: the last fields of each place with the time of their sample.
        about: facts from its status message: ``firmware`` and ``bundle_version``.
        gone: whether its last status was offline; None without a status.
    """

    identities: tuple[int, ...] = ()
    unchecked: int = 0
    first_ns: int = 0
    last_ns: int = 0
    steps: int = 0
    span_ns: int = 0
    duplicates: int = 0
    values: Values = _NONE
    about: Mapping[str, str] = _NONE
    gone: bool | None = None

    @property
    def messages(self) -> int:
        """Maximum number of its messages."""
        return len(self.identities) + self.unchecked


class State(NamedTuple):
    """The stored state of a device.

    Args:
        seen_ns: time of the last write of telemetry or of a status message, by the worker's clock.
        interval_seconds: the learned interval; 0 if there is none yet.
        gone: whether the device, or the broker on its behalf, reported offline, and nothing has arrived since.
        window: identities of the latest messages, by the second of their write.
    """

    messages: int = 0
    duplicates: int = 0
    first_ns: int = 0
    last_ns: int = 0
    seen_ns: int = 0
    interval_seconds: float = 0.0
    status: str = ONLINE
    gone: bool = False
    firmware: str = ""
    bundle_version: str = ""
    values: Values = _NONE
    window: tuple[tuple[int, tuple[int, ...]], ...] = ()


EMPTY = State()


def merge(state: State, delta: Delta, now_ns: int, rules: Rules) -> State:
    """Add a worker's messages to a state, except those that it contains already, by their identities.

    Args:
        now_ns: the worker's clock.
    """
    fresh = set(delta.identities)
    known = fresh.intersection(chain.from_iterable(group for _, group in state.window))
    new = tuple(identity for identity in delta.identities if identity not in known) if known else delta.identities
    added = len(new) + delta.unchecked
    repeated = len(delta.identities) - len(new)
    alive = added > 0 or delta.gone is False
    changed = state._replace(
        messages=state.messages + added,
        duplicates=state.duplicates + delta.duplicates + repeated,
        seen_ns=max(state.seen_ns, now_ns) if alive or not state.seen_ns else state.seen_ns,
        gone=delta.gone if delta.gone is not None else state.gone and not alive,
        firmware=delta.about.get("firmware", state.firmware)[:MAX_TEXT],
        bundle_version=delta.about.get("bundle_version", state.bundle_version)[:MAX_TEXT],
        window=_window(state.window, new, now_ns // 10**9, rules),
    )
    if added:
        empty = state.messages == 0
        changed = changed._replace(
            first_ns=delta.first_ns if empty else min(state.first_ns, delta.first_ns),
            last_ns=delta.last_ns if empty else max(state.last_ns, delta.last_ns),
            interval_seconds=_learned(state, delta),
            values=_latest(state.values, delta.values),
        )
    return changed._replace(status=status(changed, now_ns, rules))


def status(state: State, now_ns: int, rules: Rules) -> str:
    """Return online, late or offline, by the time since telemetry last arrived."""
    if state.gone:
        return OFFLINE
    if now_ns < state.seen_ns + _patience_ns(state, rules.late, rules):
        return ONLINE
    return LATE if now_ns < state.seen_ns + _patience_ns(state, max(rules.offline, rules.late), rules) else OFFLINE


def deadline_ns(state: State, rules: Rules) -> int | None:
    """Return when the status changes next without telemetry, or None if it is offline."""
    if state.status == OFFLINE:
        return None
    return state.seen_ns + _patience_ns(
        state, rules.late if state.status == ONLINE else max(rules.offline, rules.late), rules
    )


def interval_seconds(state: State, rules: Rules) -> float:
    """Return the time between samples of a device; 0 if it is unknown."""
    return rules.interval_seconds or state.interval_seconds


def _patience_ns(state: State, intervals: float, rules: Rules) -> int:
    interval = interval_seconds(state, rules) or INTERVAL_UNKNOWN_SECONDS
    return int((interval * intervals + rules.slack_seconds) * 10**9)


def _window(
    groups: tuple[tuple[int, tuple[int, ...]], ...], new: tuple[int, ...], second: int, rules: Rules
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Drop identities that are too old or too many, but keep the newest, so that a write without an answer can be
    retried without counting twice."""
    kept: list[tuple[int, tuple[int, ...]]] = []
    if new:
        kept.append((second, new))
    room = rules.window - len(new)
    for when, group in reversed(groups):
        if room <= 0 or when + rules.window_seconds < second:
            break
        kept.append((when, group[-room:]))
        room -= len(group)
    return tuple(reversed(kept))


def _learned(state: State, delta: Delta) -> float:
    if delta.steps > 1:
        seen = delta.span_ns / (delta.steps - 1) / 1e9
    elif state.messages and delta.last_ns > state.last_ns:
        seen = (delta.last_ns - state.last_ns) / 1e9
    else:
        return state.interval_seconds
    old = state.interval_seconds
    return old + _LEARN * (min(seen, _MAX_LEARN * old) - old) if old else seen


def _latest(old: Values, new: Values) -> Values:
    kept = dict(old)
    room = MAX_VALUES - sum(len(fields) for _, fields in kept.values())
    for place, (time_ns, fields) in new.items():
        before_ns, before = kept.get(place, (time_ns, {}))
        if time_ns < before_ns:
            continue
        merged = dict(before)
        for name, value in fields.items():
            if name not in merged:
                if room <= 0:
                    continue
                room -= 1
            merged[name] = value[:MAX_TEXT] if isinstance(value, str) else value
        if merged:
            kept[place] = (time_ns, merged)
    return kept


def encode(state: State) -> bytes:
    """Encode a state as a document: its values as JSON, then the identities, eight bytes each."""
    text = _JSON.encode([*state[:-2], dict(state.values)]).encode("utf-8", "replace")
    parts = [_HEAD.pack(_MAGIC, len(text)), text]
    for when, group in state.window:
        identities = array("Q", group)
        if sys.byteorder == "big":
            identities.byteswap()
        parts += (_GROUP.pack(when & 0xFFFFFFFF, len(group)), identities.tobytes())
    return b"".join(parts)


def decode(document: bytes) -> State:
    """Decode a document. Raises DocumentError for anything that :func:`encode` does not write."""
    try:
        magic, length = _HEAD.unpack_from(document)
        if magic != _MAGIC:
            raise DocumentError("it does not begin as a state does")
        *plain, values = json.loads(document[_HEAD.size : _HEAD.size + length])
        position = _HEAD.size + length
        groups = []
        while position < len(document):
            when, count = _GROUP.unpack_from(document, position)
            position += _GROUP.size
            identities = array("Q", document[position : position + 8 * count])
            position += 8 * count
            if position > len(document):
                raise DocumentError("it is cut off")
            if sys.byteorder == "big":
                identities.byteswap()
            groups.append((when, tuple(identities)))
        if [type(value) for value in plain] != [type(value) for value in EMPTY[:-2]]:
            raise DocumentError("its values are of other kinds")
        places = {place: (int(time_ns), dict(fields)) for place, (time_ns, fields) in values.items()}
    except (struct.error, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"it cannot be read: {error}") from None
    return State._make((*plain, places, tuple(groups)))
