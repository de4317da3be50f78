"""The curve through pairs of a reading and a reference, by least squares, with its uncertainty.

Uncertainties are standard uncertainties (JCGM 100:2008, the GUM, evaluation of type A): from the scatter of the pairs
about the curve, with as many degrees of freedom as there are pairs in excess of coefficients. Consecutive pairs have
correlated errors, so their effective number is lower, see :func:`effective_number`. The error of the reference
instrument is not included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.telemetry.calibration import MAX_DEGREE
from sensetig.calibration import CalibrateError
from sensetig.calibration.pairs import Pair, check

_Floats = NDArray[np.float64]

#: By the unit of a field, the minimum spread of the uncalibrated values that separates a gain from an offset:
#: below it, an ordinary sensor's noise and the reference's resolution give a gain that is wrong outside the range.
SPREADS = {"celsius": 5.0, "percent": 10.0, "hpa": 10.0}

#: Minimum number of pairs for a test of autocorrelation.
_SERIES = 20

#: Maximum share of the reference's spread that a curve may leave unexplained.
_UNEXPLAINED = 0.5


class Fit(NamedTuple):
    """A curve through pairs.

    Args:
        kind: as in :data:`collectors.telemetry.calibration.KINDS`.
        coefficients: of its polynomial, in order of rising power.
        covariance: of the coefficients; None without degrees of freedom.
        pairs: the fitted pairs.
        residuals: reference minus curve, one per pair.
        effective: number of independent pairs.
    """

    kind: str
    coefficients: tuple[float, ...]
    covariance: _Floats | None
    pairs: tuple[Pair, ...]
    residuals: tuple[float, ...]
    effective: float

    @property
    def free(self) -> int:
        """The number of fitted coefficients."""
        return 1 if self.kind == "offset" else len(self.coefficients)

    @property
    def degrees_of_freedom(self) -> int:
        """The number of independent pairs in excess of the coefficients, rounded down."""
        return max(0, math.floor(self.effective + 1e-9) - self.free)

    @property
    def rms(self) -> float:
        """Root of the mean square of the residuals."""
        return math.sqrt(math.fsum(residual**2 for residual in self.residuals) / len(self.residuals))

    @property
    def most(self) -> float:
        """The largest absolute residual."""
        return max(abs(residual) for residual in self.residuals)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest uncalibrated value."""
        return min(pair.raw for pair in self.pairs), max(pair.raw for pair in self.pairs)

    @property
    def uncertainties(self) -> tuple[float, ...] | None:
        """The standard uncertainty of each fitted coefficient; None if it cannot be determined."""
        if self.covariance is None:
            return None
        return tuple(float(each) for each in np.sqrt(np.diag(self.covariance)))

    def at(self, raw: float) -> float:
        """The calibrated value."""
        return float(np.polynomial.polynomial.polyval(raw, self.coefficients))

    def uncertainty_at(self, raw: float) -> float | None:
        """The standard uncertainty of the calibrated value from the curve only; None if it cannot be determined."""
        if self.covariance is None:
            return None
        powers = np.array([raw**power for power in range(self.free)])
        return math.sqrt(max(0.0, float(powers @ self.covariance @ powers)))


def choose(pairs: Sequence[Pair], field: str) -> str:
    """The kind of curve that the number and spread of the pairs allow: ``offset``, ``two_point`` or ``gain``."""
    raws = [pair.raw for pair in pairs]
    least = least_spread(field)
    if len(set(raws)) < 2 or max(raws) - min(raws) < least:
        return "offset"
    return "two_point" if len(pairs) == 2 else "gain"


def least_spread(field: str) -> float:
    """Minimum spread that separates a gain from an offset, see :data:`SPREADS`; 0 for other units."""
    return SPREADS.get(field.rpartition("_")[2], 0.0)


