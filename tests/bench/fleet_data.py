"""An InfluxDB with the data of a fleet: generated once, and cached by its version.

Of one device: every field that a dashboard reads and every numeric field that a collector or one of Telegraf's own
inputs declares, every 10 s over 30 days in ``raw``, and the summaries of a year in ``hourly``. It is a hub, with
figures of InfluxDB's shards each minute and the verdict on each device twice a minute. Of more devices: a copy of that,
and for each of the others the measurements that are read across devices (:data:`ACROSS`), 24 hours in ``raw`` and a
year in ``hourly``.

Values are waves, because only their number and kind matter here; time ends at :data:`END`, so that the figures do not
depend on the date.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

import urllib3
from filelock import FileLock

from collectors.core.schema import Field, Measurement, Tag
from grafana.dashboards.rows import influxdb as hub
from grafana.dashboards.rows import kernel, services, telegraf
from sensetig import bundle
from sensetig.declarations import declared
from sensetig.demo.testbed import influxdb, ports, processes
from sensetig.engines import cache, locate
from sensetig.fleet.health import DEVICE_HEALTH
from sensetig.influxdb.prepare import setup
from tests.bench.measure import BenchUnavailable

#: 2026-01-01 00:00 UTC, in seconds.
END = 1_767_225_600

HOUR, DAY = 3600, 86400
STEP = 10

#: Part of the cache's key: increase it when the generated data changes, or when a dashboard reads a new measurement.
VERSION = 3

#: The measurements that every device has.
ACROSS = (
    "environment",
    "cpu",
    "mem",
    "disk",
    "system",
    "temp",
    "pi",
    "device_state",
    "telemetry_rejected",
    "collector",
    DEVICE_HEALTH.name,
)

#: The tags' values that queries ask for; a tag that is not named here has its own name for a value.
_TAGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "environment": {"sensor": ("hts221", "lps25h")},
    "cpu": {"cpu": ("cpu-total", "cpu0", "cpu1", "cpu2", "cpu3")},
    "disk": {"path": ("/",), "fstype": ("ext4",), "mode": ("rw",), "device": ("mmcblk0p2",)},
    "diskio": {"name": ("mmcblk0",)},
    "net": {"interface": ("eth0", "wlan0")},
    "wifi": {"interface": ("wlan0",)},
    "temp": {"sensor": ("cpu_thermal",)},
    "camera_event": {"kind": ("start", "end")},
    "collector": {"collector": ("system", "pi", "sensehat", "camera", "clock", "spool")},
    "internal_gather": {"input": ("execd", "exec", "internal", "kernel", "http", "mqtt_consumer", "systemd_units")},
    "internal_write": {"output": ("influxdb_v2",)},
    "systemd_units": {"name": ("telegraf.service", "influxdb.service", "grafana-server.service", "mosquitto.service")},
    # A hub's buckets after five years: some 46 shards each.
    "influxdb": {"bucket": ("b000", "b001"), "id": tuple(str(each) for each in range(1, 47))},
    "top_process": {"by": ("cpu", "memory"), "rank": ("1", "2", "3", "4", "5")},
    "telemetry_rejected": {"reason": ("out_of_range",), "measurement": ("environment",), "field": ("pressure_hpa",)},
}

#: Measurements that are written less often, and the steps between two of their points.
_SELDOM = {
    "camera_event": 180,
    "camera_detection": 180,
    "telemetry_rejected": 360,
    "joystick": 360,
    "influxdb": 6,
    "machine": 360,
    "top_process": 6,
    DEVICE_HEALTH.name: 3,
}

#: The texts that dashboards read; all others are left out.
_TEXTS = {
    ("device_state", "status"): "online",
    ("device_state", "bundle_version"): "0.2.0",
    ("device_state", "firmware"): "2025-05-08",
    ("device_status", "status"): "online",
    ("camera_event", "event_id"): "20251231T235500-4f1c",
    ("camera_event", "thumbnail"): "data:image/jpeg;base64,/9j/" + "A" * 8000,
    ("camera_event", "clip_path"): "2025/12/31/20251231T235500-4f1c.mp4",
    ("camera_detection", "event_id"): "20251231T235500-4f1c",
    ("joystick", "action"): "pressed",
    ("machine", "model"): "Raspberry Pi 4 Model B Rev 1.4",
    ("machine", "operating_system"): "Debian GNU/Linux 12 (bookworm)",
    ("machine", "kernel"): "6.12.25+rpt-rpi-v8",
    ("machine", "address"): "192.168.178.40",
    ("machine", "bundle_version"): "0.2.0",
    ("top_process", "name"): "telegraf",
    (DEVICE_HEALTH.name, "verdict"): "✖ pi: 1 thing to act on and 1 to check: under-voltage, hot 82 °C",
    (DEVICE_HEALTH.name, "status"): "online",
    (DEVICE_HEALTH.name, "reasons"): "under-voltage, hot 82 °C",
}

#: Placeholder of the seconds since the device's start; no device ever restarts.
_SINCE_START = "@"
_STARTED = END - 400 * DAY

#: Number of different lines of a series; then they repeat.
_VARIANTS = 360

_BATCH = 5000


class Database(NamedTuple):
    """A running InfluxDB with the data."""

    url: str
    token: str
    organisation: str
    devices: int
    bytes_on_disk: int
    lines: int
    pid: int


class _Series(NamedTuple):
    prefix: str
    points: tuple[str, ...]
    hours: tuple[str, ...]
    seldom: int
    first: bool


@contextmanager
def running(devices: int) -> Iterator[Database]:
    """InfluxDB with the data of that number of devices, generated where the cache has none. Raises BenchUnavailable."""
    engine = locate("influxd")
    if engine is None:
        raise BenchUnavailable("influxd is not there: run `make engines` first")
    with _generated(engine.path, devices) as folder:
        identity, url = influxdb.start(engine.path, folder / "data", ports.any_free(), folder / "influxd.log")
        try:
            made = json.loads((folder / "made.json").read_text(encoding="utf-8"))
            token = (folder / "tokens" / "operator.token").read_text(encoding="utf-8").strip()
            yield Database(
                url, token, "sensetig", devices, _size(folder / "data" / "engine"), made["lines"], identity.pid
            )
        finally:
            processes.stop([identity])


@contextmanager
def _generated(influxd: Path, devices: int) -> Iterator[Path]:
    """The folder with the data, which no other process uses meanwhile."""
    folder = cache.top(os.environ) / "bench" / f"fleet-{devices}-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "made.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            if devices == 1:
                _make(influxd, folder, range(1), 0)
            else:
                with _generated(influxd, 1) as first:
                    shutil.copytree(first, folder, ignore=shutil.ignore_patterns("made.json"))
                    lines = json.loads((first / "made.json").read_text(encoding="utf-8"))["lines"]
                _make(influxd, folder, range(1, devices), lines)
        yield folder


def device(number: int) -> str:
    """The name of a device."""
    return f"pi-{number:03}"


def _measurements() -> list[Measurement]:
    """A device's measurements; a measurement whose fields belong to different tags is split."""
    found = [*(each.measurement for each in declared().values()), DEVICE_HEALTH]
    native = (*telegraf.MEASUREMENTS, *kernel.MEASUREMENTS, *services.MEASUREMENTS, *_of_influxdb())
    kept = []
    for each in (*found, *native):
        fields = tuple(field for field in each.fields if field.kind is not str or (each.name, field.name) in _TEXTS)
        if fields:
            kept.append(each._replace(fields=fields))
    return kept


