"""Format numbers with Grafana's units, as the panels do."""

from __future__ import annotations

import math

_SI = ("", "k", "M", "G", "T", "P")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")

#: Grafana's id of a unit -> (suffix, SI prefixes that apply).
UNITS: dict[str, tuple[str, tuple[str, ...]]] = {
    "short": ("", _SI),
    "none": ("", ()),
    "amp": ("A", ()),
    "percent": ("%", ()),
    "bytes": ("B", _BINARY),
    "binBps": ("B/s", _BINARY),
    "bps": ("bit/s", _SI),
    "Mbits": ("Mbit/s", ()),
    "celsius": ("°C", ()),
    "dBm": ("dBm", ()),
    "degree": ("°", ()),
    "hertz": ("Hz", _SI),
    "kwatth": ("kWh", ()),
    "pressurehpa": ("hPa", ()),
    "lux": ("lx", ()),
    "iops": ("/s", _SI),
    "rotrpm": ("rpm", ()),
    "voltamp": ("VA", _SI),
    "volt": ("V", ()),
    "watth": ("Wh", _SI),
    "watt": ("W", ()),
}

#: Units of time, in seconds.
TIMES = {"s": 1.0, "ms": 1e-3, "ns": 1e-9}


def number(value: float, unit: str = "short", decimals: int | None = None) -> str:
    """A number with its unit, such as ``21.4 °C``, ``3.2 GiB`` or ``5 min``."""
    if not math.isfinite(value):
        return "no data"
    if unit in TIMES:
        return duration(value * TIMES[unit])
    if unit.startswith("suffix:"):
        name = unit.removeprefix("suffix:")
        prefixes: tuple[str, ...] = ()
    else:
        name, prefixes = UNITS.get(unit, (unit, ()))
    scaled, prefix = _scaled(value, prefixes)
    joint = "" if name in ("", "°", "%") and not prefix else "\u202f"
    text = _digits(scaled, decimals if decimals is not None and not prefix else None)
    return f"{text}{joint}{prefix}{name}".strip().replace("-", "\u2212")


def _scaled(value: float, prefixes: tuple[str, ...]) -> tuple[float, str]:
    base = 1024.0 if prefixes is _BINARY else 1000.0
    index = 0
    while index + 1 < len(prefixes) and abs(value) >= base:
        value /= base
        index += 1
    return value, prefixes[index] if prefixes else ""


def _digits(value: float, decimals: int | None) -> str:
    """Three significant digits, or the given number of decimals; without trailing zeros."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2
        if 0 < size < 0.01:
            return f"{value:.2g}"
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{decimals}f}"


def duration(seconds: float) -> str:
    """A duration in one or two units, such as ``5 min``, ``3 h 20 min`` or ``12 ms``."""
    if seconds == 0:
        return "0\u202fs"
    if abs(seconds) < 1:
        for factor, name in ((1e3, "ms"), (1e6, "µs"), (1e9, "ns")):
            if abs(seconds) * factor >= 1:
                return f"{_digits(seconds * factor, None)}\u202f{name}"
        return f"{_digits(seconds * 1e9, None)}\u202fns"
    if abs(seconds) < 60:
        return f"{_digits(seconds, 0 if seconds >= 10 else None)}\u202fs"
    minutes = round(seconds / 60)
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{count}\u202f{name}" for count, name in parts if count]
    return " ".join(shown[:2])


def counted(count: float, one: str, many: str) -> str:
    """``1 event`` or ``12 events``."""
    return f"{count:,.0f} {one if round(count) == 1 else many}".replace(",", "\u202f")
