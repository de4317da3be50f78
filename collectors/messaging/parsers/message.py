"""Collects the metrics and rejections of one message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from collectors.core.jpeg import THUMBNAIL_FIELD, check_thumbnail
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
from collectors.messaging.parsers.vocabulary import HUB_MEASUREMENTS, field_name, is_open, vocabulary

#: Valid measurement names need no escaping in line protocol, queries and topics.
_MEASUREMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
#: Valid device names are one level of a topic and a tag, unchanged.
_DEVICE = re.compile(r"(?! )[^\x00-\x1f\x7f/+#\\\"'$\ud800-\udfff\ufeff]{1,64}(?<! )")

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def is_device(name: str) -> bool:
    """Whether a level of a topic is a valid device name."""
    return _DEVICE.fullmatch(name) is not None and name.isprintable() and name not in (".", "..")


class Message:
    """A message and the results of parsing it so far.

    Args:
        topic: the topic of the message.
        device: its device, which every metric has in the tag ``device``.
        received_ns: time of arrival: the default time of metrics.
        bounds: limits of a message.
        machine: whether the device may write the measurements of machines.
    """

    def __init__(self, topic: str, device: str, received_ns: int, bounds: Bounds, *, machine: bool = False) -> None:
        self.topic = topic
        self.device = device
        self.received_ns = received_ns
        self.bounds = bounds
        self._machine = machine
        self._outcomes: list[Metric | Rejection] = []
        self._at_arrival: set[Series] = set()
        self._more: dict[str, tuple[str, int]] = {}
        #: Parts that were rejected.
        self.rejected = 0

    @property
    def outcomes(self) -> list[Metric | Rejection]:
        """The metrics and the rejections, in the order of the message; surplus rejections at the end."""
        added = [Rejection(self.topic, self.device, key, text, count) for key, (text, count) in self._more.items()]
        return self._outcomes + added

    def reject(self, reason: str, text: str) -> None:
        """Add a rejection of a part of the message."""
        self.rejected += 1
        if self.rejected <= self.bounds.rejections:
            self._outcomes.append(Rejection(self.topic, self.device, reason, text))
        else:
            first, count = self._more.get(reason, (text, 0))
            self._more[reason] = first, count + 1

    def check_measurement(self, name: str) -> None:
        """Raise PayloadError for a name that is invalid or reserved."""
        if not _MEASUREMENT.fullmatch(name):
            raise PayloadError(
                "bad_name",
                f"{name[:80]!r} is not a valid measurement name: a letter, then up to 63 letters, digits and _ . : -",
            )
        if name in HUB_MEASUREMENTS:
            raise PayloadError("reserved_measurement", f"the measurement {name} is reserved for the hub")
        if not self._machine and vocabulary().is_machines(name):
            raise PayloadError(
                "reserved_measurement",
                f"the measurement {name} is reserved for machines; choose another name, or add {self.device[:64]!r} to "
                "the setting machines if it is a Pi that publishes all that it collects",
            )

    def add(
        self,
        measurement: str,
        fields: Iterable[tuple[str, object]],
        tags: Mapping[str, str] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Add a metric with its valid fields, and a rejection for each other field. None means missing data.

        Raises:
            PayloadError: the metric has no valid field.
        """
        before = self.rejected
        given = list(fields)
        lists: list[tuple[str, PayloadError]] = []
        if len(given) > self.bounds.fields:
            raise PayloadError(
                "too_many", f"{measurement} has {len(given)} fields; the maximum is {self.bounds.fields}"
            )
        names = vocabulary()
        kinds = names.kinds(measurement)
        kept: dict[str, FieldValue] = {}
        for key, value in given:
            # The common case: a number whose name needs no change.
            if type(value) is float and value - value == 0.0 and key not in kept and kinds.get(key) is float:
                kept[key] = value
            elif value is not None:
                try:
                    name, checked = self._checked(measurement, key, value, kinds)
                    if name in kept or name in (tags or ()):
                        raise PayloadError("duplicate_key", f"two keys would become {name[:80]!r}")
                    kept[name] = checked
                except PayloadError as error:
                    if isinstance(value, list):
                        lists.append((key, error))
                    else:
                        self.reject(error.reason, error.text)
        for key, refusal in lists:
            # Only next to valid values: some devices always send such lists.
            if kept and not kinds and refusal.reason == "wrong_type":
                self.reject("list_value", f"{measurement} {key[:80]} is a list, which cannot be a field")
            else:
                self.reject(refusal.reason, refusal.text)
        if not kept:
            if not given and self.rejected == before:
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
        self._outcomes.append(Metric(series, kept, self.received_ns if time_ns is None else time_ns))

    def _checked(self, measurement: str, key: str, value: object, kinds: Mapping[str, type]) -> tuple[str, FieldValue]:
        """Convert the name and the value of a field to what InfluxDB can store. Raises PayloadError."""
        if len(key) > self.bounds.name:
            raise PayloadError("bad_name", f"the field name {key[:40]!r} has more than {self.bounds.name} characters")
        name = clean_name(key)
        if not name.strip() or name.startswith("_") or name in RESERVED_FIELDS:
            raise PayloadError("bad_name", f"{key[:80]!r} is not a valid field name")
        if isinstance(value, list) and is_open(measurement):
            raise PayloadError("list_value", f"{measurement} {key[:80]} is a list, which cannot be a field")
        checked = _checked(name, value)
        kind = type(checked)
        wanted = kinds.get(name)
        if wanted is int and type(checked) is float and checked.is_integer() and abs(checked) < 2**63:
            return name, int(checked)
        if wanted is kind:
            return name, checked
        if wanted is None:
            return field_name(name, kind, vocabulary().tags(measurement)), checked
        if is_open(measurement):
            return field_name(name, kind, frozenset((name,))), checked
        raise PayloadError(
            "wrong_type", f"{measurement} {key[:80]} is {str(value)[:80]!r}; it must be of the kind {wanted.__name__}"
        )


@lru_cache(maxsize=1024)
def _series(measurement: str, tags: tuple[tuple[str, str], ...]) -> Series:
    """A series; cached, because a device sends the same ones repeatedly."""
    return Series(measurement, dict(tags))


def _checked(key: str, value: object) -> bool | float | str:
    """Convert a value to what InfluxDB can store; every number becomes a float. Raises PayloadError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        spelled = clean_string(value)
        if len(spelled) > MAX_STRING_BYTES or len(spelled.encode()) > MAX_STRING_BYTES:
            raise PayloadError("too_large", f"the text of {key[:80]!r} has more than {MAX_STRING_BYTES} bytes")
        if key == THUMBNAIL_FIELD:
            try:
                check_thumbnail(value)
            except ValueError as error:
                raise PayloadError("bad_image", str(error)) from None
        return spelled
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise PayloadError("not_finite", f"{key[:80]!r} is an integer of more than 64 bits")
        return float(value)
    if not isinstance(value, float):
        raise PayloadError("wrong_type", f"{key[:80]!r} is a list; a field is a number, a string, true or false")
    if value - value != 0.0:
        raise PayloadError("not_finite", f"{key[:80]!r} is {value}, which cannot be stored")
    return value
