"""What stands in for the processor while it cannot start: lines go through untouched, and it is tried again.

A setting that is wrong would otherwise end the process, and Telegraf would lose every line until somebody mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from collectors.core.api import Collector, Processor
from collectors.core.errors import ErrorReporter
from collectors.telemetry.lines import Lines

#: How often it is tried to start the processor, in seconds.
RETRY_INTERVAL_SECONDS = 10.0

#: How long a line may be before it goes out in pieces.
_MOST_LINE_BYTES = 4 * 1024 * 1024


class StandIn:
    """Lines as they came, until the processor can be made.

    Args:
        make: the processor, or the sentence that says why there is none.
        report: counts an error for each attempt that failed, and says the sentence once.
        sentence: why there is none yet.
        timer: monotonic seconds.
        tags: of the self-metric until then.
    """

    def __init__(
        self,
        make: Callable[[], Collector | str],
        report: ErrorReporter,
        sentence: str,
        timer: Callable[[], float],
        tags: Mapping[str, str],
    ) -> None:
        self._tags = tags
        self._make = make
        self._report = report
        self._timer = timer
        self._lines = Lines(_MOST_LINE_BYTES)
        self._made: Processor | None = None
        self._next = timer() + RETRY_INTERVAL_SECONDS
        self._report.error(_told(sentence))

    @property
    def tags(self) -> Mapping[str, str]:
        """Of the self-metric: the processor's own, once there is one."""
        return self._tags if self._made is None else self._made.tags

    @property
    def up(self) -> bool:
        """Whether the processor is at work."""
        return self._made is not None

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        """The whole lines of what came, untouched; or what the processor makes of them."""
        if self._made is not None:
            return self._made.process(data)
        found = self._lines.feed(data)
        self._report.errors += self._lines.too_long
        self._lines.too_long = 0
        return _bytes(found)

    def tick(self) -> tuple[bytes, int]:
        """Try again where it is time to. Only whole lines were passed on: the processor begins with the rest."""
        if self._made is not None:
            return self._made.tick()
        if self._timer() >= self._next:
            self._next = self._timer() + RETRY_INTERVAL_SECONDS
            made = self._make()
            if isinstance(made, str):
                self._report.error(_told(made))
            else:
                assert isinstance(made, Processor)
                self._made = made
                rest = self._lines.rest()
                return made.process(rest) if rest else (b"", 0)
        return b"", 0

    def flush(self) -> Iterator[tuple[bytes, int]]:
        """The rest."""
        if self._made is not None:
            yield from self._made.flush()
        else:
            yield _bytes(self._lines.end())

    def close(self) -> None:
        """Let go of the processor."""
        if self._made is not None:
            self._made.close()


def _told(sentence: str) -> str:
    return f"{sentence}; until that is mended, lines go through neither calibrated nor validated"


def _bytes(lines: list[str]) -> tuple[bytes, int]:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"), len(lines)