def _of_influxdb() -> Iterator[Measurement]:
    """InfluxDB's figures as it labels them: its own, those of a bucket, and those of a shard."""
    (whole,) = hub.MEASUREMENTS
    parts: dict[tuple[Tag, ...], list[Field]] = {}
    for field in whole.fields:
        shard = field.name in ("storage_tsm_files_disk_bytes", "storage_wal_size", "storage_cache_inuse_bytes")
        count = 2 if shard else 1 if field.name.startswith("storage_bucket_") else 0
        parts.setdefault(whole.tags[:count], []).append(field)
    for tags, fields in parts.items():
        yield whole._replace(tags=tuple(tag._replace(optional=False) for tag in tags), fields=tuple(fields))


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _make(influxd: Path, folder: Path, devices: range, before: int) -> None:
    began = time.monotonic()
    definitions = folder / "definitions"
    definitions.mkdir(parents=True, exist_ok=True)
    # The shipped buckets with their shard groups, but without expiry: the data ends at a fixed time.
    (definitions / "buckets.toml").write_text(
        '[raw]\ndescription = "points"\nretention_days = 36500\nshard_group_days = 1\n\n'
        '[hourly]\ndescription = "hours"\nretention_days = 36500\nshard_group_days = 30\n',
        encoding="utf-8",
    )
    shutil.copy(bundle.root() / "influxdb" / "mappings.toml", definitions)
    identity, url = influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
    try:
        outcome = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=folder / "tokens",
            definitions=definitions,
            say=lambda _: None,
        )
        lines = before + _fill(url, outcome.tokens.operator, devices)
    finally:
        processes.stop([identity])
    took = time.monotonic() - began
    print(f"{lines:,} lines of {devices.stop} devices after {took:.0f} s", file=sys.stderr)
    (folder / "made.json").write_text(json.dumps({"lines": lines, "seconds": round(took)}), encoding="utf-8")


