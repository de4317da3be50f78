"""Converts readings to lines: emits valid values, and counts invalid ones as errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from collectors.core.api import Context
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.measurements import ENVIRONMENT
from collectors.core.schema import Measurement
from collectors.sensehat import (
    COLOUR,
    DEVICE,
    FACTOR,
    FACTOR_LPS25H,
    IMU,
    STALE_AFTER,
    psychrometrics,
)
from collectors.sensehat.orientation import has_gravity, heading
from collectors.sensehat.readings import (
    CHECK_SEAT,
    Reading,
    StuckDetector,
    Vector,
    replace_zeros,
    valid_fields,
    within_humidity,
)

_Values = Mapping[str, FieldValue | None]

#: Decimal places of derived values; no sensor of the board has a finer resolution.
DIGITS = 3

#: Temperatures that differ by less are equal.
_EQUAL_CELSIUS = 1e-6


class Source(Protocol):
    """A backend."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of its lines, in addition to device and sensor."""
        ...

    def read(self) -> Iterable[Reading]:
        """The readings that are due now: one from a board; none, one or several from a recording."""
        ...

    def close(self) -> None:
        """Close devices and files."""
        ...


@runtime_checkable
class Restartable(Protocol):
    """A backend whose sensors can be started again."""

    def restart(self, sensor: str, /) -> None:
        """Start a sensor again before the next reading."""
        ...


def _ignore(sensor: str) -> None:
    del sensor


class LineBuilder:
    """Builds the lines of a reading, and detects stuck sensors.

    Args:
        device: the tag of that name.
        tags: further tags of every line.
        factor_hts221, factor_lps25h: compensation factors; None disables the compensation.
        stale_after: see :class:`~collectors.sensehat.readings.StuckDetector`.
        on_error: receives a message for each invalid value.
        on_stuck: receives the name of a stuck sensor, with each of its readings.
    """

    def __init__(
        self,
        device: str,
        tags: Mapping[str, str],
        factor_hts221: float | None,
        factor_lps25h: float | None,
        stale_after: int,
        on_error: Callable[[str], None],
        on_stuck: Callable[[str], None] = _ignore,
    ) -> None:
        tags = {"device": device, **tags}
        self._hts221 = Series(ENVIRONMENT.name, {**tags, "sensor": "hts221"})
        self._lps25h = Series(ENVIRONMENT.name, {**tags, "sensor": "lps25h"})
        self._imu = Series(IMU.name, tags)
        self._colour = Series(COLOUR.name, tags)
        self._factor_hts221 = factor_hts221
        self._factor_lps25h = factor_lps25h
        recorded = "replayed" in tags
        self._stuck = StuckDetector(stale_after, recorded=recorded)
        self._cure = "that is how it was recorded" if recorded else CHECK_SEAT
        self._on_error = on_error
        self._on_stuck = on_stuck

    def build(self, reading: Reading, now_ns: int) -> Iterator[Metric]:
        """The lines of a reading, at its own time or, if it has none, at *now_ns*."""
        reading = replace_zeros(reading)
        time_ns = now_ns if reading.time_ns is None else reading.time_ns
        hts221 = self._fields_of_hts221(reading)
        for series, fields in (
            (self._hts221, hts221),
            (self._lps25h, self._fields_of_lps25h(reading, hts221.get("dew_point_celsius"))),
            (self._imu, self._fields_of_imu(reading)),
            (self._colour, self._fields_of_colour(reading)),
        ):
            if fields:
                yield Metric(series, fields, time_ns)

    def _valid(
        self, measurement: Measurement, sensor: str, values: _Values, measured: tuple[object, ...] | None = None
    ) -> dict[str, FieldValue]:
        """The valid values of a sensor; none if it is stuck, as shows in *measured*, by default the same values."""
        fields = valid_fields(measurement, sensor, values, self._on_error, self._cure)
        if fields and self._stuck.is_stuck(sensor, measured or tuple(values.values())):
            self._on_error(
                f"{sensor} repeats the same reading and counts as stuck; its readings are dropped until they change. "
                f"{self._cure[0].upper()}{self._cure[1:]}"
            )
            self._on_stuck(sensor)
            return {}
        return fields

    def _fields_of_hts221(self, reading: Reading) -> dict[str, FieldValue]:
        fields = self._valid(
            ENVIRONMENT,
            "hts221",
            {
                "temperature_raw_celsius": reading.temperature_humidity,
                "humidity_raw_percent": within_humidity(reading.humidity),
            },
            (reading.temperature_humidity, reading.humidity),
        )
        dew_point = _dew_point(fields)
        self._add_cpu(fields, "hts221", reading.temperature_cpu, self._factor_hts221, dew_point)
        if dew_point is None:
            return fields
        fields.update(
            valid_fields(ENVIRONMENT, "hts221", {"dew_point_celsius": round(dew_point, DIGITS)}, self._on_error)
        )
        if "temperature_compensated_celsius" in fields:
            compensated = psychrometrics.without_cpu_heat(
                float(fields["temperature_raw_celsius"]),
                float(fields["temperature_cpu_celsius"]),
                float(fields["compensation_factor"]),
            )
            humidity = min(100.0, psychrometrics.humidity_at(compensated, dew_point))
            fields["humidity_compensated_percent"] = round(humidity, DIGITS)
        return fields

    def _fields_of_lps25h(self, reading: Reading, dew_point: FieldValue | None) -> dict[str, FieldValue]:
        temperature = reading.temperature_pressure
        if temperature is not None and not math.isnan(temperature) and not -30 <= temperature <= 105:
            # Both sensors share the field, whose declared range is the wider one of the HTS221.
            self._on_error(
                "lps25h returned a temperature_raw_celsius outside its range of -30 to 105 celsius; it is dropped"
            )
            temperature = None
        fields = self._valid(
            ENVIRONMENT,
            "lps25h",
            {
                "temperature_raw_celsius": temperature,
                "pressure_hpa": reading.pressure,
            },
        )
        self._add_cpu(
            fields,
            "lps25h",
            reading.temperature_cpu,
            self._factor_lps25h,
            None if dew_point is None else float(dew_point),
        )
        return fields

    def _add_cpu(
        self,
        fields: dict[str, FieldValue],
        sensor: str,
        cpu: float | None,
        factor: float | None,
        dew_point: float | None,
    ) -> None:
        """Add the CPU's temperature, and the sensor's temperature without the CPU's heat."""
        if "temperature_raw_celsius" not in fields:
            return
        fields.update(valid_fields(ENVIRONMENT, "the CPU", {"temperature_cpu_celsius": cpu}, self._on_error))
        if factor is None:
            return
        if "temperature_cpu_celsius" not in fields:
            self._on_error(
                f"{sensor} has a compensation factor, but there is no CPU temperature to compensate with; see sys_root"
            )
            return
        compensated = psychrometrics.without_cpu_heat(
            float(fields["temperature_raw_celsius"]), float(fields["temperature_cpu_celsius"]), factor
        )
        if dew_point is not None and compensated < dew_point - _EQUAL_CELSIUS:
            self._on_error(
                f"the compensated temperature of {sensor} is below the dew point, which air never is; it is dropped. "
                "Increase the compensation factor"
            )
            return
        fields.update(
            valid_fields(
                ENVIRONMENT,
                f"the compensation of {sensor}",
                {"temperature_compensated_celsius": round(compensated, DIGITS), "compensation_factor": factor},
                self._on_error,
            )
        )

    def _fields_of_imu(self, reading: Reading) -> dict[str, FieldValue]:
        values: dict[str, FieldValue | None] = {}
        if reading.attitude is not None:
            values.update(zip(("pitch_degrees", "roll_degrees", "yaw_degrees"), reading.attitude, strict=True))
        for name, unit, vector in (
            ("acceleration", "g", reading.acceleration),
            ("gyro", "radians_per_second", reading.gyro),
            ("magnetic", "microtesla", reading.magnetic),
        ):
            if vector is not None:
                values.update(zip((f"{name}_{axis}_{unit}" for axis in "xyz"), vector, strict=True))
        fields = self._valid(IMU, "lsm9ds1", values)
        acceleration = _vector(fields, "acceleration", "g")
        magnetic = _vector(fields, "magnetic", "microtesla")
        # In free fall or while the board is shaken, nothing shows where down is.
        if acceleration is not None and magnetic is not None and has_gravity(acceleration):
            try:
                fields["heading_degrees"] = round(heading(acceleration, magnetic), DIGITS)
            except ValueError as error:
                self._on_error(f"{error}")
        return fields

    def _fields_of_colour(self, reading: Reading) -> dict[str, FieldValue]:
        if reading.colour is None:
            return {}
        # Never counts as stuck: in the dark it reads 0 all night.
        return valid_fields(COLOUR, "the colour sensor", reading.colour._asdict(), self._on_error)


