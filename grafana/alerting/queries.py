"""The InfluxQL of alert rules. Every query answers with one number for each device, or each part of one.

A healthy device has a number too, below the threshold: an alert ends because its value is back, not because its series
has vanished. No query ends in a dollar or has another variable: ``$timeFilter`` is the range of the rule, and ``now()``
gives a shorter part of it, so that one query can read both.
"""

from __future__ import annotations

from collections.abc import Sequence

#: The tags that separate machines that run Telegraf, and devices behind them.
MACHINE = ("host", "site")
DEVICE = ("device", "site")


def selected(expression: str, measurement: str, by: Sequence[str], where: str = "") -> str:
    """One expression over the whole range, such as ``mean("used_percent")``."""
    return f'SELECT {expression} AS "value" {_from(measurement, where)} {_groups(by)}'


def over(function: str, by: Sequence[str], *parts: str) -> str:
    """A function over the values of several queries of one measurement; each device is judged by all that it has.

    Of several measurements InfluxDB would make several series for each device, and Grafana refuses two of one name.
    """
    inner = ", ".join(f"({part})" for part in parts)
    return f'SELECT {function}("value") AS "value" FROM {inner} WHERE $timeFilter {_groups(by)}'  # noqa: S608 - no input


def times(field: str, condition: str, measurement: str, by: Sequence[str], where: str = "") -> str:
    """How many points of the range meet a condition; 0 for a device without one."""
    met = " AND ".join(part for part in (condition, where) if part)
    return over(
        "sum",
        by,
        selected(f'count("{field}")', measurement, by, met),
        selected(f'0 * count("{field}")', measurement, by, where),
    )


def lately(expression: str, measurement: str, by: Sequence[str], seconds: int, where: str = "") -> str:
    """An expression over the last seconds; 0 for a device that has points in the range, but none of these."""
    recent = " AND ".join(part for part in (where, f"time > now() - {seconds}s") if part)
    return over(
        "sum",
        by,
        selected(expression, measurement, by, recent),
        selected(f"0 * {expression}", measurement, by),
    )


def _from(measurement: str, where: str) -> str:
    conditions = " AND ".join(part for part in (where, "$timeFilter") if part)
    return f'FROM "{measurement}" WHERE {conditions}'


def _groups(by: Sequence[str]) -> str:
    return "GROUP BY " + ", ".join(f'"{tag}"' for tag in by)
