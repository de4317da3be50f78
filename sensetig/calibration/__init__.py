"""Finding a calibration: pairs of readings and reference, the curve through them, and the entry that is kept.

What is found here is applied by :mod:`collectors.telemetry.calibration`, which also says what an entry is.
"""

from __future__ import annotations

from sensetig.errors import OperatorError


class CalibrateError(OperatorError):
    """The calibration asked for cannot be had; the message says in one sentence why, and what to do."""
