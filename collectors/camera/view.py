"""Motion in the frames of a camera, whole and damaged."""

from __future__ import annotations

from collectors.camera.backends import Frame
from collectors.camera.damage import DamagedView
from collectors.camera.detector import Detection, Detector
from collectors.camera.sampling import Sampler
from collectors.camera.settings import Config


class View:
    """Evaluates frames against a background, which a new view learns from its first frames.

    Args:
        config: of the collector.
    """

    def __init__(self, config: Config) -> None:
        self._detector = Detector(config.detector)
        self._sampler = Sampler(config)
        self._damaged = DamagedView(config.detector)

    def detect(self, frame: Frame) -> Detection:
        """The result for a frame."""
        if frame.damaged:
            # In the usual detector, damage would count as motion, and become background.
            if not frame.inherited:
                return Detection()
            return self._damaged.detect(frame.image, frame.seconds, video_range=frame.video_range)
        self._damaged.clear()
        skipped = self._sampler.result_for_skipped(frame.seconds)
        if skipped is not None:
            return skipped
        detection = self._detector.detect(frame.image, frame.seconds, video_range=frame.video_range)
        self._sampler.add(detection, frame.seconds, noisy=self._detector.noisy)
        return detection
