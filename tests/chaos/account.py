"""The account of one source: the samples sent, the samples in InfluxDB, and the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

#: A sample's second field, so that a damaged number does not pass for another sample.
_FACTOR, _MODULUS = 7919, 10007


def check_of(number: int) -> int:
    """The field ``check`` of a sample."""
    return number * _FACTOR % _MODULUS


class Ledger(NamedTuple):
    """The numbers of the samples that a source began to send, and those whose sending it knows to be complete."""

    begun: set[int]
    done: set[int]


class Row(NamedTuple):
    """A sample as InfluxDB has it."""

    time_ns: int
    number: float
    check: float


class Account(NamedTuple):
    """The outcomes of the samples from one source.

    Args:
        sent: samples whose sending was complete.
        stored: different samples in InfluxDB.
        refused: samples that were counted as refused.
        lost: samples that were sent, and are neither stored nor refused.
        duplicates: points beyond the first of a sample.
        invented: points that no sample explains.
    """

    source: str
    sent: int
    stored: int
    refused: int
    lost: tuple[int, ...]
    duplicates: int
    invented: int


def read_ledger(path: Path) -> Ledger:
    """The ledger in a file: lines ``b NUMBER`` and ``d NUMBER``; a line that a kill has cut counts as not written."""
    begun: set[int] = set()
    done: set[int] = set()
    if path.exists():
        for line in path.read_text().split("\n")[:-1]:
            kind, _, number = line.partition(" ")
            (begun if kind == "b" else done).add(int(number))
    return Ledger(begun, done)


def account(source: str, ledger: Ledger, rows: Iterable[Row], refused: Collection[int] = ()) -> Account:
    """Balance a ledger with the rows in InfluxDB."""
    counts: Counter[int] = Counter()
    invented = 0
    for row in rows:
        number = int(row.number)
        if number == row.number and number in ledger.begun and row.check == check_of(number):
            counts[number] += 1
        else:
            invented += 1
    counted = set(refused) & ledger.begun - set(counts)
    lost = tuple(sorted(ledger.done - set(counts) - counted))
    return Account(
        source, len(ledger.done), len(counts), len(counted), lost, sum(counts.values()) - len(counts), invented
    )
