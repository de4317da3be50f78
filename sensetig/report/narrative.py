"""The summary: plain sentences that state only facts from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sensetig.policy import (
    ACT,
    DISK_DAYS_LEFT,
    DISK_PERCENT,
    GAP_SECONDS,
    GOOD,
    LOOK,
    OUTAGE_PERCENT,
    worst,
)
from sensetig.report.alerts import AlertSummary
from sensetig.report.numbers import counted, duration, number
from sensetig.report.period import Period, said
from sensetig.report.stats import Disk, Flag, Spread, Stats
from sensetig.report.text import MAX_TEXT, printable

#: The level of a neutral sentence.
PLAIN = "plain"

_DAY = 86400.0

_FLAGS = {
    "under_voltage": ("Under-voltage", "use the supply made for the board, and a short, thick cable", ACT),
    "throttled": ("Throttling", "the processor was slowed down: look after cooling and supply", ACT),
    "frequency_capped": ("A capped clock", "heat or a weak supply held the clock down", LOOK),
    "soft_temperature_limit": ("The soft heat limit", "it wants more cooling", LOOK),
}


#: Matters that several sentences and alerts can refer to; that of a disk includes its path.
_DATA, _POWER, _HEAT, _MEMORY, _READINGS, _REJECTED, _DISK = (
    "data",
    "power",
    "heat",
    "memory",
    "readings",
    "rejected",
    "disk ",
)

#: The matters of an alert rule: the alert is added to the first one with an urgent sentence.
_MATTERS = {
    "sensetig-device-silent": (_DATA,),
    "sensetig-under-voltage": (_POWER,),
    "sensetig-throttled": (_POWER, _HEAT),
    "sensetig-processor-hot": (_HEAT,),
    "sensetig-memory-full": (_MEMORY,),
    "sensetig-collector-down": (_READINGS,),
    "sensetig-collector-errors": (_READINGS,),
    "sensetig-collector-hung": (_READINGS,),
    "sensetig-telemetry-rejected": (_REJECTED,),
    "sensetig-disk-nearly-full": (_DISK,),
    "sensetig-disk-full-in-a-day": (_DISK,),
}


class Sentence(NamedTuple):
    """One sentence under a heading, and its urgency.

    Args:
        matter: the cause; urgent sentences with the same cause count once.
    """

    heading: str
    text: str
    level: str
    matter: str = ""


def summary(stats: Stats, period: Period, device: str) -> list[Sentence]:
    """The sentences of the summary, the most urgent first under each heading."""
    if stats.alive_by is None and not stats.spreads:
        return [
            Sentence(
                "Data",
                f"No data of {device} is in the bucket {period.bucket} between {said(period.begin)} and "
                f"{said(period.end)}; that says nothing of how the device was.",
                ACT,
            )
        ]
    found = [*_presence(stats, period)]
    found += [_spread(spread, period) for spread in stats.spreads]
    if stats.spreads and all(each.before is None for each in stats.spreads):
        found.append(Sentence("Data", "The period before has too little data to compare with.", PLAIN))
    found += _flags(stats.flags, period)
    if not stats.flags:
        found.append(Sentence("Power and heat", "No data on the power supply.", PLAIN))
    found += [sentence for disk in stats.disks if (sentence := _disk(disk)) is not None]
    if not stats.disks:
        found.append(Sentence("Disks", "No data on disks.", PLAIN))
    found += _readings(stats)
    found += _camera(stats)
    return _by_matter(found)


def _by_matter(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Join urgent sentences with the same cause: one cause is one thing to act on."""
    found: list[Sentence] = []
    for each in sentences:
        place = _urgent_of(found, each.matter) if each.level in (ACT, LOOK) else None
        if place is None:
            found.append(each)
        else:
            before = found[place]
            found[place] = before._replace(text=f"{before.text} {each.text}", level=worst((before.level, each.level)))
    return found


def _urgent_of(sentences: Sequence[Sentence], matter: str) -> int | None:
    """The index of the urgent sentence about a matter."""
    places = (
        place for place, each in enumerate(sentences) if matter and each.matter == matter and each.level in (ACT, LOOK)
    )
    return next(places, None)


