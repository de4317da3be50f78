"""Moist air: dew point, relative humidity at another temperature, and compensation of the CPU's heat.

Temperatures are in degrees Celsius, vapour pressures in hPa, relative humidities in percent over water.

Sources:
    WMO-No. 8, Guide to Instruments and Methods of Observation, Volume I, Annex 4.B: the saturation vapour
    pressure over water, ``6.112 exp(17.62 t / (243.12 + t))``, for -45 to 60 °C, after D. Sonntag (1990),
    Zeitschrift für Meteorologie 70, 340-344. Its inverse is the dew point.
"""

from __future__ import annotations

import math

_HPA, _SLOPE, _CELSIUS = 6.112, 17.62, 243.12


def saturation_vapour_pressure(celsius: float) -> float:
    """Saturation vapour pressure over water, in hPa.

    >>> round(saturation_vapour_pressure(20.0), 2)
    23.33
    """
    return _HPA * math.exp(_SLOPE * celsius / (_CELSIUS + celsius))


def dew_point(celsius: float, humidity: float) -> float:
    """The temperature at which the vapour in this air condenses, in degrees Celsius.

    It depends on the vapour only: warming the air (and the sensor in it) does not change it.

    Raises:
        ValueError: the humidity is not above 0, since dry air has no dew point.

    >>> round(dew_point(20.0, 50.0), 2)
    9.26
    """
    if not humidity > 0:
        raise ValueError(f"a relative humidity of {humidity} percent has no dew point; it must be above 0")
    # A hundredth of the smallest float would be 0.
    logarithm = math.log(humidity) - math.log(100) + _SLOPE * celsius / (_CELSIUS + celsius)
    return _CELSIUS * logarithm / (_SLOPE - logarithm)


def humidity_at(celsius: float, dew_point_celsius: float) -> float:
    """The relative humidity, in percent, of air with this dew point at this temperature.

    Above 100 if the temperature is below the dew point, where vapour condenses.

    >>> round(humidity_at(20.0, 9.26), 1)
    50.0
    """
    return 100 * saturation_vapour_pressure(dew_point_celsius) / saturation_vapour_pressure(celsius)


def without_cpu_heat(raw: float, cpu: float, factor: float) -> float:
    """The air temperature, from a sensor that the nearby CPU warms.

    ``raw - (cpu - raw) / factor``: the sensor's temperature lies between those of the air and the CPU, at a ratio that
    depends on the case. Published factors range from 0.8 to 2.5, so none suits every Pi; measure it with a reference
    thermometer, see :func:`factor_from_reference`.

    >>> without_cpu_heat(29.0, 47.0, 2.0)
    20.0
    """
    return raw - (cpu - raw) / factor


def factor_from_reference(raw: float, cpu: float, reference: float) -> float:
    """The factor for :func:`without_cpu_heat` that reproduces the reading of a reference thermometer.

    Raises:
        ValueError: the CPU is not warmer than the sensor, or the sensor not warmer than the reference.

    >>> factor_from_reference(29.0, 47.0, 20.0)
    2.0
    """
    if not cpu > raw > reference:
        raise ValueError(
            f"the CPU ({cpu} °C) must be warmer than the sensor ({raw} °C), and the sensor warmer than the reference "
            f"({reference} °C); let the Pi warm up for half an hour, and read all three at the same time"
        )
    return (cpu - raw) / (raw - reference)
