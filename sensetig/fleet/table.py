"""The fleet as a table for the terminal; a narrow terminal drops the least needed columns first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sensetig.fleet import health
from sensetig.fleet.devices import Judged
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.report.numbers import duration

#: Each level's sign, word and colour. Colour is never the only sign.
SIGNS = {
    level: (health.SIGNS[level], word, colour)
    for level, word, colour in ((ACT, "act", "bold red"), (LOOK, "look", "yellow"), (GOOD, "ok", "green"))
}

_NOT_REPORTED = Text("–", style="dim")

#: Column -> minimum width of the terminal.
_WIDTHS = {
    "Seen": 0,
    "Temp": 60,
    "CPU": 72,
    "Disk": 66,
    "Voltage": 84,
    "Throttling": 96,
    "Messages": 108,
    "Version": 116,
    "Why": 46,
}


def table(devices: Sequence[Judged], width: int) -> Table:
    """One line per device."""
    shown = [name for name, minimum in _WIDTHS.items() if width >= minimum]
    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    result.add_column("")
    # Fold a name only if it is long, or if there is no room.
    longest = max((len(each.device.name) for each in devices), default=0)
    result.add_column("Device", overflow="fold", min_width=max(8, min(longest, 24, width // 4)))
    result.add_column("Status", no_wrap=True)
    for name in shown:
        right = name in ("Seen", "Temp", "CPU", "Disk", "Messages")
        result.add_column(name, justify="right" if right else "left", no_wrap=name != "Why", overflow="fold")
    for each in devices:
        sign, word, colour = SIGNS[each.level]
        cells = _cells(each, " ago" if width >= _WIDTHS["Temp"] else "")
        result.add_row(
            Text(f"{sign} {word}", style=colour),
            Text(each.device.name),
            Text(each.status, style=colour if each.status != "online" else ""),
            *(cells[name] for name in shown),
        )
    return result


def _cells(each: Judged, ago: str) -> dict[str, Text]:
    device = each.device
    return {
        "Seen": Text(f"{duration(round(device.age_seconds))}{ago}"),
        "Temp": _number(device.temperature_celsius, "°C", "hot", each),
        "CPU": _number(device.cpu_percent, "%", "busy", each),
        "Disk": _number(device.disk_percent, "%", "disk", each),
        "Voltage": _flag(device.under_voltage, device.under_voltage_since_boot, "too low"),
        "Throttling": _flag(device.throttled, device.throttled_since_boot, "throttled"),
        "Messages": _NOT_REPORTED if device.messages is None else Text(f"{device.messages:,}".replace(",", "\u202f")),
        "Version": _NOT_REPORTED if device.version is None else Text(device.version),
        "Why": Text(", ".join(_why(each)), style=SIGNS[each.level][2]),
    }


def _number(value: float | None, unit: str, reason: str, each: Judged) -> Text:
    if value is None:
        return _NOT_REPORTED
    return Text(f"{value:.0f}\u202f{unit}", style=SIGNS[each.level][2] if reason in each.reasons else "")


def _flag(now: bool | None, since_boot: bool | None, word: str) -> Text:
    if now is None:
        return _NOT_REPORTED
    if now:
        return Text(word, style=SIGNS[ACT][2])
    return Text("since boot", style=SIGNS[LOOK][2]) if since_boot else Text("fine")


def heading(devices: Sequence[Judged]) -> Text:
    """The summary line above the table."""
    counts = {level: sum(each.level == level for each in devices) for level in SIGNS}
    parts = [Text(f"{len(devices)} device{'' if len(devices) == 1 else 's'}: ", style="bold")]
    words = {ACT: "to act on", LOOK: "to check", GOOD: "ok"}
    for level, count in counts.items():
        if count:
            parts.append(Text(f"{SIGNS[level][0]} {count} {words[level]}  ", style=SIGNS[level][2]))
    return Text.assemble(*parts)


def _why(each: Judged) -> list[str]:
    """The reasons with their values, except the length of a silence, which has a column."""
    pairs = zip(each.reasons, each.details, strict=True)
    return [reason if reason in ("silent", "late") else detail for reason, detail in pairs]
