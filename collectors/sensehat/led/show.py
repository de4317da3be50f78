"""What the matrix shows now: the last picture or a text that runs, with the status of the pipeline laid over it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from collectors.sensehat.led.health import Health
from collectors.sensehat.led.rendering import OFF, Frame, cornered, rotated
from collectors.sensehat.led.screens import Screen, ScreenError


class Show:
    """Runs in an asyncio loop; each call takes the place of what was shown before it.

    Args:
        opened: opens the screen, at the first frame and again after it has failed; raises ScreenError.
        rotation: how the board is turned.
        complain: is told where a text that runs, or the status, can no longer be shown.
    """

    def __init__(self, opened: Callable[[], Screen], rotation: int, complain: Callable[[str], None]) -> None:
        self._opened = opened
        self._rotation = rotation
        self._complain = complain
        self._screen: Screen | None = None
        self._frame = OFF
        self._status: Health | None = None
        self._text: asyncio.Task[None] | None = None
        self._failed = ""

    @property
    def simulated(self) -> bool:
        """Whether nobody can see it on a board, as far as is known."""
        return self._screen is not None and self._screen.simulated

    def picture(self, frame: Frame) -> None:
        """Show a frame until something else is shown. Raises ScreenError."""
        self._end_text()
        self._put(frame)

    def off(self) -> None:
        """Show nothing but the status, where there is one. Raises ScreenError."""
        self.picture(OFF)

    def text(self, frames: Iterable[Frame], seconds: float) -> None:
        """Show frame after frame, so many seconds each, and then nothing. Raises ScreenError when it cannot begin."""
        self._end_text()
        following = iter(frames)
        self._put(next(following, OFF))
        self._text = asyncio.get_running_loop().create_task(self._run(following, seconds))

    def status(self, health: Health | None) -> None:
        """Lay the status over whatever is shown from now on; None for none. What fails is told once, and counted."""
        if health is self._status and self._screen is not None:
            return
        self._status = health
        if health is None and self._screen is None:
            return
        try:
            self._put(self._frame)
        except ScreenError as error:
            if str(error) != self._failed:
                self._complain(f"the status is not shown: {error}")
            self._failed = str(error)
        else:
            self._failed = ""

    async def close(self) -> None:
        """Show nothing any more, where anything was shown."""
        self._end_text()
        self._status = None
        if self._screen is not None:
            with contextlib.suppress(ScreenError):  # the board is gone, and what it showed with it
                self._put(OFF)
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    async def _run(self, frames: Iterable[Frame], seconds: float) -> None:
        try:
            for frame in frames:
                await asyncio.sleep(seconds)
                self._put(frame)
            self._put(OFF)
        except ScreenError as error:
            self._complain(f"the text was broken off: {error}")

    def _end_text(self) -> None:
        if self._text is not None:
            self._text.cancel()
            self._text = None

    def _put(self, frame: Frame) -> None:
        if self._screen is None:
            self._screen = self._opened()
        self._frame = frame
        shown = frame if self._status is None else cornered(frame, self._status.pixel)
        try:
            self._screen.show(rotated(shown, self._rotation))
        except ScreenError:
            self._screen.close()
            self._screen = None
            raise
