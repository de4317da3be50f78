"""Determine a calibration: pairs of readings and references, the curve through them, and the stored entry.

:mod:`collectors.telemetry.calibration` applies the results, and defines an entry.
"""

from __future__ import annotations

from sensetig.errors import OperatorError


class CalibrateError(OperatorError):
    """The requested calibration is not possible; the message is one sentence with the reason and the remedy."""
