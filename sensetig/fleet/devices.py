"""The state of each device: plain values read from InfluxDB, and their urgency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collectors.device_state.measurement import LATE, OFFLINE, ONLINE
from sensetig import policy
from sensetig.fleet import losses
from sensetig.influxdb.client import Client, Series, Value
from sensetig.report.numbers import duration

#: Further values: name -> (measurement, field, further tags, condition).
_NEWEST = {
    "temperature": ("temp", "temp", ("sensor",), ""),
    "idle": ("cpu", "usage_idle", (), "\"cpu\" = 'cpu-total'"),
    "disk": ("disk", "used_percent", ("path",), policy.DISKS_ONLY),
    "under_voltage": ("pi", "under_voltage", (), ""),
    "under_voltage_since_boot": ("pi", "under_voltage_since_boot", (), ""),
    "throttled": ("pi", "throttled", (), ""),
    "throttled_since_boot": ("pi", "throttled_since_boot", (), ""),
    "interval": ("system", "interval_seconds", (), ""),
    "waiting": ("outbox", "oldest_seconds", (), ""),
    "memory": ("mem", "used_percent", (), ""),
}

#: Failing parts: collectors whose latest batch failed, and services that are down. Each query returns the names.
_FAILING = (
    'SELECT "up" FROM (SELECT last("up") AS "up" FROM "collector" WHERE {scope} GROUP BY "host", "collector") '
    'WHERE "up" = 0 GROUP BY "host", "collector"'
)
_DOWN = (
    'SELECT "active_code" FROM (SELECT last("active_code") AS "active_code", "sub_code", "active_enter_timestamp_us" '  # noqa: S608 - no input
    'FROM "systemd_units" WHERE {scope} GROUP BY "host", "name") '
    f'WHERE {policy.SERVICE_DOWN} GROUP BY "host", "name"'
)

#: Maximum number of failing parts that are named.
_NAMES = 5

#: Fields of the device state that the telemetry processor writes -> name here.
_STATE = {
    "messages": "messages",
    "last_telemetry_seconds": "last_telemetry",
    "interval_seconds": "learned_interval",
    "status": "status",
    "firmware": "firmware",
    "bundle_version": "version",
}


class Limits(NamedTuple):
    """The minimum silence, in seconds, after which a device is late and offline; see ``policy.liveness``."""

    late: float = policy.LATE_SECONDS
    offline: float = policy.OFFLINE_SECONDS


#: The mark of ``sensetig retire``: measurement, tag, and the field that an active device writes there.
_RETIRED = (("system", "host", "uptime"), ("device_state", "device", "messages"))


class Device(NamedTuple):
    """The latest values of one device. None means "not reported", which differs from 0 and from false.

    Args:
        interval_seconds: the learned time between its samples.
        state: online, late or offline according to its ``device_state``, for a device known only through a hub.
        name_clash: whether two machines report under its name.
        lost_points: points that were dropped, rejected or damaged within the last 24 h.
        lost_seconds: how long ago the last of them was counted; may be up to an hour too large.
        waiting_seconds: age of the oldest point in its outbox.
        failing, down: its collectors that fail, and its services that are down.
        site: the site of its last write; empty if it has none.
    """

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
    interval_seconds: float | None = None
    state: str | None = None
    name_clash: bool = False
    lost_points: int | None = None
    lost_seconds: float | None = None
    waiting_seconds: float | None = None
    memory_percent: float | None = None
    failing: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    site: str = ""


class Judged(NamedTuple):
    """A device with its liveness, its urgency, and the reasons.

    Args:
        reasons: one word each, most urgent first.
        details: the same with their values.
        levels: the urgency of each.
    """

    device: Device
    status: str
    level: str
    reasons: tuple[str, ...]
    details: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()


def liveness(device: Device, limits: Limits) -> str:
    """Whether a device is online, late or offline.

    For a device known only through a hub, the hub's ``device_state`` decides: it follows the learned interval and the
    last will. A machine that writes directly cannot update its state after it has ended, so its silence decides.
    """
    if device.state is not None:
        return device.state
    return policy.liveness(
        device.age_seconds, 0, device.interval_seconds, late_seconds=limits.late, offline_seconds=limits.offline
    )


def judge(device: Device, limits: Limits) -> Judged:
    """The urgency of a device's latest values. Unreported values are not judged."""
    status = liveness(device, limits)
    silence = f"{'late, ' if status == LATE else ''}silent for {duration(round(device.age_seconds))}"
    found = [(policy.LIVENESS_LEVELS[status], {OFFLINE: "silent"}.get(status, status), silence)]
    if device.name_clash:
        clash = f"two machines report as {device.name}"
        found.append((policy.ACT, clash, clash))
    for now, since_boot, word in (
        (device.under_voltage, device.under_voltage_since_boot, "under-voltage"),
        (device.throttled, device.throttled_since_boot, "throttled"),
    ):
        if now:
            found.append((policy.ACT, word, word))
        elif since_boot:
            found.append((policy.LOOK, f"{word} since boot", f"{word} since boot"))
    for names, word, plural in (
        (device.failing, "failing", "collectors failing"),
        (device.down, "down", "services down"),
    ):
        if names:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            found.append((policy.NEVER.level(len(names)), word, f"{plural}: {', '.join(names[:_NAMES])}{more}"))
    for value, threshold, word, detail in (
        (device.temperature_celsius, policy.PROCESSOR_CELSIUS, "hot", "hot, {} °C"),
        (device.disk_percent, policy.DISK_PERCENT, "disk", "disk {} % full"),
        (device.memory_percent, policy.MEMORY_PERCENT, "memory", "memory {} % in use"),
        (device.cpu_percent, policy.CPU_PERCENT, "busy", "processor {} % busy"),
    ):
        if value is not None:
            found.append((threshold.level(value), word, detail.format(round(value))))
    if device.lost_points:
        ago = "" if device.lost_seconds is None else f", {duration(round(device.lost_seconds))} ago"
        found.append((policy.NEVER.level(device.lost_points), "lost", f"{device.lost_points} points lost{ago}"))
    if device.waiting_seconds is not None:
        level = policy.WAITING_SECONDS.level(device.waiting_seconds)
        found.append((level, "waiting", f"points wait for {duration(round(device.waiting_seconds))}"))
    found = [each for each in found if each[0] != policy.GOOD]
    found.sort(key=lambda each: policy.LEVELS.index(each[0]))
    levels, reasons, details = zip(*found, strict=True) if found else ((), (), ())
    return Judged(device, status, policy.worst(levels), reasons, details, levels)


