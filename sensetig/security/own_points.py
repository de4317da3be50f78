"""Whether a body of line protocol holds points of one device alone.

InfluxDB's tokens are for buckets, not for series: a device could write points with any `host`. The hub's receiver
checks each body against the name in the device's certificate before InfluxDB gets it.

The check must not read a body in another way than InfluxDB does, or points could be hidden from it. InfluxDB's reader
is lenient: it takes line breaks in strings, and a backslash has three meanings. So the check takes the strict part of
line protocol, which every reader reads alike and which Telegraf writes, and refuses everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

#: Characters of a name in a reason.
_MAX_NAME = 64

# A backslash escapes the next character. A run of backslashes before a separator is refused: readers disagree about the
# last one.
_ESCAPED = rb"\\(?:[^\\\n]|\\++[^\\,= \n])"
_WORD = rb"(?:[^\\,= \n]++|" + _ESCAPED + rb")++"
_KEY = (
    rb"(?![ \t\0#,])(?:[^\\, \n]++|" + _ESCAPED + rb")++"  # the measurement
    rb"((?:," + _WORD + rb"=" + _WORD + rb")*+)"
)
_FIELD = _WORD + rb"=(?:\"(?s:[^\"\\]++|\\.)*+\"|[^\\,= \n\"]++)"
# Without quotes and backslashes, a line ends at its line break for every reader.
_PLAIN = rb"[^\\\"\n]++(?=\n|\Z)"
_FIELDS = _FIELD + rb"(?:," + _FIELD + rb")*+(?: ++-?[0-9]++)?+ *+\r?+"
_LINE = re.compile(rb"[ \t]*+" + _KEY + rb" (?:" + _PLAIN + rb"| *+" + _FIELDS + rb")(?:\n|\Z)")
_IGNORED = re.compile(rb"(?:[ \t]*+(?:#[^\\\"\n]*+|\r?+)\n)++|[ \t]*+(?:#[^\\\"\n]*+|\r?+)\Z")
_TAG = re.compile(rb",(" + _WORD + rb")=(" + _WORD + rb")")


def refusal(device: str, body: bytes) -> str:
    """Why a body is not taken from a device; empty if each of its points has the tag ``host`` with the device's name.

    Args:
        device: the name in the verified certificate.
        body: line protocol, not compressed.
    """
    name = device.encode()
    place = number = 0
    while place < len(body):
        number += 1
        line = _LINE.match(body, place)
        if line is None:
            ignored = _IGNORED.match(body, place)  # comments and empty lines
            if ignored is not None:
                number += body.count(b"\n", place, ignored.end()) - 1
                place = ignored.end()
                continue
            return f"line {number} cannot be attributed to {device}: it is no line protocol as Telegraf writes it"
        place = line.end()
        hosts = [value for key, value in _TAG.findall(line[1]) if key == b"host"]
        if hosts != [name]:
            of = ", ".join(host[:_MAX_NAME].decode("utf-8", "replace") for host in hosts[:2]) or "no host"
            return f"line {number} is a point of {of!r}, and not of {device}: a device writes its own points only"
    return ""


class OwnPoints:
    """The receiver's check of the bodies that it passes on.

    Args:
        gateways: devices that may write points of others.
        log: gets a sentence for the first refusal of each device in an hour.
        clock: seconds, monotonic.
    """

    def __init__(self, gateways: Collection[str], log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._gateways = frozenset(gateways)
        self._log = log
        self._clock = clock
        self._logged: dict[str, float] = {}

    def __call__(self, device: str, body: bytes) -> str:
        """Why a body is refused; empty if it is not."""
        if device in self._gateways:
            return ""
        reason = refusal(device, body)
        if reason:
            now = self._clock()
            if now - self._logged.get(device, float("-inf")) >= 3600:
                self._logged[device] = now
                self._log(f"refused points of {device}: {reason}")
        return reason
