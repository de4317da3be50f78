"""The Device dashboard's row of kernel counters, by Telegraf's input ``kernel``."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.core.schema import Field, Measurement
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines
from grafana.dashboards.lib.query import Source

#: The fields of ``inputs.kernel`` of Telegraf 1.39 that telegraf.d/kernel.conf keeps.
MEASUREMENTS = (
    Measurement(
        "kernel",
        "Counters of the kernel since boot.",
        (),
        (
            Field("context_switches", int, "", "Switches from one program to another.", 0),
            Field("interrupts", int, "", "Interrupts of devices and timers.", 0),
            Field("processes_forked", int, "", "Programs and threads started.", 0),
        ),
    ),
)

_SOURCE = Source(MEASUREMENTS)

_OFF = "No data of the kernel in this time range"


def rows() -> Iterable[Row]:
    yield Row("device", "Processes", _kernel(), order=90, collapsed=True)


def _kernel() -> list[Panel]:
    return [
        lines(
            "Context switches and interrupts",
            "Context switches and interrupts per second. Far above this machine's usual level: a program that polls, "
            "or a device that interrupts without end.",
            _SOURCE.rate(
                "kernel", "context_switches", "interrupts", names=("context switches", "interrupts"), unit="per_second"
            ),
            low=0,
            decimals=0,
            colours={"context switches": "blue", "interrupts": "purple"},
            no_data=_OFF,
        ),
        lines(
            "Programs started",
            "Programs and threads started per second. Many of them are a script that starts others in a loop, which "
            "costs a small board more than the work itself.",
            _SOURCE.rate("kernel", "processes_forked", names=("started",), unit="per_second"),
            low=0,
            colours={"started": "blue"},
            no_data=_OFF,
        ),
    ]
