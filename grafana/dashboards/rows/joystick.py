"""The Environment dashboard's row of the Sense HAT's joystick."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.joystick import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import properties

_SOURCE = Source(MEASUREMENTS)

_NONE = "No joystick event in this time range"


def rows() -> Iterable[Row]:
    yield Row("environment", "Joystick", _joystick(), order=90, collapsed=True)


def _joystick() -> list[Panel]:
    return [
        lines(
            "Joystick",
            "Presses of each direction, per interval; each has a release, with the time that it was held.",
            _SOURCE.mean("joystick", "held_seconds", by=("direction",), function="count", fill="0"),
            low=0,
            decimals=0,
            bars=True,
            stacked=True,
            size=(12, 7),
            no_data=_NONE,
        ),
        listing(
            "Latest presses",
            "The latest presses and releases, one per row.",
            _SOURCE.points(
                "joystick",
                {"direction": "Direction", "action": "Action", "held_seconds": "Held"},
                limit=20,
            ),
            order=("Time", "Direction", "Action", "Held"),
            columns={
                "Time": properties(unit=CLOCK, custom__width=100),
                "Held": properties(unit="s", decimals=2, noValue="–", custom__width=70),
            },
            size=(12, 7),
            no_data=_NONE,
        ),
    ]
