"""Sense HAT: temperature, humidity, pressure, orientation and colour, from the board, an emulator or a recording.

Where readings come from is the setting ``backend``. ``auto``, the default, takes the board where it is and
fails with the choices where it is not: data are never invented unasked, and simulated or replayed ones carry a
tag that says so. docs/collectors/sensehat.md tells of wiring, compensation and recordings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collectors.core.api import Collector, Context, Unavailable
from collectors.core.measurements import ENVIRONMENT
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

if TYPE_CHECKING:
    from collectors.sensehat.collector import Source

_MARKS = (
    Tag("simulated", "`true` where the readings are computed by the simulated backend.", optional=True),
    Tag("replayed", "`true` where the readings come from a recording.", optional=True),
)
_DEVICE = Tag("device", "The board: the host's name, unless the setting `device` gives another.")


def _axes(name: str, unit: str, help: str, bound: float) -> tuple[Field, ...]:
    """Three fields, one an axis, with the same range to either side of 0."""
    return tuple(Field(f"{name}_{axis}_{unit}", float, unit, help.format(axis), -bound, bound) for axis in "xyz")


# The ranges are those that each sensor is specified for. LSM9DS1: DocID025715 rev 3, at the widest full scale of each
# part (16 g, 2000 degrees a second, 16 gauss), since the library's settings file may choose it. TCS3400 and TCS34725:
# 16 bits a channel, gains of 1 to 64 and to 60.
IMU = Measurement(
    "imu",
    "Orientation, acceleration, turning and magnetic field, of the LSM9DS1.",
    (_DEVICE, *_MARKS),
    (
        Field("pitch_degrees", float, "degrees", "Nose up or down, from the fusion of the three sensors.", 0, 360),
        Field("roll_degrees", float, "degrees", "Tilt to the side, from the fusion.", 0, 360),
        Field("yaw_degrees", float, "degrees", "Turn about the vertical, from the fusion.", 0, 360),
        *_axes("acceleration", "g", "Acceleration along {}; 1 g of gravity on z where the board lies flat.", 16),
        *_axes("gyro", "radians_per_second", "Rate of turning about {}.", 34.91),
        *_axes("magnetic", "microtesla", "Magnetic field along {}.", 1600),
        Field("heading_degrees", float, "degrees", "Magnetic heading of the x axis, tilt taken out.", 0, 360),
    ),
)
COLOUR = Measurement(
    "colour",
    "Light on the colour sensor, which the second edition of the board has.",
    (_DEVICE, *_MARKS),
    (
        Field("red", int, "", "Counts of the red channel.", 0, 65535),
        Field("green", int, "", "Counts of the green channel.", 0, 65535),
        Field("blue", int, "", "Counts of the blue channel.", 0, 65535),
        Field("clear", int, "", "Counts of the channel without a filter.", 0, 65535),
        Field("gain", int, "", "The gain that the counts were taken with.", 1, 64),
    ),
)
MEASUREMENTS = (ENVIRONMENT, IMU, COLOUR)

BACKENDS = ("auto", "hat", "emulator", "recording", "simulated")

BACKEND: Setting[str] = Setting("backend", str, "auto", "Where readings come from.", choices=BACKENDS)
DEVICE: Setting[str] = Setting("device", str, "", "The tag `device`; empty for the host's name.")
FACTOR: Setting[float | None] = Setting(
    "compensation_factor", float, None, "Factor of the HTS221 against the CPU's heat.", low=0.1, high=100
)
FACTOR_LPS25H: Setting[float | None] = Setting(
    "compensation_factor_lps25h", float, None, "Factor of the LPS25H against the CPU's heat.", low=0.1, high=100
)
STALE_AFTER: Setting[int] = Setting(
    "stale_after", int, 10, "Equal readings in a row that make a sensor stuck; 0 for never.", low=0
)
COLOUR_GAIN: Setting[int] = Setting("colour_gain", int, 16, "Gain of the colour sensor: 1, 4, 16, 64.", low=1, high=64)
COLOUR_CYCLES: Setting[int] = Setting(
    "colour_cycles", int, 64, "Integration cycles of the colour sensor, some 2.8 ms each.", low=1, high=256
)
SYS_ROOT: Setting[str] = Setting("sys_root", str, "/sys", "Where sysfs is: the CPU's temperature and the board.")
RECORDING: Setting[str | None] = Setting("recording", str, None, "CSV or CSV.gz of the recording backend.")
PACE: Setting[float] = Setting(
    "pace",
    float,
    1.0,
    "Speed of a recording or simulation: 60 is a minute a second, 0 a recorded row a gather.",
    low=0,
    high=3600,
)
REPEAT: Setting[bool] = Setting("repeat", bool, False, "Begin a recording again at its end.")
KEEP_TIMES: Setting[bool] = Setting(
    "keep_times", bool, False, "Emit a whole recording at once with its own times, to import it."
)
SEED: Setting[int] = Setting("seed", int, 1, "Chooses the simulated weather and people.")
START: Setting[str | None] = Setting(
    "start", str, None, "Time that a simulation starts at, such as 2026-06-21T12:00; now where not given."
)
SETTINGS: tuple[Setting[Any], ...] = (
    BACKEND,
    DEVICE,
    FACTOR,
    FACTOR_LPS25H,
    STALE_AFTER,
    COLOUR_GAIN,
    COLOUR_CYCLES,
    SYS_ROOT,
    RECORDING,
    PACE,
    REPEAT,
    KEEP_TIMES,
    SEED,
    START,
)


def create(context: Context) -> Collector:
    """The collector on the backend of the settings. Raises Unavailable, with the choices, where it cannot start."""
    from collectors.sensehat.collector import SenseHat

    backend = context.values[BACKEND]
    if backend == "recording" and context.values[KEEP_TIMES]:
        from collectors.sensehat.recording import Import

        return Import(context)
    return SenseHat(context, _source(backend, context))


def _source(backend: str, context: Context) -> Source:
    """The backend by its name; each is imported only where it is chosen."""
    if backend == "simulated":
        from collectors.sensehat.simulated import Simulated

        return Simulated(context)
    if backend == "recording":
        from collectors.sensehat.recording import Replay

        return Replay(context)
    if backend == "emulator":
        from collectors.sensehat import emulator

        return emulator.open_source(context)
    from collectors.sensehat import hat

    if backend == "auto" and not hat.present(context.values[SYS_ROOT]):
        raise Unavailable(
            "there is no Sense HAT on this machine; to do without one, set SENSETIG_SENSEHAT_BACKEND to emulator, "
            "recording or simulated, and to hat to insist on the board"
        )
    return hat.open_source(context)
