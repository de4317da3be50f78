"""A configurable collector for the tests of the runner.

Its second line is no line of help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

from collectors.core.api import Collector, Context, NotApplicable, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.core.settings import Setting

MODE = Setting(
    "mode",
    str,
    "steady",
    "Behaviour of the collector.",
    choices=(
        *("steady", "failing", "refusing", "unavailable", "crashing", "not_applicable", "lacking", "streaming"),
        "breaking",
    ),
)
COUNT = Setting("count", int, 1, "How many metrics a batch has, 100 % of them new.", low=1, high=9)
MEASUREMENTS = (Measurement("probe", "A number.", (), (Field("number", int, "", "Counts up.", 0),)),)
SETTINGS = (MODE, COUNT)


class Probe:
    """Counts up; says on stderr that it was closed."""

    def __init__(self, mode: str, count: int, report: ErrorReporter) -> None:
        self._mode = mode
        self._count = count
        self._report = report
        self._number = 0

    def collect(self) -> Iterable[Metric]:
        """Yield *count* metrics; when failing, every second batch is lost after its first metric."""
        for _ in range(self._count):
            self._number += 1
            yield Metric(Series("probe"), {"number": self._number}, self._number)
        if self._mode == "failing" and self._number % 2:
            raise OSError("the device is gone")
        if self._mode == "refusing":
            self._report.error("the reading 0 is no data")

    def close(self) -> None:
        """Report the call to the test."""
        print("closed", file=sys.stderr, flush=True)


class Stream:
    """One metric, and then nothing until it is time to stop, or an error."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def stream(self, wait: Callable[[float], bool]) -> Iterator[Iterable[Metric]]:
        """The batches."""
        yield [Metric(Series("probe"), {"number": 1}, 1)]
        if self._mode == "breaking":
            raise OSError("the source is gone")
        while not wait(60.0):
            yield []

    def close(self) -> None:
        """Report the call to the test."""
        print("closed", file=sys.stderr, flush=True)


def create(context: Context) -> Collector:
    """A collector, or the exception that prevents its start."""
    mode = context.values[MODE]
    if mode == "unavailable":
        raise Unavailable("there is no device; plug one in")
    if mode == "crashing":
        raise RuntimeError("the driver has no such register")
    if mode == "not_applicable":
        raise NotApplicable("this machine has no probe")
    if mode == "lacking":
        import a_library_that_is_not_installed  # type: ignore[import-not-found]  # noqa: F401
    if mode in ("streaming", "breaking"):
        return Stream(mode)
    return Probe(mode, context.values[COUNT], context.report)
