"""The report of a simulation, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from collectors import __version__
from collectors.core.files import AtomicFile
from sensetig.simulator.device import Device
from sensetig.simulator.drive import Outcome, Plan
from sensetig.simulator.send_log import SendLog

#: Maximum number of devices listed; further ones are summarised. The JSON has all of them.
SHOWN_DEVICES = 12

#: Maximum number of reasons shown for unacknowledged messages.
_SHOWN_REASONS = 5

_SLOW_SECONDS = 1.0


def summary(
    send_log: SendLog, devices: Sequence[Device], plan: Plan, outcome: Outcome, how: Mapping[str, object]
) -> dict[str, Any]:
    """The report as plain values, except the individual faults.

    Args:
        how: the options of the simulation, without secrets.
    """
    return {
        "version": __version__,
        "how": {**how, "start_ns": plan.start_ns, "interval_seconds": plan.interval_ns / 1e9},
        "seconds": round(outcome.seconds, 3),
        "behind_seconds": round(outcome.behind_seconds, 3),
        "interrupted": outcome.interrupted,
        "fatal": outcome.fatal,
        "total": {**send_log.total(), "faults": send_log.faults_of()},
        "devices": {
            device.name: {
                **send_log.devices[device.name].as_dict(),
                "faults": send_log.faults_of(device.name),
                "calibration": [error._asdict() for error in device.character.calibration],
                "clock": {
                    "offset_seconds": device.character.clock_offset_ns / 1e9,
                    "drift_ppm": device.character.clock_drift_ppm,
                    "unsynchronised_seconds": device.character.unsynchronised_ns / 1e9,
                },
            }
            for device in devices
        },
        "unacknowledged": [unsent._asdict() for unsent in send_log.unsent],
        "reasons": dict(send_log.trouble.most_common()),
    }


def save(content: Mapping[str, Any], faults: Iterable[Mapping[str, object]], path: Path) -> None:
    """Write the report as JSON, atomically, each fault on a separate line. Raises OSError."""
    with AtomicFile(path, 0o666, durable=False) as file:
        file.write(json.dumps(content, indent=2).removesuffix("\n}").encode())
        file.write(b',\n  "faults": [')
        for number, fault in enumerate(faults):
            file.write(f"{',' if number else ''}\n    {json.dumps(fault)}".encode())
        file.write(b"\n  ]\n}\n")


def shown(send_log: SendLog, outcome: Outcome) -> RenderableType:
    """The report for a terminal of 80 columns."""
    total = send_log.total()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("device", no_wrap=True)
    for name in ("messages", "points", "fields", "late", "twice", "broken", "acknowledged"):
        drawn.add_column(name, justify="right", no_wrap=True)
    rows = [(name, stats.as_dict()) for name, stats in send_log.devices.items()]
    if len(rows) > SHOWN_DEVICES:
        rows = []
    for name, counts in [*rows, (f"all {len(send_log.devices):,}", total)]:
        drawn.add_row(
            name,
            *(
                f"{counts[key]:,}"
                for key in ("messages", "points", "fields", "late", "duplicate", "broken", "acknowledged")
            ),
            style="bold" if name.startswith("all ") else "",
        )
    parts: list[RenderableType] = [drawn, Text("")]
    faults = ", ".join(f"{kind} {count:,}" for kind, count in send_log.faults_of().items())
    parts.append(Text(f"faults: {faults or 'none'}"))
    rate = total["messages"] / outcome.seconds if outcome.seconds else 0.0
    parts.append(Text(f"{outcome.seconds:.1f} s, {rate:,.0f} messages a second"))
    if outcome.behind_seconds > _SLOW_SECONDS:
        parts.append(Text(f"a reading was up to {outcome.behind_seconds:.1f} s later than it was due", style="yellow"))
    if outcome.interrupted:
        parts.append(Text("stopped before its end"))
    if total["unacknowledged"]:
        parts.append(Text(f"{total['unacknowledged']:,} messages were not acknowledged:", style="red"))
        parts.extend(Text(f"  {count:,} x {reason}") for reason, count in send_log.trouble.most_common(_SHOWN_REASONS))
    return Group(*parts)
