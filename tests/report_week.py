"""A week of one Raspberry Pi as line protocol, with events that a report must find: gaps, low voltage, motion."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from collectors.camera.backends.simulated import SCRIPTS, Scene
from collectors.camera.encoding import thumbnail_uri
from collectors.core.line_protocol import FieldValue, Metric, Series, encode

HOUR = 3600
DAY = 24 * HOUR

#: Silent from the beginning of the third day at 02:00 for three hours, in seconds since the week's begin.
SILENCE = (2 * DAY + 2 * HOUR, 2 * DAY + 5 * HOUR)

#: The hour of under-voltage, on the fifth day.
WEAK = (4 * DAY + 14 * HOUR, 4 * DAY + 15 * HOUR)

#: Time of the device's restart: after its silence.
RESTART = SILENCE[1]

#: Seconds between motion events.
EVENT_EVERY = 3 * HOUR

GIB = 1024**3


def lines(host: str, begin: int, seconds: int, step: int, *, seed: int = 1) -> Iterator[str]:
    """Lines of *seconds* from *begin*, a reading each *step* seconds, with the time in nanoseconds."""
    chance = random.Random(seed)
    thumbnails = [_thumbnail(second) for second in (5, 6, 7, 8, 9)]
    tags = {"host": host, "site": "home"}
    sent = 0
    for at in range(0, seconds, step):
        if SILENCE[0] <= at < SILENCE[1]:
            continue
        sent += step * (40_000 + int(30_000 * math.sin(at / 4000)))
        for measurement, more, fields in _readings(at, step, chance, sent):
            yield _line(measurement, {**tags, **more}, fields, begin + at)
        if at % EVENT_EVERY < step and at:
            yield from _event(tags, begin + at, chance, chance.choice(thumbnails))


def _thumbnail(second: float) -> str:
    """A visitor in the simulated camera's scene."""
    return thumbnail_uri(Scene(4, SCRIPTS["mixed"]).draw(second), 240)


def _line(measurement: str, tags: dict[str, str], fields: dict[str, FieldValue], at: int) -> str:
    return encode(Metric(Series(measurement, tags), fields, at * 1_000_000_000))


def _readings(
    at: int, step: int, chance: random.Random, sent: int
) -> Iterator[tuple[str, dict[str, str], dict[str, FieldValue]]]:
    day = math.sin(2 * math.pi * (at / DAY - 0.35))
    busy = 12 + 9 * day + 3 * chance.random() + (55 if at % DAY // HOUR == 3 else 0)
    heat = 46 + 5 * day + busy * 0.2 + chance.random()
    room = 21 + 2.2 * day + 0.1 * chance.random()
    weak = WEAK[0] <= at < WEAK[1] and chance.random() < 0.3
    up = at - RESTART if at >= RESTART else at + 400_000
    yield "system", {}, {"uptime": up, "load1": busy / 25, "load5": busy / 30, "load15": busy / 35, "n_cpus": 4}
    yield (
        "cpu",
        {"cpu": "cpu-total"},
        {
            "usage_idle": 100 - busy,
            "usage_user": busy * 0.6,
            "usage_system": busy * 0.25,
            "usage_iowait": busy * 0.1,
            "usage_softirq": busy * 0.04,
            "usage_nice": 0.0,
            "usage_steal": 0.0,
        },
    )
    total = 4 * GIB
    available = int(total * (0.55 - 0.1 * day))
    yield (
        "mem",
        {},
        {
            "total": total,
            "available": available,
            "free": available // 3,
            "used_percent": 100 * (1 - available / total),
        },
    )
    used = 11 * GIB + int(at * 9000)
    yield (
        "disk",
        {"path": "/", "fstype": "ext4", "device": "mmcblk0p2"},
        {"used": used, "total": 29 * GIB, "free": 29 * GIB - used, "used_percent": 100 * used / (29 * GIB)},
    )
    yield "diskio", {"name": "mmcblk0"}, {"read_bytes": at * 3000, "write_bytes": at * 9000, "io_time": at * 12}
    yield "net", {"interface": "eth0"}, {"bytes_recv": sent * 3, "bytes_sent": sent}
    yield "temp", {"sensor": "cpu_thermal"}, {"temp": heat}
    yield (
        "pi",
        {"model": "Raspberry Pi 4 Model B"},
        {
            "under_voltage": weak,
            "throttled": weak,
            "frequency_capped": False,
            "soft_temperature_limit": False,
            "under_voltage_since_boot": at >= WEAK[0],
            "throttled_since_boot": at >= WEAK[0],
            "cpu_celsius": heat,
            "core_volts": 0.86 + 0.02 * chance.random(),
            "cpu_clock_hertz": 1_800_000_000 if busy > 30 else 600_000_000,
            "cpu_clock_max_hertz": 1_800_000_000,
        },
    )
    for sensor, shift in (("hts221", 0.0), ("lps25h", -2.0)):
        fields: dict[str, FieldValue] = {"temperature_raw_celsius": room + 9 + shift, "temperature_cpu_celsius": heat}
        if sensor == "hts221":
            fields |= {
                "temperature_compensated_celsius": room,
                "humidity_raw_percent": 38 - 4 * day,
                "humidity_compensated_percent": 47 - 4 * day,
                "dew_point_celsius": 9.5 + 0.6 * day,
            }
        else:
            fields["pressure_hpa"] = 1013 + 7 * math.sin(at / 150_000)
        yield "environment", {"sensor": sensor, "device": "sensehat"}, fields
    failed = int(at % DAY < step)
    for collector in ("system", "pi", "sensehat", "camera"):
        yield (
            "collector",
            {"collector": collector},
            {"up": 1, "errors": failed if collector == "sensehat" else 0, "samples": 9, "duration_seconds": 0.01},
        )
    yield (
        "camera",
        {"camera": "door"},
        {
            "frames": step * 10,
            "frames_per_second": 9.8 + 0.2 * chance.random(),
            "dropped": 0,
            "detection": True,
            "covered": False,
            "frozen": False,
            "motion_percent": 0.4 * chance.random(),
            "processing_seconds": 0.012,
            "brightness_percent": 45 + 30 * day,
            "shake_percent": 0.1,
        },
    )


def _event(tags: dict[str, str], at: int, chance: random.Random, thumbnail: str) -> Iterator[str]:
    score, area = 2 + 8 * chance.random(), 3 + 20 * chance.random()
    name = f"{at}-door"
    common: dict[str, FieldValue] = {"event_id": name, "start_seconds": float(at), "score": score, "area_percent": area}
    yield _line("camera_event", {**tags, "camera": "door", "kind": "start"}, common, at)
    ended: dict[str, FieldValue] = {**common, "duration_seconds": 6.5, "frames": 60, "thumbnail": thumbnail}
    yield _line("camera_event", {**tags, "camera": "door", "kind": "end"}, ended, at + 6)
