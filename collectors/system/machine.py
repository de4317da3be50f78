"""``machine``: the identity of the machine: model, operating system, kernel, address and version of this bundle.

It changes seldom, so a continuously running collector emits it at its start and then once an hour.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from collectors import __version__
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.system.files import read_optional

MEASUREMENT = Measurement(
    "machine",
    "Identity of the machine, at the start of the collector and then once an hour.",
    (),
    (
        Field("model", str, "", "Model of the board or computer; absent where the firmware does not name it."),
        Field("operating_system", str, "", "Name and version of the operating system, from os-release(5)."),
        Field("kernel", str, "", "Release of the kernel."),
        Field("architecture", str, "", "Architecture of the kernel, such as `aarch64`."),
        Field("address", str, "", "IPv4 address of the interface towards the default route; absent without one."),
        Field("bundle_version", str, "", "Version of SenseTIG."),
        Field(
            "pending_updates",
            int,
            "",
            "Packages that can be updated, as update-notifier last counted them; absent where it is not installed.",
            0,
        ),
    ),
)

#: Seconds between two samples of a continuously running collector.
PERIOD_SECONDS = 3600.0

#: Maximum length of a field.
_MAX_TEXT = 120

#: An address of this machine in the kernel's fib_trie, which has it once per table.
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


def local_address(routes: str, tree: str, refuse: Callable[[str], None]) -> str | None:
    """The IPv4 address of the interface of the default route; None without one.

    Args:
        routes, tree: the content of /proc/net/route and /proc/net/fib_trie.
        refuse: receives a sentence for each route in another format.

    >>> local_address("Iface Destination Gateway Flags RefCnt Use Metric Mask" + chr(10)
    ... + "eth0 00000000 0100A8C0 3 0 0 100 00000000" + chr(10) + "eth0 0000A8C0 0 1 0 0 100 00FFFFFF",
    ... "|-- 127.0.0.1" + chr(10) + "  /32 host LOCAL" + chr(10) + "|-- 192.168.0.7" + chr(10) + "  /32 host LOCAL",
    ... print)
    '192.168.0.7'
    """
    # Network addresses are in the machine's byte order, which is little-endian on all boards.
    nets = []
    for line in routes.split("\n")[1:]:
        row = line.split()
        if not row:
            continue
        try:
            nets.append((row[0], _swapped(int(row[1], 16)), int(row[6]), _swapped(int(row[7], 16))))
        except (IndexError, ValueError, OverflowError):
            refuse(f"/proc/net/route has {line[:80]!r} where a route was expected")
    defaults = sorted((metric, interface) for interface, net, metric, mask in nets if net == mask == 0)
    for _, chosen in defaults:
        for address in dict.fromkeys(_LOCAL.findall(tree)):
            number = int.from_bytes(bytes(map(int, address.split("."))), "big")
            if any(interface == chosen and mask and number & mask == net for interface, net, _, mask in nets):
                return str(address)
    return None


def _swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "little"), "big")


def pretty_name(os_release: str) -> str | None:
    """PRETTY_NAME of os-release(5).

    >>> pretty_name('NAME=Debian' + chr(10) + 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"')
    'Debian GNU/Linux 13 (trixie)'
    """
    found = re.search(r"^PRETTY_NAME=(.*)$", os_release, re.M)
    return found[1].strip().strip("\"'") or None if found else None


def updates(text: str) -> int | None:
    """The number of packages in update-notifier's sentence; an empty text means none.

    >>> updates("12 updates can be applied immediately."), updates("")
    (12, 0)
    """
    if not text.strip():
        return 0
    found = re.search(r"^(\d{1,6}) (?:updates?|packages?) can be ", text.strip(), re.M)
    return int(found[1]) if found else None


class Machine:
    """Reads ``machine``.

    Args:
        proc_root, sys_root, etc_root, var_root: paths of these folders.
        architecture: of the kernel.
        monotonic: a clock, in seconds.
        error: receives a sentence for each line in another format.
        once: whether each call returns a sample.
    """

    name = MEASUREMENT.name
    compares = False

    def __init__(
        self,
        proc_root: str,
        sys_root: str,
        etc_root: str,
        var_root: str,
        architecture: str,
        monotonic: Callable[[], float],
        error: Callable[[str], None],
        *,
        once: bool,
    ) -> None:
        self._error = error
        self._models = (f"{proc_root}/device-tree/model", f"{sys_root}/class/dmi/id/product_name")
        self._release = f"{etc_root}/os-release"
        self._kernel = f"{proc_root}/sys/kernel/osrelease"
        self._updates = f"{var_root}/lib/update-notifier/updates-available"
        self._network = f"{proc_root}/net"
        self._architecture = architecture
        self._monotonic = monotonic
        self._once = once
        self._due = -1.0
        self._series = Series(MEASUREMENT.name)

    def read(self, now: int) -> list[Metric]:
        """One sample, or none within an hour of the last. Unreadable fields are left out."""
        moment = self._monotonic()
        if not self._once and moment < self._due:
            return []
        self._due = moment + PERIOD_SECONDS
        texts = {
            "model": next(filter(None, map(_line, self._models)), None),
            "operating_system": pretty_name(read_optional(self._release) or ""),
            "kernel": _line(self._kernel),
            "architecture": self._architecture,
            "address": self._address(),
            "bundle_version": __version__,
        }
        fields: dict[str, FieldValue] = {name: text[:_MAX_TEXT] for name, text in texts.items() if text}
        notice = read_optional(self._updates)
        if notice is not None and (count := updates(notice)) is not None:
            fields["pending_updates"] = count
        return [Metric(self._series, fields, now)]

    def _address(self) -> str | None:
        routes, tree = (read_optional(f"{self._network}/{name}") for name in ("route", "fib_trie"))
        return (
            local_address(routes, tree, lambda refused: self._error(f"machine: {refused}")) if routes and tree else None
        )


def _line(path: str) -> str | None:
    # The device tree terminates its texts with a zero byte.
    text = (read_optional(path) or "").rstrip("\0").strip()
    return "".join(letter for letter in text if letter.isprintable()) or None
