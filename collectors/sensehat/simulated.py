"""Readings of the simulated world, now or from a chosen start, at its own pace or faster."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.core.api import Context, Unavailable
from collectors.sensehat import PACE, SEED, START
from collectors.sensehat.readings import Reading
from collectors.sensehat.world import sense


class Simulated:
    """A simulated board.

    Without a start and at pace 1 it senses what the world is at this very time, so that two processes with one
    seed agree. Lines are stamped with now, whatever time it is in the world.
    """

    tags = {"simulated": "true"}  # noqa: RUF012 - as the protocol has it; nobody changes it

    def __init__(self, context: Context) -> None:
        self._clock_ns = context.clock_ns
        self._seed = context.values[SEED]
        self._pace = context.values[PACE]
        if self._pace == 0:
            raise Unavailable("the setting pace is 0, which is for recordings alone: a simulation would stand still")
        self._started_ns: int | None = None
        start = context.values[START]
        self._origin_ns: int | None = None
        if start:
            from collectors.sensehat.table import read_time  # only a chosen start needs the reading of times

            try:
                self._origin_ns = read_time("the setting start", start)
            except ValueError as error:
                raise Unavailable(f"{error}") from None

    def read(self) -> Iterator[Reading]:
        """One reading."""
        now_ns = self._clock_ns()
        if self._started_ns is None:
            self._started_ns = now_ns
        origin_ns = self._started_ns if self._origin_ns is None else self._origin_ns
        yield sense(self._seed, origin_ns + round((now_ns - self._started_ns) * self._pace))

    def close(self) -> None:
        """There is nothing to let go of."""
