"""Grafana's arithmetic in alert rules, such as ``$A / $B * 100 > 90 && !is_null($C)``.

Its operators and their order are Python's but for four signs, so Python's own parser reads it; what the tree may hold
is listed here, and nothing of it is ever run as Python.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping

from sensetig.alerts.values import BINARY, UNARY, Value, joined

_CONSTANTS = {"nan": math.nan, "inf": math.inf, "infn": -math.inf, "null": None}


def compute(expression: str, values: Mapping[str, list[Value]]) -> list[Value]:
    """The values of an expression; none where one of its steps has none.

    Args:
        expression: as Grafana spells it.
        values: what the steps gave, by their names.

    Raises:
        ValueError: the expression is broken, or has something that is not known here.
    """
    spelled = re.sub(r"\$\{?([A-Za-z0-9_]+)\}?", r"step_\1", expression)
    spelled = re.sub(r"!(?!=)", " ~", spelled.replace("&&", " and ").replace("||", " or ")).strip()
    try:
        tree = ast.parse(spelled.replace("\n", " "), mode="eval").body
    except (SyntaxError, RecursionError):
        raise ValueError(f"its arithmetic cannot be read: {expression!r}") from None
    return _compute(tree, values)


def _compute(node: ast.expr, values: Mapping[str, list[Value]]) -> list[Value]:
    match node:
        case ast.Constant(value=int() | float() as number):
            return [Value((), float(number))]
        case ast.Name(id=name) if name.removeprefix("step_") in values and name.startswith("step_"):
            return values[name.removeprefix("step_")]
        case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in BINARY:
            return joined(_compute(left, values), _compute(right, values), BINARY[type(op).__name__])
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op).__name__ in BINARY:
            return joined(_compute(left, values), _compute(right, values), BINARY[type(op).__name__])
        case ast.BoolOp(op=op, values=[first, *rest]):
            found = _compute(first, values)
            for each in rest:
                found = joined(found, _compute(each, values), BINARY[type(op).__name__])
            return found
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return [value.each(UNARY["minus"]) for value in _compute(inner, values)]
        case ast.UnaryOp(op=ast.Invert(), operand=inner):
            return [value.each(UNARY["not"]) for value in _compute(inner, values)]
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in UNARY:
            return [value.each(UNARY[name]) for value in _compute(inner, values)]
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name in _CONSTANTS:
            return [Value((), _CONSTANTS[name])]
    raise ValueError(f"its arithmetic has what is not known here: {ast.unparse(node)!r}")
