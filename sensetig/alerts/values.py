"""What steps of an alert rule work on: numbers and series with labels, and Grafana's functions of them.

None is Grafana's *null*: there is no number, which is neither zero nor not-a-number.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sensetig.alerts.rules import Compare, Reduce

Labels = tuple[tuple[str, str], ...]
Number = float | None


class Value(NamedTuple):
    """A number, or a series of numbers at times, of one set of labels."""

    labels: Labels
    number: Number = None
    points: tuple[tuple[int, Number], ...] | None = None

    def each(self, function: Callable[[Number], Number]) -> Value:
        """The value with a function of every number of it."""
        if self.points is None:
            return self._replace(number=function(self.number))
        return self._replace(points=tuple((time, function(value)) for time, value in self.points))


def _over_all(function: Callable[[list[float]], float]) -> Callable[[Sequence[Number]], Number]:
    """A function of all numbers: one that is none, or no number at all, makes it none."""

    def all_or_none(values: Sequence[Number]) -> Number:
        known = [value for value in values if value is not None and not math.isnan(value)]
        return function(known) if known and len(known) == len(values) else math.nan

    return all_or_none


_REDUCERS: dict[str, Callable[[Sequence[Number]], Number]] = {
    "last": lambda values: values[-1] if values else math.nan,
    "mean": _over_all(statistics.fmean),
    "median": _over_all(statistics.median),
    "min": _over_all(min),
    "max": _over_all(max),
    "sum": lambda values: _over_all(math.fsum)(values) if values else 0.0,
    "count": lambda values: float(len(values)),
}

_COMPARE: dict[str, Callable[[float, Sequence[float]], bool]] = {
    "gt": lambda value, bounds: value > bounds[0],
    "gte": lambda value, bounds: value >= bounds[0],
    "lt": lambda value, bounds: value < bounds[0],
    "lte": lambda value, bounds: value <= bounds[0],
    "eq": lambda value, bounds: value == bounds[0],
    "ne": lambda value, bounds: value != bounds[0],
    "within_range": lambda value, bounds: bounds[0] < value < bounds[1],
    "outside_range": lambda value, bounds: value < bounds[0] or value > bounds[1],
    "within_range_included": lambda value, bounds: bounds[0] <= value <= bounds[1],
    "outside_range_included": lambda value, bounds: value <= bounds[0] or value >= bounds[1],
}


def reduced(step: Reduce, value: Value) -> Value:
    """A series as one number. Raises ValueError for a function or a mode that is not known here."""
    function = _REDUCERS.get(step.function)
    if function is None or step.mode not in ("", "strict", "dropNN", "replaceNN"):
        raise ValueError(f"it reduces by {step.function!r} in the mode {step.mode!r}")
    if value.points is None:
        return value
    numbers = [number for _, number in value.points]
    if step.mode == "dropNN":
        numbers = [number for number in numbers if _is_number(number)]
        if not numbers and step.function not in ("sum", "count"):
            return Value(value.labels)
    elif step.mode == "replaceNN":
        numbers = [number if _is_number(number) else step.replacement for number in numbers]
    return Value(value.labels, function(numbers))


def _is_number(number: Number) -> bool:
    return number is not None and math.isfinite(number)


def compared(compare: Compare, number: Number) -> Number:
    """1 where it holds, 0 where not. Raises ValueError for a comparison that is not known here."""
    function = _COMPARE.get(compare.kind)
    if function is None:
        raise ValueError(f"it compares by {compare.kind!r}")
    return None if number is None else float(function(number, compare.bounds))


def joined(left: Sequence[Value], right: Sequence[Value], function: Callable[[Number, Number], Number]) -> list[Value]:
    """A function of each two values that belong together: their labels are the same, or one's are among the other's."""
    found = []
    for one in left:
        for other in right:
            mine, its = set(one.labels), set(other.labels)
            if mine <= its or its <= mine:
                found.append(_both(one, other, tuple(sorted(mine | its)), function))
    if not found and len(left) == len(right) == 1:
        # Two single values are taken together whatever their labels are.
        found.append(_both(left[0], right[0], left[0].labels, function))
    return found


def _both(one: Value, other: Value, labels: Labels, function: Callable[[Number, Number], Number]) -> Value:
    if one.points is None and other.points is None:
        return Value(labels, function(one.number, other.number))
    if one.points is None:
        return Value(labels, None, tuple((time, function(one.number, value)) for time, value in other.points or ()))
    if other.points is None:
        return Value(labels, None, tuple((time, function(value, other.number)) for time, value in one.points))
    at = dict(other.points)
    return Value(labels, None, tuple((time, function(value, at[time])) for time, value in one.points if time in at))


def _nulls(function: Callable[[float, float], float]) -> Callable[[Number, Number], Number]:
    return lambda one, other: None if one is None or other is None else function(one, other)


def _divided(one: float, other: float) -> float:
    if other:
        return one / other
    return math.nan if one == 0 or math.isnan(one) else math.copysign(math.inf, one)


def _power(one: float, other: float) -> float:
    try:
        return math.pow(one, other)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


#: How Python calls an operator in its syntax tree -> what it does.
BINARY: dict[str, Callable[[Number, Number], Number]] = {
    name: _nulls(function)
    for name, function in {
        "Add": operator.add,
        "Sub": operator.sub,
        "Mult": operator.mul,
        "Div": _divided,
        "Mod": lambda one, other: math.fmod(one, other) if other and math.isfinite(one) else math.nan,
        "Pow": _power,
        "Gt": lambda one, other: float(one > other),
        "GtE": lambda one, other: float(one >= other),
        "Lt": lambda one, other: float(one < other),
        "LtE": lambda one, other: float(one <= other),
        "Eq": lambda one, other: float(one == other),
        "NotEq": lambda one, other: float(one != other),
        "And": lambda one, other: float(one != 0 and other != 0),
        "Or": lambda one, other: float(one != 0 or other != 0),
    }.items()
}


def _known(function: Callable[[float], float]) -> Callable[[Number], Number]:
    return lambda number: None if number is None else function(number) if math.isfinite(number) else number


UNARY: dict[str, Callable[[Number], Number]] = {
    "abs": lambda number: None if number is None else abs(number),
    "round": _known(lambda number: math.copysign(math.floor(abs(number) + 0.5), number)),
    "ceil": _known(lambda number: float(math.ceil(number))),
    "floor": _known(lambda number: float(math.floor(number))),
    "log": _known(lambda number: math.log(number) if number > 0 else -math.inf if number == 0 else math.nan),
    "is_null": lambda number: float(number is None),
    "is_nan": lambda number: float(number is not None and math.isnan(number)),
    "is_inf": lambda number: float(number is not None and math.isinf(number)),
    "is_number": lambda number: float(_is_number(number)),
    "not": lambda number: None if number is None else float(number == 0),
    "minus": lambda number: None if number is None else -number,
}
