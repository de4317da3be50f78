"""Names that have a meaning in the bundle: measurements that a device may write, and the names of its fields.

InfluxDB gives a field one type and refuses every point that has another, so the kind of a value is part of its
field's name: a number keeps the name, a text is ``<name>_text`` and a truth value ``<name>_bool``. Names that end so
already are covered, too: no two kinds share a name, in any order of arrival. A field that is
declared keeps its name for the declared kind alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from collectors.core.measurements import SHARED
from collectors.core.schema import COLLECTOR, PIPELINE_TAGS, Measurement
from collectors.messaging.parsers.measurements import DEVICE_STATUS, ENERGY

#: Measurements of the bundle that a device may write. All others that a collector declares are those of machines.
DEVICE_MEASUREMENTS = frozenset((*SHARED, ENERGY.name, "imu", "colour", "joystick", "random_data"))

#: Measurements that only the hub writes; from a device they could be forged, whatever the settings say.
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

#: Measurements of Telegraf's own inputs that the dashboards and alerts read, which no collector declares.
_TELEGRAF = frozenset(("influxdb", "kernel", "systemd_units"))

#: Telegraf's measurements of itself begin so.
_TELEGRAF_PREFIX = "internal_"

_SUFFIXES: Mapping[type, str] = {float: "_number", bool: "_bool", str: "_text"}

_STATES: Mapping[str, type] = {"value": float, "on": bool, "text": str}

#: Fields of the makers' measurements that keep their names though they are no numbers.
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
    """The names that the bundle's measurements declare.

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
        """The declared kinds of the fields of a measurement; empty if nothing is declared."""
        return self._kinds.get(measurement, {})

    def is_machines(self, measurement: str) -> bool:
        """Whether a measurement is one of machines, which a device may write only if the settings say so."""
        return measurement in self.machines or measurement.startswith(_TELEGRAF_PREFIX)

    def tags(self, measurement: str) -> frozenset[str]:
        """Names of tags that the bundle gives in a measurement; no field of it has one of them."""
        return self._tags.get(measurement, _TAGS)


def field_name(name: str, kind: type, reserved: frozenset[str] = frozenset()) -> str:
    """The name of a field that is not declared for this kind.

    Args:
        kind: float, bool or str.
        reserved: names that a number may not have: those of tags, and those declared for another kind.

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
    """Whether values of any kind may have any name in a measurement."""
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
