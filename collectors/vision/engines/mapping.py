"""Maps the response of an endpoint to detections, by the JMESPath expressions of the settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from collectors.core.api import Unavailable
from collectors.core.settings import Setting, Values
from collectors.vision import settings
from collectors.vision.engines import Box, Detection

#: Maximum number of detections that are read from a response.
_MAX_LISTED = 1000

#: Parts of a parsed path that continue from the value of their first child: ``a.b``, ``a[0]``, ``a[]`` and such.
_STEPS = frozenset(
    ("subexpression", "index_expression", "projection", "flatten", "filter_projection", "value_projection", "pipe")
)

#: Upper limit of confidences and of edges of a box.
_NUMBER_LIMIT = 1e9
#: A confidence is rounded to its range from this far beyond it, as by an endpoint that computes in half precision.
_ROUNDING = 1e-3


class MappingError(ValueError):
    """The response does not have the configured form; the message names the place."""


class AnswerMapping:
    """The compiled expressions.

    Args:
        values: the settings.

    Raises:
        Unavailable: an expression is not valid JMESPath.
    """

    def __init__(self, values: Values) -> None:
        self._detections = _path(values, settings.HTTP_DETECTIONS)
        self._label = _path(values, settings.HTTP_LABEL)
        self._confidence = _path(values, settings.HTTP_CONFIDENCE)
        self._box = _path(values, settings.HTTP_BOX) if values[settings.HTTP_BOX] else None
        self._scale = 100.0 if values[settings.HTTP_CONFIDENCE_UNIT] == "percent" else 1.0
        self._form = values[settings.HTTP_BOX_FORM]
        self._unit = values[settings.HTTP_BOX_UNIT]

    def read(self, answer: object, width: int, height: int, on_error: Callable[[str], None]) -> list[Detection]:
        """The detections in a response, for an image of this size in pixels.

        A null in place of the list means that nothing was found. Objects that cannot be read are left out.

        Args:
            answer: the response.
            width, height: size of the image in pixels.
            on_error: receives one message for all omitted objects.

        Raises:
            MappingError: the response has no list, or none of its objects can be read.
        """
        listed = _search(self._detections, answer)
        if listed is None and _leads_to_null(self._detections.parsed, answer):
            return []
        if not isinstance(listed, list):
            raise MappingError(f"http_detections leads to {_kind(listed)}, not to a list")
        found: list[Detection] = []
        failures: list[MappingError] = []
        for each in listed[:_MAX_LISTED]:
            try:
                found.append(self._one(each, width, height))
            except MappingError as error:
                failures.append(error)
        if failures and not found:
            raise failures[0]
        if failures:
            on_error(f"{len(failures)} of {len(found) + len(failures)} objects are left out: {failures[0]}")
        return found

    def _one(self, each: object, width: int, height: int) -> Detection:
        label = _search(self._label, each)
        if not isinstance(label, str) or not label.strip():
            kind = "an empty text" if isinstance(label, str) else _kind(label)
            raise MappingError(f"http_label leads to {kind}, not to a text")
        confidence = _number(_search(self._confidence, each), "http_confidence") / self._scale
        if not -_ROUNDING <= confidence <= 1 + _ROUNDING:
            raise MappingError(f"a confidence is {confidence * self._scale:g}; see the setting http_confidence_unit")
        confidence = min(1.0, max(0.0, confidence))
        if self._box is None:
            return Detection(label, confidence)
        four = _search(self._box, each)
        if not isinstance(four, list) or len(four) != 4:
            raise MappingError(f"http_box leads to {_kind(four)}, not to four numbers")
        return Detection(
            label, confidence, self._read_box([_number(value, "http_box") for value in four], width, height)
        )

    def _read_box(self, four: list[float], width: int, height: int) -> Box:
        first, second, third, fourth = four
        if self._form == "middle":
            first, second = first - third / 2, second - fourth / 2
        if self._form != "corners":
            third, fourth = first + third, second + fourth
        across, down = {"pixels": (width, height), "fraction": (1, 1), "percent": (100, 100)}[self._unit]
        return Box.within(first * 100 / across, second * 100 / down, third * 100 / across, fourth * 100 / down)


def _path(values: Values, setting: Setting[Any]) -> Any:
    try:
        return jmespath.compile(values[setting])
    except JMESPathError as error:
        reason = str(error).splitlines()[0]
        raise Unavailable(
            f"the setting {setting.name} is {values[setting]!r}, which is not JMESPath: {reason}"
        ) from None


def _search(path: Any, document: object) -> object:
    try:
        found: object = path.search(document)
    except JMESPathError as error:
        raise MappingError(str(error).splitlines()[0]) from None
    return found


def _leads_to_null(node: dict[str, Any], document: object) -> bool:
    """Whether a parsed path ends at a null of the document, rather than at something that it does not have."""
    if document is None:
        return True
    kind, children = node["type"], node["children"]
    if kind == "field":
        return isinstance(document, dict) and node["value"] in document and document[node["value"]] is None
    if kind not in _STEPS:
        return False
    for child in children:
        inner = TreeInterpreter().visit(child, document)
        if inner is None or kind != "subexpression":
            return inner is None and _leads_to_null(child, document)
        document = inner
    return False


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MappingError(f"{name} leads to {_kind(value)}, not to a number")
    if not abs(value) < _NUMBER_LIMIT:  # an int may be too large for a float
        finite = isinstance(value, int) or math.isfinite(value)
        raise MappingError(f"{name} leads to a number that is {'out of any range' if finite else 'not finite'}")
    return float(value)


def _kind(value: object) -> str:
    """The type of a value, without its content: a response may be long, or private."""
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing", bool: "true or false"}
    return names.get(type(value), "a number")
