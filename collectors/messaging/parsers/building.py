"""The metrics and refusals of one message, while it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from collectors.core.line_protocol import (
    MAX_STRING_BYTES,
    RESERVED_FIELDS,
    FieldValue,
    Metric,
    Series,
    clean_name,
    clean_string,
)
from collectors.messaging.parsers.outcome import Bounds, Refused, Unfit

#: What a measurement may be called: what needs no escaping anywhere, in line protocol, in queries and in topics.
_MEASUREMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
#: What a device may be called: what can be one level of a topic and a tag, as it is.
_DEVICE = re.compile(r"(?! )[^\x00-\x1f\x7f/+#\\\"'$\ud800-\udfff\ufeff]{1,64}(?<! )")

#: What the hub writes itself. A device that wrote these could claim what the hub has not seen.
RESERVED_MEASUREMENTS = frozenset(
    ("device_state", "device_status", "mqtt_message", "mqtt_receipt", "telemetry_rejected")
)

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def is_device(name: str) -> bool:
    """Whether a level of a topic can be a device's name."""
    return _DEVICE.fullmatch(name) is not None and name.isprintable()


class Message:
    """One message with what it has given so far.

    Args:
        topic: the message's.
        device: whose message it is; every metric has it as its tag ``device``.
        received_ns: when it arrived, the time of what has none.
        bounds: what it may be at most.
    """

    def __init__(self, topic: str, device: str, received_ns: int, bounds: Bounds) -> None:
        self.topic = topic
        self.device = device
        self.received_ns = received_ns
        self.bounds = bounds
        self.outcomes: list[Metric | Refused] = []
        self._at_arrival: set[Series] = set()

    def refuse(self, reason: str, text: str) -> None:
        """Count a part of the message as refused."""
        self.outcomes.append(Refused(self.topic, self.device, reason, text))

    def check_measurement(self, name: str) -> None:
        """Raises Unfit for a measurement that cannot be one, or that is the hub's own."""
        if not _MEASUREMENT.fullmatch(name):
            raise Unfit(
                "bad_name",
                f"{name[:80]!r} is no name of a measurement: up to 64 letters, digits and _ . : -, a letter first",
            )
        if name in RESERVED_MEASUREMENTS:
            raise Unfit("reserved_measurement", f"the measurement {name} is written by the hub alone")

    def add(
        self,
        measurement: str,
        fields: Iterable[tuple[str, object]],
        tags: Mapping[str, str] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Take a metric with those of its fields that can be; each other is refused. None is no data.

        Raises:
            Unfit: nothing of it can be taken.
        """
        given = list(fields)
        if len(given) > self.bounds.fields:
            raise Unfit("too_many", f"{measurement} has {len(given)} fields, and {self.bounds.fields} are the most")
        kept: dict[str, FieldValue] = {}
        for key, value in given:
            if value is not None:
                try:
                    kept[self._checked_name(key, kept)] = _checked(key, value)
                except Unfit as unfit:
                    self.refuse(unfit.reason, unfit.text)
        if not kept:
            if not given:
                raise Unfit("no_fields", f"there is no field for {measurement} in it")
            return
        try:
            series = _series(measurement, (*(tags or {}).items(), ("device", self.device)))
        except ValueError as error:
            raise Unfit("bad_name", str(error)[:300]) from None
        if time_ns is None:
            if series in self._at_arrival:
                raise Unfit(
                    "no_time",
                    f"a second {measurement} without a time of its own would replace the first; give each a time",
                )
            self._at_arrival.add(series)
        self.outcomes.append(Metric(series, kept, self.received_ns if time_ns is None else time_ns))

    @staticmethod
    def _checked_name(key: str, kept: Mapping[str, FieldValue]) -> str:
        name = clean_name(key)
        if not name.strip() or name.startswith("_") or name in RESERVED_FIELDS or len(name) > 256:
            raise Unfit("bad_name", f"{key[:80]!r} cannot be the name of a field")
        if name in kept:
            raise Unfit("duplicate_key", f"two keys would become the field {name[:80]!r}")
        return name


@lru_cache(maxsize=1024)
def _series(measurement: str, tags: tuple[tuple[str, str], ...]) -> Series:
    """A series, kept in its spelled form: a device sends the same ones again and again."""
    return Series(measurement, dict(tags))


def _checked(key: str, value: object) -> FieldValue:
    """The value of a field that InfluxDB can hold. Raises Unfit."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        spelled = clean_string(value)
        if len(spelled.encode()) > MAX_STRING_BYTES:
            raise Unfit("too_large", f"the text of {key[:80]!r} has more than {MAX_STRING_BYTES} bytes")
        return spelled
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise Unfit("not_finite", f"{key[:80]!r} is an integer beyond 64 bits")
        return value
    if not isinstance(value, float):
        raise Unfit("wrong_type", f"{key[:80]!r} is a list, and a field is a number, a text, true or false")
    if value - value != 0.0:
        raise Unfit("not_finite", f"{key[:80]!r} is {value}, which is no number that can be kept")
    return value
