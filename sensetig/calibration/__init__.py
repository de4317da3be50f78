"""Finding a calibration: pairs of readings and reference, the curve through them, and the entry that is kept.

:mod:`collectors.telemetry.calibration` applies the results, and defines an entry.
"""

from __future__ import annotations

from sensetig.errors import OperatorError


class CalibrateError(OperatorError):
    """The calibration asked for cannot be had; the message says in one sentence why, and what to do."""
