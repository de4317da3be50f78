"""Controls of the simulated board: the parameters of the module in modules/sensetig_lab_i2c.c."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.guest import Guest

HTS221, LPS25H, MAGNETOMETER, ACCELEROMETER, TCS3400 = 0x5F, 0x5C, 0x1C, 0x6A, 0x39

#: Initial readings of the sensors, in the units of the module. In the chip's counts, the values of the IMU are
#: multiples of 256 within the noise: one conversion differs from the next in both bytes.
MEASURED: dict[str, tuple[int, ...]] = {
    "humidity": (45_000,),
    "temperature": (25_000,),
    "pressure": (101_325,),
    "acceleration": (0, 0, 1_000),
    "rotation": (0, 0, 0),
    "magnetic": (-17_920, 10_752, -43_008),
    "colour": (520, 210, 190, 140),
}

_PARAMETERS = "/sys/module/sensetig_lab_i2c/parameters"


class Board:
    """The board of a machine."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def plug(self) -> None:
        """Load the drivers, and set every control to its initial state. The chips keep their registers."""
        self._guest.sh("modprobe --all evdev i2c-dev sensetig_lab_i2c sensetig_lab_fb")
        self.hang(0)
        self.absent()
        self.convert_at_each_transfer(on=False)
        for name, values in MEASURED.items():
            self.measure(name, *values)

    def unplug(self) -> None:
        """Remove the frame buffer, whose name shows the board. A collector that runs keeps the bus open."""
        self._guest.sh("rmmod sensetig_lab_fb")

    def measure(self, name: str, *values: int) -> None:
        """Set the measured value of a sensor."""
        self._set(name, values)

    def absent(self, *chips: int) -> None:
        """Let these chips, and no others, acknowledge nothing. They keep their registers."""
        # An array of parameters cannot be empty; no chip has the address 0.
        self._set("absent", chips or (0,))

    def reset(self, chip: int) -> None:
        """Interrupt the power of a chip."""
        self._set("reset", (chip,))

    def hang(self, milliseconds: int) -> None:
        """Let each transfer take that long and time out; 0 ends that."""
        self._set("hang_ms", (milliseconds,))

    def convert_at_each_transfer(self, *, on: bool) -> None:
        """Let each transfer find a new conversion, so that one comes between any two bytes."""
        self._set("eager", (int(on),))

    def transfers(self) -> int:
        """Number of transfers so far."""
        return int(self._guest.sh(f"cat {_PARAMETERS}/transfers"))

    def _set(self, name: str, values: Sequence[int]) -> None:
        self._guest.sh(f"echo {','.join(map(str, values))} > {_PARAMETERS}/{name}")
