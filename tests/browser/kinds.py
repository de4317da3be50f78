"""Six kinds of device, as lines of line protocol, for the pages to show.

The lines hold every field that a collector declares, so that a new field is in them without an edit here.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

from collectors.core.jpeg import THUMBNAIL_PREFIX
from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.core.schema import Field, Measurement, Tag
from grafana.dashboards.rows import influxdb as hub
from grafana.dashboards.rows import kernel, services, telegraf
from sensetig.declarations import declared
from tests import fleet
from tests.golden import CASES
from tests.integration import past_data

SITE = "home"

#: Points are as far apart as Telegraf's are by default.
STEP = 10

#: Seconds of points that a device has at first.
PAST = 1800

#: Seconds of points of the air before those: an evaluation of three hours needs twice that time.
PAST_OF_AIR = 7 * 3600

#: How long the dead device has been silent at first: a minute more than it takes until it is offline.
SILENT_SECONDS = 660


class Kind(NamedTuple):
    """A device of one kind.

    Args:
        name: the device's, which is what *Device* is set to.
        without: the collectors that it does not run.
        silent_seconds: how long it has been silent.
        known: whether it has written at all.
        gateway: it is known through a hub only.
        hours: it has a past by the hour.
        values: what differs from a machine that is well, as ``measurement.field``.
    """

    name: str
    without: tuple[str, ...] = ()
    silent_seconds: int = 0
    known: bool = True
    gateway: bool = False
    hours: bool = False
    values: tuple[tuple[str, FieldValue], ...] = ()

    @property
    def alive(self) -> bool:
        """Whether it writes now."""
        return self.known and not self.silent_seconds


_HAT = ("sensehat", "joystick")
_CAMERA = ("camera", "vision")

#: The kinds by their names in a test's name.
KINDS = {
    "healthy": Kind("pi-greenhouse-north", hours=True),
    "dead": Kind("pi-gate", silent_seconds=SILENT_SECONDS, hours=True),
    "never-seen": Kind("pi-tomorrow", known=False),
    "mqtt-plug": Kind("plug-freezer-kitchen", gateway=True),
    "no-hat": Kind("pi-cellar", without=_HAT),
    "no-camera": Kind("pi-attic", without=_CAMERA),
}

#: Raspberry Pis with one fault each, for pictures.
FAULTS = {
    "hot": Kind(
        "pi-loft",
        without=(*_HAT, *_CAMERA),
        values=(
            ("temp.temp", 83.4),
            ("pi.cpu_celsius", 83.4),
            ("pi.soft_temperature_limit", True),
            ("pi.soft_temperature_limit_since_boot", True),
            ("pi.throttled", True),
            ("pi.throttled_since_boot", True),
            ("cpu.usage_idle", 31.0),
            ("cpu.usage_user", 62.0),
        ),
    ),
    "under-volted": Kind(
        "pi-porch",
        without=(*_HAT, *_CAMERA),
        values=(
            ("pi.under_voltage", True),
            ("pi.under_voltage_since_boot", True),
            ("pi.frequency_capped", True),
            ("pi.frequency_capped_since_boot", True),
            ("pi.input_volts", 4.58),
        ),
    ),
    "full": Kind(
        "pi-archive",
        without=(*_HAT, *_CAMERA),
        values=(("disk.used_percent", 97.6), ("disk.used", 60_500_000_000), ("disk.free", 1_500_000_000)),
    ),
}

#: Devices of a fleet that have something to show, next to the six: one for each thing that can be wrong.
OTHERS = tuple(device for device in fleet.DEVICES if device.name not in {kind.name for kind in KINDS.values()})

#: The device that is the hub, and has what only a hub has.
HUB = KINDS["healthy"].name

#: What only a hub writes.
_OF_HUB = ("mqtt_gateway", "mqtt_receipt", "outbox", "receiver", "influxdb", "device_store")

#: Measurements that a hub writes of its devices at a broker; a machine with collectors has a state, too.
_OF_GATEWAY = ("device_state", "device_status", "energy", "environment")

#: Tags of a series: each measurement's, or else the tag's, or else the tag's name.
_TAGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "": {
        "model": ("Raspberry Pi 5 Model B Rev 1.0",),
        "camera": ("front-door",),
        "simulated": ("true",),
        "interface": ("eth0", "wlan0"),
    },
    "environment": {"sensor": ("hts221", "lps25h")},
    "camera_event": {"kind": ("start", "end")},
    "camera_detection": {"label": ("cat", "dog"), "model": ("yolo-nas-s",)},
    "vision": {"model": ("yolo-nas-s",)},
    "joystick": {"direction": ("up", "down", "left", "right", "middle")},
    "cpu": {"cpu": ("cpu-total", "cpu0", "cpu1", "cpu2", "cpu3")},
    "disk": {"path": ("/", "/boot/firmware"), "fstype": ("ext4",), "mode": ("rw",), "device": ("mmcblk0p2",)},
    "diskio": {"name": ("mmcblk0",)},
    "sd_card": {"device": ("mmcblk0",), "type": ("SD",), "name": ("SN128",)},
    "wifi": {"interface": ("wlan0",)},
    "pi_rail": {"rail": ("3v7_wl_sw", "3v3_sys", "1v8_sys", "ddr_vdd2", "ddr_vddq", "1v1_sys", "0v8_sw", "vdd_core")},
    "temp": {"sensor": ("cpu_thermal", "rp1_adc")},
    "top_process": {"by": ("cpu", "memory"), "rank": ("1", "2", "3")},
    "spool": {"spool": ("camera",)},
    "delivery": {"stage": ("telegraf", "outbox")},
    "collector": {
        "collector": ("system", "pi", "sensehat", "camera", "clock", "spool", "joystick", "vision", "health")
    },
    "internal_gather": {"input": ("execd", "exec", "internal", "kernel", "http", "mqtt_consumer", "systemd_units")},
    "internal_write": {"output": ("influxdb_v2",)},
    "systemd_units": {
        "name": ("telegraf.service", "influxdb.service", "grafana-server.service", "sensetig-telegraf-commands.service")
    },
    "influxdb": {"bucket": ("c0da0c51639f17b0", "d21c77b3e566b09b"), "id": ("1", "2")},
    "device_store": {"store": ("sqlite",)},
    "telemetry_rejected": {
        "reason": ("out_of_range",),
        "measurement": ("environment",),
        "field": ("humidity_raw_percent",),
    },
}

#: Optional tags that a series has all the same.
_KEPT_TAGS = ("type", "name", "bucket", "id", "measurement", "field")

#: Values of a healthy machine. Every other number is near the middle of its range and varies a little. A text is a
#: word, and a flag is false.
_VALUES: Mapping[str, FieldValue] = {
    "camera_event.clip_path": "2026/11/21/20261121T080005.000000Z-front-door.mp4",
    "camera.frames": 100,
    "camera.frames_per_second": 10.0,
    "camera.detection": True,
    "camera.motion_percent": 1.5,
    "camera.processing_seconds": 0.012,
    "camera.brightness_percent": 46.0,
    "camera.shake_percent": 2.0,
    "camera.exposure_seconds": 0.01,
    "camera.gain": 2.0,
    "camera_event.duration_seconds": 12.5,
    "camera_event.score": 31.0,
    "camera_event.area_percent": 8.0,
    "camera_detection.confidence": 0.87,
    "clock.synchronised": 1,
    "clock.maximum_error_seconds": 0.021,
    "clock.estimated_error_seconds": 0.0004,
    "mqtt.connected": True,
    "pi.cpu_celsius": 49.0,
    "pi.cpu_clock_hertz": 1_500_000_000,
    "pi.cpu_clock_max_hertz": 2_400_000_000,
    "pi.core_clock_hertz": 910_000_000,
    "pi.core_volts": 0.72,
    "pi.fan_rpm": 1468,
    "pi.fan_percent": 29.4,
    "pi.rp1_celsius": 55.5,
    "pi.input_volts": 5.07,
    "pi.battery_volts": 3.0,
    "pi.rails_watts": 2.05,
    "pi_rail.volts": 1.8,
    "pi_rail.amperes": 0.16,
    "pi_rail.watts": 0.29,
    "sd_card.life_used_percent": 10.0,
    "sd_card.pre_eol": 1,
    "wifi.signal_dbm": -51.0,
    "wifi.quality": 59,
    "wifi.quality_max": 70,
    "wifi.bit_rate_bits_per_second": 433_300_000,
    "environment.temperature_raw_celsius": 28.6,
    "environment.temperature_cpu_celsius": 49.0,
    "environment.temperature_compensated_celsius": 21.9,
    "environment.temperature_calibrated_celsius": 21.6,
    "environment.compensation_factor": 1.6,
    "environment.humidity_raw_percent": 38.0,
    "environment.humidity_compensated_percent": 51.0,
    "environment.humidity_calibrated_percent": 50.0,
    "environment.dew_point_celsius": 10.6,
    "environment.pressure_hpa": 1012.4,
    "environment.pressure_calibrated_hpa": 1013.1,
    "imu.acceleration_z_g": 1.0,
    "colour.gain": 16,
    "cpu.usage_idle": 88.0,
    "cpu.usage_user": 8.0,
    "cpu.usage_system": 3.0,
    "cpu.usage_iowait": 0.6,
    "cpu.usage_nice": 0.0,
    "cpu.usage_irq": 0.0,
    "cpu.usage_softirq": 0.4,
    "cpu.usage_steal": 0.0,
    "cpu.usage_guest": 0.0,
    "cpu.usage_guest_nice": 0.0,
    "mem.total": 8_323_000_000,
    "mem.used": 2_913_000_000,
    "mem.available": 5_410_000_000,
    "mem.free": 3_300_000_000,
    "mem.used_percent": 35.0,
    "mem.available_percent": 65.0,
    "swap.total": 536_870_912,
    "swap.used": 12_582_912,
    "swap.free": 524_288_000,
    "swap.used_percent": 2.3,
    "disk.total": 62_000_000_000,
    "disk.used": 25_400_000_000,
    "disk.free": 36_600_000_000,
    "disk.used_percent": 41.0,
    "disk.inodes_used_percent": 6.0,
    "diskio.io_util": 3.1,
    "diskio.io_await": 2.4,
    "diskio.io_svctm": 1.1,
    "net.speed": 1000,
    "net.err_in": 0,
    "net.err_out": 0,
    "net.drop_in": 0,
    "net.drop_out": 0,
    "system.load1": 0.42,
    "system.load5": 0.38,
    "system.load15": 0.31,
    "system.n_cpus": 4,
    "system.n_physical_cpus": 4,
    "system.n_users": 1,
    "system.interval_seconds": float(STEP),
    "system.boot_number": 4711,
    "system.uptime_format": "11 days,  2:14",
    "temp.temp": 49.0,
    "machine.model": "Raspberry Pi 5 Model B Rev 1.0",
    "machine.operating_system": "Debian GNU/Linux 13 (trixie)",
    "machine.kernel": "6.12.25+rpt-rpi-2712",
    "machine.architecture": "aarch64",
    "machine.address": "192.168.178.114",
    "machine.bundle_version": "0.2.0",
    "machine.pending_updates": 3,
    "top_process.name": "chromium-browser",
    "top_process.cpu_percent": 4.1,
    "top_process.memory_bytes": 412_000_000,
    "joystick.action": "pressed",
    "telemetry_rejected.value": 140.5,
    "telemetry_rejected.count": 1,
    "device_state.status": "online",
    "device_state.online": 1,
    "device_state.firmware": "6.12.25+rpt-rpi-2712",
    "device_state.bundle_version": "0.2.0",
    "device_state.interval_seconds": float(STEP),
    "device_status.status": "online",
    "device_status.bundle_version": "0.2.0",
    "device_status.firmware": "6.12.25+rpt-rpi-2712",
    "energy.power_watts": 87.3,
    "energy.power_factor": 0.93,
    "energy.voltage_volts": 231.4,
    "energy.current_amperes": 0.41,
    "energy.frequency_hertz": 50.0,
    "outbox.waiting_points": 120,
    "outbox.oldest_seconds": 4.5,
    "outbox.limit_bytes": 1_073_741_824,
    "outbox.waiting_bytes": 52_428_800,
    "collector.up": 1,
    "collector.errors": 0,
    "collector.hangs": 0,
    "collector.duration_seconds": 0.018,
    "collector.reason": "",
    "vision.breaker_open": False,
    "vision.processing_seconds": 0.21,
    "internal_write.buffer_limit": 10_000,
    "internal_write.buffer_size": 36,
    "influxdb.go_memstats_sys_bytes": 312_000_000.0,
    "influxdb.go_memstats_heap_inuse_bytes": 140_000_000.0,
    "systemd_units.active_code": 0,
    "systemd_units.sub_code": 0,
    "random_data.noise": 0.1,
}

#: What does not move.
_STEADY = ("interval_seconds", "boot_number", "bit_rate_bits_per_second", "cpu_clock_max_hertz", "total", "speed")

#: When counters began, in seconds since 1970.
_SINCE = 1_790_000_000

#: Counters, and their growth a second. Counters of failures do not grow.
_GROWS = {
    **dict.fromkeys(("net.bytes_recv", "net.bytes_sent"), 21_000),
    **dict.fromkeys(("net.packets_recv", "net.packets_sent"), 40),
    **dict.fromkeys(("diskio.read_bytes", "diskio.write_bytes", "sd_card.written_bytes"), 9_000),
    **dict.fromkeys(("diskio.reads", "diskio.writes", "diskio.read_time", "diskio.write_time", "diskio.io_time"), 3),
    **dict.fromkeys(("kernel.context_switches", "kernel.interrupts"), 2_400),
    "kernel.processes_forked": 2,
    "system.uptime": 1,
    "internal_gather.gather_time_ns": 900_000,
    "internal_write.write_time_ns": 400_000,
    **dict.fromkeys(("internal_agent.metrics_gathered", "internal_write.metrics_written"), 24),
    **dict.fromkeys(("delivery.metrics_written", "delivery.stored_points", "outbox.taken_points"), 24),
    **dict.fromkeys(("outbox.stored_points", "receiver.passed_writes", "mqtt_receipt.received"), 3),
    **dict.fromkeys(("mqtt.lines_published", "mqtt.messages_published", "device_state.messages"), 1),
    "influxdb.influxdb_uptime_seconds": 1,
    "influxdb.task_scheduler_total_execution_calls": 1,
}

#: No counter of a machine that is well counts these.
_FAILURES = ("dropped", "refused", "rejected", "damaged", "missing", "failed", "failure", "errors", "lost", "conflicts")

#: Measurements that are written now and then: steps between two points.
_SELDOM = {"camera_event": 18, "camera_detection": 18, "joystick": 30, "telemetry_rejected": 60}

PICTURE = THUMBNAIL_PREFIX + b64encode((CASES / "vision" / "onnx" / "hall" / "1.jpg").read_bytes()).decode()


def lines(kind: Kind, begin: float, end: float) -> Iterator[str]:
    """Lines of a device between two times, in seconds since 1970; the last is left out."""
    for at in range(int(begin) // STEP * STEP, int(end), STEP):
        if at >= begin:
            yield from at_once(kind, at)


def air(kind: Kind, begin: float, end: float) -> Iterator[str]:
    """Lines of a device's sensors of the air between two times, one a minute."""
    for at in range(int(begin) // 60 * 60, int(end), 60):
        yield from at_once(kind, at, ("environment",))


def at_once(kind: Kind, at: int, only: Collection[str] = ()) -> Iterator[str]:
    """Lines of a device at one time, of those measurements or of all."""
    for place, (measurement, tags) in enumerate(_series(kind)):
        if only and measurement.name not in only:
            continue
        if (at // STEP) % _SELDOM.get(measurement.name, 1):
            continue
        fields = {field.name: _value(kind, measurement, field, at, place) for field in measurement.fields}
        if measurement.name == "energy":
            # A plug with one socket has no channels.
            tags = {name: value for name, value in tags.items() if name != "channel"}
        yield encode(Metric(Series(measurement.name, tags), fields, at * 1_000_000_000))


def hours(kind: Kind, now: float) -> Iterator[str]:
    """A year by the hour."""
    return past_data.hourly(kind.name, SITE, now - kind.silent_seconds)


def writes(kind: Kind, measurement: str) -> bool:
    """Whether a device has written such a measurement."""
    return kind.known and any(each.name == measurement for each in _measurements(kind))


@cache
def _series(kind: Kind) -> tuple[tuple[Measurement, Mapping[str, str]], ...]:
    """The series of a device: a measurement and its tags."""
    return tuple((each, tags) for each in _measurements(kind) for tags in _tags(each, kind))


def _measurements(kind: Kind) -> Iterator[Measurement]:
    for name, each in declared().items():
        if kind.gateway:
            if name in _OF_GATEWAY:
                yield each.measurement
            continue
        of_others = each.collectors and set(each.collectors) <= set(kind.without)
        if not of_others and name not in ("energy", "telemetry_rejected") and (kind.name == HUB or name not in _OF_HUB):
            yield each.measurement
        if kind.name == HUB and name == "telemetry_rejected":
            yield each.measurement
    if not kind.gateway:
        yield from (*telegraf.MEASUREMENTS, *kernel.MEASUREMENTS, *services.MEASUREMENTS)
        if kind.name == HUB:
            yield from hub.MEASUREMENTS


def _tags(measurement: Measurement, kind: Kind) -> Iterator[Mapping[str, str]]:
    own, shared = _TAGS.get(measurement.name, {}), _TAGS[""]
    keys = [tag.name for tag in measurement.tags if _has(tag, measurement)]
    device = {"device": (kind.name,)} if "device" not in own else {}
    if kind.gateway and measurement.name == "environment":
        own = {"sensor": ("si7021",)}
    for values in product(*({**shared, **device, **own}.get(key, (key,)) for key in keys)):
        tags = {"host": HUB if kind.gateway else kind.name, "site": SITE, **dict(zip(keys, values, strict=True))}
        if tags.get("collector") not in kind.without:
            yield tags


def _has(tag: Tag, measurement: Measurement) -> bool:
    return not tag.optional or tag.name in _TAGS.get(measurement.name, {}) or tag.name in _KEPT_TAGS


def _value(kind: Kind, measurement: Measurement, field: Field, at: int, place: int) -> FieldValue:
    name = f"{measurement.name}.{field.name}"
    value: FieldValue = field.kind(_number_or_text(kind, name, field, at, place))
    return value


def _number_or_text(kind: Kind, name: str, field: Field, at: int, place: int) -> FieldValue:
    if name in _GROWS:
        return (at - _SINCE) * _GROWS[name] + place
    given = dict(kind.values).get(name, _VALUES.get(name))
    if name == "camera_event.thumbnail":
        return PICTURE
    if field.name == "event_id":
        return f"{at}-front-door"
    if field.kind is str:
        return "none" if given is None else given
    if field.kind is bool:
        return bool(given)
    if field.name.endswith("_seconds") and field.name.startswith(("first_", "last_", "start_")):
        return at
    if name == "systemd_units.active_enter_timestamp_us":
        return (at - at % 1_000_000) * 1_000_000
    if given is None and any(word in field.name for word in _FAILURES):
        return 0
    if given is None:
        low = field.low or 0
        given = (low + (field.high if field.high is not None else low + 100)) / 2
    assert isinstance(given, int | float)
    # It moves by a fortieth, each series in its own time; a small whole number stays as it is.
    moved = given if field.name in _STEADY else given * (1 + math.sin(at / 97 + place) / 40)
    return moved if field.kind is float or abs(given) > 100 else given
