"""Measurements that several collectors fill, each declared once.

A collector of a sensor that measures the same quantities as another declares the fields that it fills::

    MEASUREMENTS = (ENVIRONMENT.only("temperature_raw_celsius", "humidity_raw_percent"),)

and names its sensor in the tag ``sensor``. The dashboards, the limits, the calibration and the reports that read the
measurement then serve the new sensor as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.core.schema import Field, Measurement, Tag

# The range of a field covers every sensor; the limits of the telemetry processor narrow it by sensor.
# HTS221: datasheet DocID026333 rev 4 (0 to 100 % rH, -40 to 120 °C). LPS25H: DocID023722 rev 6 (260 to 1260 hPa, -30 to
# 105 °C). CPU: a BCM2711 throttles at 85 °C; no silicon of a Pi runs above 125 °C.
ENVIRONMENT = Measurement(
    "environment",
    "Temperature, humidity and pressure: one line for each sensor that measures them.",
    (
        Tag("device", "The board: the host's name, unless the collector's setting `device` gives another."),
        Tag(
            "sensor",
            "The sensor: `hts221` (humidity, temperature) and `lps25h` (pressure, temperature) on a Sense HAT; another "
            "collector names its own, such as `bme280` or `dht22`.",
        ),
        Tag("simulated", "`true` where the readings are computed by a simulation.", optional=True),
        Tag("replayed", "`true` where the readings come from a recording.", optional=True),
    ),
    (
        Field("temperature_raw_celsius", float, "celsius", "Temperature as the sensor gives it.", -40, 120),
        Field("temperature_cpu_celsius", float, "celsius", "Temperature of the CPU, which warms the board.", -40, 125),
        Field(
            "temperature_compensated_celsius",
            float,
            "celsius",
            "Temperature without the CPU's heat; only with a factor in the settings.",
            -60,
            120,
        ),
        Field(
            "temperature_calibrated_celsius",
            float,
            "celsius",
            "Temperature by the device's calibration; only where it has one.",
            -60,
            120,
        ),
        Field("compensation_factor", float, "", "The factor that the compensation used.", 0.1, 100),
        Field("humidity_raw_percent", float, "percent", "Relative humidity at the sensor.", 0, 100),
        Field(
            "humidity_compensated_percent",
            float,
            "percent",
            "Relative humidity at the compensated temperature, by way of the dew point.",
            0,
            100,
        ),
        Field(
            "humidity_calibrated_percent",
            float,
            "percent",
            "Relative humidity by the device's calibration; only where it has one.",
            0,
            100,
        ),
        Field("dew_point_celsius", float, "celsius", "Dew point, which the CPU's heat leaves alone.", -80, 100),
        Field("pressure_hpa", float, "hpa", "Air pressure at the board, not reduced to sea level.", 260, 1260),
        Field(
            "pressure_calibrated_hpa",
            float,
            "hpa",
            "Air pressure by the device's calibration; only where it has one.",
            260,
            1260,
        ),
    ),
)

#: Every shared measurement by its name.
SHARED: Mapping[str, Measurement] = {ENVIRONMENT.name: ENVIRONMENT}
