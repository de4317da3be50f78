"""The faults of simulated devices, their frequency and duration: a TOML file of the package or of the user."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.simulator import SimulatorError

MEASUREMENTS = ("environment", "imu", "colour")

#: Quantities of a sensor, by their units in a profile.
QUANTITIES = ("temperature_celsius", "humidity_percent", "pressure_hpa")


class Spread(NamedTuple):
    """Standard deviations of a device's calibration error: ``measured = gain x true + offset``.

    Args:
        offset: in the unit of the quantity.
        gain: around 1, without a unit.
    """

    offset: float = 0.0
    gain: float = 0.0


class Profile(NamedTuple):
    """One kind of device. Every probability is per reading, unless stated otherwise.

    Args:
        name: the file's name without its ending.
        help: one sentence.
        measurements: the measurements that a device sends.
        calibration: of each of :data:`QUANTITIES`; each sensor of each device draws its own.
        clock_offset_seconds, clock_drift_ppm: standard deviations of a device's clock error.
        unsynchronised_probability: per device, that its clock starts in 1970, as on a Pi without a network.
        unsynchronised_seconds: time until such a device's clock is synchronised.
        dropout_probability: for each of the four values of the two sensors, that it is missing.
        stuck_probability, stuck_seconds: for each value, that it stays constant for this time.
        spike_probability: for each value, that it is off by ``spike_sizes``, up or down, within the sensor's range.
        offline_probability, offline_seconds: that the network is lost, for 0.5 to 1.5 times this time.
        offline_lost: fraction of outages whose readings are lost instead of sent later.
        offline_readings: maximum number of readings kept during an outage; older ones are lost.
        late_probability, late_seconds: that readings are delayed by this time while the device is online.
        batch: maximum number of readings in one late message.
        duplicate_probability: that a message is sent twice.
        truncated_json_probability, wrong_type_probability, too_large_probability: that a broken message follows.
        too_large_bytes: size of a message that is too large.
    """

    name: str
    help: str
    measurements: tuple[str, ...] = ("environment",)
    calibration: tuple[Spread, Spread, Spread] = (Spread(), Spread(), Spread())
    clock_offset_seconds: float = 0.0
    clock_drift_ppm: float = 0.0
    unsynchronised_probability: float = 0.0
    unsynchronised_seconds: float = 0.0
    dropout_probability: float = 0.0
    stuck_probability: float = 0.0
    stuck_seconds: float = 0.0
    spike_probability: float = 0.0
    spike_sizes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    offline_probability: float = 0.0
    offline_seconds: float = 0.0
    offline_lost: float = 0.0
    offline_readings: int = 3600
    late_probability: float = 0.0
    late_seconds: float = 0.0
    batch: int = 50
    duplicate_probability: float = 0.0
    truncated_json_probability: float = 0.0
    wrong_type_probability: float = 0.0
    too_large_probability: float = 0.0
    too_large_bytes: int = 300_000


#: Section, key, the profile's attribute, and the maximum; the minimum is 0.
_KEYS = (
    ("clock", "offset_seconds", "clock_offset_seconds", 1e9),
    ("clock", "drift_ppm", "clock_drift_ppm", 1e5),
    ("clock", "unsynchronised_probability", "unsynchronised_probability", 1),
    ("clock", "unsynchronised_seconds", "unsynchronised_seconds", 1e6),
    ("dropout", "probability", "dropout_probability", 1),
    ("stuck", "probability", "stuck_probability", 1),
    ("stuck", "seconds", "stuck_seconds", 1e6),
    ("spike", "probability", "spike_probability", 1),
    ("offline", "probability", "offline_probability", 1),
    ("offline", "seconds", "offline_seconds", 1e6),
    ("offline", "lost", "offline_lost", 1),
    ("offline", "readings", "offline_readings", 100_000),
    ("late", "probability", "late_probability", 1),
    ("late", "seconds", "late_seconds", 1e6),
    ("late", "batch", "batch", 1000),
    ("duplicate", "probability", "duplicate_probability", 1),
    ("truncated_json", "probability", "truncated_json_probability", 1),
    ("wrong_type", "probability", "wrong_type_probability", 1),
    ("too_large", "probability", "too_large_probability", 1),
    ("too_large", "bytes", "too_large_bytes", 64 * 1024 * 1024),
)
#: Counts, which must be positive.
_WHOLE = ("offline_readings", "batch", "too_large_bytes")

_FOLDER = files("sensetig.simulator") / "profiles"


def names() -> list[str]:
    """The profiles of the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Profile:
    """Load a profile of the package by its name, or a user's by its file, which ends in ``.toml``.

    Raises:
        SimulatorError: it does not exist, or is invalid.
    """
    if not name.endswith(".toml"):
        if name not in names():
            raise SimulatorError(
                f"there is no profile {name!r}: choose one of {', '.join(names())}, or name a file that ends in .toml"
            )
        return read((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SimulatorError(f"the profile {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SimulatorError(f"the profile {name} is not UTF-8") from None
    return read(text, name)


def read(text: str, where: str) -> Profile:
    """Parse a profile in TOML. Raises SimulatorError, with file and key, for an invalid one."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SimulatorError(f"{where} is not valid TOML: {error}") from None
    values: dict[str, Any] = {"name": Path(where).stem, "help": _text(document.pop("help", ""), where)}
    if "measurements" in document:
        values["measurements"] = _measurements(document.pop("measurements"), where)
    if "calibration" in document:
        values["calibration"] = _calibration(document.pop("calibration"), where)
    places = {(section, key): (attribute, most) for section, key, attribute, most in _KEYS}
    for section, content in document.items():
        if section not in {known for known, _ in places}:
            known = ", ".join(dict.fromkeys(["calibration", *(known for known, _ in places)]))
            raise SimulatorError(f"{where}: there is no section [{section}]; there are {known}")
        if not isinstance(content, dict):
            raise SimulatorError(f"{where}: {section} must be a section: [{section}]")
        if section == "spike":
            sizes = [_number(content.pop(key, 0), 1e6, f"{where}: [spike] {key}") for key in QUANTITIES]
            values["spike_sizes"] = tuple(sizes)
        for key, value in content.items():
            if (section, key) not in places:
                known = ", ".join(key for other, key in places if other == section)
                raise SimulatorError(f"{where}: [{section}] has no {key}; it has {known}")
            attribute, most = places[section, key]
            if attribute in _WHOLE:
                if type(value) is not int or not 1 <= value <= most:
                    raise SimulatorError(
                        f"{where}: [{section}] {key} is {value!r}; it must be a whole number from 1 to {most:.0f}"
                    )
                values[attribute] = value
            else:
                values[attribute] = _number(value, most, f"{where}: [{section}] {key}")
    return Profile(**values)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise SimulatorError(f"{where}: help is {value!r}; it must be a text")
    return value


def _number(value: object, most: float, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:  # type: ignore[operator]  # which nan is not, either
        raise SimulatorError(f"{where} is {value!r}; it must be a number from 0 to {most:g}")
    return float(value)  # type: ignore[arg-type]


def _measurements(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(name in MEASUREMENTS for name in value):
        raise SimulatorError(
            f"{where}: measurements is {value!r}; it must be a list with some of {', '.join(MEASUREMENTS)}"
        )
    return tuple(dict.fromkeys(value))


def _calibration(value: object, where: str) -> tuple[Spread, ...]:
    if not isinstance(value, dict):
        raise SimulatorError(f"{where}: calibration must be a section: [calibration]")
    spreads = []
    for key in value:
        if key not in QUANTITIES:
            raise SimulatorError(f"{where}: [calibration] has no {key}; it has {', '.join(QUANTITIES)}")
    for key in QUANTITIES:
        entry = value.get(key, {})
        if not isinstance(entry, dict) or not set(entry) <= {"offset", "gain"}:
            raise SimulatorError(f"{where}: [calibration] {key} must be written as {{ offset = 0.5, gain = 0.01 }}")
        spreads.append(
            Spread(
                _number(entry.get("offset", 0), 1e6, f"{where}: the offset of [calibration] {key}"),
                _number(entry.get("gain", 0), 0.2, f"{where}: the gain of [calibration] {key}"),
            )
        )
    return tuple(spreads)
