"""A fleet of devices as line protocol: test data for the dashboards and the benchmarks.

The devices are invented, and each demonstrates one condition; their measurements are those of the collectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series, encode

#: The board that a made-up device says it is.
MODEL = "Raspberry Pi 4 Model B Rev 1.5"

#: The collectors that report on a device.
COLLECTORS = ("system", "pi", "sensehat")


class Device(NamedTuple):
    """One device.

    Args:
        name: its host name, or its name at the gateway.
        site: its location.
        silent_seconds: how long ago it last wrote.
        status: the status in its telemetry state.
        started_seconds, deployed_seconds: seconds since its start, and since its version was deployed.
        retired: whether it was decommissioned.
        gateway: whether it is known only through a hub, and runs no collectors itself.
        outdoors: the temperature of another sensor, in °C.
        interval_seconds: time between its samples.
        twin: whether another machine reports under the same name.
        air: the temperatures from its Sense HAT, by the part of the field's name between ``temperature_`` and
            ``_celsius``.
    """

    name: str
    site: str = "home"
    silent_seconds: float = 0
    celsius: float = 48.0
    cpu_percent: float = 12.0
    disk_percent: float = 41.0
    under_voltage: bool = False
    under_voltage_since_boot: bool = False
    throttled: bool = False
    failing: tuple[str, ...] = ()
    rejected: int = 0
    status: str = "online"
    version: str = "0.2.0"
    messages: int = 81_000
    started_seconds: float = 950_000
    deployed_seconds: float = 10_000_000
    retired: bool = False
    gateway: bool = False
    air: Mapping[str, float] = {}
    outdoors: float | None = None
    interval_seconds: float = 10
    twin: bool = False


#: One device for each fault, and some healthy ones.
DEVICES = (
    Device("pi-attic", celsius=71.4, cpu_percent=64, air={"raw": 33.9, "compensated": 28.3}),
    Device("pi-barn", "farm", silent_seconds=5 * 3600, status="late", version="0.1.3"),
    Device("pi-cellar", disk_percent=91.2, outdoors=11.3),
    Device("pi-gate", "farm", under_voltage=True, under_voltage_since_boot=True, throttled=True, celsius=82.5),
    Device("pi-greenhouse", "farm", rejected=42, failing=("sensehat",), air={"raw": 31.2}),
    Device("pi-hall", under_voltage_since_boot=True, disk_percent=83.0, started_seconds=410, twin=True),
    Device("pi-kitchen", deployed_seconds=300, air={"raw": 27.4, "compensated": 22.0, "calibrated": 21.6}),
    Device("pi-meadow", "farm", silent_seconds=1500, interval_seconds=1800),
    Device("pi-shed", silent_seconds=2 * 3600, retired=True),
    Device("pi-workshop", "farm", silent_seconds=240, cpu_percent=38),
    Device("plug-freezer", gateway=True, messages=2_214, version=""),
    Device("plug-lamp", gateway=True, status="offline", retired=True, messages=40, version=""),
    Device("plug-pump", "farm", gateway=True, status="offline", messages=530, version=""),
)


def written(devices: Iterable[Device], begin: float, end: float, step: float) -> Iterator[str]:
    """Every line that the devices write between two times, in seconds since 1970, the oldest first."""
    count = int((end - begin) / step)
    for index in range(count + 1):
        now = end - (count - index) * step
        for device in devices:
            if device.gateway or now <= end - device.silent_seconds:
                for metric in at(device, now, end):
                    yield encode(metric)


def at(device: Device, now: float, end: float) -> Iterator[Metric]:
    """The metrics that a device writes at *now*; *end* is the time of the last write of all."""

    def point(measurement: str, fields: Mapping[str, FieldValue], /, **tags: str) -> Metric:
        host = "hub" if device.gateway else device.name
        series = Series(measurement, {"host": host, "site": device.site, **tags})
        return Metric(series, dict(fields), int(now * 1e9))

    state: dict[str, FieldValue] = {
        "messages": device.messages - int((end - now) / 10),
        "last_telemetry_seconds": now - (1800.0 if device.status == "offline" else 0.0),
        "status": device.status,
        "firmware": "6.12.25" if device.version else "Tasmota 14.2",
    }
    if device.version:
        state["bundle_version"] = device.version if end - now <= device.deployed_seconds else "0.1.9"
    yield point("device_state", state, device=device.name)
    if device.gateway:
        return
    up = int(device.started_seconds - (end - now))
    # Before its last start a device had been up for a day, and somewhat.
    uptime = up if up >= 0 else max(100_000 + up, 0)
    system: dict[str, FieldValue] = {"uptime": uptime, "load1": device.cpu_percent / 25, "n_cpus": 4}
    system |= {
        "interval_seconds": float(device.interval_seconds),
        "boot_number": 4711 + device.twin * int(now // 10 % 2),
    }
    yield point("system", system)
    yield point("cpu", {"usage_idle": 100 - device.cpu_percent - 3 * ((now // 60) % 2)}, cpu="cpu-total")
    yield point("mem", {"used_percent": 37.5})
    yield point("temp", {"temp": device.celsius - ((now // 30) % 3)}, sensor="cpu_thermal")
    for path, fstype, used in (("/", "ext4", device.disk_percent), ("/boot/firmware", "vfat", 15.0)):
        yield point("disk", {"used_percent": used}, path=path, fstype=fstype, device="mmcblk0", mode="rw")
    flags: dict[str, FieldValue] = {
        "under_voltage": device.under_voltage,
        "throttled": device.throttled,
        "under_voltage_since_boot": device.under_voltage_since_boot,
        "throttled_since_boot": device.throttled,
        "cpu_celsius": device.celsius,
    }
    yield point("pi", flags, model=MODEL)
    for name in COLLECTORS:
        up_now = int(name not in device.failing)
        yield point("collector", {"up": up_now, "samples": 10 * up_now, "errors": 1 - up_now}, collector=name)
    if device.air:
        told: dict[str, FieldValue] = {f"temperature_{kind}_celsius": value for kind, value in device.air.items()}
        yield point("environment", told, device=device.name, sensor="hts221", simulated="true")
    if device.outdoors is not None:
        yield point("environment", {"temperature_raw_celsius": device.outdoors}, device=device.name, sensor="bme280")
    if device.rejected:
        tags = {"device": device.name, "measurement": "environment", "field": "humidity_raw_percent"}
        yield point("telemetry_rejected", {"value": 0.0, "count": 1}, reason="out_of_range", **tags)
