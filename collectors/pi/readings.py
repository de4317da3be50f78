"""Parsers for output of the kernel and the firmware of a Raspberry Pi.

Every function raises ValueError without a message for a text in another format, or passes on a line in another format:
the caller knows the file or the command, and names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

#: Bits of ``get_throttled`` that apply now; 16 places higher, the same has occurred before.
#: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLED_BITS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")

#: Shift and suffix of the bits above them.
OCCURRED_SHIFT, SINCE_BOOT = 16, "_since_boot"

#: Block devices count in sectors of 512 bytes, whatever the sector size of the medium.
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


#: Number of header lines in /proc/net/wireless.
_HEADINGS = 2

#: Receives an unexpected line.
Refuse = Callable[[str], None]


class Rail(NamedTuple):
    """One rail of the power management chip; None for values that it does not measure."""

    name: str
    volts: float | None
    amperes: float | None


class Link(NamedTuple):
    """One wireless interface; no signal if its driver reports a level without a unit."""

    interface: str
    quality: int
    quality_max: int
    signal_dbm: float | None


def whole_number(text: str) -> int:
    """Parse a decimal number in a sysfs file."""
    return int(text.strip())


def thousandths(text: str) -> float:
    """A value that hwmon reports in thousandths of its unit.

    https://docs.kernel.org/hwmon/sysfs-interface.html
    """
    return whole_number(text) / 1000


def flag(text: str) -> bool:
    """Parse a sysfs file that contains 0 or 1."""
    if text.strip() not in ("0", "1"):
        raise ValueError
    return text.strip() == "1"


def throttled_now(bits: int) -> dict[str, bool]:
    """The limits that apply now, by name, from the lower bits of ``get_throttled``."""
    return {name: bool(bits >> place & 1) for place, name in enumerate(THROTTLED_BITS)}


def throttled_since_boot(bits: int) -> dict[str, bool]:
    """The limits that have occurred, by name, from the upper bits of ``get_throttled``."""
    return {name + SINCE_BOOT: held for name, held in throttled_now(bits >> OCCURRED_SHIFT).items()}


def bytes_written(stat: str) -> int:
    """Bytes written to a block device since boot, from its ``stat``."""
    fields = stat.split()
    if len(fields) <= _SECTORS_WRITTEN:
        raise ValueError
    return int(fields[_SECTORS_WRITTEN]) * SECTOR_BYTES


def life_used_percent(life_time: str) -> float | None:
    """Minimum used percentage of an eMMC's life, from its ``life_time``; None if the card does not report it.

    The card has two estimates, for its two types of memory, in steps of 10 %: 1 is up to 10 %, 10 up to 100 %, 11
    above, 0 undefined (JEDEC 84-B51, EXT_CSD 268 and 269). The worse one counts.
    """
    estimates = [int(word, 16) for word in life_time.split()]
    if len(estimates) != 2 or not all(0 <= estimate <= 11 for estimate in estimates):
        raise ValueError
    worst = max(estimates)
    return (worst - 1) * 10.0 if worst else None


def pre_eol(text: str) -> int | None:
    """The eMMC's pre-EOL warning: 1 normal, 2 and 3: 80 % and 90 % of the spare blocks are used; None: undefined."""
    level = int(text.strip(), 16)
    if not 0 <= level <= 3:
        raise ValueError
    return level or None


def wireless(text: str, refuse: Refuse) -> list[Link]:
    """The connected interfaces in ``/proc/net/wireless``.

    An interface without a network has zeros that no driver has set, which the missing full stop after the quality
    shows. A driver based on cfg80211 reports dBm, clamped to -110 to -40, and a quality of dBm plus 110; any other has
    its own level, with a quality of up to 100 (net/wireless/wext-compat.c).

    Args:
        refuse: receives each line in another format.
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
            # 0 - 256 is an unset level after the kernel has made it signed.
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

    Current and voltage of a rail are separate lines with the rail's name. The numbers in brackets are the converter's
    channels.

    Args:
        refuse: receives each line in another format.
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
