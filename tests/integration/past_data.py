"""A past for the device of a demo that has just begun: two weeks of air in ``raw``, a year in ``hourly``.

The values follow the time of day and the season, so that a picture of them is plausible. They carry
``simulated=true``, so they cannot be mistaken for measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400


class Wave(NamedTuple):
    """A field's mean, and how far the season, the day and chance take it from there."""

    mean: float
    season: float
    day: float
    chance: float

    def at(self, seconds: float) -> float:
        """The value at a time since 1970."""
        season = self.season * math.sin(2 * math.pi * (seconds / YEAR - 0.3))
        day = self.day * math.sin(2 * math.pi * (seconds / DAY - 0.4))
        # Waves of lengths that have nothing in common, instead of chance that a test could not repeat.
        drift = sum(math.sin(seconds / (DAY * days)) for days in (0.83, 1.9, 3.7, 6.1)) / 4
        return self.mean + season + day + self.chance * drift


_AIR = {
    "temperature_raw_celsius": Wave(24.0, 3.0, 1.8, 1.5),
    "temperature_compensated_celsius": Wave(21.0, 2.5, 1.5, 1.3),
    "temperature_calibrated_celsius": Wave(21.3, 2.5, 1.5, 1.3),
    "temperature_cpu_celsius": Wave(48.0, 3.0, 2.0, 2.0),
    "humidity_raw_percent": Wave(42.0, -6.0, -3.0, 5.0),
    "humidity_compensated_percent": Wave(49.0, -6.0, -3.0, 5.0),
    "humidity_calibrated_percent": Wave(48.0, -6.0, -3.0, 5.0),
    "dew_point_celsius": Wave(9.5, 4.0, 0.3, 2.0),
}
_PRESSURE = {
    "pressure_hpa": Wave(1008.0, 2.0, 0.6, 14.0),
    "pressure_calibrated_hpa": Wave(1009.0, 2.0, 0.6, 14.0),
}

#: A second source of the same measurement, far colder than the first.
_OUTDOORS = {
    "temperature_raw_celsius": Wave(5.0, 3.0, 1.8, 1.5),
    "temperature_calibrated_celsius": Wave(4.8, 3.0, 1.8, 1.5),
    "humidity_raw_percent": Wave(80.0, -3.0, -3.0, 2.0),
    "humidity_calibrated_percent": Wave(81.0, -3.0, -3.0, 2.0),
    "pressure_hpa": Wave(908.0, 2.0, 0.6, 14.0),
    "pressure_calibrated_hpa": Wave(909.0, 2.0, 0.6, 14.0),
}
_SENSORS = {"hts221": _AIR, "lps25h": _PRESSURE, "bme280": _OUTDOORS}

#: Series of ``hourly``: measurement with its tags, and its fields.
_HOURS = {
    **{f"environment,sensor={sensor}": fields for sensor, fields in _SENSORS.items()},
    "cpu,cpu=cpu-total": {"usage_idle": Wave(86.0, 0.0, 6.0, 4.0)},
    "temp,sensor=cpu_thermal": {"temp": Wave(49.0, 4.0, 2.0, 2.0)},
    "mem": {"used_percent": Wave(41.0, 2.0, 1.0, 4.0)},
    "disk,path=/": {"used_percent": Wave(37.0, 5.0, 0.0, 0.5)},
    "system": {"load1": Wave(0.5, 0.0, 0.2, 0.2)},
    "pi,model=5": {"under_voltage": Wave(0.0, 0.0, 0.0, 0.0), "throttled": Wave(0.0, 0.0, 0.0, 0.0)},
    "camera_event,camera=simulated,kind=start": {"area_percent": Wave(8.0, 0.0, 2.0, 3.0)},
}

#: InfluxDB's internal metrics, as ``telegraf/hub/influxdb.conf`` keeps them.
_INFLUXDB = {
    "influxdb": "go_memstats_sys_bytes=104857600,go_memstats_heap_inuse_bytes=62914560,"
    "storage_writer_dropped_points_sum=0,storage_writer_err_points_sum=0,"
    "task_scheduler_total_execution_calls=12,task_scheduler_total_execute_failure=0",
    "influxdb,id=11ab7c73c6a29000": "influxdb_uptime_seconds=86400",
    "influxdb,bucket=c0da0c51639f17b0": "storage_bucket_series_num=214,storage_bucket_measurement_num=31",
    "influxdb,bucket=c0da0c51639f17b0,id=2": "storage_tsm_files_disk_bytes=41943040,storage_wal_size=1048576,"
    "storage_cache_inuse_bytes=524288",
    "influxdb,bucket=d21c77b3e566b09b": "storage_bucket_series_num=188,storage_bucket_measurement_num=27",
    "influxdb,bucket=d21c77b3e566b09b,id=1": "storage_tsm_files_disk_bytes=8388608,storage_wal_size=262144,"
    "storage_cache_inuse_bytes=65536",
}

