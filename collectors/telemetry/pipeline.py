"""The stages of a line: payload decoding, calibration, validation, device state.

Most lines belong to a known series and contain only valid floats. They take the fast path: one pass over the text, and
the line is output unchanged except for the inserted calibrated fields. Everything else is left to the exact path, which
parses the line with :mod:`collectors.core.line_protocol_parser`. Both give the same result, which a property test
verifies; so the fast path may give up at any point before it has changed any state.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.core.line_protocol_parser import ParseError, decode
from collectors.telemetry import measurements as reasons
from collectors.telemetry.calibration import Curve
from collectors.telemetry.limits import Limits, LimitTable
from collectors.telemetry.lines import is_plain
from collectors.telemetry.rejections import RejectionCache, Rejections
from collectors.telemetry.series import Calibrations, Plan, Plans, Step, Tracker
from collectors.telemetry.validation import Rule, withdraw

if TYPE_CHECKING:
    from collectors.telemetry.allowance import Allowance
    from collectors.telemetry.messages import Message
    from collectors.telemetry.redelivery import Redelivery

#: Lines of this measurement are MQTT messages, each complete in its field ``value``.
MESSAGE = "mqtt_message"

#: A device's status message; it updates the device state whatever measurements are validated.
STATUS = "device_status"

_MEASUREMENT = re.compile(r"(?:[^, \\]|\\.)*", re.DOTALL)
_HEAD = re.compile(r"(?:[^ \\]|\\.)+(?= )", re.DOTALL)
_ESCAPED = re.compile(r"\\([, ])")
_MASK = 2**64 - 1

#: Format of a calibrated value: no calibration is more precise, and Python formats it in a third of the time.
SPELLING = "%.9g"

#: Odd, so that no two times of a series have the same identity; the golden ratio in 64 bits.
_SPREAD = 0x9E3779B97F4A7C15


#: Maximum error of this machine's clock before it is synchronised: ten years, in nanoseconds.
_MAX_OWN_ERROR_NS = 3_652 * 86_400 * 1_000_000_000


class Gateway(NamedTuple):
    """The processing of messages.

    Args:
        is_machine: whether a device may write the measurements of machines.
        redelivery: gives messages their times.
        allowance: limits the names that a device adds.
        flush: stores the state of these two before lines are sent.
        close: closes their file.
        retention_ns: retention of the bucket; 0 for forever.
    """

    is_machine: Callable[[str], bool]
    redelivery: Redelivery
    allowance: Allowance
    flush: Callable[[], None]
    close: Callable[[], None]
    retention_ns: int = 0


class Origin:
    """The message that contained the metrics.

    Args:
        message: the message.
        tags: of the gateway, for rejections.
    """

    __slots__ = ("_count", "message", "tags")

    def __init__(self, message: Message, tags: Mapping[str, str]) -> None:
        self.message = message
        self.tags = tags
        self._count = -1

    def next(self) -> int:
        """The number of the next rejection, from 0."""
        self._count += 1
        return self._count


class Pipeline:
    """Processes lines.

    Args:
        names: the measurements to calibrate and validate.
        limit_table: the limits.
        calibrations: provides the curves of a device.
        tracker: keeps the state of each device, or None.
        rejections: receives rejected values.
        devices: patterns of accepted devices; None accepts every device.
        earliest_ns: an earlier sample comes from a clock that was never set.
        ahead_ns: how far a sample may be ahead of this machine's clock.
        max_series: maximum number of plans.
        clock_ns: wall clock, nanoseconds since 1970.
        synchronised: whether that clock is known to be correct; until then it judges no other clock.
        complain: receives one sentence per failure.
        open_gateway: opens the parts for messages, at the first message.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        limit_table: LimitTable,
        calibrations: Calibrations,
        tracker: Tracker | None,
        rejections: Rejections,
        devices: Sequence[str],
        earliest_ns: int,
        ahead_ns: int,
        max_series: int,
        clock_ns: Callable[[], int],
        synchronised: Callable[[], bool],
        complain: Callable[[str], None],
        open_gateway: Callable[[], Gateway],
    ) -> None:
        self._names = frozenset((*names, STATUS))
        self._limit_table = limit_table
        self._calibrations = calibrations
        self._tracker = tracker
        self._rejections = rejections
        self._devices = tuple(devices)
        self._earliest_ns = earliest_ns
        self._ahead_ns = ahead_ns
        self._plans = Plans(max_series)
        self._rejection_cache = RejectionCache()
        self._clock_ns = clock_ns
        self._synchronised = synchronised
        self._complain = complain
        self._open_gateway = open_gateway
        self._opened_gateway: Gateway | None = None
        self._now_ns = self._latest_ns = 0
        self._generation = 0
        # Stateless rules are shared by all series with these limits.
        self._limits: dict[Limits, Limits] = {}
        self._shared: dict[Limits, Rule] = {}

    @property
    def series(self) -> int:
        """The number of known series."""
        return len(self._plans)

    @property
    def _gateway(self) -> Gateway:
        if self._opened_gateway is None:
            self._opened_gateway = self._open_gateway()
        return self._opened_gateway

    def close(self) -> None:
        """Close the parts for messages."""
        if self._opened_gateway is not None:
            self._opened_gateway.close()

    def tick(self) -> None:
        """Make every series check its calibration at its next line."""
        self._generation += 1

    def run(self, lines: Sequence[str], *, plain: bool) -> list[str]:
        """Process lines; return the resulting ones.

        Args:
            plain: whether all of them are plain (:func:`~collectors.telemetry.lines.is_plain`); else each is parsed.
        """
        out: list[str] = []
        append = out.append
        newest = self._plans.newest
        self._now_ns = self._clock_ns()
        self._latest_ns = self._now_ns + self._ahead_ns
        for line in lines:
            if plain or is_plain(line):
                head, _, rest = line.partition(" ")
            else:
                # Special characters in a known head have the same meaning as before.
                found = _HEAD.match(line)
                head, rest = (found[0], line[found.end() + 1 :]) if found else ("", "")
                if not is_plain(rest):
                    head = ""
            count = len(out)
            try:
                if head:
                    plan = newest.get(head)
                    if plan is not None:
                        done = self._fast(plan, line, head, rest)
                        if done is not None:
                            append(done)
                            continue
                self.exact(line, out)
            except Exception as error:  # noqa: BLE001 - one line must not end the processor, which would meet it again
                del out[count:]
                append(line)
                self._complain(
                    f"a line could not be looked into, and goes on as it came: {type(error).__name__}: {error}"
                )
        self.flush()
        return out

    def take(self, message: Metric) -> list[str]:
        """Process a message (:func:`collectors.telemetry.messages.message_line`); return points and rejections.

        The caller must call :meth:`flush` before it sends them.
        """
        out: list[str] = []
        self._now_ns = self._clock_ns()
        self._latest_ns = self._now_ns + self._ahead_ns
        try:
            self._message(message, "", out)
        except Exception as error:  # noqa: BLE001 - one message must not end the gateway, which would receive it again
            text = f"the message could not be read: {type(error).__name__}: {error}"
            self._complain(text)
            topic = self._rejections.topics.name(message.series.tags.get("topic", "")[:256])
            at_ns = message.time_ns or self._now_ns
            out = [
                self._rejections.line(
                    reasons.FAILED, at_ns, tags=message.series.tags, topic=topic, text=text, exact=True
                )
            ]
        return out

    def flush(self) -> None:
        """Write the state of the parts for messages."""
        if self._opened_gateway is not None:
            self._opened_gateway.flush()

    def _fast(self, plan: Plan, line: str, head: str, rest: str) -> str | None:
        """The resulting line; None, without any change of state, for an unusual line."""
        pairs, _, stamp = rest.partition(" ")
        if not stamp.isdigit():
            return None
        if plan.generation != self._generation:
            plan.recalibrate(self._calibrations.of(plan.device), self._generation)
        time_ns = int(stamp)
        if not (self._earliest_ns <= time_ns <= self._latest_ns and plan.from_ns <= time_ns < plan.until_ns):
            return None
        rules = plan.rules
        values: dict[str, FieldValue] = {}
        touched: list[Rule] = []
        try:
            for pair in pairs.split(","):
                key, _, text = pair.partition("=")
                rule = rules[key]
                value = float(text)
                if not rule.low <= value <= rule.high or "_" in text:
                    return None
                if rule.watched:
                    if time_ns <= rule.at_ns or rule.pending:
                        return None
                    step = value - rule.last
                    if step == 0.0:
                        if rule.same + 1 >= rule.stuck_after:
                            return None
                    elif not -rule.step <= step <= rule.step:
                        return None
                    rule.next = value
                    touched.append(rule)
                values[key] = value
        except (KeyError, ValueError):
            return None
        if plan.steps:
            added = ""
            for source, output, text, apply, rule in plan.steps:
                if source in values and output not in values:
                    spelled = SPELLING % apply(values[source])  # type: ignore[arg-type]  # only floats come here
                    result = float(spelled)
                    if not rule.low <= result <= rule.high:
                        return None
                    values[output] = result
                    added = f"{added}{text}{spelled}"
            if added:
                line = f"{head} {pairs}{added} {stamp}"
        for rule in touched:
            if rule.next == rule.last:
                rule.same += 1
            else:
                rule.last = rule.next
                rule.same = 1
            rule.at_ns = time_ns
        if plan.count is not None:
            plan.count((plan.identity + time_ns * _SPREAD) & _MASK, time_ns, values)
        return line

    def exact(self, line: str, out: list[str]) -> None:
        """Process any line by parsing it fully."""
        content = line.strip(" \t\v\f\r\n")
        if not content or content.startswith("#"):
            return
        found = _MEASUREMENT.match(content)
        assert found is not None
        name = _ESCAPED.sub(r"\1", found[0])
        if name not in self._names and name != MESSAGE:
            if " " in content and "=" in content:
                out.append(line)
            else:
                out.append(self._rejections.line(reasons.NOT_LINE_PROTOCOL, self._now_ns, text=content))
            return
        try:
            # Only a string can contain a line break; it is represented by its escape sequence.
            metric = decode(content.replace("\r", "\\\\r").replace("\n", "\\\\n"))
        except ParseError as error:
            sentence = f"{error}"
            out.append(self._rejections.line(reasons.NOT_LINE_PROTOCOL, self._now_ns, measurement=name, text=sentence))
            return
        if name == MESSAGE:
            self._message(metric, content, out)
        else:
            self._check(metric, content, out)

    def _message(self, message: Metric, content: str, out: list[str]) -> None:
        """Process the lines of an MQTT message, and reject its errors."""
        from collectors.telemetry.messages import read  # only for messages, because it needs further libraries

        received = self._now_ns if message.time_ns is None else message.time_ns
        gateway = self._gateway
        found = read(
            message,
            received,
            gateway.is_machine,
            gateway.redelivery,
            lambda time: self._earliest_ns <= time <= received,
        )
        if found is None:
            out.append(content)
            return
        origin = Origin(found, message.series.tags)
        for each in found.outcomes:
            if isinstance(each, Metric):
                admitted = self._admitted(each, received, origin, out)
                if admitted is None:
                    continue
                if admitted.series.measurement in self._names:
                    self._check(admitted, None, out, origin)
                else:
                    self._encode(admitted, out)
            else:
                self._refuse(origin, each.reason, out, text=each.text, count=each.parts, device=each.device)

    def _refuse(
        self,
        origin: Origin,
        reason: str,
        out: list[str],
        *,
        device: str,
        measurement: str = "",
        field: str = "",
        value: FieldValue | None = None,
        text: str = "",
        count: int = 1,
        time_ns: int | None = None,
        series: Series | None = None,
    ) -> None:
        """Emit a rejection of a part of a message. A redelivery gives it the same time.

        Args:
            time_ns: of the sample; None for the time of the message.
            series: of the metric; some of its tags are copied.
        """
        rejections, message = self._rejections, origin.message
        number = origin.next()
        if time_ns is None:
            at_ns = message.time_ns + number
        else:  # another nanosecond in the sample's microsecond
            at_ns = time_ns // 1000 * 1000 + (time_ns + message.offset_ns + number) % 1000
        out.append(
            rejections.line(
                reason,
                at_ns,
                tags=origin.tags if series is None else {**series.tags, "host": origin.tags.get("host", "")},
                device=rejections.unknown_devices.name(device) if device else "",
                measurement=rejections.measurements.name(measurement, device) if measurement else "",
                field=field,
                topic=rejections.topics.name(message.topic, device),
                value=value,
                text=text,
                count=count,
                exact=True,
            )
        )

    def _admitted(self, metric: Metric, received_ns: int, origin: Origin, out: list[str]) -> Metric | None:
        """A device's metric without surplus names; None if its time is impossible or its device unknown."""
        name, device, time_ns = metric.series.measurement, metric.series.tags["device"], metric.time_ns or 0
        arrived_ns = origin.message.time_ns
        oldest_ns = arrived_ns - self._gateway.retention_ns if self._gateway.retention_ns else self._earliest_ns
        reason = sentence = ""
        if time_ns < self._earliest_ns:
            reason, sentence = reasons.CLOCK_BEHIND, f"the time is {time_ns}, before any that its clock could know"
        elif time_ns < oldest_ns and time_ns != arrived_ns and self._judges(arrived_ns - time_ns):
            reason, sentence = reasons.CLOCK_BEHIND, f"the time is {time_ns}, older than the retention of the bucket"
        elif time_ns > arrived_ns + self._ahead_ns and self._judges(time_ns - arrived_ns):
            ahead = (time_ns - arrived_ns) / 1e9
            reason, sentence = reasons.CLOCK_AHEAD, f"the time is {time_ns}, {ahead:.0f} s ahead of its arrival"
        if reason:
            self._refuse(origin, reason, out, device=device, measurement=name, text=sentence, series=metric.series)
            return None
        if self._devices and not any(fnmatchcase(device, pattern) for pattern in self._devices):
            sentence = f"{device} is not among the devices of the settings"
            self._refuse(
                origin,
                reasons.UNKNOWN_DEVICE,
                out,
                device=device,
                measurement=name,
                text=sentence,
                series=metric.series,
            )
            return None
        admitted, refused = self._gateway.allowance.admit(device, metric.series, metric.fields, received_ns)
        if admitted and not refused:
            return metric
        fields = {key: value for key, value in metric.fields.items() if admitted and key not in refused}
        what = f"{len(refused)} new fields, such as {refused[0][:60]!r}," if admitted else "a new series"
        sentence = f"{what} beyond those that a device may bring in a day; see the settings new_fields and new_series"
        count = len(refused) if admitted else 1
        self._refuse(
            origin,
            reasons.TOO_MANY_NAMES,
            out,
            device=device,
            measurement=name,
            text=sentence,
            count=count,
            series=metric.series,
        )
        return Metric(metric.series, fields, metric.time_ns) if fields else None

    def _check(self, metric: Metric, content: str | None, out: list[str], origin: Origin | None = None) -> None:
        """Calibrate and validate a metric, count it, and emit the valid rest.

        Args:
            content: the line of the metric, emitted unchanged if possible.
            origin: the message that contained it.
        """
        tags = metric.series.tags
        plan = self._plan(metric.series)
        time_ns = metric.time_ns
        if time_ns is None:
            time_ns, content = self._now_ns, None
        whole = self._refusal_of_all(plan, time_ns) if origin is None else None
        if whole is not None:
            reason, sentence = whole
            device = plan.device if plan.accepted else self._rejections.unknown_devices.name(plan.device)
            at_ns = time_ns if reason == reasons.UNKNOWN_DEVICE else self._now_ns
            out.append(
                self._rejections.line(
                    reason, at_ns, tags=tags, device=device, measurement=plan.measurement, text=sentence
                )
            )
            return
        if plan.generation != self._generation:
            plan.recalibrate(self._calibrations.of(plan.device), self._generation)
        plan.choose(time_ns, lambda curve: self._step(plan, curve))
        values, refused, own = self._values(plan, metric.fields, time_ns)
        for field, (value, reason) in refused.items():
            if origin is not None:
                self._refuse(
                    origin,
                    reason,
                    out,
                    device=plan.device,
                    measurement=plan.measurement,
                    field=field,
                    value=value,
                    time_ns=time_ns,
                    series=metric.series,
                )
                continue
            out.append(
                self._rejections.line(
                    reason,
                    time_ns,
                    tags=tags,
                    device=plan.device,
                    measurement=plan.measurement,
                    field=field,
                    value=value,
                )
            )
        if plan.count is not None:
            plan.count((plan.identity + time_ns * _SPREAD) & _MASK, time_ns, values)
        elif self._tracker is not None and plan.measurement == STATUS and plan.device:
            # A status message, often sent on the device's behalf, is not telemetry.
            self._tracker.status(plan.device, values)
        if not values:
            return
        if content is not None and not own and values == metric.fields and _same_kinds(values, metric.fields):
            out.append(content)
        else:
            self._encode(Metric(metric.series, values, time_ns), out)

    def _refusal_of_all(self, plan: Plan, time_ns: int) -> tuple[str, str] | None:
        """The reason for rejecting a whole line, with a sentence; or None."""
        if not plan.accepted:
            return reasons.UNKNOWN_DEVICE, f"{plan.device or 'no device'} is not among the devices of the settings"
        if time_ns < self._earliest_ns:
            return reasons.CLOCK_BEHIND, f"the sample's time is {time_ns}, before any that its clock could know"
        if time_ns > self._latest_ns and self._judges(time_ns - self._now_ns):
            ahead = (time_ns - self._now_ns) / 1e9
            return reasons.CLOCK_AHEAD, f"the sample's time is {time_ns}, {ahead:.0f} s ahead of this machine's clock"
        return None

    def _judges(self, difference_ns: int) -> bool:
        """Whether this difference from this machine's clock proves that the other clock is wrong.

        A hub without a battery clock starts at the time of its shutdown, or at the date of its system.
        """
        return difference_ns > _MAX_OWN_ERROR_NS or self._synchronised()

    def _values(
        self, plan: Plan, fields: Mapping[str, FieldValue], time_ns: int
    ) -> tuple[dict[str, FieldValue], dict[str, tuple[FieldValue, str]], bool]:
        """The accepted values, the rejected ones with the reason, and whether the former include calibrated ones."""
        values: dict[str, FieldValue] = {}
        refused: dict[str, tuple[FieldValue, str]] = {}
        for field, value in fields.items():
            converted = self._rule(plan, field).convert(value)
            if converted is None:
                refused[field] = value, reasons.WRONG_TYPE
            else:
                values[field] = converted
        computed: dict[str, str] = {}
        for step in plan.steps:
            source = values.get(step.source)
            if step.output in fields or isinstance(source, (bool, str)) or source is None:
                continue
            result = float(SPELLING % step.apply(float(source)))
            if result - result != 0.0:
                refused[step.output] = source, reasons.NOT_A_NUMBER
            else:
                values[step.output] = result
                computed[step.output] = step.source
        for field, value in list(values.items()):
            rule = self._rule(plan, field)
            place = (plan.identity, field, time_ns)
            known = self._rejection_cache.get(place, value) if rule.is_late(time_ns) else None
            reason = rule.check(value, time_ns) or known
            if reason is not None:
                refused[field] = values.pop(field), reason
                if rule.watched and reason != reasons.OUT_OF_RANGE:
                    self._rejection_cache.keep(place, value, reason)
        if refused:
            withdraw(values, refused, computed, lambda field: self._rule(plan, field).limits.sources)
        return values, refused, any(output in values for output in computed)

    def _encode(self, metric: Metric, out: list[str]) -> None:
        line = encode(metric, self._complain)
        if line:
            out.append(line)

    def _plan(self, series: Series) -> Plan:
        head = series.prefix[:-1]
        plan = self._plans.find(head)
        if plan is None:
            tags = series.tags
            device = tags.get("device") or tags.get("host") or ""
            identity = int.from_bytes(blake2b(head.encode(), digest_size=8).digest(), "big")
            plan = Plan(sys.intern(series.measurement), tags.get("sensor"), device, identity)
            plan.accepted = not self._devices or any(fnmatchcase(device, pattern) for pattern in self._devices)
            if plan.accepted and device and self._tracker is not None and plan.measurement != STATUS:
                place = f"{plan.measurement}/{plan.sensor}" if plan.sensor else plan.measurement
                plan.count = self._tracker.device(device, sys.intern(place)).count
            self._plans.keep(head, plan)
        return plan

    def _rule(self, plan: Plan, field: str) -> Rule:
        rule = plan.rules.get(field)
        if rule is None:
            limits = self._limit_table.get(plan.measurement, field, plan.sensor, plan.device)
            limits = self._limits.setdefault(limits, limits)
            rule = Rule(limits) if limits.watched else self._shared.setdefault(limits, Rule(limits))
            plan.add_rule(sys.intern(field), rule)
        return rule

    def _step(self, plan: Plan, curve: Curve) -> Step:
        series = Series("one")
        spelled = encode(Metric(series, {curve.output: 0})).removeprefix(series.prefix).removesuffix("0i")
        return Step(curve.field, curve.output, f",{spelled}", curve.apply, self._rule(plan, curve.output))


def _same_kinds(values: Mapping[str, FieldValue], fields: Mapping[str, FieldValue]) -> bool:
    return all(type(value) is type(fields[field]) for field, value in values.items())
