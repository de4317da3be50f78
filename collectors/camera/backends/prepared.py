"""A camera whose pictures are turned upright, with private areas in black."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from collectors.camera.backends import Backend, Frame
from collectors.camera.pixels import Image
from collectors.camera.upright import Blackener, turn


class PreparedCamera:
    """Prepares every frame of a camera that delivers whole images.

    Args:
        camera: the camera.
        degrees: how far its pictures are turned clockwise.
        blackener: makes private areas black, after that.
    """

    def __init__(self, camera: Backend, degrees: int, blackener: Blackener) -> None:
        self._camera = camera
        self._degrees = degrees
        self._blackener = blackener
        self.name = camera.name
        self.tags: Mapping[str, str] = camera.tags

    @property
    def dropped(self) -> int:
        """Number of frames dropped since the source was opened."""
        return self._camera.dropped

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        """The camera's frames, prepared."""
        for frame in self._camera.frames(wait):
            yield None if frame is None else self._prepare(frame)

    def _prepare(self, frame: Frame) -> Frame:
        render = None if frame.render is None else lambda: self._prepare_image(frame.colour())
        return frame._replace(image=self._prepare_image(frame.image), render=render, render_planes=None)

    def _prepare_image(self, image: Image) -> Image:
        return self._blackener.blacken(turn(image, self._degrees))

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
