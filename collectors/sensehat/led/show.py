"""Shows the last picture or a scrolling text, with the status of the pipeline as an overlay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from collectors.sensehat.led.health import Health
from collectors.sensehat.led.rendering import OFF, Frame, cornered, rotated
from collectors.sensehat.led.screens import Screen, ScreenError


class Show:
    """Runs in an asyncio loop; each call replaces the previous frame or text.

    Args:
        open_screen: opens the screen, at the first frame and again after a failure; raises ScreenError.
        rotation: rotation of the board in degrees.
        report: receives a sentence if a scrolling text or the status can no longer be shown.
    """

    def __init__(self, open_screen: Callable[[], Screen], rotation: int, report: Callable[[str], None]) -> None:
        self._open_screen = open_screen
        self._rotation = rotation
        self._report = report
        self._screen: Screen | None = None
        self._frame = OFF
        self._status: Health | None = None
        self._text: asyncio.Task[None] | None = None
        self._failed = ""

    @property
    def simulated(self) -> bool:
        """Whether the screen is not a real board; False before the first frame."""
        return self._screen is not None and self._screen.simulated

    def picture(self, frame: Frame) -> None:
        """Show a frame. Raises ScreenError."""
        self._end_text()
        self._put(frame)

    def off(self) -> None:
        """Show nothing but the status, if it is set. Raises ScreenError."""
        self.picture(OFF)

    def text(self, frames: Iterable[Frame], seconds: float) -> None:
        """Show frames at an interval in seconds, and then nothing. Raises ScreenError if the first one fails."""
        self._end_text()
        following = iter(frames)
        self._put(next(following, OFF))
        self._text = asyncio.get_running_loop().create_task(self._run(following, seconds))

    def status(self, health: Health | None) -> None:
        """Set the status overlay; None removes it. A failure is reported once."""
        if health is self._status and self._screen is not None:
            return
        self._status = health
        if health is None and self._screen is None:
            return
        try:
            self._put(self._frame)
        except ScreenError as error:
            if str(error) != self._failed:
                self._report(f"the status is not shown: {error}")
            self._failed = str(error)
        else:
            self._failed = ""

    async def close(self) -> None:
        """Clear and close the screen."""
        self._end_text()
        self._status = None
        if self._screen is not None:
            with contextlib.suppress(ScreenError):  # the board is gone
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
            self._report(f"the text was interrupted: {error}")

    def _end_text(self) -> None:
        if self._text is not None:
            self._text.cancel()
            self._text = None

    def _put(self, frame: Frame) -> None:
        if self._screen is None:
            self._screen = self._open_screen()
        self._frame = frame
        shown = frame if self._status is None else cornered(frame, self._status.pixel)
        try:
            self._screen.show(rotated(shown, self._rotation))
        except ScreenError:
            self._screen.close()
            self._screen = None
            raise
