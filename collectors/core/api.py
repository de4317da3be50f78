"""The interface of a collector: the protocols it follows, the context it is created with, and the errors it raises.

A collector is polled (``collect`` returns one batch), streaming (``stream`` yields batches as events happen) or a
processor (``process`` takes lines of line protocol and returns lines). An empty batch means "no data". A reading that
failed is reported to the :class:`~collectors.core.errors.ErrorReporter`. An exception means that the whole batch
failed; it is counted with ``up=0``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.schema import Measurement
from collectors.core.settings import Setting, Values


class NotApplicable(Exception):
    """The machine has nothing for this collector to read: nothing at all is emitted, and it is no error."""


class Unwritable(Exception):
    """What the lines are written to takes none any more; the message says what it was, and why."""


class Unavailable(Exception):
    """The collector cannot start; the message says in one sentence why, and what to do."""


class Wait(Protocol):
    """Pauses for so many seconds, and answers True as soon as it is time to stop."""

    def __call__(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Called with 0 it costs one system call; with a descriptor, the pause ends once that can be read."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A collector that is asked for each batch."""

    def collect(self) -> Iterable[Metric]:
        """One batch of samples, as read now."""
        ...

    def close(self) -> None:
        """Let go of devices and files."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A collector that emits as events happen."""

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Batches, some of them empty, until the source ends or ``wait`` says that it is time to stop.

        A batch has been written when the next one is asked for.
        """
        ...

    def close(self) -> None:
        """Let go of devices and files."""
        ...


@runtime_checkable
class Processor(Protocol):
    """A collector that other collectors' lines go through.

    What it gives is whole lines, each with its line break, and how many they are.
    """

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of its self-metric besides its name: nobody adds the pipeline's to what a processor emits itself."""
        ...

    @property
    def up(self) -> bool:
        """Whether it does what it is for; else it only lets lines through."""
        ...

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that come out of what came in, at once. *data* may end anywhere, within a line, too."""
        ...

    def tick(self) -> tuple[bytes, int]:
        """What is to be told without any input; asked for about once a second."""
        ...

    def flush(self) -> Iterator[tuple[bytes, int]]:
        """The rest of what came in, once there is no more, and behind it all that was not told yet."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


Collector = Polled | Streaming | Processor


class Context(NamedTuple):
    """What a collector is made with.

    Args:
        values: its settings.
        report: takes errors that do not stop the batch.
        once: True for a single batch in a fresh process, False for batch after batch.
        host: this machine's name, the default of ``device`` tags.
        clock_ns: wall clock, nanoseconds since 1970.
    """

    values: Values
    report: ErrorReporter
    once: bool
    host: str
    clock_ns: Callable[[], int]


class Module(Protocol):
    """What every module in this package that is a collector defines.

    The first line of its docstring is its line of help. ``create`` raises :class:`Unavailable` when the
    collector cannot start, and :class:`NotApplicable` where there is nothing for it to read. Libraries
    beyond the standard ones are imported inside ``create``, so that the module can be listed without them.
    """

    MEASUREMENTS: tuple[Measurement, ...]
    SETTINGS: tuple[Setting[Any], ...]

    def create(self, context: Context, /) -> Collector:
        """The collector, ready to run."""
        ...
