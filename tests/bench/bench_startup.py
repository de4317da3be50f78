"""What a collector costs to start: one-shot runs against importing the library that they cannot do without."""

from __future__ import annotations

from tests.bench.measure import Result, child_cpu, paired, python

ROUNDS = 15


def run() -> list[Result]:
    """A one-shot ``system`` against ``import psutil``, and bare Python beside them."""

    def bare() -> float:
        return child_cpu(python("-c", "pass"))

    def library() -> float:
        return child_cpu(python("-c", "import psutil"))

    def collector() -> float:
        return child_cpu(python("-m", "collectors", "system"))

    for warm in (library, collector):
        warm()  # compiles what has not been compiled yet
    pair = paired(collector, library, ROUNDS)
    started = paired(bare, library, ROUNDS)
    return [
        Result("bare Python", started.first * 1000, "ms CPU"),
        Result("python -c 'import psutil'", pair.second * 1000, "ms CPU"),
        Result("one-shot python -m collectors system", pair.first * 1000, "ms CPU"),
        Result("one-shot system to import psutil", pair.ratio, "x", 1.5),
    ]
