"""Heading from gravity and the earth's magnetic field.

Axes are those of the Sense HAT's library: x forward, y to the right, z down; acceleration is +1 g on z when the board
lies flat with its LEDs up.
"""

from __future__ import annotations

import math

from collectors.sensehat.readings import Vector

#: An acceleration outside these bounds, in g, is not mostly gravity.
MIN_GRAVITY, MAX_GRAVITY = 0.5, 1.5


def has_gravity(acceleration: Vector) -> bool:
    """Whether an acceleration shows where down is: neither in free fall nor while something else accelerates the board.

    >>> has_gravity(Vector(0.0, 0.02, 0.98)), has_gravity(Vector(0.01, 0.02, 0.02))
    (True, False)
    """
    return MIN_GRAVITY <= math.hypot(*acceleration) <= MAX_GRAVITY


def heading(acceleration: Vector, magnetic: Vector) -> float:
    """Direction of the x axis in degrees clockwise from magnetic north, 0 up to 360, tilt-compensated.

    Freescale (NXP) AN4248, "Implementing a tilt-compensated eCompass", equations 13, 15 and 22. Unlike the yaw of the
    library's fusion, which follows many readings, it depends on this reading only. Uncalibrated iron near the board
    shifts it, as it shifts the fusion's yaw.

    Raises:
        ValueError: there is no gravity, or no magnetic field perpendicular to it.

    >>> heading(Vector(0.0, 0.0, 1.0), Vector(20.0, 0.0, 45.0))
    0.0
    >>> heading(Vector(0.0, 0.0, 1.0), Vector(0.0, -20.0, 45.0))
    90.0
    """
    across = math.hypot(acceleration.y, acceleration.z)
    if across == 0 and acceleration.x == 0:
        raise ValueError("an acceleration of exactly 0 has no direction, so there is no heading")
    roll = math.atan2(acceleration.y, acceleration.z)
    pitch = math.atan2(-acceleration.x, across)
    north = (
        magnetic.x * math.cos(pitch)
        + magnetic.y * math.sin(pitch) * math.sin(roll)
        + magnetic.z * math.sin(pitch) * math.cos(roll)
    )
    west = magnetic.y * math.cos(roll) - magnetic.z * math.sin(roll)
    if north == 0 and west == 0:
        raise ValueError("the magnetic field has no component perpendicular to gravity, so there is no heading")
    degrees = math.degrees(math.atan2(-west, north)) % 360
    return 0.0 if degrees == 360 else degrees
