"""The verdict on each device, as points for dashboards, which then need no separate rules.

A hub's Telegraf runs ``sensetig health``, which reads each device's data from InfluxDB, judges it as ``sensetig
status`` does, and emits one point per device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.device_state.measurement import OFFLINE, ONLINE
from sensetig import policy
from sensetig.fleet.devices import Judged
from sensetig.influxdb.client import Client
from sensetig.influxdb.client import Series as Answer

DEVICE_HEALTH = Measurement(
    "device_health",
    "The verdict on a device, as `sensetig status` shows it.",
    (Tag("device", "The device."),),
    (
        Field("level", int, "", "0 all is well, 1 check something, 2 act on something.", 0, 2),
        Field("verdict", str, "", "The verdict as a sentence."),
        Field("status", str, "", "`online`, `late` or `offline`."),
        Field("act", int, "", "Number of reasons to act.", 0),
        Field("look", int, "", "Number of reasons to check.", 0),
        Field("reasons", str, "", "Reasons of the verdict, most urgent first."),
        Field("gateway", bool, "", "Known only through a gateway: it runs no collectors."),
        Field("since_seconds", float, "seconds", "When the level last changed, since 1970.", 0),
        Field("seen_seconds", float, "seconds", "Time of its newest point, since 1970.", 0),
        Field("cpu_percent", float, "percent", "Processor in use; while the device is online.", 0, 100),
        Field("memory_percent", float, "percent", "Memory in use; while the device is online.", 0, 100),
        Field("disk_percent", float, "percent", "Use of the fullest file system; while the device is online.", 0, 100),
        Field("temperature_celsius", float, "celsius", "The hottest sensor inside; while the device is online."),
        Field("under_voltage", bool, "", "Under-voltage now; while the device is online."),
        Field("throttled", bool, "", "Throttling now; while the device is online."),
    ),
)

MEASUREMENTS = (DEVICE_HEALTH,)

#: Levels as numbers, rising with urgency.
NUMBERS = {policy.GOOD: 0, policy.LOOK: 1, policy.ACT: 2}

#: Prefix of a verdict: a symbol that is readable with and without colour.
SIGNS = {policy.GOOD: "●", policy.LOOK: "▲", policy.ACT: "✖"}

#: Fields of a device that are shown only while it is online.
_VALUES = ("cpu_percent", "memory_percent", "disk_percent", "temperature_celsius", "under_voltage", "throttled")

#: The level of a device, and the time of its last change, in seconds since 1970.
Since = Mapping[str, tuple[int, float]]


class Counted(NamedTuple):
    """The number of reasons to act, and of reasons to check."""

    act: int
    look: int


def counted(judged: Judged) -> Counted:
    """The number of reasons by urgency."""
    return Counted(judged.levels.count(policy.ACT), judged.levels.count(policy.LOOK))


def verdict(judged: Judged) -> str:
    """The verdict on a device in one sentence."""
    number = counted(judged)
    head = f"{SIGNS[judged.level]} {judged.device.name}: "
    if judged.status == OFFLINE:
        details = list(judged.details)
        silence = details.pop(judged.reasons.index("silent"))
        return head + silence + (f"; before that: {', '.join(details)}" if details else "")
    parts = []
    if number.act:
        parts.append(f"{number.act} {_things(number.act)} to act on")
    if number.look:
        parts.append(f"{number.look} {'' if parts else _things(number.look) + ' '}to check")
    if not parts:
        return head + "all is well"
    return f"{head}{' and '.join(parts)}: {', '.join(judged.details)}"


def _things(count: int) -> str:
    return "thing" if count == 1 else "things"


def metrics(devices: Iterable[Judged], before: Since, now_ns: int) -> Iterator[Metric]:
    """A point for each device.

    Args:
        before: the previous level of each device, and the time of its change.
        now_ns: nanoseconds since 1970.
    """
    now = now_ns / 1e9
    for judged in devices:
        device, number = judged.device, counted(judged)
        level = NUMBERS[judged.level]
        held, since = before.get(device.name, (None, now))
        fields: dict[str, FieldValue] = {
            "level": level,
            "verdict": verdict(judged),
            "status": judged.status,
            "act": number.act,
            "look": number.look,
            "reasons": ", ".join(judged.details),
            "gateway": device.state is not None,
            "since_seconds": since if held == level else now,
            "seen_seconds": now - device.age_seconds,
        }
        if judged.status == ONLINE:
            fields.update({name: value for name in _VALUES if (value := getattr(device, name)) is not None})
        tags = {"device": device.name} | ({"site": device.site} if device.site else {})
        yield Metric(Series(DEVICE_HEALTH.name, tags), fields, now_ns)


def levels(client: Client) -> Since:
    """The level of each device in its latest health point. Raises InfluxDBError."""
    (answer,) = client.query_all(
        [
            'SELECT last("level"), "since_seconds" FROM "device_health" '  # noqa: S608 - no input
            f'WHERE time > now() - {policy.FORGOTTEN_DAYS}d GROUP BY "device"'
        ]
    )
    return dict(filter(None, map(_level, answer)))


def _level(series: Answer) -> tuple[str, tuple[int, float]] | None:
    _, level, since = series.rows[0]
    if isinstance(level, int | float) and isinstance(since, int | float):
        return series.tags.get("device", ""), (int(level), float(since))
    return None
