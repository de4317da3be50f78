"""Collects the metrics and rejections of one message."""

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
from collectors.messaging.parsers.results import Bounds, PayloadError, Rejection

#: Valid measurement names need no escaping in line protocol, queries and topics.
_MEASUREMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
#: Valid device names are one level of a topic and a tag, unchanged.
_DEVICE = re.compile(r"(?! )[^\x00-\x1f\x7f/+#\\\"'$\ud800-\udfff\ufeff]{1,64}(?<! )")

#: Measurements that only the hub writes; from a device they could be forged.
RESERVED_MEASUREMENTS = frozenset(
    ("device_state", "device_status", "mqtt_message", "mqtt_receipt", "telemetry_rejected")
)

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def is_device(name: str) -> bool:
    """Whether a level of a topic is a valid device name."""
    return _DEVICE.fullmatch(name) is not None and name.isprintable()


class Message:
    """A message and the results of parsing it so far.

    Args:
        topic: the topic of the message.
        device: its device, which every metric has as the tag ``device``.
        received_ns: when it arrived: the time of metrics without one.
        bounds: limits of a message.
    """

    def __init__(self, topic: str, device: str, received_ns: int, bounds: Bounds) -> None:
        self.topic = topic
        self.device = device
        self.received_ns = received_ns
        self.bounds = bounds
        self.outcomes: list[Metric | Rejection] = []
        self._at_arrival: set[Series] = set()

    def reject(self, reason: str, text: str) -> None:
        """Add a rejection of a part of the message."""
        self.outcomes.append(Rejection(self.topic, self.device, reason, text))

    def check_measurement(self, name: str) -> None:
        """Raises PayloadError for a name that is not valid or reserved for the hub."""
        if not _MEASUREMENT.fullmatch(name):
            raise PayloadError(
                "bad_name",
                f"{name[:80]!r} is not a valid measurement name: a letter, then up to 63 letters, digits and _ . : -",
            )
        if name in RESERVED_MEASUREMENTS:
            raise PayloadError("reserved_measurement", f"the measurement {name} is reserved for the hub")

    def add(
        self,
        measurement: str,
        fields: Iterable[tuple[str, object]],
        tags: Mapping[str, str] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Add a metric with its valid fields, and a rejection for each other field. A value of None is missing data.

        Raises:
            PayloadError: the metric has no valid field.
        """
        given = list(fields)
        if len(given) > self.bounds.fields:
            raise PayloadError(
                "too_many", f"{measurement} has {len(given)} fields; the maximum is {self.bounds.fields}"
            )
        kept: dict[str, FieldValue] = {}
        for key, value in given:
            if value is not None:
                try:
                    kept[self._checked_name(key, kept)] = _checked(key, value)
                except PayloadError as error:
                    self.reject(error.reason, error.text)
        if not kept:
            if not given:
                raise PayloadError("no_fields", f"the message has no field for {measurement}")
            return
        try:
            series = _series(measurement, (*(tags or {}).items(), ("device", self.device)))
        except ValueError as error:
            raise PayloadError("bad_name", str(error)[:300]) from None
        if time_ns is None:
            if series in self._at_arrival:
                raise PayloadError(
                    "no_time",
                    f"a second {measurement} without a time would replace the first; give each one a time",
                )
            self._at_arrival.add(series)
        self.outcomes.append(Metric(series, kept, self.received_ns if time_ns is None else time_ns))

    @staticmethod
    def _checked_name(key: str, kept: Mapping[str, FieldValue]) -> str:
        name = clean_name(key)
        if not name.strip() or name.startswith("_") or name in RESERVED_FIELDS or len(name) > 256:
            raise PayloadError("bad_name", f"{key[:80]!r} is not a valid field name")
        if name in kept:
            raise PayloadError("duplicate_key", f"two keys would become the field {name[:80]!r}")
        return name


@lru_cache(maxsize=1024)
def _series(measurement: str, tags: tuple[tuple[str, str], ...]) -> Series:
    """A series; cached, since a device sends the same ones repeatedly."""
    return Series(measurement, dict(tags))


def _checked(key: str, value: object) -> FieldValue:
    """The value of a field as InfluxDB can store it. Raises PayloadError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        spelled = clean_string(value)
        if len(spelled.encode()) > MAX_STRING_BYTES:
            raise PayloadError("too_large", f"the text of {key[:80]!r} has more than {MAX_STRING_BYTES} bytes")
        return spelled
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise PayloadError("not_finite", f"{key[:80]!r} is an integer of more than 64 bits")
        return value
    if not isinstance(value, float):
        raise PayloadError("wrong_type", f"{key[:80]!r} is a list; a field is a number, a string, true or false")
    if value - value != 0.0:
        raise PayloadError("not_finite", f"{key[:80]!r} is {value}, which cannot be stored")
    return value
