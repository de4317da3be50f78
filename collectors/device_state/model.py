"""A device's state as plain values: what a worker adds to it, what follows for its status, and its spelling in bytes.

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

#: Last values kept of a device, and characters of each text: a device may invent names without end.
VALUES_MOST, TEXT_MOST = 128, 256

#: What counts as the interval of a device that has sent one sample and no setting tells of.
INTERVAL_UNKNOWN_SECONDS = 60.0

#: How much of a newly seen interval goes into the learned one, and how many times the old one it may be: one long
#: outage is not the device's rhythm.
_LEARN, _LEARN_MOST = 0.3, 4.0

_MAGIC = b"SD1"
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
_HEAD = struct.Struct("<3sI")
_GROUP = struct.Struct("<II")

Values = Mapping[str, tuple[int, Mapping[str, FieldValue]]]

_NONE: Mapping[str, Any] = MappingProxyType({})


class DocumentError(ValueError):
    """A stored document is not one; the message says why."""


class Rules(NamedTuple):
    """The settings that merging and status follow.

    Args:
        interval_seconds: between samples; 0 to learn it.
        late, offline: intervals without telemetry.
        slack_seconds: how much later than it came a message may be written.
        window: identities kept at most, of as many messages.
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
    """What a worker has seen of a device and not written yet.

    Args:
        identities: of its messages, each once, in the order they came.
        unchecked: messages besides of which only the number is known.
        first_ns, last_ns: times of the oldest and the newest sample; meaningless without messages.
        steps: how many times a sample of its liveliest series was newer than all before.
        span_ns: the time between the first and the last of these.
        duplicates: messages that came again before they were written.
        values: the last fields of each place with the time of their sample.
        about: what the device told of itself: ``firmware`` and ``bundle_version``.
        gone: whether the last it let know was that it is offline; None where it told nothing of the kind.
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
        """How many it has at most."""
        return len(self.identities) + self.unchecked


class State(NamedTuple):
    """What is stored of a device.

    Args:
        seen_ns: when telemetry or a sign of life was last written, by the worker's clock.
        interval_seconds: the learned one; 0 where there is none yet.
        gone: whether the device, or the broker for it, said that it is offline, and nothing came since.
        window: the identities of the last messages, by the second in which they were written.
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
    """The state with what a worker adds; what is in it already, by its identity, is not added again.

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
        firmware=delta.about.get("firmware", state.firmware)[:TEXT_MOST],
        bundle_version=delta.about.get("bundle_version", state.bundle_version)[:TEXT_MOST],
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
    """Online, late or offline, by the time since telemetry last came."""
    if state.gone:
        return OFFLINE
    if now_ns < state.seen_ns + _patience_ns(state, rules.late, rules):
        return ONLINE
    return LATE if now_ns < state.seen_ns + _patience_ns(state, max(rules.offline, rules.late), rules) else OFFLINE


def deadline_ns(state: State, rules: Rules) -> int | None:
    """When the status changes next if nothing comes; None where it is the last."""
    if state.status == OFFLINE:
        return None
    return state.seen_ns + _patience_ns(
        state, rules.late if state.status == ONLINE else max(rules.offline, rules.late), rules
    )


def interval_seconds(state: State, rules: Rules) -> float:
    """The time between samples that holds for a device; 0 where none is known."""
    return rules.interval_seconds or state.interval_seconds


def _patience_ns(state: State, intervals: float, rules: Rules) -> int:
    interval = interval_seconds(state, rules) or INTERVAL_UNKNOWN_SECONDS
    return int((interval * intervals + rules.slack_seconds) * 10**9)


def _window(
    groups: tuple[tuple[int, tuple[int, ...]], ...], new: tuple[int, ...], second: int, rules: Rules
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """The identities without those too old or too many; the newest are kept whole, so that a write that failed only
    seemingly can be tried again without counting twice."""
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
    return old + _LEARN * (min(seen, _LEARN_MOST * old) - old) if old else seen


def _latest(old: Values, new: Values) -> Values:
    kept = dict(old)
    room = VALUES_MOST - sum(len(fields) for _, fields in kept.values())
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
            merged[name] = value[:TEXT_MOST] if isinstance(value, str) else value
        if merged:
            kept[place] = (time_ns, merged)
    return kept


def encode(state: State) -> bytes:
    """A state as a document: its values as JSON, and behind them the identities, eight bytes each."""
    text = _JSON.encode([*state[:-2], dict(state.values)]).encode("utf-8", "replace")
    parts = [_HEAD.pack(_MAGIC, len(text)), text]
    for when, group in state.window:
        identities = array("Q", group)
        if sys.byteorder == "big":
            identities.byteswap()
        parts += (_GROUP.pack(when & 0xFFFFFFFF, len(group)), identities.tobytes())
    return b"".join(parts)


def decode(document: bytes) -> State:
    """The state that a document spells. Raises DocumentError for anything that :func:`encode` does not write."""
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
