"""The start-up cost of a collector: one-shot runs compared with importing its required library."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.measure import Result, child_cpu, environment, paired, python

ROUNDS = 15


def run() -> list[Result]:
    """A one-shot ``system`` compared with ``import psutil`` and with bare Python.

    Where the system keeps a record of who is logged in, the collector imports psutil to read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "utmp")
        without = environment(SENSETIG_SYSTEM_RUN_ROOT=str(record.parent / "none"))
        record.touch()
        return measure(without, environment(SENSETIG_SYSTEM_RUN_ROOT=folder))


def measure(without_users: dict[str, str], with_users: dict[str, str]) -> list[Result]:
    """The figures, with two environments for the collector."""

    def bare() -> float:
        return child_cpu(python("-c", "pass"))

    def library() -> float:
        return child_cpu(python("-c", "import psutil"))

    def collector(env: dict[str, str]) -> float:
        return child_cpu(python("-m", "collectors", "system"), env=env)

    collector(with_users)  # compiles modules that have not been compiled yet
    pair = paired(lambda: collector(without_users), library, ROUNDS)
    users = paired(lambda: collector(with_users), library, ROUNDS)
    started = paired(bare, library, ROUNDS)
    return [
        Result("bare Python", started.first * 1000, "ms CPU"),
        Result("python -c 'import psutil'", pair.second * 1000, "ms CPU"),
        Result("one-shot python -m collectors system", pair.first * 1000, "ms CPU"),
        Result("one-shot system to import psutil", pair.ratio, "x", 1.5),
        Result("the same where users are recorded, with psutil", users.ratio, "x", 1.5),
    ]
