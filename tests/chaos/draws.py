"""Draw a topology and timed faults from a seed. Pure, so that a seed always gives the same draw."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.chaos.relay import Mode

#: Processes of each topology that a fault can hit. ``collector`` is the numbered source that Telegraf runs,
#: ``gateway`` one of its two collectors of that name.
PROCESSES = {
    "lone": ("telegraf", "collector", "outbox", "influxd"),
    "edge": ("telegraf", "collector", "spool", "outbox", "receiver", "proxy", "influxd"),
    "hub": ("telegraf", "gateway", "outbox", "influxd", "mosquitto", "nats"),
}

#: Disks of each topology: the folders of its processes lie on them.
DISKS = {"lone": ("pi",), "edge": ("edge", "hub"), "hub": ("hub",)}

#: Sources of each topology.
SOURCES = {"lone": ("execd", "spool"), "edge": ("execd", "spool"), "hub": ("execd", "mqtt", "mqtt_untimed", "nats")}

MODES = (
    Mode("refuse"),
    Mode("stall"),
    Mode("slow", 3000),
    Mode("cut_request", 300),
    Mode("cut_answer", 0),
    Mode("cut_answer", 20),
    Mode("replay"),
    Mode("answer", 400),
    Mode("answer", 400, influxdb=True),
    Mode("answer", 401, influxdb=True),
    Mode("answer", 404, influxdb=True),
    Mode("answer", 404),
    Mode("answer", 413),
    Mode("answer", 422),
    Mode("answer", 422, influxdb=True),
    Mode("answer", 429, retry_after=5),
    Mode("answer", 500),
    Mode("answer", 503),
)

#: The seed of an outage of a week; lower ones are of :data:`LONG`.
WEEK_SEED = -1

DAMAGES = ("bits", "garbage", "zeros", "truncated", "missing", "empty")


class Fault(NamedTuple):
    """One fault.

    Args:
        kind: ``kill``, ``pause``, ``hub``, ``disk_full``, ``power_cut``, ``damage``, ``clock`` or ``boot``, which is a
            start with a wrong clock that is set later.
        target: a process or a disk; for ``damage`` its kind.
        begin: seconds after the sources have started.
        seconds: how long it lasts; a killed process is away that long.
        mode: of the relay, for ``hub``.
        offset: seconds that a clock is off, for ``clock``.
    """

    kind: str
    target: str
    begin: float
    seconds: float
    mode: Mode = Mode()
    offset: float = 0.0

    def __str__(self) -> str:
        words = {
            "kill": f"kill -9 of {self.target}",
            "pause": f"SIGSTOP of {self.target}",
            "hub": f"hub: {self.mode}",
            "disk_full": f"disk full: {self.target}",
            "power_cut": f"power cut: {self.target}",
            "damage": f"damaged file: {self.target}",
            "boot": f"start with the clock {self.offset:+.0f} s off",
            "clock": f"clock of {self.target} {self.offset:+.0f} s",
        }
        return f"{words[self.kind]} ({self.begin:.1f} s, for {self.seconds:.1f} s)"


class Draw(NamedTuple):
    """A topology and its faults."""

    seed: int
    topology: str
    faults: tuple[Fault, ...]

    @property
    def family(self) -> str:
        """The row of the table that it counts in."""
        if self.seed < 0:
            return "week" if self.seed == WEEK_SEED else "long"
        kinds = sorted({each.kind for each in self.faults})
        if len(self.faults) == 1:
            return kinds[0]
        return "pair" if set(kinds) <= {"kill", "pause"} else "mixed"


def draw(seed: int) -> Draw:
    """The draw of a seed. Seeds that follow each other go through all single faults, with pairs in between.

    Seeds below :data:`WEEK_SEED` are those of :data:`LONG`.
    """
    if seed < WEEK_SEED:
        return next(each for each in LONG if each.seed == seed)
    chance = random.Random(seed)
    singles = _singles()
    if seed % 3 == 2:
        topology = chance.choice(tuple(PROCESSES))
        first, second = chance.sample([each for each in singles if each[0] == topology], 2)
        if "boot" in (first[1], second[1]) or {first[1], second[1]} <= {"disk_full", "power_cut", "damage", "hub"}:
            first = first if first[1] != "boot" else (topology, "kill", "influxd", Mode())
            second = (topology, "kill", chance.choice(PROCESSES[topology]), Mode())
        begin = chance.uniform(3, 6)
        faults = (_fault(chance, first, begin), _fault(chance, second, begin + chance.uniform(-2, 4)))
        return Draw(seed, topology, tuple(sorted(faults, key=lambda each: each.begin)))
    chosen = singles[(seed - seed // 3) * 37 % len(singles)]
    return Draw(seed, chosen[0], (_fault(chance, chosen, chance.uniform(4, 8)),))


def _singles() -> list[tuple[str, str, str, Mode]]:
    found = []
    for topology, names in PROCESSES.items():
        found += [(topology, kind, name, Mode()) for kind in ("kill", "pause") for name in names]
        found += [(topology, kind, disk, Mode()) for kind in ("disk_full", "power_cut") for disk in DISKS[topology]]
        found += [(topology, "clock", name, Mode()) for name in ("collector", "outbox")]
        found += [(topology, "boot", wrong, Mode()) for wrong in ("1970", "behind")]
    found += [("edge", "hub", "relay", mode) for mode in MODES]
    found += [("hub", "hub", "relay", mode) for mode in MODES[::3]]
    found += [(topology, "damage", damage, Mode()) for topology in ("edge", "hub") for damage in DAMAGES]
    return found


def _fault(chance: random.Random, single: tuple[str, str, str, Mode], begin: float) -> Fault:
    _, kind, target, mode = single
    seconds = chance.uniform(3, 25) if kind != "kill" else chance.uniform(0.2, 12)
    offset = chance.choice((-1, 1)) * chance.choice((2.0, 90.0, 3600.0, 86400.0)) if kind == "clock" else 0.0
    if kind == "boot":
        offset = -1_750_000_000.0 if target == "1970" else -chance.choice((90.0, 3600.0, 86400.0))
    return Fault(kind, target, round(max(1.0, begin), 2), round(seconds, 2), mode, offset)


#: Faults of many minutes, which set off the rules that wait before they fire.
LONG = (
    Draw(-2, "edge", (Fault("hub", "relay", 5, 2000, Mode("refuse")),)),
    Draw(-3, "edge", (Fault("disk_full", "hub", 5, 420),)),
    Draw(-4, "hub", (Fault("pause", "outbox", 5, 150),)),
    Draw(-5, "lone", (Fault("pause", "influxd", 5, 2000),)),
)
