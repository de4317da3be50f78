"""Heading from gravity and the earth's magnetic field.

Axes are those of the Sense HAT's library: x forward, y to the right, z down, and acceleration reads +1 g on
z when the board lies flat with its LEDs up.
"""

from __future__ import annotations

import math

from collectors.sensehat.readings import Vector


def heading(acceleration: Vector, magnetic: Vector) -> float:
    """Degrees clockwise from magnetic north that the x axis points to, 0 up to 360, tilt taken out.

    Freescale (NXP) AN4248, "Implementing a tilt-compensated eCompass", equations 13, 15 and 22. Unlike the
    yaw that the library's fusion follows over many readings, it depends on this reading alone. Iron near the
    board that has not been calibrated for shifts it, as it does the fusion's yaw.

    Raises:
        ValueError: when there is no gravity, or no magnetic field across it, to tell a direction by.

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
        raise ValueError("the magnetic field has no part across gravity, so there is no heading")
    degrees = math.degrees(math.atan2(-west, north)) % 360
    return 0.0 if degrees == 360 else degrees
