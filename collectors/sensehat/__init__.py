"""Sense HAT: temperature, humidity, pressure, orientation and colour, from the board, an emulator or a recording.

The setting ``backend`` selects the source. ``auto``, the default, uses the board if it is present and otherwise fails
with the choices: data is only simulated on request, and simulated or replayed data carries a tag.
docs/reference/collectors/sensehat.md describes wiring and readings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collectors.core.api import Collector, Context, Unavailable
from collectors.core.measurements import ENVIRONMENT
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

if TYPE_CHECKING:
    from collectors.sensehat.collector import Source

_ORIGIN = (
    Tag("simulated", "`true` if the readings are simulated.", optional=True),
    Tag("replayed", "`true` if the readings come from a recording.", optional=True),
)
_DEVICE = Tag("device", "Name of the board: the setting `device`, or the host name.")


def _axes(name: str, unit: str, help: str, bound: float) -> tuple[Field, ...]:
    """Three fields, one per axis, with a symmetric range."""
    return tuple(Field(f"{name}_{axis}_{unit}", float, unit, help.format(axis), -bound, bound) for axis in "xyz")


# The ranges are those of the datasheets. LSM9DS1: DocID025715 rev 3, at the widest full scale of each part (16 g, 2000
# degrees per second, 16 gauss), which the library's settings file may select. TCS3400 and TCS34725: 16 bits per
# channel, gains of 1 to 64 and to 60.
IMU = Measurement(
    "imu",
    "Orientation, acceleration, angular rate and magnetic field, from the LSM9DS1.",
    (_DEVICE, *_ORIGIN),
    (
        Field("pitch_degrees", float, "degrees", "Pitch (nose up or down), from the sensor fusion.", 0, 360),
        Field("roll_degrees", float, "degrees", "Roll (tilt to the side), from the sensor fusion.", 0, 360),
        Field(
            "yaw_degrees", float, "degrees", "Yaw (rotation around the vertical axis), from the sensor fusion.", 0, 360
        ),
        *_axes("acceleration", "g", "Acceleration along {}; 1 g on z when the board lies flat.", 16),
        *_axes("gyro", "radians_per_second", "Angular rate around {}.", 34.91),
        *_axes("magnetic", "microtesla", "Magnetic field along {}.", 1600),
        Field("heading_degrees", float, "degrees", "Magnetic heading of the x axis, tilt-compensated.", 0, 360),
    ),
)
COLOUR = Measurement(
    "colour",
    "Light on the colour sensor of the board's second edition.",
    (_DEVICE, *_ORIGIN),
    (
        Field("red", int, "", "Counts of the red channel.", 0, 65535),
        Field("green", int, "", "Counts of the green channel.", 0, 65535),
        Field("blue", int, "", "Counts of the blue channel.", 0, 65535),
        Field("clear", int, "", "Counts of the unfiltered channel.", 0, 65535),
        Field("gain", int, "", "Gain of the measurement.", 1, 64),
    ),
)
MEASUREMENTS = (ENVIRONMENT, IMU, COLOUR)

BACKENDS = ("auto", "hat", "emulator", "recording", "simulated")

BACKEND: Setting[str] = Setting("backend", str, "auto", "Source of the readings.", choices=BACKENDS)
DEVICE: Setting[str] = Setting("device", str, "", "The tag `device`; the host name if empty.")
FACTOR: Setting[float | None] = Setting(
    "compensation_factor", float, None, "Factor that removes the CPU's heat from the HTS221.", low=0.1, high=100
)
FACTOR_LPS25H: Setting[float | None] = Setting(
    "compensation_factor_lps25h",
    float,
    None,
    "Factor that removes the CPU's heat from the LPS25H.",
    low=0.1,
    high=100,
)
STALE_AFTER: Setting[int] = Setting(
    "stale_after", int, 10, "Number of consecutive equal readings of a stuck sensor; 0 disables the detection.", low=0
)
COLOUR_GAIN: Setting[int] = Setting("colour_gain", int, 16, "Gain of the colour sensor: 1, 4, 16, 64.", low=1, high=64)
COLOUR_CYCLES: Setting[int] = Setting(
    "colour_cycles", int, 64, "Integration cycles of the colour sensor, about 2.8 ms each.", low=1, high=256
)
SYS_ROOT: Setting[str] = Setting("sys_root", str, "/sys", "Where sysfs is mounted (CPU temperature, board).")
RECORDING: Setting[str | None] = Setting("recording", str, None, "CSV or CSV.gz file of the recording backend.")
COLUMNS: Setting[str] = Setting(
    "columns",
    str,
    "",
    "Columns of a recording with other names: pairs such as temp_h=Temperatur, time_stamp=1 (a name or a number).",
)
TIME_ZONE: Setting[str] = Setting(
    "time_zone", str, "UTC", "Time zone of a recording's times without an offset, such as Europe/Berlin."
)
TIME_FORMAT: Setting[str | None] = Setting(
    "time_format", str, None, "Format of a recording's times, such as %d/%m/%Y %H:%M:%S; ISO 8601 by default."
)
PACE: Setting[float] = Setting(
    "pace",
    float,
    1.0,
    "Speed of a recording or simulation: 60 plays a minute per second, 0 one recorded row per reading.",
    low=0,
    high=3600,
)
REPEAT: Setting[bool] = Setting("repeat", bool, False, "Restart a recording at its end.")
KEEP_TIMES: Setting[bool] = Setting(
    "keep_times", bool, False, "Emit a whole recording at once with its own times, to import it."
)
SEED: Setting[int] = Setting("seed", int, 1, "Seed of the simulated weather and people.")
START: Setting[str | None] = Setting(
    "start", str, None, "Start time of a simulation, such as 2026-06-21T12:00; the current time by default."
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
    COLUMNS,
    TIME_ZONE,
    TIME_FORMAT,
    PACE,
    REPEAT,
    KEEP_TIMES,
    SEED,
    START,
)


def create(context: Context) -> Collector:
    """Create the collector on the configured backend. Raises Unavailable, with the choices, if it cannot start."""
    from collectors.sensehat.collector import SenseHatCollector

    backend = context.values[BACKEND]
    if backend == "recording" and context.values[KEEP_TIMES]:
        from collectors.sensehat.recording import RecordingImport

        return RecordingImport(context)
    return SenseHatCollector(context, _source(backend, context))


def _source(backend: str, context: Context) -> Source:
    """Open the backend with this name; imports only that one."""
    if backend == "simulated":
        from collectors.sensehat.simulated import SimulatedBoard

        return SimulatedBoard(context)
    if backend == "recording":
        from collectors.sensehat.recording import Replay

        return Replay(context)
    if backend == "emulator":
        from collectors.sensehat import emulator

        return emulator.open_source(context)
    from collectors.sensehat import hat

    if backend == "auto" and not hat.is_present(context.values[SYS_ROOT]):
        raise Unavailable(
            "there is no Sense HAT on this machine; to run without one, set SENSETIG_SENSEHAT_BACKEND to emulator, "
            "recording or simulated; to use a board that was not found, set it to hat"
        )
    return hat.open_source(context)
