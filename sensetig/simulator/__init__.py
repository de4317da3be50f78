"""Many simulated Pis with Sense HATs: their readings, their faults, and an exact account of the messages sent.

The devices are pure: a device is a function of its seed, its profile and the times of its steps. The transports deliver
its messages, and the send log counts the outcomes.
"""

from __future__ import annotations

from sensetig.errors import OperatorError


class SimulatorError(OperatorError):
    """The simulation cannot start or continue; the message is one sentence with the reason and the remedy."""
