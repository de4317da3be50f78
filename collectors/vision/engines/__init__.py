"""Detection engines, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from collectors.core.api import Unavailable
from collectors.core.settings import Setting, Values
from collectors.vision import settings

Wait = Callable[[float], bool]

#: Maximum number of detections per image, the most confident first.
MAX_DETECTIONS = 50


class Box(NamedTuple):
    """A rectangle, in percent of the image's width and height."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def within(cls, left: float, top: float, right: float, bottom: float) -> Box:
        """The part of a box inside the image, from its edges in percent."""
        left, right = (min(100.0, max(0.0, each)) for each in (left, right))
        top, bottom = (min(100.0, max(0.0, each)) for each in (top, bottom))
        return cls(left, top, max(0.0, right - left), max(0.0, bottom - top))


class Detection(NamedTuple):
    """An object in an image: confidence from 0 to 1, and its box if the model returns one."""

    label: str
    confidence: float
    box: Box | None = None


class InvalidImage(ValueError):
    """The image can never be processed; the message is the reason."""


class EngineError(Exception):
    """The engine failed to process the image, and a retry may succeed; the message is the reason."""


class Stopped(Exception):
    """Shutdown began before the image was processed."""


class Engine(Protocol):
    """Detects objects, one image at a time."""

    @property
    def model(self) -> str:
        """Name of the engine: the tag."""
        ...

    @property
    def available(self) -> bool | None:
        """Whether the engine can be used now; None if it always can."""
        ...

    def detect(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """The objects in the image, with any confidence.

        Args:
            jpeg: the image, complete and not too large.
            wait: sleeps for this many seconds; returns True on shutdown.

        Raises:
            InvalidImage: the image cannot be decoded or used.
            EngineError: the engine failed.
            Stopped: shutdown began in the meantime.
        """
        ...


def open_engine(values: Values, on_error: Callable[[str], None]) -> Engine:
    """Load the configured engine. Raises Unavailable if it cannot start.

    Args:
        values: the settings.
        on_error: receives the message of an omitted part of a result.
    """
    kind = values[settings.ENGINE]
    if kind == "people":
        from collectors.vision.engines.people import PeopleEngine

        return PeopleEngine(values[settings.MODEL] or "people", values[settings.PEOPLE_WIDTH])
    if kind == "onnx":
        from collectors.vision.engines.onnx import open_onnx

        return open_onnx(values)
    from collectors.vision.engines.http import open_http

    return open_http(values, on_error)


def select_detections(found: list[Detection], threshold: float, labels: frozenset[str]) -> list[Detection]:
    """The detections to report, the most confident first; of equal confidence in a fixed order.

    Args:
        found: all detections.
        threshold: minimum confidence.
        labels: the labels to report; all if empty.
    """
    selected = [each for each in found if each.confidence >= threshold and (not labels or each.label in labels)]
    selected.sort(key=lambda each: (-each.confidence, each.label, each.box or Box(0, 0, 0, 0)))
    return selected[:MAX_DETECTIONS]


def require_setting(values: Values, setting: Setting[str | None]) -> str:
    """The value of a setting that the engine needs. Raises Unavailable if it is not set."""
    value = values[setting]
    if value is None:
        raise Unavailable(
            f"the engine {values[settings.ENGINE]} needs the setting {setting.name}: {setting.help.rstrip('.')}"
        )
    return value
