"""The rule of ``sensetig.policy.liveness`` in InfluxQL: how long a machine has been silent, and how long it may be.

InfluxQL cannot calculate with the time of a point, and has no conditions. So each span that contains a point takes its
part off the longest silence, and the rest is the silence in full steps; a machine's patience is the maximum of two
values. All of it is read from one measurement, since InfluxQL keeps the series of two measurements apart.
"""

from __future__ import annotations

from sensetig.policy import LATE_SECONDS, SILENCE_STEPS

#: The tags that separate machines: two sites may have a device of the same name.
GROUPS = 'GROUP BY "host", "site"'

#: A silence equal to the patience is over it. Less than the smallest difference between two patiences, in seconds.
_LESS = 0.05


def silent(scope: str, known: str, retired: str, least_seconds: int = LATE_SECONDS) -> str:
    """A query with a row for each machine: ``quiet``, its silence in full steps, ``interval``, the time between its
    samples or 0, both in seconds, and ``retired``.

    Args:
        scope: the condition that every query has; empty for none.
        known: the condition on the time within which a machine is known at all.
        retired: the query for the newest ``retired`` that ``sensetig retire`` has written.
        least_seconds: shorter silences count as none.
    """

    def query(columns: str, time: str) -> str:
        return f'(SELECT {columns} FROM "system" WHERE {" AND ".join(filter(None, (scope, time)))} {GROUPS})'  # noqa: S608 - no input

    steps = [step for step in SILENCE_STEPS if step >= least_seconds]
    # Aggregates over a union cost by columns and queries: the spans, which have one column, are added up first.
    spans = ", ".join(
        query(f'last("uptime") * 0 - {step - before} AS "quiet"', f"time > now() - {step}s")
        for step, before in zip(steps, (0, *steps), strict=False)
    )
    # InfluxQL takes the types of columns from the first query.
    parts = (
        query(
            f'last("uptime") * 0 + {steps[-1]} AS "quiet", last("uptime") * 0.0 AS "interval", '
            'last("uptime") * 0 AS "retired"',
            known,
        ),
        f'(SELECT sum("quiet") AS "quiet" FROM {spans} {GROUPS})',  # noqa: S608 - no input
        query('last("interval_seconds") AS "interval"', known),
        f"({retired})",
    )
    columns = ", ".join(f'sum("{name}") AS "{name}"' for name in ("quiet", "interval", "retired"))
    return f"SELECT {columns} FROM {', '.join(parts)} {GROUPS}"  # noqa: S608 - no input


def patience(seconds: int, intervals: int) -> str:
    """How long a machine may be silent: the longer of a time and of a number of its intervals.

    >>> patience(60, 3)
    '(60 + 3 * "interval" + abs(60 - 3 * "interval")) / 2'
    """
    return f'({seconds} + {intervals} * "interval" + abs({seconds} - {intervals} * "interval")) / 2'


def over(seconds: int, intervals: int) -> str:
    """1 where the silence has reached the patience, 0 where not; of the columns of :func:`silent`."""
    left = f'("quiet" - {patience(seconds, intervals)} + {_LESS})'
    return f"(1 + {left} / abs({left})) / 2"


def starts(scope: str) -> tuple[str, str]:
    """Two queries of each machine, the sum of whose ``value`` is how often another start of a machine reported.

    Args:
        scope: the conditions that every query has, the time among them.
    """
    changes = f'SELECT difference("boot_number") AS "change" FROM "system" WHERE {scope} {GROUPS}'  # noqa: S608 - no input
    return (
        f'SELECT count("change") AS "value" FROM ({changes}) WHERE "change" != 0 {GROUPS}',  # noqa: S608 - no input
        f'SELECT 0 * count("boot_number") AS "value" FROM "system" WHERE {scope} {GROUPS}',  # noqa: S608 - no input
    )
