"""Motion in images that are built on damaged ones.

Until its next key frame, a stream carries its damage from image to image. An image where damage appears shows
nothing. Later images show movement, together with remains that shift with it: only a large object that moves for
more than a second is detected.
"""

from __future__ import annotations

from collections import deque

from collectors.camera.detector import Detection, Detector
from collectors.camera.pixels import Image
from collectors.camera.settings import DetectorConfig

#: The minimum area is this many times larger.
_AREA_TIMES = 4.0
#: Of this many images, this many move.
_IMAGES, _MOVING = 15, 12


class DamagedView:
    """Evaluates the images from the first damaged one to the next whole one.

    Args:
        config: settings of the detection in whole images.
    """

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config._replace(min_area_percent=min(100.0, _AREA_TIMES * config.min_area_percent))
        self._detector: Detector | None = None
        self._moving: deque[bool] = deque(maxlen=_IMAGES)

    def detect(self, image: Image, seconds: float, *, video_range: bool) -> Detection:
        """The result for an undamaged image; see :meth:`Detector.detect`."""
        if self._detector is None:
            self._detector = Detector(self._config)
        found = self._detector.detect(image, seconds, video_range=video_range)
        self._moving.append(found.moving)
        return found if found.moving and sum(self._moving) >= _MOVING else Detection()

    def clear(self) -> None:
        """Forget the damaged images: a whole one has come."""
        if self._detector is not None:
            self._detector = None
            self._moving.clear()