def ordered(devices: Iterable[Judged]) -> list[Judged]:
    """Sort by urgency, then by the number of reasons, the length of the silence, and the name."""
    return sorted(
        devices,
        key=lambda each: (
            policy.LEVELS.index(each.level),
            -len(each.reasons),
            -each.device.age_seconds,
            each.device.name,
        ),
    )


def read(client: Client, now_seconds: float, since_seconds: float) -> list[Device]:
    """Every device that has written within the last *since_seconds*. Raises InfluxDBError."""
    scope = f"time >= {int((now_seconds - since_seconds) * 1000)}ms"
    queries = [
        f'SELECT last("{field}"), "site" FROM "{name}" WHERE {scope} GROUP BY "host"'  # noqa: S608
        for name, field in policy.SIGNS_OF_LIFE
    ]
    for name, field, tags, condition in _NEWEST.values():
        where = scope + (f" AND {condition}" if condition else "")
        groups = ", ".join(f'"{tag}"' for tag in ("host", *tags))
        queries.append(f'SELECT last("{field}") FROM "{name}" WHERE {where} GROUP BY {groups}')  # noqa: S608
    queries += [
        f'SELECT last("{field}"), "site" FROM "device_state" WHERE {scope} GROUP BY "device"'  # noqa: S608
        for field in _STATE
    ]
    just_now = f"time >= {int((now_seconds - policy.OFFLINE_SECONDS) * 1000)}ms"
    queries += [_FAILING.format(scope=just_now), _DOWN.format(scope=just_now)]
    recent = f"time >= {int((now_seconds - policy.NAME_CLASH_SECONDS) * 1000)}ms"
    queries.append(
        'SELECT count("change") FROM (SELECT difference("boot_number") AS "change" FROM "system" '  # noqa: S608
        f'WHERE {recent} GROUP BY "host", "site") WHERE "change" != 0 GROUP BY "host", "site"'
    )
    for name, tag, field in _RETIRED:
        # A device may have been retired long before the displayed period.
        queries.append(f'SELECT last("retired") FROM "{name}" GROUP BY "{tag}", "site"')  # noqa: S608
        queries.append(f'SELECT last("{field}") FROM "{name}" WHERE {scope} GROUP BY "{tag}", "site"')  # noqa: S608
    *answers, machines, here, behind, there = client.query_all(queries)
    lost = losses.read(client, now_seconds, since_seconds)
    *answers, failing, down, changes = answers
    signs, states = answers[: len(policy.SIGNS_OF_LIFE)], answers[-len(_STATE) :]
    heard, sites = _heard(signs)
    state = dict(zip(_STATE.values(), (_values(each, "device") for each in states), strict=True))
    intervals = _values(answers[len(policy.SIGNS_OF_LIFE) + list(_NEWEST).index("interval")], "host")
    oldest = {name: _oldest(time, intervals.get(name)) for name, time in heard.items()}
    newest = {
        name: _values(answer, "host", oldest)
        for name, answer in zip(_NEWEST, answers[len(policy.SIGNS_OF_LIFE) :], strict=False)
    }
    # A device behind the gateway has no points under its own host; its state has the time of its last message.
    downstream = {name for name in state["last_telemetry"] if name not in heard}
    places = {series.tags.get("device", ""): str(series.rows[0][2] or "") for series in states[0]}
    for name in downstream:
        seconds = state["last_telemetry"][name]
        if isinstance(seconds, int | float):
            heard[name] = int(seconds * 1000)
            sites[name] = places.get(name, "")
    clashes = {
        name
        for name, count in _values(changes, "host").items()
        if isinstance(count, int | float) and count > policy.NAME_CLASH_CHANGES
    }
    retired = _retired(machines, here, "host") | _retired(behind, there, "device")
    fails, stopped = _names(failing, "collector"), _names(down, "name")
    devices = []
    for name, time in sorted(heard.items()):
        device = _device(name, now_seconds - time / 1000, newest, state)
        status = state["status"].get(name) if name in downstream else None
        devices.append(
            device._replace(
                retired=name in retired,
                state=str(status) if status in policy.LIVENESS_LEVELS else None,
                name_clash=name in clashes,
                lost_points=lost[name].points if name in lost else None,
                lost_seconds=now_seconds - lost[name].last_ms / 1000 if name in lost else None,
                failing=fails.get(name, ()),
                down=stopped.get(name, ()),
                site=sites[name],
            )
        )
    return devices


