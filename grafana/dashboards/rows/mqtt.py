"""The Pipeline dashboard's row of the agent at the MQTT broker."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.mqtt import MEASUREMENTS
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import Source

_SOURCE = Source(MEASUREMENTS)

_OFF = "The collector mqtt is off: name a broker with SENSETIG_MQTT_URL"


def rows() -> Iterable[Row]:
    yield Row("pipeline", "MQTT", _agent(), order=40)


def _agent() -> list[Panel]:
    return [
        lines(
            "Lines published",
            "Lines that the broker has acknowledged, and lines that were refused, per interval. Refused lines are no "
            "line protocol, too long or cut off, or the broker's access list does not let them through.",
            _SOURCE.mean("mqtt", "lines_published", "lines_refused", function="sum", names=("published", "refused")),
            low=0,
            decimals=0,
            bars=True,
            colours={"published": "green", "refused": "red"},
            size=(8, 7),
            no_data=_OFF,
        ),
        lines(
            "Lines that wait for the broker",
            "Lines that are held and not acknowledged. A peak after the broker was away is normal; a line that stays "
            "up means that the broker is away, or that nobody is subscribed.",
            _SOURCE.mean("mqtt", "lines_waiting", by=("device",), function="max"),
            low=0,
            decimals=0,
            size=(8, 7),
            no_data=_OFF,
        ),
        lines(
            "Commands",
            "Commands that were carried out, refused, or failed, per interval.",
            _SOURCE.mean(
                "mqtt",
                "commands_ok",
                "commands_refused",
                "commands_failed",
                function="sum",
                names=("ok", "refused", "failed"),
            ),
            low=0,
            decimals=0,
            bars=True,
            stacked=True,
            colours={"ok": "green", "refused": "orange", "failed": "red"},
            size=(8, 7),
            no_data=_OFF,
        ),
    ]