def fit(pairs: Sequence[Pair], kind: str, degree: int = 2, least: float = 0.0) -> Fit:
    """Fit a curve of a kind to the pairs; *degree* is that of a polynomial, *least* that of :func:`least_spread`.

    Raises CalibrateError if there are too few pairs, or if the pairs do not determine such a curve.
    """
    check(pairs)
    powers = {"offset": 0, "gain": 1, "two_point": 1, "polynomial": degree}[kind]
    if not 1 <= degree <= MAX_DEGREE:
        raise CalibrateError(f"a polynomial of degree {degree} is not possible; give one from 1 to {MAX_DEGREE}")
    different = len({pair.raw for pair in pairs})
    if different < powers + 1:
        raise CalibrateError(
            f"{_name(kind)} has {powers + 1} coefficient{'s' if powers else ''} and needs as many pairs at different "
            f"values, and there {'is' if different == 1 else 'are'} {different}; take more readings"
        )
    if kind == "two_point" and len(pairs) != 2:
        raise CalibrateError(f"a two-point calibration has 2 pairs, and there are {len(pairs)}; take the kind gain")
    raw = np.array([pair.raw for pair in pairs])
    reference = np.array([pair.reference for pair in pairs])
    if kind == "offset":
        design, transform = np.ones((len(pairs), 1)), np.ones((1, 1))
        found, covariance, residuals, effective = _solve(design, reference - raw)
        coefficients: tuple[float, ...] = (float(found[0]), 1.0)
    else:
        middle, scale = float(raw.mean()), float(np.ptp(raw)) / 2
        design = np.vander((raw - middle) / scale, powers + 1, increasing=True)
        transform = _unscaled(powers, middle, scale)
        try:
            found, covariance, residuals, effective = _solve(design, reference)
        except np.linalg.LinAlgError:
            raise CalibrateError(
                "some pairs have almost the same uncalibrated value, which does not determine such a curve; take "
                "readings further apart"
            ) from None
        coefficients = tuple(float(each) for each in transform @ found)
    if covariance is not None:
        covariance = transform @ covariance @ transform.T
    result = Fit(kind, coefficients, covariance, tuple(pairs), tuple(map(float, residuals)), effective)
    _refuse_nonsense(result, least)
    return result


def _name(kind: str) -> str:
    return {"offset": "an offset", "gain": "a gain with offset", "two_point": "a two-point calibration"}.get(
        kind, "this polynomial"
    )


def _solve(design: _Floats, wanted: _Floats) -> tuple[_Floats, _Floats | None, _Floats, float]:
    """Least squares: coefficients, their covariance if it can be determined, residuals, and the effective number."""
    found = np.asarray(np.linalg.lstsq(design, wanted, rcond=None)[0], dtype=np.float64)
    residuals = wanted - design @ found
    effective = effective_number(residuals)
    free = effective - design.shape[1]
    if free < 1 - 1e-9:
        return found, None, residuals, effective
    # The residual variance over the independent pairs; the uncertainty of each coefficient is derived from it.
    variance = float(residuals @ residuals) / len(wanted) * effective / free
    inverse = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    return found, variance * inverse * len(wanted) / effective, residuals, effective


def effective_number(residuals: _Floats) -> float:
    """Number of independent values in a series with autocorrelation.

    n (1 - r) / (1 + r), where r is the correlation of neighbours (as of a first-order autoregression: Bayley and
    Hammersley 1946, J. Roy. Stat. Soc. Suppl. 8, 184). Below 20 values, r cannot be estimated, and n is returned.
    """
    number = len(residuals)
    square = float(residuals @ residuals)
    if number < _SERIES or square == 0:
        return float(number)
    correlation = min(max(float(residuals[1:] @ residuals[:-1]) / square, 0.0), 0.999999)
    return max(1.0, number * (1 - correlation) / (1 + correlation))


def _unscaled(powers: int, middle: float, scale: float) -> _Floats:
    """The matrix that converts coefficients of powers of (x - middle) / scale to those of powers of x."""
    transform = np.zeros((powers + 1, powers + 1))
    for power in range(powers + 1):
        column = np.polynomial.polynomial.polypow([-middle / scale, 1 / scale], power)
        transform[: power + 1, power] = column
    return transform


