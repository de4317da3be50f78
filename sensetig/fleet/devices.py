"""How each device fares: plain values asked of InfluxDB, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sensetig.influxdb.client import Client, Series, Value

#: How much a device asks of the reader, the most first.
ACT, LOOK, GOOD = "act", "look", "good"
_ORDER = {ACT: 0, LOOK: 1, GOOD: 2}

#: From these values on a look, or a hand, is due; the dashboards have the same ones.
HOT_LOOK, HOT_ACT = 65.0, 80.0
DISK_LOOK, DISK_ACT = 80.0, 90.0
CPU_LOOK = 90.0

_NO_DISK = '"fstype" !~ /^(tmpfs|devtmpfs|squashfs|overlay|ramfs|iso9660)$/'

#: Fields whose newest point tells when a device was last heard; any one of them does.
_HEARD = (
    ("system", "uptime"),
    ("collector", "up"),
    ("environment", "temperature_raw_celsius"),
    ("camera", "frames"),
    ("random_data", "value"),
)

#: What is read beside that: name -> (measurement, field, further tags, condition).
_NEWEST = {
    "temperature": ("temp", "temp", ("sensor",), ""),
    "idle": ("cpu", "usage_idle", (), "\"cpu\" = 'cpu-total'"),
    "disk": ("disk", "used_percent", ("path",), _NO_DISK),
    "under_voltage": ("pi", "under_voltage", (), ""),
    "under_voltage_since_boot": ("pi", "under_voltage_since_boot", (), ""),
    "throttled": ("pi", "throttled", (), ""),
    "throttled_since_boot": ("pi", "throttled_since_boot", (), ""),
}

#: Of the state that the processor of telemetry keeps: field -> name here.
_STATE = {
    "messages": "messages",
    "last_telemetry_seconds": "last_telemetry",
    "firmware": "firmware",
    "bundle_version": "version",
}


class Limits(NamedTuple):
    """After how many seconds of silence a device is late, and offline."""

    late: float = 60.0
    offline: float = 600.0


#: Where ``sensetig retire`` says so, by which tag of a device, and the field that a device in service writes there.
_RETIRED = (("system", "host", "uptime"), ("device_state", "device", "messages"))


class Device(NamedTuple):
    """One device as it was last heard. None is "not told", which differs from 0 and from false."""

    name: str
    age_seconds: float
    temperature_celsius: float | None = None
    cpu_percent: float | None = None
    disk_percent: float | None = None
    under_voltage: bool | None = None
    under_voltage_since_boot: bool | None = None
    throttled: bool | None = None
    throttled_since_boot: bool | None = None
    messages: int | None = None
    version: str | None = None
    firmware: str | None = None
    retired: bool = False


class Judged(NamedTuple):
    """A device, whether it is online, late or offline, how much it asks for, and why."""

    device: Device
    status: str
    level: str
    reasons: tuple[str, ...]


def judge(device: Device, limits: Limits) -> Judged:
    """What a device's values say. Only what is told is judged; what an offline device last said is told as it was."""
    act: list[str] = []
    look: list[str] = []
    status = "online"
    if device.age_seconds > limits.offline:
        status = "offline"
        act.append("silent")
    elif device.age_seconds > limits.late:
        status = "late"
        look.append("late")
    if device.under_voltage:
        act.append("under-voltage")
    elif device.under_voltage_since_boot:
        look.append("under-voltage since boot")
    if device.throttled:
        act.append("throttled")
    elif device.throttled_since_boot:
        look.append("throttled since boot")
    for value, first, second, word in (
        (device.temperature_celsius, HOT_LOOK, HOT_ACT, "hot"),
        (device.disk_percent, DISK_LOOK, DISK_ACT, "disk"),
        (device.cpu_percent, CPU_LOOK, None, "busy"),
    ):
        if value is not None and second is not None and value >= second:
            act.append(word)
        elif value is not None and value >= first:
            look.append(word)
    return Judged(device, status, ACT if act else LOOK if look else GOOD, (*act, *look))


def ordered(devices: Iterable[Judged]) -> list[Judged]:
    """What needs action first: then by how many reasons, how long silent, and name."""
    return sorted(
        devices, key=lambda each: (_ORDER[each.level], -len(each.reasons), -each.device.age_seconds, each.device.name)
    )


