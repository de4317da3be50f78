"""What looks at a picture, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from collectors.core.api import Unavailable
from collectors.core.settings import Setting, Values
from collectors.vision import settings

Wait = Callable[[float], bool]

#: Detections of one picture at most, the most confident first.
MAX_DETECTIONS = 50


class Box(NamedTuple):
    """Where something is, in per cent of the picture's width and height."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def within(cls, left: float, top: float, right: float, bottom: float) -> Box:
        """The part of a box that is in the picture, from its edges in per cent."""
        left, right = (min(100.0, max(0.0, each)) for each in (left, right))
        top, bottom = (min(100.0, max(0.0, each)) for each in (top, bottom))
        return cls(left, top, max(0.0, right - left), max(0.0, bottom - top))


class Detection(NamedTuple):
    """One thing in a picture; the confidence is from 0 to 1, and a model that tells no place gives no box."""

    label: str
    confidence: float
    box: Box | None = None


class BadPicture(ValueError):
    """The picture cannot be looked at, now or later; the sentence says why."""


class Failed(Exception):
    """The engine could not look at the picture; a later try may succeed. The sentence says why."""


class Stopping(Exception):
    """It was time to stop before the picture was done with."""


class Engine(Protocol):
    """Looks at pictures, one at a time."""

    @property
    def model(self) -> str:
        """What it is called: the tag."""
        ...

    @property
    def available(self) -> bool | None:
        """Whether it can be asked now; None where that is never in question."""
        ...

    def look(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        """What is in the picture, of any confidence.

        Args:
            jpeg: the picture, found whole and of a bearable size.
            wait: pauses for so many seconds, and answers True as soon as it is time to stop.

        Raises:
            BadPicture: the picture is not to be used.
            Failed: the engine could not look at it.
            Stopping: it was time to stop meanwhile.
        """
        ...


def open_engine(values: Values) -> Engine:
    """The engine that the settings ask for. Raises Unavailable where it cannot start."""
    kind = values[settings.ENGINE]
    if kind == "people":
        from collectors.vision.engines.people import People

        return People(values[settings.MODEL] or "people", values[settings.PEOPLE_WIDTH])
    if kind == "onnx":
        from collectors.vision.engines.onnx import open_onnx

        return open_onnx(values)
    from collectors.vision.engines.http import open_http

    return open_http(values)


def chosen(found: list[Detection], threshold: float, only: frozenset[str]) -> list[Detection]:
    """What counts of what was found, the most confident first; of equal confidence in a fixed order.

    Args:
        threshold: the least confidence.
        only: the labels that count; all where there is none.
    """
    counting = [each for each in found if each.confidence >= threshold and (not only or each.label in only)]
    counting.sort(key=lambda each: (-each.confidence, each.label, each.box or Box(0, 0, 0, 0)))
    return counting[:MAX_DETECTIONS]


def required(values: Values, setting: Setting[str | None]) -> str:
    """A setting without which the engine cannot start. Raises Unavailable, naming it, where it is absent."""
    value = values[setting]
    if value is None:
        raise Unavailable(
            f"the engine {values[settings.ENGINE]} needs the setting {setting.name}: {setting.help.rstrip('.')}"
        )
    return value