def with_alerts(sentences: Sequence[Sentence], alerts: Sequence[AlertSummary], period: Period) -> list[Sentence]:
    """The summary with the alerts. An alert about a matter in the summary is added to its sentence."""
    found = list(sentences)
    for alert, said_of_it in zip(alerts, fired(alerts, period), strict=True):
        matters = [
            f"{_DISK}{word}" if matter == _DISK else matter
            for matter in _MATTERS.get(alert.uid, ())
            for word in (alert.about.split() if matter == _DISK else ("",))
        ]
        places = (_urgent_of(found, matter) for matter in matters)
        place = next((each for each in places if each is not None), None)
        if place is None:
            found.append(said_of_it)
            continue
        before = found[place]
        times = "once" if alert.times == 1 else f"{alert.times} times"
        found[place] = before._replace(
            text=f"{before.text} The alert {alert.title} fired {times}.",
            level=worst((before.level, LEVELS.get(alert.severity, LOOK))) if alert.severity != "info" else before.level,
        )
    return found


#: The heading for alerts.
ALERT = "Alert"

#: The urgency of an alert, by its rule's severity; the default is a look.
LEVELS = {"critical": ACT, "info": PLAIN}


def fired(alerts: Sequence[AlertSummary], period: Period) -> list[Sentence]:
    """A sentence for each rule that fired."""
    found = []
    for each in alerts:
        times = "fired once" if each.times == 1 else f"fired {each.times} times, last"
        lasted = f"for {duration(each.seconds)}" if each.seconds >= 60 else "for less than a minute"
        about = f" ({each.about})" if each.about else ""
        text = f"{each.title}{about} {times}, on {when(each.last_ms, period, day=True)}, {lasted}"
        text = text.replace("last, on", "last on") + (" in all" if each.times > 1 else "")
        still = "; it still does" if each.lasting else ""
        found.append(Sentence(ALERT, f"{text}{still}.", LEVELS.get(each.severity, LOOK)))
    return found


