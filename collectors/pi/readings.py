"""Parsers for the texts of the kernel and the firmware of a Raspberry Pi.

Every function raises ValueError without a message for a text of another form, or passes on a line of another form:
the caller knows the file or the command, and names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

#: Bits of ``get_throttled`` that hold now; 16 places higher, the same has occurred before.
#: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLED_BITS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")

#: Shift and suffix of the bits above them.
OCCURRED_SHIFT, SINCE_BOOT = 16, "_since_boot"

#: Block devices count in sectors of 512 bytes whatever the medium's own size of sector.
#: https://docs.kernel.org/block/stat.html
SECTOR_BYTES = 512

_SECTORS_WRITTEN = 6  # position in the block device's stat file
_ANSWER = re.compile(r"^(?P<name>[a-z]+)(?:\(\d+\))?=(?P<value>[0-9.]+)[A-Za-z']*\s*$")
_RAIL = re.compile(
    r"^\s*(?P<rail>\w+)_(?P<kind>[AV])\s+(?:current|volt)\(\d+\)=(?P<value>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[AV]\s*$"
)
_WIRELESS = re.compile(
    r"^\s*(?P<interface>\S+):\s*[0-9a-fA-F]+\s+(?P<link>-?\d+)(?P<fresh>\.?)\s+(?P<level>-?\d+)\.?\s+-?\d+\.?\s"
)


#: Lines of /proc/net/wireless before those of the interfaces.
_HEADINGS = 2

#: Takes a line that is none of those expected.
Refuse = Callable[[str], None]


class Rail(NamedTuple):
    """One rail of the power management chip; None for values that it does not measure."""

    name: str
    volts: float | None
    amperes: float | None


class Link(NamedTuple):
    """One wireless interface; no signal where its driver gives a level without a unit."""

    interface: str
    quality: int
    quality_max: int
    signal_dbm: float | None


def whole_number(text: str) -> int:
    """A decimal number of a sysfs file."""
    return int(text.strip())


def thousandths(text: str) -> float:
    """A value that hwmon gives in thousandths of its unit.

    https://docs.kernel.org/hwmon/sysfs-interface.html
    """
    return whole_number(text) / 1000


def flag(text: str) -> bool:
    """A sysfs file that holds 0 or 1."""
    if text.strip() not in ("0", "1"):
        raise ValueError
    return text.strip() == "1"


def throttled_now(bits: int) -> dict[str, bool]:
    """Which limits hold, by name, from the lower bits of ``get_throttled``."""
    return {name: bool(bits >> place & 1) for place, name in enumerate(THROTTLED_BITS)}


def throttled_since_boot(bits: int) -> dict[str, bool]:
    """Which limits have occurred, by name, from the upper bits of ``get_throttled``."""
    return {name + SINCE_BOOT: held for name, held in throttled_now(bits >> OCCURRED_SHIFT).items()}


def bytes_written(stat: str) -> int:
    """Bytes that a block device was given to write since the system started, from its ``stat``."""
    fields = stat.split()
    if len(fields) <= _SECTORS_WRITTEN:
        raise ValueError
    return int(fields[_SECTORS_WRITTEN]) * SECTOR_BYTES


def life_used_percent(life_time: str) -> float | None:
    """Minimum share of an eMMC's life that is used, from its ``life_time``; None where the card reports none.

    The card has two estimates, for its two types of memory, in steps of a tenth: 1 is up to 10 %, 10 up to
    100 %, 11 beyond that, 0 undefined (JEDEC 84-B51, EXT_CSD 268 and 269). The worse one counts.
    """
    estimates = [int(word, 16) for word in life_time.split()]
    if len(estimates) != 2 or not all(0 <= estimate <= 11 for estimate in estimates):
        raise ValueError
    worst = max(estimates)
    return (worst - 1) * 10.0 if worst else None


def pre_eol(text: str) -> int | None:
    """The eMMC's warning of its end: 1 normal, 2 80 % and 3 90 % of the spare blocks are used; None: undefined."""
    level = int(text.strip(), 16)
    if not 0 <= level <= 3:
        raise ValueError
    return level or None


def wireless(text: str, refuse: Refuse) -> list[Link]:
    """The interfaces of ``/proc/net/wireless`` that are connected.

    An interface without a network has zeros that no driver has set, which the missing full stop after the
    quality shows. A driver on cfg80211 reports dBm, clamped from -110 to -40, and the quality as that
    plus 110; any other has its own level, with a quality of up to 100 (net/wireless/wext-compat.c).

    Args:
        refuse: receives each line of another form.
    """
    links = []
    for number, line in enumerate(text.split("\n")):
        if not line.strip() or (number < _HEADINGS and "|" in line):
            continue
        match = _WIRELESS.match(line + " ")
        if match is None:
            refuse(line)
        elif match["fresh"]:
            level = int(match["level"])
            # 0 - 256 is what an unset level looks like once the kernel has made it signed.
            signal = float(level) if -256 < level < 0 else None
            links.append(Link(match["interface"], int(match["link"]), 70 if level < 0 else 100, signal))
    return links


def answer(text: str) -> float:
    """The number in an answer of vcgencmd such as ``volt=0.8563V`` or ``frequency(1)=500000992``."""
    match = _ANSWER.match(text.strip())
    if match is None:
        raise ValueError
    return float(match["value"])


def throttled_answer(text: str) -> int:
    """The bits in vcgencmd's ``throttled=0x50000``."""
    name, _, value = text.strip().partition("=")
    if name != "throttled":
        raise ValueError
    return int(value, 16)


def rails(text: str, refuse: Refuse) -> list[Rail]:
    """The supplies in the answer to ``vcgencmd pmic_read_adc``.

    Current and voltage of a rail have separate lines with the rail's name. The numbers in brackets are those of the
    converter's channels.

    Args:
        refuse: receives each line of another form.
    """
    found: dict[str, dict[str, float]] = {}
    refused = []
    for line in text.split("\n"):
        if line.strip():
            match = _RAIL.match(line)
            if match is None:
                refused.append(line)
            else:
                found.setdefault(match["rail"].lower(), {})[match["kind"]] = float(match["value"])
    if not found:
        raise ValueError
    for line in refused:
        refuse(line)
    return [Rail(name, values.get("V"), values.get("A")) for name, values in found.items()]
