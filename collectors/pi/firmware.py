"""Values that only the firmware of a Raspberry Pi has, queried through vcgencmd."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from collectors.pi import readings

#: Seconds after which the firmware counts as hung.
TIMEOUT_SECONDS = 5.0

#: Runs a query, given its words; returns the answer, or None if there is no vcgencmd. Raises OSError.
Ask = Callable[[tuple[str, ...]], str | None]

T = TypeVar("T")


def vcgencmd(command: str) -> Ask:
    """Return a function that starts a process for each query. A command with a path must exist; a name need not."""

    def ask(words: tuple[str, ...]) -> str | None:
        import subprocess  # here, because only boards with the command need it

        try:
            done = subprocess.run(
                [command, *words],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            if os.sep in command:
                raise
            return None
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        if done.returncode and not _is_unknown(done.stdout):
            said = " ".join((done.stderr or done.stdout).split())
            raise OSError(f"{said or f'exit status {done.returncode}'}; is the user in the group video?")
        return done.stdout

    return ask


def _is_unknown(text: str) -> bool:
    """Whether an answer reports an unknown query: older firmware does not support newer queries."""
    return text.startswith("error=") and "not registered" in text


class Answers:
    """Answers of the firmware; None for values that were not queried or not understood.

    Attributes:
        unknown: queries that this firmware does not support.
        errors: a sentence for each failed query, and for each invalid line of an answer.
    """

    __slots__ = ("bits", "core_clock_hertz", "core_volts", "errors", "rails", "unknown")

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.unknown: list[str] = []
        self.bits: int | None = None
        self.core_clock_hertz: float | None = None
        self.core_volts: float | None = None
        self.rails: list[readings.Rail] = []


class Firmware:
    """Queries the firmware at intervals; in between it has no answers, because an old one is not a new reading.

    Args:
        ask: see :func:`vcgencmd`.
        interval: seconds between queries; 0 disables them.
        timer: monotonic seconds.
        has_rails: whether the board's power management chip measures.
    """

    def __init__(self, ask: Ask, *, interval: float, timer: Callable[[], float], has_rails: bool) -> None:
        self._ask = ask
        self._interval = interval
        self._timer = timer
        self._has_rails = has_rails
        self._due: float | None = None

    def is_due(self) -> bool:
        """Whether to query now; if so, the next query is due an interval later."""
        now = self._timer()
        if not self._interval or (self._due is not None and now < self._due):
            return False
        self._due = now + self._interval
        return True

    def answers(self, *, volts_known: bool) -> Answers:
        """Query all values that this board's kernel lacks. A hung firmware is not queried again.

        Args:
            volts_known: whether the kernel provides the core's voltage.
        """
        got = Answers()
        try:
            got.bits = self._answer(got, readings.throttled_answer, "get_throttled")
            got.core_clock_hertz = self._answer(got, readings.answer, "measure_clock", "core")
            if not volts_known:
                got.core_volts = self._answer(got, readings.answer, "measure_volts", "core")
            if self._has_rails:
                got.rails = self._answer(got, partial(_rails, errors=got.errors), "pmic_read_adc") or []
        except TimeoutError as error:
            got.errors.append(str(error))
        return got

    def _answer(self, got: Answers, read: Callable[[str], T], *words: str) -> T | None:
        query = f"vcgencmd {' '.join(words)}"
        try:
            text = self._ask(words)
        except TimeoutError as error:
            raise TimeoutError(f"{query} failed: {error}") from None
        except OSError as error:
            got.errors.append(f"{query} failed: {error}")
            return None
        if text is None:
            return None
        if _is_unknown(text):
            got.unknown.append(query)
            return None
        try:
            return read(text)
        except ValueError:
            got.errors.append(f"{query} answered {' '.join(text.split())[:80]!r}, which is not what it answers")
            return None


def _rails(text: str, errors: list[str]) -> list[readings.Rail]:
    def refuse(line: str) -> None:
        errors.append(f"vcgencmd pmic_read_adc answered a line {line.strip()[:80]!r}, which is no rail")

    return readings.rails(text, refuse)
