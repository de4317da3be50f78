"""The interface of a collector: the protocols it follows, the context it is created with, and the errors it raises.

A collector is polled (``collect`` returns one batch), streaming (``stream`` yields batches as events happen) or a
processor (``process`` takes lines of line protocol and returns lines). An empty batch means "no data". A reading that
failed is reported to the :class:`~collectors.core.errors.ErrorReporter`. An exception means that the whole batch
failed; it is counted with ``up=0``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Measurement
from collectors.core.settings import Setting, Values

#: Not a sample: a polled collector yields it before a part of its batch that may take long.
PAUSE = Metric(Series("pause"), {})


class NotApplicable(Exception):
    """This machine has nothing for the collector to read, which is not an error. The message names it."""


class Unwritable(Exception):
    """The output accepts no more lines; the message names the output and the cause."""


class Unavailable(Exception):
    """The collector cannot start; the message is one sentence with the cause and the remedy."""


class Wait(Protocol):
    """Sleep; return True on shutdown."""

    def __call__(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Sleep for *seconds*, or until *descriptor* can be read. With 0 seconds it costs one system call."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A collector that is polled for each batch."""

    def collect(self) -> Iterable[Metric]:
        """Read one batch of samples. At :data:`PAUSE`, the runner writes the samples so far."""
        ...

    def close(self) -> None:
        """Close devices and files."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A collector that emits as events happen."""

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Yield batches, some of them empty, until the source ends or ``wait`` returns True.

        Each batch is written before the next one is requested.
        """
        ...

    def close(self) -> None:
        """Close devices and files."""
        ...


@runtime_checkable
class Processor(Protocol):
    """A collector that processes the lines of other collectors.

    Its methods return whole lines, each with its line break, and the number of lines.
    """

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of its self-metric in addition to its name: Telegraf adds no global tags to a processor's output."""
        ...

    @property
    def up(self) -> bool:
        """False while it is degraded: it then only passes lines through to standard output."""
        ...

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        """Process input; return the resulting lines. *data* may end anywhere, also within a line."""
        ...

    def tick(self) -> tuple[bytes, int]:
        """Lines that are due without any input. Called about once a second."""
        ...

    def flush(self) -> Iterator[tuple[bytes, int]]:
        """Yield the rest of the input once it has ended, then all other lines that are due."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


Collector = Polled | Streaming | Processor


class Context(NamedTuple):
    """The arguments of ``create``.

    Args:
        values: its settings. If they are invalid, reading the first one raises SettingsError.
        report: receives errors that do not end the batch.
        once: True for a single batch in a fresh process, False for batch after batch.
        host: the tag ``host`` of this machine's points and the default of ``device`` tags.
        clock_ns: wall clock, nanoseconds since 1970.
        monotonic_ns: monotonic clock, which no correction of the wall clock moves, nanoseconds.
    """

    values: Values
    report: ErrorReporter
    once: bool
    host: str
    clock_ns: Callable[[], int]
    monotonic_ns: Callable[[], int] = time.monotonic_ns


class Module(Protocol):
    """The definitions that make a module of this package a collector.

    The first line of the docstring is its summary in the help. ``create`` raises :class:`Unavailable` if the collector
    cannot start, and :class:`NotApplicable` if there is nothing for it to read. Libraries beyond the standard library
    are imported inside ``create``, so that the module can be listed without them.
    """

    MEASUREMENTS: tuple[Measurement, ...]
    SETTINGS: tuple[Setting[Any], ...]

    def create(self, context: Context, /) -> Collector:
        """Return the collector, ready to run."""
        ...