#: Data that a broker brings and no demo has: messages through a gateway, and the device's own agent.
_GATEWAY = (
    "mqtt_receipt,{tags} received=1i",
    "mqtt_gateway,{tags} unconfirmed_seconds=0.5,unconfirmed_messages=2i",
    'device_status,device=plug-1,{tags} status="online"',
    "energy,device=plug-1,{tags} power_watts=42.5",
    "energy,device={host},channel=1,{tags} power_watts=3.5,energy_total_kilowatt_hours=12.25",
    "mqtt,device=shelf,{tags} connected=true,connections=1i,lines_published=118i,messages_published=24i,"
    "lines_refused=0i,lines_waiting=3i,commands_ok=1i,commands_refused=0i,commands_failed=0i",
)

_REFUSED = ("refused_type", "refused_retention", "refused_syntax", "refused_device")
_OUTBOX = "waiting_points=120i,oldest_seconds=4.5"
_CONTAINER = "running=1i,healthy=1i,restarts=0i,uptime_seconds=86400,memory_bytes=83886080i"
_STORE = "written=3i,conflicts=1i,failures=0i,pending_messages=0i,unchecked_messages=0i,lost_messages=0i"


def raw(host: str, site: str, now: float) -> Iterator[str]:
    """Two weeks of air up to now, a point every ten minutes, and the data of a hub's snippets."""
    tags = f"host={host},site={site},simulated=true"
    yield from air(host, site, now - 14 * DAY, now, 600)
    for at in range(int(now) - 900, int(now), 60):
        for series, told in _INFLUXDB.items():
            yield f"{series},host={host},site={site} {told} {at}000000000"
        for line in _GATEWAY:
            yield f"{line.format(host=host, tags=f'host={host},site={site}')} {at}000000000"
        refused = ",".join(f"{name}={at}i" for name in ("refused_points", "damaged_points", *_REFUSED))
        yield f"outbox,host={host},site={site} {_OUTBOX},{refused} {at}000000000"
        yield f"delivery,stage=outbox,host={host},site={site} stored_points={at}i,refused_points={at}i {at}000000000"
        yield f"container,name=influxdb,host={host},site={site} {_CONTAINER},cpu_seconds={at % DAY} {at}000000000"
        yield f"receiver,host={host},site={site} passed_writes={at}i,held_writes={at}i,holding=0i {at}000000000"
        yield f"device_store,store=sqlite,host={host},site={site} {_STORE},duration_seconds=0.004 {at}000000000"
        yield (
            f"telemetry_rejected,device={host},measurement=environment,field=humidity_raw_percent,reason=out_of_range,"
            f"{tags} value=140.5,count=1i {at}000000000"
        )


def air(host: str, site: str, begin: float, end: float, step: int) -> Iterator[str]:
    """The air between two times."""
    tags = f"host={host},site={site},simulated=true"
    for at in range(int(begin), int(end), step):
        for sensor, fields in _SENSORS.items():
            told = ",".join(f"{name}={wave.at(at):.3f}" for name, wave in fields.items())
            yield f"environment,device={host},sensor={sensor},{tags} {told} {at}000000000"


def hourly(host: str, site: str, now: float) -> Iterator[str]:
    """A year up to the last full hour."""
    last = int(now) // HOUR * HOUR
    for at in range(last - YEAR, last, HOUR):
        for series, fields in _HOURS.items():
            # A motion event comes a few times in an hour, everything else every ten seconds.
            count = 1 + at // HOUR * 7 % 5 if series.startswith("camera_event") else 360
            told = ",".join(_hour(name, wave, at, count) for name, wave in fields.items())
            device = f",device={host}" if series.startswith("environment,") else ""
            yield f"{series}{device},host={host},site={site},simulated=true {told} {at}000000000"


def _hour(name: str, wave: Wave, at: int, count: int) -> str:
    mean = wave.at(at)
    reach = 0.1 + 0.25 * (abs(wave.day) + abs(wave.chance)) if wave.mean else 0.0
    return f"{name}={mean:.3f},{name}__min={mean - reach:.3f},{name}__max={mean + reach:.3f},{name}__count={count}"