def _fill(url: str, token: str, devices: Iterable[int]) -> int:
    series = [each for number in devices for each in _series(number)]
    sent = 0
    # A busy machine makes InfluxDB give up a write after ten seconds; the same points again are the same points.
    again = urllib3.Retry(total=8, backoff_factor=1, status_forcelist=(500, 503), allowed_methods=None)
    pool = urllib3.PoolManager(maxsize=4, retries=again, timeout=120)

    def send(bucket: str, body: str) -> None:
        answer = pool.request(
            "POST",
            f"{url}/api/v2/write?org=sensetig&bucket={bucket}&precision=s",
            body=body.encode(),
            headers={"Authorization": f"Token {token}"},
        )
        if answer.status != 204:
            raise BenchUnavailable(f"InfluxDB took no data: {answer.data[:200]!r}")

    with ThreadPoolExecutor(2) as senders:
        running_writes = []
        for bucket, lines in (("raw", _points(series)), ("hourly", _hours(series))):
            for batch in _batches(lines):
                running_writes.append(senders.submit(send, bucket, "\n".join(batch)))
                sent += len(batch)
                if len(running_writes) >= 6:
                    running_writes.pop(0).result()
        for each in running_writes:
            each.result()
    return sent


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _points(series: list[_Series]) -> Iterator[str]:
    for day in range(-30, 0):
        begin = END + day * DAY
        for each in series:
            if day < -1 and not each.first:
                continue
            for number, at in enumerate(range(begin, begin + DAY, STEP * each.seldom)):
                fields = each.points[number % _VARIANTS].replace(_SINCE_START, str(at - _STARTED))
                yield f"{each.prefix} {fields} {at}"


def _hours(series: list[_Series]) -> Iterator[str]:
    for begin in range(END - 365 * DAY, END, 30 * DAY):
        for each in series:
            if not each.hours[0]:
                continue
            for number, at in enumerate(range(begin, min(begin + 30 * DAY, END), HOUR)):
                yield f"{each.prefix} {each.hours[number % _VARIANTS]} {at}"


def _series(number: int) -> list[_Series]:
    name = device(number)
    made = []
    for measurement in _measurements():
        if number and measurement.name not in ACROSS:
            continue
        wanted = _TAGS.get(measurement.name, {})
        keys = [tag.name for tag in measurement.tags if not tag.optional or tag.name in wanted]
        seldom = _SELDOM.get(measurement.name, 1)
        for values in product(*(wanted.get(key, (name if key == "device" else key,)) for key in keys)):
            # The hub writes the verdict on each device.
            host = device(0) if measurement.name == DEVICE_HEALTH.name else name
            tags = {"host": host, "site": "home", **dict(zip(keys, values, strict=True))}
            prefix = ",".join((measurement.name, *(f"{key}={value}" for key, value in sorted(tags.items()))))
            fields = measurement.fields
            made.append(
                _Series(
                    prefix,
                    tuple(_point(measurement, fields, each, number) for each in range(_VARIANTS)),
                    tuple(_hour(fields, each, number, 360 // seldom) for each in range(_VARIANTS)),
                    seldom,
                    number == 0,
                )
            )
    return made


def _value(field: Field, step: int, number: int) -> float:
    low = field.low if field.low is not None else 0.0
    high = field.high if field.high is not None else low + 100.0
    return low + (high - low) * (0.5 + 0.3 * math.sin(2 * math.pi * step / _VARIANTS + number))


def _point(measurement: Measurement, fields: Iterable[Field], step: int, number: int) -> str:
    texts = []
    for field in fields:
        if field.kind is str:
            texts.append(f'{field.name}="{_TEXTS[measurement.name, field.name]}"')
            continue
        if (measurement.name, field.name) == ("system", "uptime"):
            texts.append(f"uptime={_SINCE_START}i")
            continue
        value = _value(field, step, number)
        if field.kind is bool:
            texts.append(f"{field.name}={'true' if step == 7 else 'false'}")
        else:
            texts.append(f"{field.name}={value:.2f}" if field.kind is float else f"{field.name}={value:.0f}i")
    return ",".join(texts)


def _hour(fields: Iterable[Field], step: int, number: int, count: int) -> str:
    texts = []
    for field in fields:
        if field.kind is str:
            continue
        value = _value(field, step, number)
        name = field.name
        texts.append(
            f"{name}={value:.4f},{name}__min={value * 0.9:.2f},{name}__max={value * 1.1:.2f},{name}__count={count}"
        )
    return ",".join(texts)
