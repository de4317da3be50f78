"""The rule of ``sensetig.policy.liveness`` in InfluxQL: how long a machine has been silent, and how long it may be.

InfluxQL cannot calculate with the time of a point, and has no conditions. So each span that contains a point takes its
part off the longest silence, and the rest is the silence in full steps; a machine's patience is the maximum of two
values. All of it is read from one measurement, since InfluxQL keeps the series of two measurements apart.
"""

from __future__ import annotations

from sensetig.policy import (
    LATE_INTERVALS,
    LATE_SECONDS,
    OFFLINE_INTERVALS,
    OFFLINE_SECONDS,
    SILENCE_STEPS,
)

#: The tags that separate machines: two sites may have a device of the same name.
GROUPS = 'GROUP BY "host", "site"'

#: A silence equal to the patience is over it. Less than the smallest difference between two patiences, in seconds.
_LESS = 0.05


def parts(scope: str, known: str, least_seconds: int = LATE_SECONDS) -> list[str]:
    """Subqueries for each machine: ``sum("quiet")`` is its silence in full steps, ``max("late")`` and
    ``max("offline")`` are its patience, all in seconds.

    The first has ``retired`` as 0, to which the caller may add what ``sensetig retire`` has written: InfluxQL takes the
    type of a column from the first query.

    Args:
        scope: the condition that every query has; empty for none.
        known: the condition on the time within which a machine is known at all.
        least_seconds: shorter silences count as none.
    """

    def query(columns: str, time: str) -> str:
        return f'(SELECT {columns} FROM "system" WHERE {" AND ".join(filter(None, (scope, time)))} {GROUPS})'  # noqa: S608 - no input

    steps = [step for step in SILENCE_STEPS if step >= least_seconds]
    shortest = (("quiet", steps[-1]), ("late", LATE_SECONDS), ("offline", OFFLINE_SECONDS), ("retired", 0))
    longer = (("late", LATE_INTERVALS), ("offline", OFFLINE_INTERVALS))
    found = [
        query(", ".join(f'last("uptime") * 0 + {value} AS "{name}"' for name, value in shortest), known),
        query(", ".join(f'last("interval_seconds") * {count} AS "{name}"' for name, count in longer), known),
    ]
    for step, before in zip(steps, (0, *steps), strict=False):
        found.append(query(f'last("uptime") * 0 - {step - before} AS "quiet"', f"time > now() - {step}s"))
    return found


def over(patience: str) -> str:
    """1 where the silence has reached the patience, 0 where not; of the columns that :func:`parts` makes."""
    left = f'("quiet" - "{patience}" + {_LESS})'
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
