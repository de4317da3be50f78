"""Many simulated Pis with Sense HATs: their readings, their faults, and an exact account of the messages sent.

The devices are pure: a device is a function of its seed, its profile and the times that it is asked at. The transports
carry its messages, and the send log counts what became of each.
"""

from __future__ import annotations

from sensetig.errors import OperatorError


class SimulatorError(OperatorError):
    """The simulation cannot start or go on; the message says in one sentence why, and what to do."""