def _refuse_nonsense(result: Fit, least: float) -> None:
    if not all(math.isfinite(each) for each in result.coefficients):
        raise CalibrateError("the pairs are too far apart to be readings of a sensor; look for a slip in them")
    references = np.array([pair.reference for pair in result.pairs])
    if result.kind == "offset":
        low, high = result.range
        if len(result.pairs) > 1 and result.rms > max(high - low, abs(result.coefficients[0]), least / 5):
            raise CalibrateError(
                f"no offset follows the pairs: their RMS distance is {result.rms:.3g}, more than it corrects; look for "
                "an error in them, or wait until both instruments have come to rest"
            )
        return
    low, high = result.range
    rise = result.at(high) - result.at(low)
    if rise <= 1e-9 * float(np.abs(references).max()):  # a rise of zero, up to rounding
        raise CalibrateError(
            f"the reference does not rise with the sensor's values, but changes by {rise:.3g} from the lowest to the "
            "highest; look for a slip in the pairs"
        )
    spread = float(references.std())
    if len(result.pairs) > result.free and result.rms > _UNEXPLAINED * spread:
        raise CalibrateError(
            f"no such curve follows the pairs: their RMS distance is {result.rms:.3g}, and that of the references from "
            f"their mean only {spread:.3g}; look for an error in them, or take readings further apart"
        )


def warnings(result: Fit, field: str) -> list[str]:
    """Warnings about the fit, as sentences."""
    said = []
    low, high = result.range
    if result.uncertainties is None:
        said.append(
            "nothing is left over to tell the uncertainty from, so it is unknown; take more readings to know it"
        )
    if result.effective < 0.8 * len(result.pairs):
        said.append(
            f"neighbouring pairs resemble each other: {len(result.pairs)} count as {result.effective:.1f} for the "
            "uncertainties"
        )
    if result.kind != "offset" and high - low < least_spread(field):
        said.append(
            f"the pairs lie within {high - low:.3g}, and a gain needs {least_spread(field):g} to be told from an offset"
        )
    slope = 1.0 if result.kind == "offset" else (result.at(high) - result.at(low)) / (high - low)
    if not 0.8 <= slope <= 1.25 and least_spread(field):  # other units have no expected scale
        said.append(f"a gain of {slope:.3g} is far from 1 for a sensor that works; look for a slip in the pairs")
    odd = odd_one(result)
    if odd is not None:
        said.append(
            f"pair {odd + 1} ({result.pairs[odd].raw:g} against {result.pairs[odd].reference:g}) stands "
            f"{abs(result.residuals[odd]):.3g} from the curve, far more than the others; was it misread?"
        )
    return said


def odd_one(result: Fit) -> int | None:
    """The index of a pair whose residual is more than four times the typical residual of the others; or None."""
    if len(result.pairs) < 5:
        return None
    sizes = [abs(residual) for residual in result.residuals]
    place = sizes.index(max(sizes))
    others = sorted(sizes[:place] + sizes[place + 1 :])
    scale = max(abs(pair.reference) for pair in result.pairs) * 1e-9
    return place if sizes[place] > 4 * 1.4826 * others[len(others) // 2] + scale else None


def keys(result: Fit, most_pairs: int = 100) -> dict[str, Any]:
    """The entry's keys for this curve, with the pairs themselves if there are at most *most_pairs*."""
    values: dict[str, Any] = {"kind": result.kind}
    if result.kind == "offset":
        values["offset"] = result.coefficients[0]
    elif result.kind == "gain":
        values["gain"], values["offset"] = result.coefficients[1], result.coefficients[0]
    elif result.kind == "polynomial":
        values["coefficients"] = list(result.coefficients)
    values["range"] = list(result.range)
    values["residual_rms"], values["residual_most"] = result.rms, result.most
    values["degrees_of_freedom"] = result.degrees_of_freedom
    if result.uncertainties is not None:
        values["uncertainties"] = list(result.uncertainties)
    if len(result.pairs) <= most_pairs or result.kind == "two_point":
        values["pairs"] = [[pair.raw, pair.reference] for pair in result.pairs]
    return values
