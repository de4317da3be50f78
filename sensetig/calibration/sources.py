"""Sources of the sensor's readings: the collector, the last minutes in InfluxDB, or a recording."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from collectors.core.line_protocol import Metric
from sensetig.calibration import CalibrateError
from sensetig.calibration.pairs import Sample, mean_of

if TYPE_CHECKING:
    from influxdb_client.client.flux_table import FluxRecord

    from collectors.sensehat.csv_recording import Form
    from sensetig.influxdb.client import Client

CPU_FIELD = "temperature_cpu_celsius"

_QUERY = """
from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == measurement and (r._field == field or r._field == cpu))
  |> filter(fn: (r) => r.device == device or r.host == device)
"""


class Place(NamedTuple):
    """The calibrated field of a device's lines, of one sensor or of any."""

    device: str
    measurement: str
    field: str
    sensor: str | None


def select(metrics: Iterable[Metric], place: Place) -> list[Sample]:
    """The samples of the place in a mixture of metrics."""
    found = []
    for metric in metrics:
        tags = metric.series.tags
        if metric.series.measurement != place.measurement or tags.get("device", tags.get("host")) != place.device:
            continue
        if place.sensor is not None and tags.get("sensor") != place.sensor:
            continue
        raw, cpu = metric.fields.get(place.field), metric.fields.get(CPU_FIELD)
        if type(raw) in (int, float) and metric.time_ns is not None:
            found.append(Sample(metric.time_ns, float(raw), float(cpu) if isinstance(cpu, float) else None))  # type: ignore[arg-type]
    return found


class Live:
    """The collector `sensehat` run as by Telegraf, with the settings of this machine; a context manager.

    Args:
        place: the field to read.
        samples: number of readings per sample; the sample is their mean.
        pause: called between two readings.
    """

    def __init__(self, place: Place, samples: int, pause: Callable[[], None] = lambda: time.sleep(1.0)) -> None:
        self._place = place
        self._samples = samples
        self._pause = pause
        self.simulated = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "collectors", "sensehat", "--execd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing its input ends the collector; a board that hangs must not block the command.
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def read(self) -> Sample:
        """The mean of some readings, taken now. Raises CalibrateError if the collector returns none."""
        found: list[Sample] = []
        others: set[str] = set()
        for number in range(self._samples):
            if number:
                self._pause()
            batch = self._batch()
            found += select(batch, self._place)
            others |= {metric.series.tags["device"] for metric in batch if "device" in metric.series.tags}
            self.simulated |= any(metric.series.tags.get("simulated") == "true" for metric in batch)
        if not found and others and self._place.device not in others:
            raise CalibrateError(
                f"the collector on this machine reads the device {', '.join(sorted(others))}, not "
                f"{self._place.device}; name that one, or take the readings from InfluxDB"
            )
        if not found:
            raise CalibrateError(f"the collector gave no {_of(self._place)}; see its messages above")
        return mean_of(found)

    def _batch(self) -> list[Metric]:
        """One batch; the collector's self-metric marks its end."""
        from collectors.core.line_protocol_parser import decode

        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        metrics: list[Metric] = []
        try:
            requests.write("\n")
            requests.flush()
        except OSError:
            raise self._ended() from None
        for line in answers:
            metric = decode(line)
            if metric.series.measurement == "collector":
                return metrics
            metrics.append(metric)
        raise self._ended()

    def _ended(self) -> CalibrateError:
        return CalibrateError("the collector sensehat has ended; see its messages above, and try: python -m collectors")


def form(columns: str, time_zone: str, time_format: str | None) -> Form:
    """The format of a recording, from the options. Raises CalibrateError."""
    from collectors.sensehat.csv_recording import Form

    try:
        return Form.parse(columns, time_zone, time_format)
    except ValueError as error:
        raise CalibrateError(f"the form of the recording cannot be read: {error}") from None


def recorded(path: str, place: Place, say: Callable[[str], None], form: Form | None = None) -> list[Sample]:
    """The samples of a Sense HAT recording, as read by the collector. Raises CalibrateError."""
    from collectors.core.api import Unavailable
    from collectors.sensehat.collector import LineBuilder
    from collectors.sensehat.csv_recording import CsvRecording

    lines = LineBuilder(place.device, {}, None, None, 0, say)
    try:
        table = CsvRecording(path, say, form)
    except Unavailable as error:
        raise CalibrateError(str(error)) from None
    try:
        found = [sample for row in table.rows() for sample in select(lines.build(row.reading, row.time_ns), place)]
    finally:
        table.close()
    if not found:
        raise CalibrateError(f"{path} has no {_of(place)}")
    return found


class Influx(NamedTuple):
    """A bucket of an InfluxDB, and a client with read permission."""

    client: Client
    bucket: str

    def between(self, place: Place, start: datetime, stop: datetime) -> list[Sample]:
        """The samples of a period. Raises InfluxDBError."""
        parameters = {
            "bucket": self.bucket,
            "start": start,
            "stop": stop,
            "measurement": place.measurement,
            "field": place.field,
            "cpu": CPU_FIELD,
            "device": place.device,
        }
        query = self.client.api.query_api().query
        tables = self.client.call(f"query the bucket {self.bucket!r}", query, _QUERY, params=parameters)
        return assembled((record for table in tables for record in table.records), place)

    def last(self, place: Place, minutes: float) -> Sample:
        """The mean of the last minutes. Raises CalibrateError if there is nothing."""
        now = datetime.now(UTC)
        found = self.between(place, now - timedelta(minutes=minutes), now)
        if not found:
            raise CalibrateError(
                f"InfluxDB has no {_of(place)} of {place.device} in the last {minutes:g} minutes; is the device on?"
            )
        return mean_of(found)


def assembled(records: Iterable[FluxRecord], place: Place) -> list[Sample]:
    """The samples in a query's records, which have one field each."""
    values: dict[tuple[str, datetime], dict[str, float]] = {}
    for record in records:
        tags = record.values
        if (tags.get("device") or tags.get("host")) != place.device:
            continue
        sensor = tags.get("sensor") or ""
        if (place.sensor is None or sensor == place.sensor) and type(tags["_value"]) in (int, float):
            values.setdefault((sensor, tags["_time"]), {})[tags["_field"]] = float(tags["_value"])
    found = []
    for (_, moment), fields in values.items():
        if place.field in fields:
            nanoseconds = int(moment.timestamp() * 1_000_000) * 1000
            found.append(Sample(nanoseconds, fields[place.field], fields.get(CPU_FIELD)))
    return sorted(found, key=lambda sample: sample.time_ns)


def _of(place: Place) -> str:
    return f"{place.field} of {place.measurement}" + (f" from the sensor {place.sensor}" if place.sensor else "")


def text_of(path: Path, what: str) -> str:
    """A file's text. Raises CalibrateError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CalibrateError(f"{what} {path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise CalibrateError(f"{what} {path} cannot be read: {error.strerror}") from None


def window(references: Sequence[int], seconds: float) -> tuple[datetime, datetime]:
    """The period that samples must cover for references at these times."""
    half = timedelta(seconds=seconds)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (epoch + timedelta(microseconds=each // 1000) for each in (min(references), max(references)))
    return first - half, last + half + timedelta(microseconds=1)