def _dew_point(fields: Mapping[str, FieldValue]) -> float | None:
    """The dew point of a sensor's values; None if one is missing, or if the air is dry."""
    temperature, humidity = fields.get("temperature_raw_celsius"), fields.get("humidity_raw_percent")
    if temperature is None or humidity is None or not float(humidity) > 0:
        return None
    return psychrometrics.dew_point(float(temperature), float(humidity))


def _vector(fields: Mapping[str, FieldValue], name: str, unit: str) -> Vector | None:
    values = [fields.get(f"{name}_{axis}_{unit}") for axis in "xyz"]
    return None if None in values else Vector(*(float(value) for value in values if value is not None))


def make_line_builder(
    context: Context, tags: Mapping[str, str], on_stuck: Callable[[str], None] = _ignore
) -> LineBuilder:
    """The line builder with the configured device and compensation."""
    values = context.values
    return LineBuilder(
        values[DEVICE] or context.host,
        tags,
        values[FACTOR],
        values[FACTOR_LPS25H],
        values[STALE_AFTER],
        context.report.error,
        on_stuck,
    )


class SenseHatCollector:
    """The collector: reads its source, and emits the lines of each reading."""

    def __init__(self, context: Context, source: Source) -> None:
        self._source = source
        self._clock_ns = context.clock_ns
        restart = source.restart if isinstance(source, Restartable) else _ignore
        self._lines = make_line_builder(context, source.tags, restart)

    def collect(self) -> Iterator[Metric]:
        """The lines of each reading that is due."""
        for reading in self._source.read():
            yield from self._lines.build(reading, self._clock_ns())

    def close(self) -> None:
        """Close the source."""
        self._source.close()
