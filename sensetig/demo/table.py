"""The live table: the newest values of each measurement, with their age."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.table import Table
from rich.text import Text

from collectors.core.schema import UNITS
from sensetig.declarations import Declared
from sensetig.demo.arrivals import Arrivals, Reading

#: Telegraf's internal measurements are for the dashboards; in this table they would hide the readings.
_TELEGRAFS_OWN = "internal_"

#: Larger values in seconds are not durations but times since 1970.
_YEAR_2000 = 946_684_800

_SHOWN_FIELDS = 3
_STALE_SECONDS = 30


def table(arrivals: Arrivals, declared: Mapping[str, Declared], now: datetime) -> Table:
    """One row per measurement: its points, some values of its newest series, and their age."""
    drawn = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    names = [name for name in arrivals.measurements if not name.startswith(_TELEGRAFS_OWN)]
    drawn.add_column("measurement", no_wrap=True, min_width=max(map(len, names), default=0))
    drawn.add_column("points", justify="right", no_wrap=True, min_width=6)
    drawn.add_column("newest values", overflow="ellipsis", no_wrap=True, ratio=1)
    drawn.add_column("age", justify="right", no_wrap=True, min_width=4)
    for name in names:
        arrived = arrivals.measurements[name]
        age = max(0.0, (now - arrived.newest).total_seconds())
        drawn.add_row(
            name,
            f"{arrived.points:,}",
            values(arrivals, name, declared.get(name)),
            Text(f"{age:.0f} s", style="yellow" if age > _STALE_SECONDS else ""),
        )
    return drawn


def values(arrivals: Arrivals, name: str, declaration: Declared | None) -> str:
    """The first declared fields that the newest series has, with their units; pictures and texts are left out."""
    readings = [reading for reading in arrivals.readings if reading.measurement == name]
    newest = max(readings, key=_freshness)
    series = {reading.field: reading for reading in readings if reading.tags == newest.tags}
    units = (
        {field.name: field.unit for field in declaration.measurement.fields}
        if declaration
        else dict.fromkeys(series, "")
    )
    shown = [
        f"{field} {amount(value, unit)}"
        for field, unit in units.items()
        if field in series and not isinstance(value := series[field].value, str)
    ]
    return "  ".join(shown[:_SHOWN_FIELDS])


def _freshness(reading: Reading) -> tuple[datetime, int]:
    """Sort key, newest first; of series of the same age, the one with the shorter tags: a total before its parts."""
    return reading.time, -sum(map(len, reading.tags.values()))


def amount(value: float | int | bool, unit: str) -> str:
    """Format a number for people: bytes with a prefix, times by the clock, others to four digits with their unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "bytes":
        for prefix in ("", "Ki", "Mi", "Gi"):
            if abs(value) < 1024:
                return f"{value:.4g} {prefix}B"
            value /= 1024
        return f"{value:.4g} TiB"
    if unit == "seconds" and value > _YEAR_2000:
        return datetime.fromtimestamp(value).astimezone().strftime("%H:%M:%S")
    number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{number} {UNITS.get(unit, '')}".rstrip()
