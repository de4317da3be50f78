"""The compensation factor for the CPU's heat, by least squares.

The collector `sensehat` uses ``T = t - (t_cpu - t) / F`` for the air temperature, where t is the sensor's temperature
and t_cpu the CPU's. With a reference, ``t - T = (t_cpu - t) / F`` is a line through the origin with the slope 1 / F.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensetig.calibration import CalibrateError
from sensetig.calibration.fit import effective_number
from sensetig.calibration.pairs import Pair, check

_Floats = NDArray[np.float64]

#: Range of the collector's setting.
LEAST, GREATEST = 0.1, 100.0

#: Minimum variation, in degrees, of the CPU's distance from the sensor that separates heat from a sensor's offset.
_VARIES = 3.0


class Own(NamedTuple):
    """The sensor's offset, its standard uncertainty, and the factor from the same fit."""

    error: float
    uncertainty: float
    factor: float


class Heat(NamedTuple):
    """The fitted factor.

    Args:
        factor: F.
        uncertainty: its standard uncertainty; None without degrees of freedom.
        own: the sensor's offset, from a line that need not pass through the origin; None if the
            data do not determine it.
    """

    factor: float
    uncertainty: float | None
    own: Own | None
    pairs: tuple[Pair, ...]
    residuals: tuple[float, ...]
    effective: float

    @property
    def degrees_of_freedom(self) -> int:
        """The number of independent rows in excess of the one factor, rounded down."""
        return max(0, math.floor(self.effective + 1e-9) - 1)

    @property
    def rms(self) -> float:
        """Root mean square of the differences between compensated temperature and reference."""
        return math.sqrt(math.fsum(residual**2 for residual in self.residuals) / len(self.residuals))

    @property
    def most(self) -> float:
        """The largest of these differences, as an absolute value."""
        return max(abs(residual) for residual in self.residuals)

    @property
    def warming(self) -> tuple[float, ...]:
        """The CPU's temperature minus the sensor's, one per pair."""
        return tuple(float(pair.cpu or 0.0) - pair.raw for pair in self.pairs)


def find_factor(pairs: Sequence[Pair]) -> Heat:
    """Fit the factor to the pairs. Raises CalibrateError with the reason if the pairs do not determine one."""
    check(pairs)
    if not pairs or any(pair.cpu is None for pair in pairs):
        raise CalibrateError(
            "the CPU's temperature is missing, which the factor needs; give it in a column cpu, or take "
            "readings from the collector or a recording that has it"
        )
    raw = np.array([pair.raw for pair in pairs])
    reference = np.array([pair.reference for pair in pairs])
    warming = np.array([float(pair.cpu or 0.0) for pair in pairs]) - raw
    excess = raw - reference
    square = float(warming @ warming)
    share = float(warming @ excess) / square if square > 0 else 0.0
    if float(warming.mean()) <= 0 or share <= 0:
        raise CalibrateError(
            f"on the mean the CPU is {warming.mean():.2f} °C warmer than the sensor, and the sensor "
            f"{excess.mean():.2f} °C warmer than the reference; for a factor the CPU must warm the sensor, so let the "
            "Pi run for half an hour"
        )
    factor = 1 / share
    if not LEAST <= factor <= GREATEST:
        raise CalibrateError(
            f"the factor would be {factor:.3g}, and no case gives one beyond {LEAST:g} to {GREATEST:g}"
        )
    left = excess - share * warming
    effective = effective_number(left)
    rms = math.sqrt(float(left @ left) / len(pairs))
    if rms > max(0.5, 0.5 * float(np.abs(excess).mean())):
        raise CalibrateError(
            f"no factor follows the readings: {rms:.2f} °C are left of {np.abs(excess).mean():.2f} °C that the sensor "
            "is too warm; look for a draught, the sun, or a slip in the readings"
        )
    uncertainty = None
    if effective >= 2 - 1e-9:
        of_share = math.sqrt(float(left @ left) / (effective - 1) * 1.0 / square)
        uncertainty = of_share / share**2
    return Heat(factor, uncertainty, _own(warming, excess), tuple(pairs), tuple(map(float, left)), effective)


def _own(warming: _Floats, excess: _Floats) -> Own | None:
    """The sensor's offset.

    A sensor with the error e reads e too much, and the CPU seems to be e less warm: the line crosses the axis at
    e (1 + 1 / F).
    """
    if len(warming) < 3 or float(np.ptp(warming)) < _VARIES:
        return None
    design = np.column_stack((np.ones(len(warming)), warming))
    start, share = (float(each) for each in np.linalg.lstsq(design, excess, rcond=None)[0])
    left = excess - start - share * warming
    effective = effective_number(left)
    if effective < 3 - 1e-9 or share <= 0:
        return None
    of_start = math.sqrt(float(left @ left) / (effective - 2) * float(np.linalg.inv(design.T @ design)[0, 0]))
    return Own(start / (1 + share), of_start / (1 + share), 1 / share)


def warnings(heat: Heat) -> list[str]:
    """Warnings about the fit, as sentences."""
    said = []
    if heat.uncertainty is None:
        said.append("nothing is left over to tell the uncertainty from, so it is unknown; take more readings")
    if heat.effective < 0.8 * len(heat.pairs):
        said.append(
            f"neighbouring rows resemble each other: {len(heat.pairs)} count as {heat.effective:.1f} for the "
            "uncertainty"
        )
    warming = heat.warming
    if max(warming) - min(warming) < _VARIES:
        said.append(
            f"the CPU was always {min(warming):.1f} to {max(warming):.1f} °C warmer than the sensor, so that what the "
            "sensor itself is wrong by is in the factor; take readings both idle and busy"
        )
    elif heat.own is not None and abs(heat.own.error) > max(3 * heat.own.uncertainty, 0.2):
        said.append(
            f"the sensor itself seems {heat.own.error:+.2f} ± {heat.own.uncertainty:.2f} °C off; less would be left "
            f"with the factor {heat.own.factor:.4g} and a calibration of temperature_compensated_celsius after it"
        )
    return said


def setting(sensor: str) -> str:
    """The collector's setting for the factor of a sensor."""
    return "compensation_factor_lps25h" if sensor == "lps25h" else "compensation_factor"
