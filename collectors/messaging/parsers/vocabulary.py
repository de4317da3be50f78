"""Names with a meaning in the bundle: measurements that a device may write, and the names of their fields.

InfluxDB gives a field one type and rejects every point with another type, so the kind of a value is part of its field's
name: a number keeps the name, a text becomes ``<name>_text`` and a boolean ``<name>_bool``. Names that already end so
are handled as well: no two kinds share a name, whatever the order of arrival. A declared field keeps its name only for
the declared kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from collectors.core.measurements import SHARED
from collectors.core.schema import COLLECTOR, PIPELINE_TAGS, Measurement
from collectors.messaging.parsers.measurements import DEVICE_STATUS, ENERGY

#: Measurements of the bundle that a device may write. All other declared ones belong to machines.
DEVICE_MEASUREMENTS = frozenset((*SHARED, ENERGY.name, "imu", "colour", "joystick", "random_data"))

#: Measurements that only the hub writes; a device could forge them, so the settings cannot permit it.
HUB_MEASUREMENTS = frozenset(
    (
        DEVICE_STATUS.name,
        "device_state",
        "device_store",
        "mqtt_gateway",
        "mqtt_message",
        "mqtt_receipt",
        "nats_message",
        "nats_receipt",
        "telemetry_rejected",
    )
)

#: Measurements of Telegraf's inputs that the dashboards and alerts read and no collector declares.
_TELEGRAF = frozenset(("influxdb", "kernel", "systemd_units"))

#: Prefix of Telegraf's internal measurements.
_TELEGRAF_PREFIX = "internal_"

_SUFFIXES: Mapping[type, str] = {float: "_number", bool: "_bool", str: "_text"}

_STATES: Mapping[str, type] = {"value": float, "on": bool, "text": str}

#: Fields of manufacturers' measurements that keep their names although they are not numbers.
_OPEN: Mapping[str, Mapping[str, type]] = {
    "esphome": _STATES,
    "homeassistant": _STATES,
    "zigbee2mqtt": {},
    "tasmota": {f"power{number or ''}_on": bool for number in range(33)},
}

#: Tags that every measurement may have.
_TAGS = frozenset((*(tag.name for tag in PIPELINE_TAGS), "device", "sensor", "topic", "simulated", "replayed"))
_OPEN_TAGS = {
    "esphome": _TAGS | {"component", "name"},
    "homeassistant": _TAGS | {"component"},
}


class Vocabulary:
    """The names declared by the bundle's measurements.

    Args:
        measurements: all of them.
    """

    def __init__(self, measurements: Mapping[str, Measurement]) -> None:
        self._kinds: dict[str, Mapping[str, type]] = {
            name: {field.name: field.kind for field in each.fields} for name, each in measurements.items()
        }
        self._kinds.update(_OPEN)
        self._tags = {name: _TAGS | {tag.name for tag in each.tags} for name, each in measurements.items()} | _OPEN_TAGS
        #: Measurements of machines.
        self.machines = (frozenset(measurements) | _TELEGRAF) - DEVICE_MEASUREMENTS - HUB_MEASUREMENTS

    def kinds(self, measurement: str) -> Mapping[str, type]:
        """The declared kinds of a measurement's fields; empty if nothing is declared."""
        return self._kinds.get(measurement, {})

    def is_machines(self, measurement: str) -> bool:
        """Whether a measurement belongs to machines, so that a device may write it only if the settings permit it."""
        return measurement in self.machines or measurement.startswith(_TELEGRAF_PREFIX)

    def tags(self, measurement: str) -> frozenset[str]:
        """Names of the bundle's tags in a measurement; none of its fields has such a name."""
        return self._tags.get(measurement, _TAGS)


def field_name(name: str, kind: type, reserved: frozenset[str] = frozenset()) -> str:
    """The name for a value whose kind differs from the declared one.

    Args:
        kind: float, bool or str.
        reserved: names that a number must not have: those of tags, and those declared for another kind.

    >>> field_name("child_lock", float), field_name("child_lock", str)
    ('child_lock', 'child_lock_text')
    >>> field_name("child_lock_text", float), field_name("child_lock_text", str)
    ('child_lock_text_number', 'child_lock_text')
    """
    if kind is float and not name.endswith(("_text", "_bool")) and name not in reserved:
        return name
    suffix = _SUFFIXES[kind]
    return name if name.endswith(suffix) else name + suffix


def is_open(measurement: str) -> bool:
    """Whether a measurement accepts values of any kind under any name."""
    return measurement in _OPEN


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The vocabulary of this installation's collectors."""
    from collectors.core.registry import catalogue, load

    found = {COLLECTOR.name: COLLECTOR, **SHARED}
    for name in catalogue():
        module = load(name)
        for measurement in module.MEASUREMENTS if module is not None else ():
            found.setdefault(measurement.name, measurement)
    return Vocabulary(found)
