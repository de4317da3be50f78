"""One simulated device: its readings, the times it sends them, and its faults. Pure: no clock, no network.

A device depends only on its seed, its profile and the times of its steps, not on the number of devices or on the
transport.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from collectors.core.line_protocol import Metric
from collectors.sensehat.collector import LineBuilder
from collectors.sensehat.readings import INVALID, Reading
from sensetig.simulator.profile import Profile

#: The names of the four values of the two sensors: in a reading, as sensor and field of a line, and among the
#: profile's quantities; and the sensor's range, which limits a spike.
VALUES = (
    ("temperature_humidity", "hts221", "temperature_raw_celsius", 0, -40.0, 120.0),
    ("humidity", "hts221", "humidity_raw_percent", 1, 0.5, 100.0),
    ("temperature_pressure", "lps25h", "temperature_raw_celsius", 0, -30.0, 105.0),
    ("pressure", "lps25h", "pressure_hpa", 2, 260.0, 1260.0),
)

#: Kinds of broken messages; each follows a valid one, and contains no point that counts as sent.
BROKEN = ("truncated_json", "wrong_type", "too_large")

#: Number of decimals of a value with a calibration error.
_DIGITS = 6


class Message(NamedTuple):
    """A message.

    Args:
        device: the sender.
        kind: ``telemetry``; ``late`` for delayed readings; ``duplicate`` for a repeated message; or one of
            :data:`BROKEN`.
        metrics: the points; for a broken message those of its original reading.
        readings: number of readings that the points come from.
    """

    device: str
    kind: str
    metrics: tuple[Metric, ...]
    readings: int = 1


class Status(NamedTuple):
    """A device that connects or disconnects."""

    device: str
    online: bool


class Fault(NamedTuple):
    """A fault, with the readings that it affects.

    Args:
        kind: ``dropout``, ``stuck``, ``spike``, ``out_of_range``, ``late``, ``lost``, ``offline``, ``duplicate`` or one
            of :data:`BROKEN`.
        time_ns: of the sample, by the device's clock.
        sensor, field: if it affected one value; else empty.
    """

    device: str
    kind: str
    time_ns: int
    sensor: str = ""
    field: str = ""


class Step(NamedTuple):
    """The messages of a device at one time, in this order, and the faults."""

    events: list[Message | Status]
    faults: list[Fault]


class Error(NamedTuple):
    """The calibration error of one value: ``measured = gain x true + offset``."""

    sensor: str
    field: str
    offset: float
    gain: float


class Character(NamedTuple):
    """The permanent properties of one device."""

    calibration: tuple[Error, ...]
    clock_offset_ns: int
    clock_drift_ppm: float
    unsynchronised_ns: int
    phase: float


def character(seed: int, number: int, profile: Profile) -> Character:
    """The properties of the device with that number, drawn from the seed."""
    draw = Random(f"{seed}/{number}/character")
    errors = []
    for _, sensor, field, quantity, _, _ in VALUES:
        spread = profile.calibration[quantity]
        errors.append(
            Error(sensor, field, round(draw.gauss(0, spread.offset), 4), round(1 + draw.gauss(0, spread.gain), 5))
        )
    offset_ns = round(draw.gauss(0, profile.clock_offset_seconds) * 1e9)
    drift = round(draw.gauss(0, profile.clock_drift_ppm), 3)
    begins_in_1970 = draw.random() < profile.unsynchronised_probability
    return Character(
        tuple(errors),
        offset_ns,
        drift,
        round(profile.unsynchronised_seconds * 1e9) if begins_in_1970 else 0,
        draw.random(),
    )


class _Held(NamedTuple):
    """A reading held until a time, or until the device is online if that is None."""

    time_ns: int
    metrics: tuple[Metric, ...]
    until_ns: int


class Device:
    """A Pi with a Sense HAT.

    Args:
        number: counted from 1; the name is ``sim-0001``.
        seed: of the whole simulation; each device derives its own from it.
        profile: its faults.
        start_ns: the beginning of the simulation, in nanoseconds since 1970.
        tags: tags of every point in addition to device and sensor.
    """

    def __init__(self, number: int, seed: int, profile: Profile, start_ns: int, tags: dict[str, str]) -> None:
        self.name = f"sim-{number:04d}"
        self.seed = Random(f"{seed}/{number}/world").getrandbits(31)
        self.character = character(seed, number, profile)
        self._profile = profile
        self._start_ns = start_ns
        self._chance = Random(f"{seed}/{number}/faults")
        # Stuck values must remain: the receiver has to detect them.
        self._lines = LineBuilder(self.name, tags, None, None, stale_after=0, on_error=_pass_over)
        self._stuck: dict[str, tuple[int, float]] = {}
        self._offline_until_ns = 0
        self._losing = False
        self._buffer: deque[_Held] = deque()
        self._late: deque[_Held] = deque()

    def stamp(self, now_ns: int) -> int:
        """The device's clock at a true time."""
        since_ns = now_ns - self._start_ns
        if since_ns < self.character.unsynchronised_ns:
            return since_ns
        return now_ns + self.character.clock_offset_ns + round(since_ns * self.character.clock_drift_ppm / 1e6)

    def step(self, now_ns: int, reading: Reading) -> Step:
        """Take the readings and send the messages that are due."""
        step = Step([], [])
        time_ns = self.stamp(now_ns)
        metrics = self._sense(now_ns, time_ns, reading, step.faults)
        self._network(now_ns, time_ns, step)
        self._release(now_ns, step)
        if metrics:
            self._send(now_ns, time_ns, metrics, step)
        return step

    def finish(self) -> Step:
        """Send held messages at the end of the simulation."""
        step = Step([], [])
        if self._offline_until_ns:
            self._return(step)
        held, self._late = list(self._late), deque()
        self._batches(held, step)
        return step

    # --- readings ---------------------------------------------------------------------------------

    def _sense(self, now_ns: int, time_ns: int, reading: Reading, faults: list[Fault]) -> tuple[Metric, ...]:
        profile = self._profile
        changed: dict[str, Any] = {}
        expected: list[tuple[str, str]] = []
        for (name, sensor, field, quantity, low, high), error in zip(VALUES, self.character.calibration, strict=True):
            true = getattr(reading, name)
            if true is None or true != true or true == 0:  # the recording itself has no value here
                continue
            value = true if (error.gain, error.offset) == (1, 0) else round(error.gain * true + error.offset, _DIGITS)
            kind = ""
            until_ns, kept = self._stuck.get(name, (0, 0.0))
            if until_ns > now_ns:
                value, kind = kept, "stuck"
            elif self._happens(profile.stuck_probability):
                self._stuck[name] = now_ns + round(profile.stuck_seconds * 1e9), value
            if self._happens(profile.dropout_probability):
                value, kind = INVALID, "dropout"
            elif not kind and self._happens(profile.spike_probability):
                spiked = _spike(value, profile.spike_sizes[quantity], low, high, up=self._chance.random() < 0.5)
                if spiked != value:
                    value, kind = spiked, "spike"
            changed[name] = value
            if kind != "dropout":
                expected.append((sensor, field))
            if kind:
                faults.append(Fault(self.name, kind, time_ns, sensor, field))
        reading = reading._replace(time_ns=None, **changed)
        if "imu" not in profile.measurements:
            reading = reading._replace(attitude=None, acceleration=None, gyro=None, magnetic=None)
        if "colour" not in profile.measurements:
            reading = reading._replace(colour=None)
        metrics = tuple(
            metric
            for metric in self._lines.build(reading, time_ns)
            if metric.series.measurement in profile.measurements
        )
        if "environment" in profile.measurements:
            emitted = {(metric.series.tags.get("sensor"), field) for metric in metrics for field in metric.fields}
            faults.extend(
                Fault(self.name, "out_of_range", time_ns, *place) for place in expected if place not in emitted
            )
            return metrics
        # Faults of a sensor whose values are not sent have no effect.
        faults.clear()
        return metrics

    # --- sending ----------------------------------------------------------------------------------

    def _network(self, now_ns: int, time_ns: int, step: Step) -> None:
        profile = self._profile
        if self._offline_until_ns:
            if now_ns >= self._offline_until_ns:
                self._return(step)
        elif self._happens(profile.offline_probability):
            seconds = profile.offline_seconds * self._chance.uniform(0.5, 1.5)
            self._offline_until_ns = now_ns + max(1, round(seconds * 1e9))
            self._losing = self._happens(profile.offline_lost)
            step.events.append(Status(self.name, online=False))
            step.faults.append(Fault(self.name, "offline", time_ns))

    def _return(self, step: Step) -> None:
        self._offline_until_ns = 0
        step.events.append(Status(self.name, online=True))
        held, self._buffer = list(self._buffer), deque()
        self._batches(held, step)

    def _release(self, now_ns: int, step: Step) -> None:
        if self._offline_until_ns:
            return
        due = []
        while self._late and self._late[0].until_ns <= now_ns:
            due.append(self._late.popleft())
        self._batches(due, step)

    def _batches(self, held: list[_Held], step: Step) -> None:
        for first in range(0, len(held), self._profile.batch):
            batch = held[first : first + self._profile.batch]
            metrics = tuple(metric for each in batch for metric in each.metrics)
            step.events.append(Message(self.name, "late", metrics, len(batch)))
            step.faults.extend(Fault(self.name, "late", each.time_ns) for each in batch)

    def _send(self, now_ns: int, time_ns: int, metrics: tuple[Metric, ...], step: Step) -> None:
        profile = self._profile
        if self._offline_until_ns:
            if self._losing:
                step.faults.append(Fault(self.name, "lost", time_ns))
                return
            self._buffer.append(_Held(time_ns, metrics, 0))
            if len(self._buffer) > profile.offline_readings:
                step.faults.append(Fault(self.name, "lost", self._buffer.popleft().time_ns))
            return
        if self._happens(profile.late_probability):
            self._late.append(_Held(time_ns, metrics, now_ns + round(profile.late_seconds * 1e9)))
            return
        step.events.append(Message(self.name, "telemetry", metrics))
        if self._happens(profile.duplicate_probability):
            step.events.append(Message(self.name, "duplicate", metrics))
            step.faults.append(Fault(self.name, "duplicate", time_ns))
        for kind in BROKEN:
            if self._happens(getattr(profile, f"{kind}_probability")):
                step.events.append(Message(self.name, kind, metrics))
                step.faults.append(Fault(self.name, kind, time_ns))

    def _happens(self, probability: float) -> bool:
        # A fault that is absent from the profile uses no random numbers, and so no time.
        return probability > 0 and self._chance.random() < probability


def _spike(value: float, size: float, low: float, high: float, *, up: bool) -> float:
    """A value with an error of *size*, negated near the end of the sensor's range."""
    if up and value + size > high:
        up = value - size < low
    elif not up and value - size < low:
        up = value + size <= high
    return round(min(max(value + (size if up else -size), low), high), _DIGITS)


def _pass_over(sentence: str) -> None:
    """Ignore the sentence: rejected values are identified by their absence."""
    del sentence


#: Returns the reading of a device at a time; None at the end of the source.
Source = Callable[[Device, int, int], Reading | None]
