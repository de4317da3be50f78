"""The arithmetic of a calibration, in closures for speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise


def two_point(pairs: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """The line through two pairs of uncalibrated value and reference. Raises ValueError if there is none."""
    if len(pairs) != 2:
        raise ValueError(f"pairs are {len(pairs)}; an entry of the kind two_point has 2")
    (raw, reference), (other_raw, other_reference) = pairs
    if raw == other_raw:
        raise ValueError(f"both pairs have the uncalibrated value {raw:g}; through them there is no line")
    slope = (other_reference - reference) / (other_raw - raw)
    if slope == 0:
        raise ValueError(f"both pairs have the reference {reference:g}, which would be every value")
    if slope - slope != 0.0:
        raise ValueError("the pairs are too far apart to be numbers of a sensor")
    return lambda value: reference + (value - raw) * slope


def polynomial(coefficients: Sequence[float]) -> Callable[[float], float]:
    """A polynomial by Horner's scheme; coefficients in order of rising power. Short ones are unrolled for speed."""
    if len(coefficients) == 2:
        c0, c1 = coefficients
        if c1 == 1.0:
            return lambda value: value + c0
        return lambda value: c0 + value * c1
    if len(coefficients) == 3:
        c0, c1, c2 = coefficients
        return lambda value: c0 + value * (c1 + value * c2)
    downwards = coefficients[::-1]

    def horner(value: float) -> float:
        result = 0.0
        for coefficient in downwards:
            result = result * value + coefficient
        return result

    return horner


def is_monotone(coefficients: Sequence[float], low: float, high: float) -> bool:
    """Whether a polynomial is monotone from *low* to *high*."""
    derivative = [power * coefficient for power, coefficient in enumerate(coefficients)][1:]
    return not _sign_changes(derivative, low, high)


def _sign_changes(coefficients: Sequence[float], low: float, high: float) -> list[float]:
    """The sign changes of a polynomial between *low* and *high*.

    Between two neighbouring turning points there is at most one, which bisection finds.
    """
    if len(coefficients) < 2:
        return []
    value = polynomial((*coefficients, 0.0))  # at least three coefficients, so that it is not treated as an offset
    derivative = [power * coefficient for power, coefficient in enumerate(coefficients)][1:]
    marks = [low, *_sign_changes(derivative, low, high), high]
    found = []
    for start, end in pairwise(marks):
        if value(start) * value(end) >= 0:
            continue
        rising = value(start) < 0
        while start < (middle := (start + end) / 2) < end:
            if (value(middle) < 0) == rising:
                start = middle
            else:
                end = middle
        found.append(end)
    return found