def read(reader: Client, now_seconds: float, since_seconds: float) -> list[Device]:
    """Every device that has written within so many seconds. Raises ReportError."""
    scope = f"time >= {int((now_seconds - since_seconds) * 1000)}ms"
    queries = [f'SELECT last("{field}") FROM "{name}" WHERE {scope} GROUP BY "host"' for name, field in _HEARD]  # noqa: S608
    for name, field, tags, condition in _NEWEST.values():
        where = scope + (f" AND {condition}" if condition else "")
        groups = ", ".join(f'"{tag}"' for tag in ("host", *tags))
        queries.append(f'SELECT last("{field}") FROM "{name}" WHERE {where} GROUP BY {groups}')  # noqa: S608
    queries += [f'SELECT last("{field}") FROM "device_state" WHERE {scope} GROUP BY "device"' for field in _STATE]  # noqa: S608
    for name, tag, field in _RETIRED:
        # That a device is retired may have been said before.
        queries.append(f'SELECT last("retired") FROM "{name}" GROUP BY "{tag}", "site"')  # noqa: S608
        queries.append(f'SELECT last("{field}") FROM "{name}" WHERE {scope} GROUP BY "{tag}", "site"')  # noqa: S608
    *answers, machines, here, behind, there = reader.query_all(queries)
    heard = _heard(answers[: len(_HEARD)])
    newest = dict(zip(_NEWEST, (_values(each, "host") for each in answers[len(_HEARD) :]), strict=False))
    state = dict(zip(_STATE.values(), (_values(each, "device") for each in answers[-len(_STATE) :]), strict=True))
    # One behind the gateway has no points of its own host; its state says when it was last heard.
    for name, seconds in state["last_telemetry"].items():
        if isinstance(seconds, int | float):
            heard.setdefault(name, int(seconds * 1000))
    retired = _retired(machines, here, "host") | _retired(behind, there, "device")
    return [
        _device(name, now_seconds - time / 1000, newest, state)._replace(retired=name in retired)
        for name, time in sorted(heard.items())
    ]


def in_service(devices: Iterable[Device], limits: Limits) -> list[Device]:
    """The devices without those that are retired and silent; one that is retired and writes all the same is there."""
    return [device for device in devices if not (device.retired and device.age_seconds > limits.late)]


def _retired(said: list[Series], wrote: list[Series], tag: str) -> set[str]:
    """The devices that are retired at every site at which they wrote."""

    def places(answer: list[Series]) -> set[tuple[str, str]]:
        return {(each.tags.get(tag, ""), each.tags.get("site", "")) for each in answer if each.rows[0][1] is not None}

    retired = places([each for each in said if each.rows[0][1]])
    return {name for name, _ in retired} - {name for name, _ in places(wrote) - retired}


def _heard(answers: Iterable[list[Series]]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for answer in answers:
        for series in answer:
            if name := series.tags.get("host", ""):
                newest[name] = max(newest.get(name, 0), int(str(series.rows[0][0])))
    return newest


def _values(answer: list[Series], tag: str) -> dict[str, Value]:
    """Each device's value; of several series the greatest."""
    found: dict[str, Value] = {}
    for series in answer:
        name, value = series.tags.get(tag, ""), series.rows[0][1]
        before = found.get(name)
        if name and (before is None or (isinstance(value, int | float) and float(value) > float(before))):
            found[name] = value
    return found


def _device(
    name: str, age: float, newest: Mapping[str, Mapping[str, Value]], state: Mapping[str, Mapping[str, Value]]
) -> Device:
    def number(key: str) -> float | None:
        value = newest[key].get(name)
        return float(value) if isinstance(value, int | float) else None

    def truth(key: str) -> bool | None:
        value = newest[key].get(name)
        return None if value is None else bool(value)

    idle, messages = number("idle"), state["messages"].get(name)
    version, firmware = state["version"].get(name), state["firmware"].get(name)
    return Device(
        name,
        max(age, 0.0),
        number("temperature"),
        None if idle is None else 100 - idle,
        number("disk"),
        truth("under_voltage"),
        truth("under_voltage_since_boot"),
        truth("throttled"),
        truth("throttled_since_boot"),
        int(messages) if isinstance(messages, int | float) else None,
        str(version) if version else None,
        str(firmware) if firmware else None,
    )


def as_plain(judged: Judged) -> dict[str, object]:
    """A device for ``--json``: what is not told is null."""
    return {
        **judged.device._asdict(),
        "age_seconds": round(judged.device.age_seconds, 1),
        "status": judged.status,
        "level": judged.level,
        "reasons": list(judged.reasons),
    }
