"""The joystick of the Sense HAT: a point for each press and each release.

A streaming collector: Telegraf runs it with ``inputs.execd`` and ``signal = "none"``. Without a board it stays idle,
unless the backend is ``hat`` or ``emulator``. While a direction is held, the kernel repeats it many times a second;
these events are dropped, and the release has the duration.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from collectors.core.api import NotApplicable, Unavailable
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context, Wait

DIRECTIONS = ("up", "down", "left", "right", "middle")

JOYSTICK = Measurement(
    "joystick",
    "Presses and releases of the Sense HAT's joystick.",
    (
        Tag("device", "The board: the host's name, unless the setting `device` gives another."),
        Tag("direction", "`up`, `down`, `left`, `right`, or `middle` where it is pushed in."),
        Tag("simulated", "`true` where the joystick is not real.", optional=True),
    ),
    (
        Field("action", str, "", "`pressed` or `released`."),
        Field("pressed", bool, "", "Whether it is down after the event."),
        Field("presses", int, "", "Presses of this direction since the collector was started.", 0),
        Field("held_seconds", float, "seconds", "How long it was down; only with a release.", 0),
    ),
    event=True,
)
MEASUREMENTS = (JOYSTICK,)

BACKEND = Setting(
    "backend",
    str,
    "auto",
    "Source of presses; auto is the board if there is one.",
    choices=("auto", "hat", "emulator", "simulated"),
)
DEVICE: Setting[str | None] = Setting("device", str, None, "The tag `device`; by default the host's name.")
SYS_ROOT = Setting("sys_root", str, "/sys", "Where sysfs is: the board.")
SIMULATED_SECONDS = Setting(
    "simulated_seconds", float, 5.0, "Seconds between two presses of the simulated joystick.", low=0.01, high=3600
)
SETTINGS: tuple[Setting[Any], ...] = (BACKEND, DEVICE, SYS_ROOT, SIMULATED_SECONDS)

#: Maximum wait for an event; signals end it earlier.
_PAUSE_SECONDS = 5.0

#: Duration of a simulated press.
_HELD_NS = 200_000_000


class StickEvent(NamedTuple):
    """An event of the joystick.

    Args:
        time_ns: nanoseconds since 1970.
        action: ``pressed``, ``released`` or ``held``.
    """

    time_ns: int
    direction: str
    action: str


class Stick(Protocol):
    """A joystick."""

    simulated: bool

    def events(self, wait: Wait) -> Iterator[Sequence[StickEvent]]:
        """Yield events as they happen, often none, until ``wait`` returns True."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Presses:
    """Turns events into points."""

    def __init__(self, tags: dict[str, str]) -> None:
        self._tags = tags
        self._since: dict[str, int] = {}
        self._presses: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def point(self, event: StickEvent) -> Metric | None:
        """The point of a press or a release; None while it is held."""
        direction, action = event.direction, event.action
        if action not in ("pressed", "released"):
            return None
        # Points with the same time are one point, and the clock can be set back between two events.
        time_ns = event.time_ns
        if time_ns == self._last.get(direction):
            time_ns += 1
        self._last[direction] = time_ns
        if action == "pressed":
            self._since[direction] = event.time_ns
            self._presses[direction] = self._presses.get(direction, 0) + 1
        fields: dict[str, FieldValue] = {
            "action": action,
            "pressed": action == "pressed",
            "presses": self._presses.get(direction, 0),
        }
        since = self._since.pop(direction, None) if action == "released" else None
        if since is not None and event.time_ns >= since:
            fields["held_seconds"] = round((event.time_ns - since) / 1e9, 6)
        return Metric(Series(JOYSTICK.name, {**self._tags, "direction": direction}), fields, time_ns)


class Joystick:
    """The collector."""

    def __init__(self, stick: Stick, device: str) -> None:
        self._stick = stick
        self._presses = Presses({"device": device, **({"simulated": "true"} if stick.simulated else {})})

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Yield a batch for each event, and empty ones in between."""
        for events in self._stick.events(wait):
            points = (self._presses.point(event) for event in events)
            yield [point for point in points if point is not None]

    def close(self) -> None:
        """Close the joystick."""
        self._stick.close()


class LibraryStick:
    """The joystick of the sense-hat library, or of the emulator's, which have the same methods.

    Args:
        library: the opened ``SenseStick``.
        simulated: whether it is the emulator's.
        left: a file that the library does not delete.
    """

    def __init__(self, library: Any, *, simulated: bool, left: str | None = None) -> None:
        self.simulated = simulated
        self._library = library
        self._left = left

    def events(self, wait: Wait) -> Iterator[Sequence[StickEvent]]:
        """Yield the events of the library, which does not block once its device can be read."""
        # Neither library has a public descriptor to wait for; a contract test checks this name in both.
        descriptor = self._library._stick_file.fileno()
        while not wait(_PAUSE_SECONDS, descriptor):
            yield [
                StickEvent(round(event.timestamp * 1e6) * 1000, event.direction, event.action)
                for event in self._library.get_events()
            ]

    def close(self) -> None:
        """Close the device."""
        self._library.close()
        if self._left is not None and os.path.exists(self._left):
            os.unlink(self._left)


class SimulatedStick:
    """A simulated joystick that is pressed in each direction in turn, forever; once in each for a single batch."""

    simulated = True

    def __init__(self, context: Context) -> None:
        self._clock_ns = context.clock_ns
        self._once = context.once
        self._seconds = context.values[SIMULATED_SECONDS]

    def events(self, wait: Wait) -> Iterator[Sequence[StickEvent]]:
        """A press and its release."""
        pushed = 0
        while pushed < len(DIRECTIONS) if self._once else not wait(self._seconds):
            direction = DIRECTIONS[pushed % len(DIRECTIONS)]
            now = self._clock_ns()
            yield [StickEvent(now - _HELD_NS, direction, "pressed"), StickEvent(now, direction, "released")]
            pushed += 1

    def close(self) -> None:
        """Do nothing: there is no device."""


def create(context: Context, /) -> Collector:
    """Return the collector with the configured backend.

    Raises:
        NotApplicable: the backend is ``auto``, and there is no board.
        Unavailable: the requested joystick cannot be opened.
    """
    return Joystick(_opened(context), context.values[DEVICE] or context.host)


def _opened(context: Context) -> Stick:
    backend = context.values[BACKEND]
    if backend == "simulated":
        return SimulatedStick(context)
    if backend == "emulator":
        return _emulator()
    from collectors.sensehat import hat

    if backend == "auto" and not hat.is_present(context.values[SYS_ROOT]):
        raise NotApplicable(
            f"no Sense HAT was found in {context.values[SYS_ROOT]}; to use another joystick, set "
            "SENSETIG_JOYSTICK_BACKEND to hat, emulator or simulated"
        )
    return _hat()


def _hat() -> Stick:
    try:
        from sense_hat.stick import SenseStick
    except ImportError as error:
        raise Unavailable(
            f"the Sense HAT's library is not to be had ({error}); install it with: sudo apt install sense-hat, and "
            "create the environment with --system-site-packages, since its part RTIMU comes only that way"
        ) from None
    try:
        return LibraryStick(SenseStick(), simulated=False)
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"the Sense HAT's joystick cannot be opened: {error}; check that the board sits on the header, and that "
            "this user is in the group input"
        ) from None


def _emulator() -> Stick:
    from collectors.sensehat.emulator import joystick_socket, require_emulator

    require_emulator()
    from sense_emu.stick import SenseStick

    return LibraryStick(SenseStick(), simulated=True, left=joystick_socket())