def urgent(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Sentences to act on, then those to check."""
    return [each for level in (ACT, LOOK) for each in sentences if each.level == level]


#: The headings of a mail's urgent parts, and their levels.
URGENT = {"To act on": ACT, "To check": LOOK}


def as_text(device: str, period: Period, sentences: Sequence[Sentence]) -> str:
    """The summary for a mail: what to act on and what to check first, then the rest, each on a line."""
    lines = [f"{device}, {said(period.begin)} to {said(period.end)} ({zone(period)})", verdict(sentences)[1] + "."]
    for title, level in URGENT.items():
        told = [f"- {each.heading}: {each.text}" for each in sentences if each.level == level]
        lines += ["", title, *told] if told else []
    rest = [each for each in sentences if each.level in (GOOD, PLAIN)]
    for heading, under in headings(rest).items():
        lines += ["", heading, *(f"- {each.text}" for each in under)]
    return "\n".join(printable(each, MAX_TEXT) for each in lines).replace("\u202f", " ") + "\n"


def verdict(sentences: Sequence[Sentence]) -> tuple[str, str]:
    """The overall level, and its description."""
    act = sum(each.level == ACT for each in sentences)
    look = sum(each.level == LOOK for each in sentences)
    if act:
        return ACT, f"{counted(act, 'thing', 'things')} to act on" + (f" and {look} to check" if look else "")
    if look:
        return LOOK, f"{counted(look, 'thing', 'things')} to check"
    return GOOD, "Nothing to act on or to check"


def when(time_ms: float, period: Period, *, day: bool = False) -> str:
    """A time in the period's zone, with the day if *day* is set or the period is long, and the year if it spans two."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(period.begin.tzinfo)
    if not day and period.seconds <= _DAY and time.date() in (period.begin.date(), period.end.date()):
        return time.strftime("%H:%M" if period.seconds > 3600 else "%H:%M:%S")
    return time.strftime("%a %d %b %H:%M" if period.begin.year == period.end.year else "%d %b %Y %H:%M")


def _presence(stats: Stats, period: Period) -> list[Sentence]:
    found = []
    lost = sum(end - begin for begin, end in stats.outages) / 1000
    lasted_in_all = period.seconds
    if stats.is_new and stats.first_ms is not None:
        lasted_in_all = max((period.end_ms - stats.first_ms) / 1000, 1.0)
        found.append(
            Sentence("Data", f"The device is new: its first data is from {when(stats.first_ms, period)}.", PLAIN)
        )
    if not stats.outages:
        text = (
            "Every full hour has data."
            if period.hourly and not stats.is_new
            else "Every full hour since then has data."
            if period.hourly
            else f"Data came without a gap of more than {duration(GAP_SECONDS)}."
        )
        found.append(Sentence("Data", text, GOOD))
    else:
        longest = max(stats.outages, key=lambda gap: gap[1] - gap[0])
        share = min(100.0, 100 * lost / lasted_in_all)
        part = f"({number(share, 'percent')} of {'the time since its first data' if stats.is_new else 'the period'})"
        lasted, began = duration((longest[1] - longest[0]) / 1000), when(longest[0], period)
        if len(stats.outages) == 1:
            text = f"One gap in the data, of {lasted} {part}, from {began}."
        else:
            text = (
                f"{counted(len(stats.outages), 'gap', 'gaps')} in the data, {duration(lost)} in all {part}; the "
                f"longest lasted {lasted}, from {began}."
            )
        silent = stats.outages[-1][1] == period.end_ms
        if silent:
            text += f" Nothing has come since {when(stats.outages[-1][0], period)}."
        found.append(Sentence("Data", text, ACT if silent else OUTAGE_PERCENT.level(share), _DATA))
    if stats.restarts:
        found.append(
            Sentence(
                "Data", f"The device restarted {'once' if stats.restarts == 1 else f'{stats.restarts} times'}.", LOOK
            )
        )
    elif stats.restarts == 0:
        found.append(Sentence("Data", "The device did not restart.", GOOD))
    if stats.origins:
        found.append(
            Sentence("Data", f"Some of what is shown is {' and '.join(stats.origins)}, and was not measured.", LOOK)
        )
    return found


def _spread(spread: Spread, period: Period) -> Sentence:
    quantity = spread.quantity
    unit = quantity.unit
    heading = "Climate" if quantity.measurement == "environment" else "The device"
    high = f"{_one(spread.most, unit)} ({when(spread.most_ms, period)})"
    judged = spread.mean if quantity.by_mean else spread.most
    level = quantity.threshold.level(judged) if quantity.threshold else PLAIN
    if quantity.by_mean and level == GOOD:
        level = PLAIN
    matter = {"temp": _HEAT, "mem": _MEMORY}.get(quantity.measurement, "")
    if quantity.peak:
        return Sentence(heading, f"{quantity.title} reached {high}.", level, matter)
    low = f"{_one(spread.least, unit)} ({when(spread.least_ms, period)})"
    text = f"{quantity.title}: from {low} to {high}, {_one(spread.mean, unit)} on average"
    if _one(spread.least, unit) == _one(spread.most, unit):
        text = f"{quantity.title}: {_one(spread.mean, unit)} throughout"
    return Sentence(heading, f"{text}{_compared(spread)}.", level, matter)


def _one(value: float, unit: str) -> str:
    return number(value, unit, 1)


def _compared(spread: Spread) -> str:
    """The mean compared with that of the previous period."""
    if spread.before is None:
        return ""
    change = spread.mean - spread.before
    if abs(change) < 0.05:
        return "; as in the period before"
    return f"; {_one(abs(change), spread.quantity.unit)} {'more' if change > 0 else 'less'} than in the period before"


def _flags(flags: Mapping[str, Flag], period: Period) -> Iterator[Sentence]:
    """Describe the firmware's flags. A throttled or capped clock during under-voltage is reported as its consequence.

    https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    """
    weak = flags.get("under_voltage")
    for name, flag in flags.items():
        held = weak is not None and (bool(weak.held) if flag.held else weak.since_boot)
        yield _flag(name, flag, period, follows=held and name in ("throttled", "frequency_capped"))


def _flag(name: str, flag: Flag, period: Period, *, follows: bool) -> Sentence:
    title, advice, level = _FLAGS[name]
    matter = _POWER if name == "under_voltage" or follows else _HEAT
    if flag.held and flag.last_ms is not None:
        share = number(100 * flag.held / flag.readings, "percent")
        text = f"{title} in {flag.held} of {flag.readings} readings ({share})"
        if not follows:
            text += (
                f", last {'in the hour from ' if period.hourly else 'on ' if period.seconds > _DAY else 'at '}"
                f"{when(flag.last_ms, period)}; {advice}"
            )
        return Sentence("Power and heat", f"{text}.", level, matter)
    if flag.since_boot:
        text = f"{title} was not seen in any reading, but has happened since the device started."
        return Sentence("Power and heat", text, LOOK, matter)
    return Sentence("Power and heat", f"{title}: in none of {flag.readings} readings.", GOOD)


def _disk(disk: Disk) -> Sentence | None:
    growth = disk.last_bytes - disk.first_bytes
    level = DISK_PERCENT.level(disk.full_percent)
    text = f"{disk.path} is {number(disk.full_percent, 'percent', 0)} full"
    matter = f"{_DISK}{disk.path}"
    if disk.between_seconds < 60:
        return Sentence("Disks", f"{text}.", level, matter)
    moved = "grew" if growth > 0 else "shrank"
    text += f"; usage {moved} by {number(abs(growth), 'bytes')}" if growth else "; usage did not change"
    size = disk.last_bytes * 100 / disk.full_percent if disk.full_percent > 0 else 0.0
    # Less than a day does not allow a forecast for weeks.
    if growth > 0 and disk.between_seconds >= _DAY:
        days = (size - disk.last_bytes) / (growth / disk.between_seconds) / _DAY
        soon = DISK_DAYS_LEFT.level(days)
        if soon != GOOD:
            text += f", and at that rate it is full in {counted(max(days, 1), 'day', 'days')}"
            level = worst((level, soon))
    return Sentence("Disks", f"{text}.", level, matter)


def _readings(stats: Stats) -> list[Sentence]:
    found = []
    failed = {name: count for name, count in stats.errors.items() if count}
    if failed:
        told = ", ".join(f"{name} {count}" for name, count in sorted(failed.items(), key=lambda each: -each[1]))
        found.append(Sentence("Readings", f"Failed readings by collector: {told}.", LOOK, _READINGS))
    elif stats.errors:
        text = f"No reading failed in {counted(len(stats.errors), 'collector', 'collectors')}."
        found.append(Sentence("Readings", text, GOOD))
    else:
        found.append(Sentence("Readings", "No data on the collectors.", PLAIN))
    if stats.rejected:
        text = f"The validation refused {counted(stats.rejected, 'value', 'values')}."
        found.append(Sentence("Readings", text, LOOK, _REJECTED))
    return found


def _camera(stats: Stats) -> list[Sentence]:
    if stats.events is None:
        return [Sentence("Camera", "No data of a camera.", PLAIN)]
    if not stats.events:
        return [Sentence("Camera", "The camera reported, and saw no motion.", PLAIN)]
    return [Sentence("Camera", f"{counted(stats.events, 'motion event', 'motion events')} began.", PLAIN)]


def headings(sentences: Sequence[Sentence]) -> dict[str, list[Sentence]]:
    """Group the sentences by heading, in order of first appearance."""
    found: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        found.setdefault(sentence.heading, []).append(sentence)
    return found


def zone(period: Period) -> str:
    """The time zone of all times, such as ``CET (UTC+01:00)``."""
    offset = period.begin.utcoffset() or timedelta(0)
    name = period.begin.tzname() or ""
    return f"{name} ({_offset(offset)})" if offset else name


def _offset(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    return f"UTC{'+' if minutes >= 0 else '−'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
