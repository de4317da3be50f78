"""State of each series, within a limit: its rules, its calibration and its device's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS, FieldValue
from collectors.telemetry.calibration import Curve
from collectors.telemetry.validation import Rule

#: Receives a message: its identity, its time, and its accepted values. See the device of the tracker.
Count = Callable[[int, int, Mapping[str, FieldValue]], object]

#: More fields than a series ever has; above this, the rules are recreated without their history.
_MAX_RULES = 256


class Calibrations(Protocol):
    """Provides the curves of a device."""

    def of(self, device: str, /) -> tuple[Curve, ...]: ...


class DeviceCount(Protocol):
    """Counts the messages of a device."""

    @property
    def count(self) -> Count: ...


class Tracker(Protocol):
    """Keeps the state of each device."""

    def device(self, name: str, place: str, /) -> DeviceCount: ...

    def status(self, name: str, fields: Mapping[str, FieldValue], /) -> None: ...


class Step(NamedTuple):
    """A curve in the form for the pipeline.

    Args:
        text: the output field in a line, from the comma to its value.
        rule: of the output field.
    """

    source: str
    output: str
    text: str
    apply: Callable[[float], float]
    rule: Rule


class Plan:
    """The processing of the lines of one series, with its state."""

    __slots__ = (
        "accepted",
        "count",
        "curves",
        "device",
        "from_ns",
        "generation",
        "identity",
        "measurement",
        "rules",
        "sensor",
        "steps",
        "until_ns",
    )

    def __init__(self, measurement: str, sensor: str | None, device: str, identity: int) -> None:
        self.measurement = measurement
        self.sensor = sensor
        self.device = device
        self.identity = identity
        self.accepted = True
        self.count: Count | None = None
        self.rules: dict[str, Rule] = {}
        #: Curves of the device at the last check, to detect a change.
        self.curves: tuple[Curve, ...] = ()
        #: The steps are valid for samples from the first of these times on, and before the second.
        self.steps: tuple[Step, ...] = ()
        self.from_ns = self.until_ns = MIN_TIME_NS
        #: The generation of the calibrations that the curves come from.
        self.generation = -1

    def add_rule(self, field: str, rule: Rule) -> None:
        """Store a rule for a field."""
        if len(self.rules) >= _MAX_RULES:
            self.rules.clear()
        self.rules[field] = rule

    def recalibrate(self, curves: tuple[Curve, ...], generation: int) -> None:
        """Use these curves of the device; select again if they have changed."""
        self.generation = generation
        if curves is not self.curves:
            self.curves = curves
            self.steps = ()
            self.from_ns = self.until_ns = MIN_TIME_NS

    def choose(self, time_ns: int, make: Callable[[Curve], Step]) -> None:
        """Select the steps that are valid at a time, unless they already are."""
        if self.from_ns <= time_ns < self.until_ns:
            return
        from_ns, until_ns = MIN_TIME_NS, MAX_TIME_NS + 1
        steps: list[Step] = []
        for curve in self.curves:
            if curve.measurement != self.measurement or curve.sensor not in (None, self.sensor):
                continue
            for edge in (curve.valid_from_ns, curve.valid_until_ns):
                if edge <= time_ns:
                    from_ns = max(from_ns, edge)
                else:
                    until_ns = min(until_ns, edge)
            if curve.valid_from_ns <= time_ns < curve.valid_until_ns:
                steps.append(make(curve))
        self.steps, self.from_ns, self.until_ns = tuple(steps), from_ns, until_ns


class Plans:
    """Plans by the head of their lines, limited to the most recently used.

    A known plan costs one lookup in :attr:`newest`. When that is full, it becomes the older generation; plans that are
    used again return from there, so the removed plans are among the least recently used.

    Args:
        most: number of plans to keep.
    """

    def __init__(self, most: int) -> None:
        #: Always the same object, so that a loop may hold a reference.
        self.newest: dict[str, Plan] = {}
        self._half = max(1, most // 2)
        self._aside: dict[str, Plan] = {}

    def __len__(self) -> int:
        return len(self.newest) + len(self._aside)

    def find(self, head: str) -> Plan | None:
        """The plan of a head, or None if there is none."""
        plan = self.newest.get(head)
        if plan is None:
            plan = self._aside.pop(head, None)
            if plan is not None:
                self.keep(head, plan)
        return plan

    def keep(self, head: str, plan: Plan) -> None:
        """Store a plan."""
        if len(self.newest) >= self._half:
            self._aside = self.newest.copy()
            self.newest.clear()
        self.newest[head] = plan
