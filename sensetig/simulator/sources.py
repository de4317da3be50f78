"""Sources of simulated readings: the Sense HAT collector's simulated world, or a recording."""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.api import Unavailable
from collectors.sensehat.csv_recording import CsvRecording, Form, Row
from collectors.sensehat.readings import Reading
from collectors.sensehat.simulated import CONVERSION_NS, RoomState, read_sensors_at, room_state
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import Device

#: Seconds between two computed states of a room, which is far more expensive than its sensors; in between, states are
#: interpolated linearly because air warms slowly.
_KNOT_NS = 10_000_000_000


class World:
    """A separate simulated room for each device."""

    mark = "simulated"

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[int, RoomState, RoomState]] = {}

    def reading(self, device: Device, tick: int, now_ns: int) -> Reading:
        """The reading of the device's board at a time."""
        del tick
        conversion = now_ns // CONVERSION_NS
        at_ns = conversion * CONVERSION_NS
        knot, beyond_ns = divmod(at_ns, _KNOT_NS)
        number, before, after = self._rooms.get(device.name, (-1, None, None))
        if before is None or after is None or number != knot:
            follows = after is not None and number + 1 == knot
            first = after if follows and after is not None else room_state(device.seed, knot * _KNOT_NS / 1e9)
            before, after = first, room_state(device.seed, (knot + 1) * _KNOT_NS / 1e9)
            self._rooms[device.name] = (knot, before, after)
        share = beyond_ns / _KNOT_NS
        between = RoomState(*(one + (other - one) * share for one, other in zip(before, after, strict=True)))
        return read_sensors_at(device.seed, conversion, between)

    def close(self) -> None:
        """Nothing to release."""


class Recording:
    """Replay a recording on every device, one row per tick, through each device's sensors.

    Args:
        path: a CSV of readings, optionally compressed.
        refuse: called with each row that is skipped.
        form: the file's format.

    Raises:
        SimulatorError: the file is not a recording.
    """

    mark = "replayed"

    def __init__(self, path: str, refuse: Callable[[str], None], form: Form | None = None) -> None:
        try:
            self._table = CsvRecording(path, refuse, form)
        except Unavailable as error:
            raise SimulatorError(str(error).replace("the setting recording", "--recording")) from None
        self._rows = self._table.rows()
        self._tick = -1
        self._row: Row | None = None

    def reading(self, device: Device, tick: int, now_ns: int) -> Reading | None:
        """The row of a tick; None at the end of the recording. Ticks must be requested in order."""
        del device, now_ns
        while self._tick < tick:
            self._row = next(self._rows, None)
            self._tick += 1
        return self._row.reading if self._row else None

    def close(self) -> None:
        """Close the file."""
        self._table.close()
