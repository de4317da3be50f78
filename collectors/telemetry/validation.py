"""The validation of a reading: its kind, its range, and its plausibility given the earlier readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors.core.line_protocol import FieldValue
from collectors.telemetry.calibration import output_field
from collectors.telemetry.limits import Limits
from collectors.telemetry.measurements import OUT_OF_RANGE, RATE_OF_CHANGE, SOURCE_REFUSED, STUCK

_NAN = float("nan")


class Rule:
    """The limits of one field of one series, with the state of its readings.

    The pipeline's fast path reads and writes these attributes itself, exactly as :meth:`judge` does in the most common
    case; a property test verifies that both agree.
    """

    __slots__ = (
        "at_ns",
        "candidate",
        "candidate_ns",
        "high",
        "last",
        "limits",
        "low",
        "next",
        "pending",
        "same",
        "step",
        "stuck_after",
        "watched",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        # The fast path must not accept a field of a kind other than float: no float is within these.
        numeric = limits.kind in (None, float)
        self.low = limits.low if numeric else float("inf")
        self.high = limits.high if numeric else float("-inf")
        self.watched = limits.watched and numeric
        self.step = limits.step
        self.stuck_after = limits.stuck_after
        self.last = _NAN
        #: The last reading after the fast path has accepted the whole line.
        self.next = _NAN
        self.at_ns = 0
        self.same = 0
        self.candidate = _NAN
        self.candidate_ns = 0
        self.pending = 0

    def convert(self, value: FieldValue) -> FieldValue | None:
        """Convert the value to its declared kind if that is lossless; None for a value of another kind.

        JSON has one kind of number, and many devices write 21 for 21.0: an integer is accepted as the equal float, and
        vice versa.
        """
        kind = self.limits.kind
        if kind is None or type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if kind is int and type(value) is float and value.is_integer() and abs(value) < 2**63:
            return int(value)
        return None

    def is_late(self, time_ns: int) -> bool:
        """Whether there was a reading with this time or a later one: an unordered batch, or a repetition."""
        return bool(self.same) and time_ns <= (self.candidate_ns if self.pending else self.at_ns)

    def check(self, value: FieldValue, time_ns: int) -> str | None:
        """The reason for rejecting a reading, or None to accept it."""
        if isinstance(value, (bool, str)):
            return None
        if not self.limits.low <= value <= self.limits.high:
            return OUT_OF_RANGE
        if not self.watched:
            return None
        return self._place(float(value), time_ns) if self.is_late(time_ns) else self._compare(float(value), time_ns)

    def _place(self, value: float, time_ns: int) -> str | None:
        """Compare a late reading with the one before it. It counts neither as agreeing nor as a further reading.

        If the reading before it is no longer known, only its range is checked.
        """
        if time_ns < self.at_ns:
            return None
        if not self._is_reached(value, self.last, time_ns - self.at_ns):
            return RATE_OF_CHANGE
        return STUCK if value == self.last and self._is_stuck(value) else None

    def _compare(self, value: float, time_ns: int) -> str | None:
        if value == self.last:
            self.at_ns, self.pending = time_ns, 0
            self.same += 1
            return STUCK if self._is_stuck(value) else None
        if self.same and not self._is_reached(value, self.last, time_ns - self.at_ns):
            agrees = self.pending and self._is_reached(value, self.candidate, time_ns - self.candidate_ns)
            self.pending = self.pending + 1 if agrees else 1
            self.candidate, self.candidate_ns = value, time_ns
            if self.pending < self.limits.agree:
                return RATE_OF_CHANGE
        self.last, self.at_ns, self.same, self.pending = value, time_ns, 1, 0
        return None

    def _is_stuck(self, value: float) -> bool:
        # At the end of its range a sensor rests for hours: 100 % humidity is fog.
        return self.same >= self.stuck_after and self.low < value < self.high

    def _is_reached(self, value: float, before: float, elapsed_ns: int) -> bool:
        return abs(value - before) <= max(self.step, self.limits.rate_per_second * elapsed_ns * 1e-9)


def withdraw(
    values: dict[str, FieldValue],
    refused: dict[str, tuple[FieldValue, str]],
    computed: Mapping[str, str],
    sources: Callable[[str], Sequence[str]],
) -> None:
    """Also reject values that were computed from rejected ones, transitively.

    Args:
        values: the accepted values so far; rejected ones are removed.
        refused: value and reason by field; rejected values are added, unless they were not in the line.
        computed: the added calibrated fields, each with its source.
        sources: the fields that a declared field is computed from.
    """
    for output, source in computed.items():
        # It was not in the line: the rejection of its source covers it.
        if source in refused:
            values.pop(output, None)
            refused.pop(output, None)
    found = True
    while found:
        found = False
        calibrated = {output_field(field) for field in refused}
        for field in list(values):
            own = (computed[field],) if field in computed else sources(field)
            known = field in computed or field not in calibrated
            if known and not any(source in refused for source in own):
                continue
            if field in computed:
                del values[field]
            else:
                refused[field] = values.pop(field), SOURCE_REFUSED
            found = True
