"""``cpu``: the percentage of time that each processor spent in each state since the previous batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.system.files import read

#: The states in the order of /proc/stat (proc_stat(5)), each with its meaning.
_STATES = (
    ("user", "programs"),
    ("nice", "programs with a lowered priority"),
    ("system", "the kernel"),
    ("idle", "nothing"),
    ("iowait", "nothing, while a program waits for a disk"),
    ("irq", "interrupts"),
    ("softirq", "work that interrupts left behind"),
    ("steal", "other virtual machines"),
    ("guest", "virtual machines"),
    ("guest_nice", "virtual machines with a lowered priority"),
)

#: guest and guest_nice are included in user and nice, and must not be added again.
_COUNTED = 8

MEASUREMENT = Measurement(
    "cpu",
    "Share of time that each processor spent in each state since the batch before; absent from the first batch.",
    (Tag("cpu", "Which processor: cpu0, cpu1 and so on, or cpu-total for all together."),),
    tuple(
        Field(f"usage_{state}", float, "percent", f"Share of time spent on {what}.", 0, 100) for state, what in _STATES
    ),
)

Times = Sequence[int]


def parse_times(content: bytes, refuse: Callable[[str], None]) -> dict[str, Times]:
    """Processor -> ticks in each state, from /proc/stat. Raises ValueError if there is no such line.

    Args:
        refuse: receives a sentence for each processor without ticks.
    """
    found: dict[str, Times] = {}
    for line in content.split(b"\n"):
        if not line.startswith(b"cpu"):
            break  # the processors come first
        name, *ticks = line.split()
        try:
            times = [int(each) for each in ticks[: len(_STATES)]]
            if not times or min(times) < 0:
                raise ValueError
        except ValueError:
            refuse(f"/proc/stat has {line[:80]!r} where ticks were expected")
            continue
        times += [0] * (len(_STATES) - len(times))
        found["cpu-total" if name == b"cpu" else name.decode("ascii", "replace")] = times
    if not found:
        raise ValueError("/proc/stat does not begin with the times of the processors")
    return found


def usage(before: Times, after: Times) -> dict[str, float] | None:
    """Percentage of the time between two samples in each state; None if no time has passed.

    A state may decrease by some ticks: iowait is only estimated (proc_stat(5)). It then counts as zero, so that the
    states still add up to 100.
    """
    spent = [max(0, new - old) for old, new in zip(before, after, strict=True)]
    total = sum(spent[:_COUNTED])
    if not total:
        return None
    spent[0] = max(0, spent[0] - spent[8])
    spent[1] = max(0, spent[1] - spent[9])
    return {f"usage_{state}": 100 * ticks / total for (state, _), ticks in zip(_STATES, spent, strict=True)}


class Cpu:
    """Reads ``cpu``; keeps the previous sample for comparison."""

    name = MEASUREMENT.name
    compares = True

    def __init__(self, proc_root: str, error: Callable[[str], None]) -> None:
        self._path = f"{proc_root}/stat"
        self._error = error
        self._before: dict[str, Times] = {}
        self._series: dict[str, Series] = {}

    def read(self, now: int) -> list[Metric]:
        """The usage of each processor that was in the previous sample as well."""
        before, self._before = (
            self._before,
            parse_times(read(self._path), lambda refused: self._error(f"cpu: {refused}")),
        )
        metrics = []
        for name, times in self._before.items():
            earlier = before.get(name)
            if earlier is None:
                continue
            if sum(times[:_COUNTED]) < sum(earlier[:_COUNTED]):
                self._error(f"cpu: the times of {name} went back, so it has no usage in this batch")
                continue
            fields = usage(earlier, times)
            if fields is not None:
                series = self._series.get(name)
                if series is None:
                    series = self._series[name] = Series("cpu", {"cpu": name})
                metrics.append(Metric(series, fields, now))
        return metrics