def _oldest(heard_ms: int, interval: Value) -> float:
    """The time in milliseconds before which a value is outdated: the device has written since without it."""
    seconds = policy.OFFLINE_INTERVALS * float(interval) if isinstance(interval, int | float) else 0
    return heard_ms - 1000 * max(policy.OFFLINE_SECONDS, seconds)


def _names(answer: list[Series], tag: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for series in answer:
        if host := series.tags.get("host", ""):
            found.setdefault(host, set()).add(series.tags.get(tag, ""))
    return {host: tuple(sorted(names)) for host, names in found.items()}


def in_service(devices: Iterable[Device], limits: Limits) -> list[Device]:
    """The devices except those that are retired and silent. A retired device that still writes is included."""
    return [device for device in devices if not (device.retired and liveness(device, limits) != ONLINE)]


def _retired(said: list[Series], wrote: list[Series], tag: str) -> set[str]:
    """The devices that are retired at each of their sites."""

    def places(answer: list[Series]) -> set[tuple[str, str]]:
        return {(each.tags.get(tag, ""), each.tags.get("site", "")) for each in answer if each.rows[0][1] is not None}

    retired = places([each for each in said if each.rows[0][1]])
    return {name for name, _ in retired} - {name for name, _ in places(wrote) - retired}


def _heard(answers: Iterable[list[Series]]) -> tuple[dict[str, int], dict[str, str]]:
    """The time of each host's last point, in milliseconds since 1970, and its site at that time."""
    newest: dict[str, int] = {}
    sites: dict[str, str] = {}
    for answer in answers:
        for series in answer:
            time, _, site = series.rows[0]
            name = series.tags.get("host", "")
            if name and int(str(time)) >= newest.get(name, 0):
                newest[name], sites[name] = int(str(time)), str(site or "")
    return newest, sites


def _values(answer: list[Series], tag: str, oldest_ms: Mapping[str, float] | None = None) -> dict[str, Value]:
    """Each device's value; the maximum over its series.

    Args:
        oldest_ms: omit older values, in milliseconds since 1970.
    """
    found: dict[str, Value] = {}
    for series in answer:
        name, (time, value) = series.tags.get(tag, ""), series.rows[0][:2]
        if oldest_ms is not None and int(str(time)) < oldest_ms.get(name, 0):
            continue
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
    interval = state["learned_interval"].get(name)
    learned = float(interval) if isinstance(interval, int | float) else None
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
        interval_seconds=number("interval") or learned,
        waiting_seconds=number("waiting"),
        memory_percent=number("memory"),
    )


def as_plain(judged: Judged) -> dict[str, object]:
    """A device for ``--json``; unreported values are null."""
    return {
        **judged.device._asdict(),
        "age_seconds": round(judged.device.age_seconds, 1),
        "status": judged.status,
        "level": judged.level,
        "reasons": list(judged.reasons),
        "details": list(judged.details),
    }
