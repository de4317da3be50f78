"""The demo's summary: engines and arrivals."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors import __version__
from collectors.core.files import write_atomic
from sensetig.declarations import Declared
from sensetig.demo.arrivals import Arrivals, came_through
from sensetig.demo.run import Running


def summary(
    running: Running,
    arrivals: Arrivals,
    expected: Sequence[str],
    absent: Sequence[str],
    declared: Mapping[str, Declared],
    now: datetime,
) -> dict[str, Any]:
    """The summary as plain values.

    Args:
        running: the demo.
        arrivals: the data since its start.
        expected: the collectors that have something to read on this machine.
        absent: the expected collectors whose data has not arrived.
        declared: every declared measurement.
        now: the reference time for ages.
    """
    return {
        "versions": {
            "sensetig": __version__,
            "python": platform.python_version(),
            "telegraf": running.engines["telegraf"].version,
            "influxdb": running.engines["influxd"].version,
            "grafana": running.engines["grafana"].version if "grafana" in running.engines else None,
        },
        "started": running.started.isoformat(),
        "seconds": round((now - running.started).total_seconds(), 1),
        "influxdb": {
            "url": running.influxdb_url,
            "organisation": running.organisation,
            "buckets": ["raw", "hourly"],
            "read_token_file": str(running.read_token_file),
        },
        "grafana_url": running.grafana_url,
        "collectors": {name: {"arrived": name not in absent} for name in expected},
        "measurements": {
            name: {
                "collector": ", ".join(declared[name].collectors) or None if name in declared else None,
                "points": arrived.points,
                "fields": list(arrived.fields),
                "newest_age_seconds": round((now - arrived.newest).total_seconds(), 1),
                "through_telegraf": came_through(name, arrived, declared),
            }
            for name, arrived in arrivals.measurements.items()
        },
    }


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write a summary as JSON, atomically. Raises OSError."""
    write_atomic(path, json.dumps(content, indent=2) + "\n", 0o666, durable=False)


def dashboards(folder: Path) -> list[tuple[str, str]]:
    """Title and path of each main dashboard in a folder, the most important first; those have a menu of the others.

    The links from one dashboard to the main ones are in that order.
    """
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    titles = {f"/d/{board['uid']}": board["title"] for board in boards}
    # A dashboard does not link to itself: one that is not a main one links to all of these.
    linked = max(([link["url"] for link in board["links"] if link["type"] == "link"] for board in boards), key=len)
    return [(titles[path], path) for path in linked]
