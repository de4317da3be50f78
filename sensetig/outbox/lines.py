"""Lines of line protocol in the body of a write request, split exactly as InfluxDB splits them."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Nanoseconds per unit of each precision of a write request.
PRECISIONS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

# The key of a line ends at its first unescaped space. After it, a quoted string may contain line breaks. Each
# alternative begins with a different character and every repetition is possessive, so that the time is linear in the
# length.
_LINE = re.compile(rb"(?s:(?:[^\\ \n]++|\\.?)*+(?:[^\\\"\n]++|\\.?|\"(?:[^\\\"]++|\\.?)*+(?:\"|\Z))*+)")

_TIME = re.compile(rb"(?<!\\) -?[0-9]{1,20}\Z")


def split(body: bytes) -> list[bytes]:
    """The lines of *body*, without empty ones and comments."""
    quoted = b'"' in body or b"\\\n" in body
    found = _LINE.findall(body) if quoted else body.split(b"\n")
    lines = (line.strip(b" \r\n") for line in found)
    return [line for line in lines if line and not line.startswith(b"#")]


def stamp(lines: Sequence[bytes], now_ns: int, precision: str) -> list[bytes]:
    """Add the time *now_ns* to lines without a time.

    InfluxDB would use the time of delivery, and a redelivery would create a second point.

    Args:
        lines: as :func:`split` returns them.
        now_ns: nanoseconds since 1970.
        precision: a key of :data:`PRECISIONS`.
    """
    now = b" %d" % (now_ns // PRECISIONS[precision])
    return [line if _TIME.search(line) else line + now for line in lines]
