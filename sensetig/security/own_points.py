"""Check that a body of line protocol contains points of one device only.

InfluxDB's tokens are per bucket, not per series: a device could write points with any `host`. The hub's receiver checks
each body against the name in the device's certificate before it reaches InfluxDB.

The check must parse a body exactly as InfluxDB does, or points could be hidden from it. InfluxDB's parser is lenient:
it accepts line breaks in strings, and a backslash has three meanings. So the check accepts the strict subset of line
protocol, which every parser reads alike and which Telegraf writes, and rejects everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

#: Maximum number of characters of a name in a reason.
_MAX_NAME = 64

# A backslash escapes the next character. A run of backslashes before a separator is rejected: parsers disagree about
# the last one.
_ESCAPED = rb"\\(?:[^\\\n]|\\++[^\\,= \n])"
_WORD = rb"(?:[^\\,= \n]++|" + _ESCAPED + rb")++"
_KEY = (
    rb"(?![ \t\0#,])(?:[^\\, \n]++|" + _ESCAPED + rb")++"  # the measurement
    rb"((?:," + _WORD + rb"=" + _WORD + rb")*+)"
)
_FIELD = _WORD + rb"=(?:\"(?s:[^\"\\]++|\\.)*+\"|[^\\,= \n\"]++)"
# Without quotes and backslashes, every parser ends a line at its line break.
_PLAIN = rb"[^\\\"\n]++(?=\n|\Z)"
_FIELDS = _FIELD + rb"(?:," + _FIELD + rb")*+(?: ++-?[0-9]++)?+ *+\r?+"
_LINE = re.compile(rb"[ \t]*+" + _KEY + rb" (?:" + _PLAIN + rb"| *+" + _FIELDS + rb")(?:\n|\Z)")
_IGNORED = re.compile(rb"(?:[ \t]*+(?:#[^\\\"\n]*+|\r?+)\n)++|[ \t]*+(?:#[^\\\"\n]*+|\r?+)\Z")
_TAG = re.compile(rb",(" + _WORD + rb")=(" + _WORD + rb")")


def refusal(device: str, body: bytes) -> str:
    """The reason for rejecting a device's body; empty if each point has the tag ``host`` with the device's name.

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
    """The receiver's check of forwarded bodies.

    Args:
        gateways: devices that may write points of other devices.
        log: receives a sentence for the first rejection of each device in an hour.
        clock: monotonic seconds.
    """

    def __init__(self, gateways: Collection[str], log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._gateways = frozenset(gateways)
        self._log = log
        self._clock = clock
        self._logged: dict[str, float] = {}

    def __call__(self, device: str, body: bytes) -> str:
        """The reason for rejecting a body; empty if it is accepted."""
        if device in self._gateways:
            return ""
        reason = refusal(device, body)
        if reason:
            now = self._clock()
            if now - self._logged.get(device, float("-inf")) >= 3600:
                self._logged[device] = now
                self._log(f"refused points of {device}: {reason}")
        return reason
