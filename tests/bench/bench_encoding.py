"""Line protocol in and out, on one core: the series known, three fields, as a Sense HAT's line is."""

from __future__ import annotations

import time
from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.line_protocol_parser import decode
from tests.bench.measure import Result, paired, rate

ROUNDS = 9
LINES = 50_000

_TIME_NS = 1_700_000_000_000_000_000
_SERIES = Series("environment", {"device": "pi", "sensor": "hts221"})
_METRIC = Metric(
    _SERIES, {"temperature_celsius": 23.4567, "humidity_percent": 45.123, "pressure_hpa": 1013.25}, _TIME_NS
)
_EVENT = 'camera_event,camera=door,kind=motion id="b7f3",duration_seconds=2.5,frames=25i 1700000000000000000'


def _trivial(metric: Metric) -> str:
    """A minimal script's encoding: no validation, no escapes, and names known in advance."""
    temperature, humidity, pressure = metric.fields.values()
    return (
        f"environment,device=pi,sensor=hts221 temperature_celsius={temperature!r},"
        f"humidity_percent={humidity!r},pressure_hpa={pressure!r} {metric.time_ns}"
    )


def _seconds(work: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        start = time.process_time()
        for _ in range(LINES):
            work()
        return time.process_time() - start

    return measure


def _lines(work: Callable[[], object]) -> Callable[[], int]:
    def some() -> int:
        for _ in range(1000):
            work()
        return 1000

    return some


def run() -> list[Result]:
    """Encoding and decoding, in lines a second of CPU, and encoding against the least that can be done."""
    line = encode(_METRIC)
    assert line == _trivial(_METRIC)
    pair = paired(_seconds(lambda: encode(_METRIC)), _seconds(lambda: _trivial(_METRIC)), ROUNDS)
    return [
        Result("encode a line of 3 fields", rate(_lines(lambda: encode(_METRIC))), "lines/s", 400_000, "more"),
        Result("encode to a bare f-string", pair.ratio, "x"),
        Result("decode a line of 3 fields", rate(_lines(lambda: decode(line))), "lines/s", 200_000, "more"),
        Result("decode a line with a string", rate(_lines(lambda: decode(_EVENT))), "lines/s"),
    ]
