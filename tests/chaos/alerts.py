"""Which alerts a draw must have, may have and must not have: all committed rules, evaluated over the whole draw.

The rules are evaluated afterwards, at intervals from the start of the draw to its end, on the points that have arrived
by then. Rules about the machine itself (its disk, its temperature) have no data in a draw, and stay silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sensetig.alerts.evaluate import Ask, firing, outcomes
from sensetig.alerts.rules import Rule
from tests.chaos.draws import Draw, Fault

#: Seconds between evaluations of a rule.
STEP_SECONDS = 15

#: Faults that last longer than this must set off the rules that wait before they fire, in seconds: the rule's range,
#: the age that it asks for, and a margin.
_WAITING_SECONDS, _HELD_SECONDS, _STALLED_SECONDS = 1800 + 120, 300 + 60, 60 + 30

_PREFIX = "sensetig-"


class Facts(NamedTuple):
    """The counts of a draw.

    Args:
        draw: the draw with its faults.
        refused: points that InfluxDB rejected.
        damaged: points that the outbox counted as damaged.
        missing: files that the outbox counted as missing.
        dropped: lines that the spool counted as dropped.
    """

    draw: Draw
    refused: int = 0
    damaged: int = 0
    missing: int = 0
    dropped: int = 0


class Verdict(NamedTuple):
    """Keys of rules.

    Args:
        missing: they must have fired, and did not.
        false: they fired without a cause.
    """

    missing: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


def fired(ask: Ask, rules: Sequence[Rule], begin_ms: int, end_ms: int) -> set[str]:
    """Keys of the rules that fire at some time of a period, as Grafana would: once they have held for long enough."""
    times = [*range(begin_ms, end_ms, STEP_SECONDS * 1000), end_ms]
    return {
        rule.uid.removeprefix(_PREFIX) for rule in rules if firing(rule, times, outcomes(ask, rule, times))
    }  # fmt: skip


def judge(facts: Facts, found: set[str]) -> Verdict:
    """Compare the alerts of a draw with what happened."""
    must, may = _must(facts), _may(facts.draw.faults)
    return Verdict(tuple(sorted(must - found)), tuple(sorted(found - must - may)))


def _must(facts: Facts) -> set[str]:
    must: set[str] = set()
    if facts.refused or facts.damaged:
        must.add("points-lost")
    if facts.damaged or facts.missing:
        must.add("outbox-damaged")
    if facts.dropped:
        must.add("spool-dropped")
    for fault in facts.draw.faults:
        if (fault.kind == "hub" or fault.target == "influxd") and fault.seconds > _WAITING_SECONDS:
            must.add("outbox-waiting")
        if (fault.kind, fault.target) == ("disk_full", "hub") and fault.seconds > _HELD_SECONDS:
            must.add("writes-held")
        if facts.draw.topology == "hub" and fault.target == "outbox" and fault.seconds > _STALLED_SECONDS:
            must.add("gateway-stalled")
    return must


def _may(faults: Sequence[Fault]) -> set[str]:
    """Alerts that are right where they come, and come or not by the moment of the fault."""
    may: set[str] = set()
    for fault in faults:
        for matches, keys in _POSSIBLE:
            if matches(fault):
                may |= keys
    return may


_POSSIBLE: tuple[tuple[Callable[[Fault], bool], frozenset[str]], ...] = (
    # The stream gives a killed worker's messages to another after a minute.
    (lambda fault: fault.target in ("gateway", "telegraf", "nats"), frozenset({"gateway-stalled"})),
    (lambda fault: fault.kind in ("power_cut", "disk_full", "boot"), frozenset({"gateway-stalled"})),
    # Collectors that keep something on that disk fail while it is full.
    (lambda fault: fault.kind == "disk_full", frozenset({"collector-errors"})),
    # A collector that was stopped has hung, for its own watchdog.
    (
        lambda fault: fault.kind == "pause" and fault.target in ("gateway", "telegraf", "spool"),
        frozenset({"collector-hung"}),
    ),
)


def now_ms() -> int:
    """The wall clock."""
    return int(time.time() * 1000)
